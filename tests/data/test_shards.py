"""Prepared sets with damaged files: the file is named, everywhere."""

import json
import pathlib
import re
import shutil

import numpy as np
import pytest

from segjax.data import shards, store
from segjax.errors import UserError
from tests.train import runs

INFO = "dataset_info.json"
SHARD = "synthetic_fundus-train.array_record-00000-of-00001"


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zeroed(path):
    path.write_bytes(bytes(path.stat().st_size))


def empty(path):
    path.write_bytes(b"")


def garbage(path):
    path.write_text('{"splits": [')


def inside(path):
    """Zeros within the records: the file opens, and some examples are whole."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 8
    content[middle : middle + 4000] = bytes(4000)
    path.write_bytes(content)


def without_splits(path):
    path.write_text(json.dumps(json.loads(path.read_text()) | {"splits": []}))


def fewer(path):
    content = json.loads(path.read_text())
    content["splits"][0]["shardLengths"] = ["23"]
    path.write_text(json.dumps(content))


AT_ONCE = [(SHARD, how) for how in (pathlib.Path.unlink, half, zeroed, empty)]
AT_ONCE += [(INFO, how) for how in (empty, garbage, zeroed, half, without_splits)]


@pytest.fixture
def copy(data_dir, tmp_path):
    shutil.copytree(data_dir, tmp_path / "data")
    return tmp_path / "data"


def folder_of(data):
    return data / runs.DATA / "1.0.0"


@pytest.mark.parametrize("name, damage", AT_ONCE)
def test_a_damaged_file_is_named_before_anything_is_read(copy, name, damage):
    damage(folder_of(copy) / name)
    with pytest.raises(UserError) as caught:
        store.ensure_prepared(runs.DATA, str(copy))
    assert str(folder_of(copy) / name) in str(caught.value)
    assert "missing or damaged" in str(caught.value) and "\n" not in str(caught.value)


def test_another_number_of_records_than_described_is_damage(copy):
    fewer(folder_of(copy) / INFO)
    with pytest.raises(UserError, match=re.escape(SHARD)):
        store.ensure_prepared(runs.DATA, str(copy))


def test_damage_within_the_records_is_named_where_it_is_read(copy):
    inside(folder_of(copy) / SHARD)
    source = shards.open_split(store.builder(runs.DATA, str(copy)), "train")
    with pytest.raises(UserError, match=f"{SHARD}: missing or damaged"):
        [source[index] for index in range(len(source))]


def test_a_source_is_a_sequence(data_dir):
    source = store.open_split(store.builder(runs.DATA, str(data_dir)), "train[2:5]")
    assert len(source) == 3 and len(list(source)) == 3
    np.testing.assert_array_equal(source[-1]["image"], source[2]["image"])
    for index in (3, -4):
        with pytest.raises(IndexError):
            source[index]


def test_the_shard_of_an_example_is_named():
    class Bad:
        def __len__(self):
            return 5

        def __getitem__(self, index):
            raise RuntimeError("torn")

    source = shards.Source(Bad(), [("one", 2), ("two", 3)])
    for index, name in ((0, "one"), (1, "one"), (2, "two"), (4, "two"), (-1, "two"), (-5, "one")):
        with pytest.raises(UserError, match=f"^{name}: missing or damaged: torn; "):
            source[index]


def test_one_damaged_set_does_not_break_the_list(tmp_path):
    for config in ("small", "256"):
        folder = tmp_path / "synthetic_fundus" / config / "1.0.0"
        folder.mkdir(parents=True)
        (folder / INFO).write_text("{")
    states = dict(store.listing(str(tmp_path)))
    assert states["synthetic_fundus/small"].startswith("damaged: ")
    assert str(folder.parents[1] / "small" / "1.0.0" / INFO) in states["synthetic_fundus/small"]
    assert states["idrid/grading"].startswith("needs the official download")
