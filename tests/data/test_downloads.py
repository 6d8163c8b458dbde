"""A prepared set is held to the files of the download that it was made of."""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest

from segjax.cli import main
from segjax.data import array_files, digest, downloads, sources, store
from tests.data import test_drive, test_idrid
from tests.data.folders.settings import mask, picture
from tests.data.folders.test_photographs import prepare as prepare_own
from tests.wrong_input.conftest import refuses, snapshot

__all__ = ["refuses"]
FIRST = "training/1st_manual"


@pytest.fixture
def manual(tmp_path):
    test_drive._make(tmp_path / "downloads", "training", range(21, 28))
    return tmp_path / "downloads"


@pytest.fixture
def data(tmp_path, manual, capfd):
    assert prepare(tmp_path, manual) == 0
    capfd.readouterr()
    return tmp_path / "data"


def prepare(tmp_path, manual, *words, name="drive"):
    """The command; its exit status."""
    given = ["--manual_dir", str(manual), "--data_dir", str(tmp_path / "data"), *words]
    return main(["data", "prepare", name, *given])


def folder_of(data, name="drive"):
    return pathlib.Path(store.builder(name, str(data)).data_path)


def note(data, name="drive"):
    return json.loads((folder_of(data, name) / sources.NOTE).read_text())


def redraw(path, seed=0):
    """Another mask; by its size the file tells."""
    test_drive._gif(path, np.random.default_rng(seed).random((36, 44)) < 0.9)


def swap(path):
    """Another content of the same size, as of a mask whose palette is turned round."""
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 255]))


def contents(data):
    """Every name in the data folder, with the content of files."""
    return {p: p.read_bytes() if p.is_file() else None for p in sorted(data.rglob("*"))}


def touch(path):
    os.utime(path, ns=(1_700_000_000_000_000_000, 1_700_000_000_000_000_000))


def test_the_note_names_every_file_with_its_content(data, manual):
    content = note(data)
    assert content["kind"] == "download" and content["request"] == {"manual_dir": str(manual)}
    files = sorted(path.relative_to(manual).as_posix() for path in manual.rglob("*.*"))
    assert [*content["digests"]] == [*content["files"]] == files and len(files) == 21
    assert len({*content["digests"].values()}) == 21


def test_the_same_source_is_told_by_names_sizes_and_times_alone(
    tmp_path, data, manual, capfd, monkeypatch
):
    before = snapshot(data)
    monkeypatch.setattr(sources, "_digest", None)
    assert prepare(tmp_path, manual) == 0
    assert prepare(tmp_path, manual, "--overwrite") == 0
    assert capfd.readouterr().out == (
        f"already prepared: {folder_of(data)} (train 3, validation 4)\n" * 2
    )
    assert snapshot(data) == before


def test_what_has_changed_is_named_and_the_set_stays(data, manual, refuses):
    redraw(manual / FIRST / "22_manual1.gif")
    for path in manual.rglob("21_*"):
        path.unlink()
    test_drive._make(manual, "test", [1], second=True)
    errors = refuses(
        *("data", "prepare", "drive", "--manual_dir", manual, "--data_dir", data),
        names=[
            f"{folder_of(data)}: was prepared from something else than {manual} holds: ",
            "4 new (test/1st_manual/01_manual1.gif, test/2nd_manual/01_manual2.gif, ",
            f"3 gone ({FIRST}/21_manual1.gif, training/images/21_training.tif, ",
            f"1 changed ({FIRST}/22_manual1.gif)",
            "--overwrite prepares it anew",
        ],
        untouched=[data],
    )
    assert errors.count(".gif") + errors.count(".tif") == 8


def test_ten_files_at_most_are_named(data, manual, refuses):
    for path in manual.rglob("*_*.gif"):
        redraw(path)
    (manual / "training/images/21_training.tif").rename(manual / "training/images/20_training.tif")
    words = ["data", "prepare", "drive", "--manual_dir", manual, "--data_dir", data]
    errors = refuses(*words, names=["1 new", "1 gone", "14 changed", "…)"], untouched=[data])
    assert errors.count(".gif") + errors.count(".tif") == 10
    assert "20_training.tif" in errors and "21_training.tif" in errors


@pytest.mark.parametrize("given", ["", "training"])
def test_a_download_that_moved_is_the_same(tmp_path, data, manual, capfd, monkeypatch, given):
    kept = digest.known(folder_of(data))
    manual.rename(tmp_path / "moved")
    for path in (tmp_path / "moved").rglob("*.*"):
        touch(path)
    where = tmp_path / "moved" / given
    assert prepare(tmp_path, where) == 0
    assert capfd.readouterr().out == (
        f"already prepared: {folder_of(data)} (train 3, validation 4)\n"
    )
    assert note(data)["request"] == {"manual_dir": str(where)}
    # The note has the new times, and no file is read again
    monkeypatch.setattr(sources, "_digest", None)
    assert prepare(tmp_path, where) == 0
    # Nor are the records, for the digest of the set stays known
    assert digest.known(folder_of(data)) == kept is not None


def test_content_of_the_same_size_is_compared_where_the_time_differs(data, manual, refuses):
    path = manual / FIRST / "23_manual1.gif"
    size = path.stat().st_size
    swap(path)
    touch(path)
    touch(manual / FIRST / "24_manual1.gif")
    assert path.stat().st_size == size
    words = ["data", "prepare", "drive", "--manual_dir", manual, "--data_dir", data]
    errors = refuses(*words, names=[f": 1 changed ({FIRST}/23_manual1.gif); "], untouched=[data])
    assert "24_manual1" not in errors


def test_another_size_is_another_content_which_need_not_be_read(
    tmp_path, data, manual, monkeypatch, capfd
):
    path = manual / FIRST / "23_manual1.gif"
    path.write_bytes(path.read_bytes() + b"more")
    monkeypatch.setattr(sources, "_digest", None)
    assert prepare(tmp_path, manual) == 2
    assert f"1 changed ({FIRST}/23_manual1.gif)" in capfd.readouterr().err


def test_a_note_that_cannot_be_written_is_no_fault(tmp_path, data, manual, monkeypatch):
    def full(path, text):
        raise OSError(30, "Read-only file system")

    before = snapshot(data)
    for path in manual.rglob("*.*"):
        touch(path)
    monkeypatch.setattr(sources.files, "write_text", full)
    assert prepare(tmp_path, manual) == 0
    assert snapshot(data) == before


def cache(data, found):
    folder = array_files.folder_of(data / array_files.FOLDER, found)
    folder.mkdir(parents=True)
    (folder / "0123456789abcdef.npy").write_bytes(b"maps")
    return folder


def test_overwriting_makes_it_anew_and_caches_of_the_old_one_go(tmp_path, data, manual, capfd):
    old = digest.known(folder_of(data))
    gone = cache(data, old)
    path = manual / FIRST / "21_manual1.gif"
    redraw(path)
    assert prepare(tmp_path, manual, "--overwrite") == 0
    assert capfd.readouterr().out.splitlines() == [
        f"prepared: {folder_of(data)} (train 3, validation 4)",
        f"tidied {data}: removed 1 preprocessed from data that are gone",
    ]
    assert not gone.exists() and digest.known(folder_of(data)) not in (None, old)
    source = store.open_split(store.builder("drive", str(data)), "train")
    (found,) = [source[i] for i in range(3) if source[i]["image_id"] == b"21_training"]
    wanted = np.random.default_rng(0).random((36, 44)) < 0.9
    np.testing.assert_array_equal(found["vessels"][..., 0], wanted)
    assert [path.name for path in folder_of(data).parent.iterdir()] == ["1.0.0"]
    assert prepare(tmp_path, manual) == 0
    assert "already prepared" in capfd.readouterr().out


def cut(manual, monkeypatch):
    path = manual / "training/images/27_training.tif"
    path.write_bytes(path.read_bytes()[:900])
    return 2


def interrupted(manual, monkeypatch):
    def stop(*unused):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "_put", stop)
    return 1


def changing(manual, monkeypatch):
    usual = store._download

    def change(*given):
        usual(*given)
        redraw(manual / FIRST / "24_manual1.gif", seed=3)

    monkeypatch.setattr(store, "_download", change)
    return 2


@pytest.mark.parametrize("fault", [cut, interrupted, changing])
def test_overwriting_that_does_not_end_well_leaves_all_as_it_was(
    tmp_path, data, manual, monkeypatch, fault
):
    own = cache(data, digest.known(folder_of(data)))
    redraw(manual / FIRST / "21_manual1.gif")
    before = contents(data)
    status = fault(manual, monkeypatch)
    assert prepare(tmp_path, manual, "--overwrite") == status
    assert contents(data) == before and own.exists()


def test_a_file_that_changes_while_it_is_prepared_is_named(tmp_path, manual, monkeypatch, capfd):
    changing(manual, monkeypatch)
    assert prepare(tmp_path, manual) == 2
    errors = capfd.readouterr().err
    assert f"{manual / FIRST}/24_manual1.gif: has changed while the set was prepared" in errors
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("spoil", ["gone", "garbage", "other", "half"])
def test_a_set_without_a_note_is_taken_as_it_is(tmp_path, data, manual, capfd, spoil):
    """As those are that earlier versions have prepared."""
    path = folder_of(data) / sources.NOTE
    contents = {"garbage": "{", "other": "[]", "half": json.dumps(note(data) | {"files": {}})}
    path.unlink() if spoil == "gone" else path.write_text(contents.get(spoil))
    before, kept = snapshot(data), digest.known(folder_of(data))
    own = cache(data, kept)
    redraw(manual / FIRST / "21_manual1.gif")
    assert prepare(tmp_path, manual) == 0
    first, second = capfd.readouterr().out.splitlines()
    assert first.startswith("already prepared: ")
    assert second.startswith(f"not compared with {manual}, ") and "--overwrite" in second
    shutil.rmtree(data / array_files.FOLDER)
    assert snapshot(data) == before
    own.mkdir(parents=True)
    # The mask as it was: the new set has a note, and the old one's digest and caches
    test_drive._gif(manual / FIRST / "21_manual1.gif", test_drive._mask(21, 1))
    assert prepare(tmp_path, manual, "--overwrite") == 0
    assert capfd.readouterr().out.startswith("prepared: ")
    assert len(note(data)["files"]) == 21 and digest.known(folder_of(data)) == kept
    assert own.exists()


def test_without_a_folder_nothing_is_compared(tmp_path, data, manual, refuses, capfd):
    shutil.rmtree(manual)
    assert main(["data", "prepare", "drive", "--data_dir", str(data)]) == 0
    assert capfd.readouterr().out.startswith("already prepared: ")
    words = ["data", "prepare", "drive", "--data_dir", data]
    refuses(*words, "--overwrite", names=["--manual_dir is needed"], untouched=[data])
    refuses(*words, "--manual_dir", manual, names=["no such folder"], untouched=[data])
    manual.mkdir()
    refuses(*words, "--manual_dir", manual, names=["should hold the folder"], untouched=[data])


def test_a_damaged_set_is_named_and_made_anew_on_demand(tmp_path, data, manual, refuses):
    (shard,) = folder_of(data).glob("*train*")
    shard.write_bytes(b"")
    words = ["data", "prepare", "drive", "--manual_dir", manual, "--data_dir", data]
    again = "--overwrite, with --manual_dir, prepares the set anew"
    refuses(*words, names=[shard, "missing or damaged", again], untouched=[data])
    assert prepare(tmp_path, manual, "--overwrite") == 0
    assert len(store.open_split(store.builder("drive", str(data)), "train")) == 3


@pytest.mark.parametrize("name", ["drive", "synthetic_fundus/48px_1_1_1"])
def test_so_is_one_with_damage_within_its_records(tmp_path, data, manual, refuses, name):
    if name != "drive":
        assert main(["data", "prepare", name, "--data_dir", str(data)]) == 0
    (shard,) = folder_of(data, name).glob("*train*")
    content = bytearray(shard.read_bytes())
    written = [place for place, byte in enumerate(content) if byte]
    content[written[len(written) // 2]] ^= 1
    shard.write_bytes(bytes(content))
    words = ["data", "prepare", name, "--data_dir", data]
    given = ["--manual_dir", manual] if name == "drive" else []
    refuses(*words, names=[shard, "missing or damaged"], untouched=[data])
    refuses(*words, *given, names=[shard, "missing or damaged"], untouched=[data])
    if given:
        assert prepare(tmp_path, manual, "--overwrite") == 0
        assert main([*map(str, words)]) == 0


def test_what_another_process_made_meanwhile_is_compared_as_well(tmp_path, manual, monkeypatch):
    other = tmp_path / "other"
    shutil.copytree(manual, other)
    redraw(other / FIRST / "21_manual1.gif")
    usual = store.prepare

    def slower(made, manual_dir):
        usual(store.builder("drive", str(tmp_path / "data")), str(other))
        return usual(made, manual_dir)

    monkeypatch.setattr(store, "prepare", slower)
    made = store.builder("drive", str(tmp_path / "data"))
    with pytest.raises(downloads.UserError, match="1 changed"):
        downloads.prepare(made, str(manual), overwrite=False)


def test_a_set_that_is_younger_than_its_builder_is_not_damaged(tmp_path, manual):
    early = store.builder("drive", str(tmp_path / "data"))
    assert prepare(tmp_path, manual) == 0
    assert downloads.prepare(early, str(manual), overwrite=False) == (False, "")
    assert early.info.splits["train"].num_examples


def test_parts_of_one_download_are_sources_of_their_own(tmp_path, refuses, capfd):
    manual, data = tmp_path / "downloads", tmp_path / "data"
    for make in test_idrid.MAKE.values():
        make(manual, "train")
    for config in test_idrid.MAKE:
        assert prepare(tmp_path, manual, name=f"idrid/{config}") == 0
    table = manual / test_idrid.B_TABLE
    test_idrid._edit(table, "IDRiD_001,3,2", "IDRiD_001,2,2")
    for config in ("localization", "segmentation"):
        assert prepare(tmp_path, manual, name=f"idrid/{config}") == 0
    words = ["--manual_dir", manual, "--data_dir", data]
    named = [folder_of(data, "idrid/grading"), f"1 changed (2. Groundtruths/{table.name})"]
    refuses("data", "prepare", "idrid/grading", *words, names=named, untouched=[data])


def test_overwriting_goes_with_what_has_a_source(tmp_path, refuses):
    name = "synthetic_fundus/48px_1_1_1"
    named = [f"--overwrite: {name} is generated", "segjax data remove"]
    refuses("data", "prepare", name, "--overwrite", names=named)
    picture(tmp_path / "images" / "a.png")
    picture(tmp_path / "images" / "b.png", seed=1)
    for n in "ab":
        mask(tmp_path / "masks" / f"{n}.png")
    assert prepare_own(tmp_path, "--masks", tmp_path / "masks", "--validation", "0.5") == 0
    words = ["data", "prepare", "mine", "--data_dir", tmp_path / "data"]
    assert main(list(map(str, words))) == 0
    refuses(*words, "--overwrite", names=["segjax data prepare folder … --name mine"])


@pytest.mark.parametrize(
    "before, now, words",
    [
        ({}, {}, ""),
        ({"a": "1"}, {"a": "1"}, ""),
        ({"a": "1"}, {"a": "2"}, "1 changed (a)"),
        ({"a": "1", "b": "1", "c": "1"}, {"d": "1"}, "1 new (d), 3 gone (a, …)"),
        (
            {"a": "1", "b": "1", "c": "1"},
            {"d": "1", "c": "2"},
            "1 new (d), 2 gone (a, …), 1 changed",
        ),
    ],
)
def test_changes_in_words(before, now, words):
    assert sources.in_words(before, now, most=2) == words
