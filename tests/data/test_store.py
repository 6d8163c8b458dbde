import concurrent.futures
import contextlib
import os

import numpy as np
import pytest
from ml_collections import ConfigDict

from segjax.data import staging, store
from segjax.data.dataset import Dataset
from segjax.data.synthetic.fundus import MASKS
from segjax.errors import UserError
from tests.train import runs


@pytest.fixture(scope="module")
def made(data_dir):
    return store.builder(runs.DATA, str(data_dir))


def test_a_column_is_read_once(made, data_dir, monkeypatch):
    store.prepare(made)
    section = {"name": runs.DATA, "data_dir": str(data_dir), "splits": {"a": "train", "b": "test"}}
    data = Dataset(ConfigDict(section))
    source, read = store.open_split(made, "train", ("fovea",)), []
    np.testing.assert_array_equal(
        data.column("a", "fovea"), [source[k]["fovea"] for k in range(len(source))]
    )
    usual = store.open_split
    monkeypatch.setattr(store, "open_split", lambda *given: read.append(given[1:]) or usual(*given))
    monkeypatch.setattr(type(source), "__getitem__", lambda self, index: pytest.fail("read again"))
    assert len(data.column("a", "fovea")) == len(source)
    assert read == [("train", ("fovea",))]  # opened, which tells a set that changed
    with pytest.raises(UserError, match="split 'c'"):
        data.column("c", "fovea")


def test_names_and_configs_are_found(tmp_path):
    made = store.builder("synthetic_fundus", str(tmp_path))
    assert (made.name, made.builder_config.name) == ("synthetic_fundus", "small")
    assert store.builder("idrid/grading", str(tmp_path)).builder_config.name == "grading"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name, wanted",
    [
        ("idird", ["did you mean 'idrid'?", "It has: acdc, ", "synthetic_fundus"]),
        ("idrid/gradin", ["did you mean 'grading'?", "localization, segmentation, grading"]),
        ("synthetic_fundus/smal", ["did you mean 'small'?", "SIZEpx_TRAIN_VALIDATION_TEST"]),
        ("synthetic_fundus/1px_2_2_2", ["synthetic_fundus/1px_2_2_2", "of at least 32"]),
        (
            "synthetic_fundus/48px_0_2_2",
            ["synthetic_fundus/48px_0_2_2", "`train` takes a whole number from 1"],
        ),
        ("", ["''"]),
    ],
)
def test_unknown_names_are_named(tmp_path, name, wanted):
    with pytest.raises(UserError) as caught:
        store.builder(name, str(tmp_path), path="config.data.name")
    for part in [name, *wanted]:
        assert part in str(caught.value)


def test_preparing_is_done_once_and_leaves_no_rubbish(made, data_dir):
    assert store.is_prepared(made)
    before = {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")}
    assert store.prepare(store.builder(runs.DATA, str(data_dir))) is False
    assert {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")} == before
    assert not [path for path in before if "incomplete" in path.name]


def test_two_at_once_prepare_once(tmp_path):
    name = "synthetic_fundus/48px_2_1_1"
    builders = [store.builder(name, str(tmp_path)) for _ in range(2)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(store.prepare, builders)) == [False, True]
    for made in builders:
        assert made.info.splits["train"].num_examples == 2
    assert not list(tmp_path.rglob("incomplete*"))


def test_a_prepared_set_is_stored_as_array_records(made, data_dir):
    names = [path.name for path in data_dir.rglob("*") if "record" in path.suffix + path.name]
    assert names and all("array_record" in name for name in names)
    sizes = {name: split.num_examples for name, split in made.info.splits.items()}
    assert sizes == {"train": 24, "validation": 10, "test": 8}


@pytest.mark.parametrize(
    "split, count",
    [
        ("train", 24),
        ("train[:5]", 5),
        ("train[50%:]", 12),
        ("train+test", 32),
        ("train[:9]+test[:3]", 12),
        ("test[6:] + train[22:]", 4),
    ],
)
def test_split_expressions(made, split, count):
    assert store.check_split(made, split, path="--split") == count
    source = store.open_split(made, split)
    assert len(source) == count


@pytest.mark.parametrize(
    "split",
    ["trian", "", "train[", "train[:x]", "train[:200%]", "train[5:2]", "train[30:]", "train[:0]",
     "trian+test", "train+test[9:]", "train+test[5:2]", "train+", 5, None],
)  # fmt: skip
def test_what_is_no_split_is_named(made, split):
    with pytest.raises(UserError) as caught:
        store.check_split(made, split, path="config.data.splits.train")
    assert f"config.data.splits.train={split!r}: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_misspelt_split_gets_the_nearest(made):
    with pytest.raises(UserError, match="did you mean 'train'.*train, validation, test"):
        store.check_split(made, "trian", path="--split")


@pytest.mark.parametrize("split", ["train[:25]", "train[:2]+test[:9]", "test[8:]"])
def test_a_range_beyond_the_end_says_how_many_there_are(made, split):
    with pytest.raises(UserError) as caught:
        store.check_split(made, split, path="--split")
    if split == "test[8:]":
        assert str(caught.value) == "--split='test[8:]': the split is empty"
    else:
        there = "takes more than synthetic_fundus has: train 24, validation 10, test 8"
        assert str(caught.value) == f"--split={split!r}: {there}"


def test_parts_of_several_splits_come_one_after_the_other(data_dir):
    splits = {"a": "train", "b": "test", "both": "train[3:5]+test[:2]"}
    section = {"name": runs.DATA, "data_dir": str(data_dir), "splits": splits}
    data = Dataset(ConfigDict(section))
    names = [*data.names("a")[3:5], *data.names("b")[:2]]
    assert data.count("both") == 4 and data.names("both") == names
    source = data.open("both", ("fovea",))
    np.testing.assert_array_equal(source[3]["fovea"], data.column("b", "fovea")[1])


def test_access_is_random_and_pure(made):
    source = store.open_split(made, "train")
    last, first = source[23], source[0]
    again = store.open_split(made, "train")
    assert first["image"].shape == (48, 48, 3) and first["image"].dtype == np.uint8
    assert first["image_id"] != last["image_id"]
    for example, index in ((first, 0), (last, 23)):
        np.testing.assert_array_equal(again[index]["image"], example["image"])
        assert again[index]["image_id"] == example["image_id"]


def test_fields_that_nobody_wants_stay_encoded(made):
    example = store.open_split(made, "test", ("image", "fovea"))[0]
    assert example["image"].shape == (48, 48, 3)
    encoded = {name for name, value in example.items() if isinstance(value, bytes)}
    assert set(MASKS) <= encoded and "image" not in encoded


def test_a_broken_preparation_leaves_nothing(tmp_path, monkeypatch):
    made = store.builder("synthetic_fundus/48px_3_1_1", str(tmp_path))
    made_by = type(made)
    whole = made_by._generate_examples

    def broken(self, seeds):
        for number, example in enumerate(whole(self, seeds)):
            if number == 2:
                raise UserError("photograph 2 is torn")
            yield example

    monkeypatch.setattr(made_by, "_generate_examples", broken)
    with pytest.raises(UserError, match="photograph 2 is torn"):
        store.prepare(made)
    assert not store.is_prepared(made)
    assert not [path for path in tmp_path.rglob("*") if "record" in path.name]
    assert not [path for path in tmp_path.rglob("*") if "incomplete" in path.name]
    monkeypatch.undo()
    assert store.prepare(store.builder("synthetic_fundus/48px_3_1_1", str(tmp_path)))


def test_a_version_folder_without_description_is_prepared(tmp_path):
    name = "synthetic_fundus/48px_1_1_1"
    made = store.builder(name, str(tmp_path))
    (tmp_path / name / "1.0.0").mkdir(parents=True)
    (tmp_path / name / "1.0.0" / "synthetic_fundus-train.array_record-00000-of-00001").touch()
    assert store.prepare(made) is True and store.is_prepared(made)
    assert len(store.open_split(made, "train")) == 1
    assert store.prepare(store.builder(name, str(tmp_path))) is False
    assert [path.name for path in (tmp_path / name).iterdir()] == ["1.0.0"]


def test_where_nothing_can_be_locked_the_first_of_two_gives_the_set_its_place(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(store, "_alone", contextlib.nullcontext)
    name = "synthetic_fundus/48px_1_1_1"
    made, other = (store.builder(name, str(tmp_path)) for _ in range(2))
    whole = type(made)._generate_examples

    def slow(self, seeds):
        if not store.is_prepared(other):
            monkeypatch.setattr(type(made), "_generate_examples", whole)
            assert store.prepare(other) is True
        yield from whole(self, seeds)

    monkeypatch.setattr(type(made), "_generate_examples", slow)
    assert store.prepare(made) is False
    assert len(store.open_split(made, "train")) == len(store.open_split(other, "train")) == 1
    assert [path.name for path in (tmp_path / name).iterdir()] == ["1.0.0"]


def test_what_a_killed_preparation_left_goes_with_the_next(tmp_path, capsys):
    name = "synthetic_fundus/48px_1_1_1"
    made = store.builder(name, str(tmp_path))
    (tmp_path / name).mkdir(parents=True)
    with staging.folder(tmp_path / name, "1.0.0") as folder:
        killed = folder.with_name(folder.name[:-8] + "k1lled00")
    (killed / "synthetic_fundus").mkdir(parents=True)
    assert store.prepare(made) is True
    assert capsys.readouterr().err == f"{tmp_path / name}: removed 1 left by killed preparations\n"
    assert [path.name for path in (tmp_path / name).iterdir()] == ["1.0.0"]


def test_a_folder_without_description_stays_when_preparing_fails(tmp_path, monkeypatch):
    name = "synthetic_fundus/48px_1_1_1"
    made = store.builder(name, str(tmp_path))
    left = tmp_path / name / "1.0.0" / "half a copy"
    left.mkdir(parents=True)

    def broken(self, seeds):
        raise UserError("torn")
        yield

    monkeypatch.setattr(type(made), "_generate_examples", broken)
    with pytest.raises(UserError, match="torn"):
        store.prepare(made)
    assert left.exists() and not store.is_prepared(made)


def test_a_download_that_is_missing_is_asked_for(tmp_path):
    with pytest.raises(UserError, match="segjax data prepare idrid/grading --manual_dir"):
        store.ensure_prepared("idrid/grading", str(tmp_path / "data"))
    made = store.builder("idrid", str(tmp_path / "data"))
    with pytest.raises(UserError, match="--manual_dir is needed"):
        store.prepare(made)
    with pytest.raises(UserError, match=f"--manual_dir {tmp_path / 'absent'}: no such folder"):
        store.prepare(made, str(tmp_path / "absent"))
    assert not list(tmp_path.iterdir())


def test_a_data_dir_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    made = store.builder("synthetic_fundus/48px_1_1_1", str(tmp_path / "file" / "data"))
    with pytest.raises(UserError, match="--data_dir: cannot write into"):
        store.prepare(made)
    assert os.listdir(tmp_path) == ["file"]


def test_the_listing_tells_the_state_of_every_config(data_dir, tmp_path):
    states = dict(store.listing(str(data_dir)))
    assert states["idrid/grading"].startswith("needs the official download")
    assert states["synthetic_fundus/small"] == "generated when first used"
    store.prepare(store.builder("synthetic_fundus/48px_1_1_1", str(tmp_path)))
    # Other tests make sets of their own in the shared folder, which have no configs
    named = [name for name in states if "/" in name]
    assert named == [name for name, _ in store.listing(str(tmp_path))]


def test_whether_a_set_is_wanted_is_asked_under_the_lock(tmp_path):
    name = "synthetic_fundus/48px_1_1_1"
    place, free = tmp_path / name / "1.0.0", []

    def wanted():
        with staging.alone(tmp_path / name) as alone:
            free.append(alone)
        return len(free) == 1

    given = place, lambda folder: store.builder(name, folder), wanted
    assert store.make(*given) is True
    assert store.make(*given) is False
    assert free == [False, False] and store.is_prepared(store.builder(name, str(tmp_path)))
