"""An own set counts as prepared only where it is whole, and is what would be made now."""

import os
import shutil

import pytest
from ml_collections import ConfigDict

from segjax.data import digest, own, store
from segjax.data.dataset import Dataset
from segjax.data.folders import coding, preparing
from segjax.data.folders.photographs import MaskField, Photographs
from segjax.errors import UserError
from tests.data.folders import test_volumes
from tests.data.folders.settings import coloured, mask, picture, table
from tests.data.folders.test_photographs import prepare, records
from tests.wrong_input.conftest import snapshot

folder = test_volumes.folder
INFO, SHARD = "dataset_info.json", "mine-train.array_record-00000-of-00001"
AGAIN = "; --overwrite prepares it again, another --name makes a second set\n"


@pytest.fixture
def eyes(tmp_path, capfd):
    """A set of six photographs, of which masks show a disc and a cup."""
    for n in range(6):
        picture(tmp_path / "images" / f"Eye_{n}.png", seed=n)
        mask(tmp_path / "masks" / "disc" / f"Eye_{n}.png")
        mask(tmp_path / "masks" / "cup" / f"Eye_{n}.png", (0, 0, 255))
    assert run(tmp_path) == 0
    capfd.readouterr()
    return tmp_path


def run(folder, *words):
    given = () if "--classes" in words else ("--classes", "disc,cup")
    return prepare(folder, "--masks", folder / "masks", *given, *words)


def place(folder):
    return folder / "data" / "mine" / "1.0.0"


def refused(folder, capfd, *words):
    """The line that says why, with nothing drawn or changed; --overwrite then mends it."""
    before = snapshot(folder / "data")
    assert run(folder, *words) == 2
    errors = capfd.readouterr().err
    assert errors.startswith("segjax: ") and errors.count("\n") == 1 and errors.endswith(AGAIN)
    assert snapshot(folder / "data") == before
    assert run(folder, *words, "--dry_run") == 0
    assert errors.removeprefix("segjax: ").removesuffix(AGAIN) in capfd.readouterr().out
    assert run(folder, *words, "--overwrite") == 0
    assert f"\nprepared: {place(folder)} (train 5, validation 1)\n" in capfd.readouterr().out
    assert run(folder, *words) == 0 and "already prepared: " in capfd.readouterr().out
    assert len(records(folder)) == 6
    return errors


def flipped(path):
    """One bit of a record, with the size as it was."""
    content = bytearray(path.read_bytes())
    written = [place for place, byte in enumerate(content) if byte]
    content[written[len(written) // 2]] ^= 1
    path.write_bytes(bytes(content))


DAMAGES = {
    "shard missing": (SHARD, lambda path: path.unlink(), SHARD),
    "shard cut": (SHARD, lambda path: path.write_bytes(path.read_bytes()[:900]), SHARD),
    "bits": (SHARD, flipped, SHARD),
    "description garbage": (INFO, lambda path: path.write_text("{"), INFO),
    "description missing": (INFO, lambda path: path.unlink(), INFO),
    "features": ("features.json", lambda path: path.write_text("{"), INFO),
    "metadata": ("metadata.json", lambda path: path.unlink(), "metadata.json"),
    "splits missing": ("splits.csv", lambda path: path.unlink(), "splits.csv"),
    "splits cut": ("splits.csv", lambda path: path.write_text("name,split,group\n"), "splits.csv"),
    "splits garbage": ("splits.csv", lambda path: path.write_bytes(b"\xff\xfe"), "splits.csv"),
    "note garbage": (own.SOURCE, lambda path: path.write_text("{"), own.SOURCE),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_set_is_named_and_made_again_on_demand(eyes, capfd, damage):
    name, spoil, named = DAMAGES[damage]
    spoil(place(eyes) / name)
    errors = refused(eyes, capfd)
    assert f"{place(eyes) / named}: " in errors and "damaged: " in errors, errors


def test_so_is_one_whose_records_are_others(eyes, capfd, tmp_path):
    mask(eyes / "masks" / "disc" / "Eye_2.png", (255, 0))
    assert run(eyes, "--data_dir", tmp_path / "other") == 0
    mask(eyes / "masks" / "disc" / "Eye_2.png")
    assert run(eyes) == 0
    capfd.readouterr()
    shutil.copy(tmp_path / "other" / "mine" / "1.0.0" / SHARD, place(eyes) / SHARD)
    errors = refused(eyes, capfd)
    assert "the records are others than those it was made of" in errors


def test_one_that_was_copied_is_whole(eyes, capfd):
    for path in place(eyes).iterdir():
        os.utime(path, (0, 0))
    assert digest.known(place(eyes)) is None
    for words in ((), ("--overwrite",)):
        assert run(eyes, *words) == 0 and "already prepared: " in capfd.readouterr().out
    assert digest.known(place(eyes))


def test_one_without_its_note_is_named_before_anything_is_drawn(eyes, capfd, monkeypatch):
    (place(eyes) / own.SOURCE).unlink()
    for ask in (
        lambda: store.builder("mine", str(eyes / "data")),
        lambda: Dataset(ConfigDict({"name": "mine", "data_dir": str(eyes / "data"), "splits": {}})),
    ):
        with pytest.raises(UserError) as caught:
            ask()
        assert f"{place(eyes) / own.SOURCE}: missing or damaged: the note" in str(caught.value)
        assert "has to be prepared in" not in str(caught.value)
    with monkeypatch.context() as patch:
        patch.setattr(preparing, "_draw", None)
        assert run(eyes) == 2
    capfd.readouterr()
    errors = refused(eyes, capfd)
    assert f"{place(eyes)}: has lost source.json, the note of what it was made of" in errors


@pytest.mark.parametrize("sorted_first", [True, False])
def test_another_order_of_the_classes_is_another_set(eyes, capfd, sorted_first):
    orders = ["cup,disc", "disc,cup"] if sorted_first else ["disc,cup", "cup,disc"]
    assert run(eyes, "--classes", orders[0]) == (2 if sorted_first else 0)
    assert run(eyes, "--classes", orders[0], "--overwrite") == 0
    capfd.readouterr()
    errors = refused(eyes, capfd, "--classes", orders[1])
    shown = (order.replace(",", ", ") for order in orders)
    assert f"with the classes in another order: {', not '.join(shown)};" in errors
    made = store.builder("mine", str(eyes / "data"))
    assert list(made.CLASSES) == orders[1].split(",")


def test_so_is_another_order_of_the_rows_of_colours(tmp_path, capfd):
    rows = [("disc", 255, 0, 0), ("cup", 0, 255, 0)]
    for n in range(5):
        picture(tmp_path / "images" / f"{n}.png", seed=n)
        coloured(tmp_path / "masks" / f"{n}.png", [(0, 0, 0), (255, 0, 0), (0, 255, 0)])
    header, said = ("class", "red", "green", "blue"), []
    for order in (rows, rows[::-1]):
        colours = table(tmp_path / "c.csv", header, *order)
        said.append(["--masks", tmp_path / "masks", "--colours", colours])
        status = prepare(tmp_path, *said[-1])
    errors = capfd.readouterr().err
    assert status == 2 and "in another order: disc, cup, not cup, disc; --overwrite" in errors


def test_sets_of_earlier_versions_are_not_taken_for_changed():
    """The number that stands for their content, as it was before orders were compared."""
    masks = {
        name: MaskField(name, {}, coding.Coding("inside", {name: (1,)})) for name in ("disc", "cup")
    }
    said = {"splits": {"a": "train"}, "groups": {"a": "a"}, "digests": {"a": "1"}}
    content = Photographs(None, {}, {}, same=[], turned=[], masks=masks, **said)
    assert content.fingerprint == (
        "95e3d7cac9faf2dcf23a5c1e085441280b4198748266c71ffc0ac10014d5f6fd"
    )


def test_groups_that_are_drawn_otherwise_are_said_to_be(eyes, capfd):
    """As of a set that an earlier version grouped by the names of folders."""
    note = place(eyes) / own.SOURCE
    note.write_text(note.read_text().replace('"fingerprint": "', '"fingerprint": "1'))
    path = place(eyes) / own.SPLIT_TABLE
    path.write_text(path.read_text().replace("Eye_1,train,eye_1", "Eye_1,train,l"))
    errors = refused(eyes, capfd)
    assert "something else: 1 case is of another split or group (Eye_1); " in errors


def test_a_set_of_volumes_is_held_to_the_same(folder, capfd):
    assert test_volumes.prepare(folder) == 0
    (home,) = (folder.parent / "data" / "livers").glob("*/")
    (shard,) = home.glob("*train.array_record*")
    flipped(shard)
    capfd.readouterr()
    assert test_volumes.prepare(folder) == 2
    errors = capfd.readouterr().err
    assert f"segjax: {shard}: missing or damaged: " in errors and errors.endswith(AGAIN)
    assert test_volumes.prepare(folder, "--overwrite") == 0
    assert len(test_volumes.records(folder, "train")) == 5


def test_messages_list_splits_in_one_order(eyes, capfd):
    for said in ("prepared", "already prepared"):
        assert run(eyes, "--test", "0.2", "--overwrite") == 0
        shown = capfd.readouterr().out
        assert "splits       train 4, validation 1, test 1: " in shown
        assert f"\n{said}: {place(eyes)} (train 4, validation 1, test 1)\n" in shown
    made = store.builder("mine", str(eyes / "data"))
    assert [*made.info.splits] == ["test", "train", "validation"]
    assert store.state(made) == "prepared: train 4, validation 1, test 1"
    with pytest.raises(UserError, match="It has: train, validation, test"):
        store.check_split(made, "fold", path="--split")
