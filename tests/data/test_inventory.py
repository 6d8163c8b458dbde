"""`segjax data list`: what lies in a data folder, where and how large."""

import itertools
import pathlib
import shutil

import pytest

from segjax import cli
from segjax.data import array_files, digest, inventory, shards, store
from tests.data import test_drive
from tests.data.folders.settings import mask, picture
from tests.data.folders.test_photographs import prepare

SPELLED = "synthetic_fundus/48px_2_1_1"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """An official set, a generated one of a config that is spelled out, and one of a user's."""
    folder = tmp_path_factory.mktemp("inventory")
    test_drive._make(folder / "downloads", "training", range(21, 28))
    for n in range(5):
        picture(folder / "images" / f"{n}.png", seed=n)
        mask(folder / "masks" / f"{n}.png")
    words = ["--manual_dir", str(folder / "downloads"), "--data_dir", str(folder / "data")]
    assert cli.main(["data", "prepare", "drive", *words]) == 0
    store.prepare(store.builder(SPELLED, str(folder / "data")))
    assert prepare(folder, "--masks", folder / "masks") == 0
    return folder / "data"


@pytest.fixture
def data(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "data")  # with the times of its files
    return tmp_path / "data"


def cached(root, found, size):
    """A cache of so many bytes."""
    folder = array_files.folder_of(root, found)
    (folder / "0123456789abcdef").mkdir(parents=True)
    (folder / "0123456789abcdef" / "image.npy").write_bytes(b"x" * (size - 10))
    (folder / "fedcba9876543210.npy").write_bytes(b"x" * 10)
    return folder


def digest_of(data, name):
    return digest.of(store.builder(name, str(data)))


def listed(data, capfd, *words):
    """The lines of the command, each within 120 characters."""
    capfd.readouterr()
    assert cli.main(["data", "list", "--data_dir", str(data), *map(str, words)]) == 0
    lines = capfd.readouterr().out.splitlines()
    # Those of sums name the data folder, whose path is what it is
    assert max(len(line) for line in lines if not line.startswith("in ")) <= 120
    return lines


def du(folder):
    """What `du -sb` counts of files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def columns(lines):
    """State, size, caches and folder of each row, by its name, or the folder of a cache."""
    size, caches = lines[0].index("size"), lines[0].index("caches")
    found = []
    for line in lines[1:]:
        if line.startswith(" " * 33):
            found[-1][1] += f" {line.strip()}"
        elif line[:3] != "in ":
            ends = (0, 32, size - 5, size + 4, caches + 6, len(line))
            cells = [line[i:j].strip() for i, j in itertools.pairwise(ends)]
            found.append(cells)
    return {cells[0] if cells[0] != "-" else cells[4]: cells[1:] for cells in found}


def test_every_prepared_set_has_its_size_caches_cases_and_folder(data, capfd):
    cached(data / array_files.FOLDER, digest_of(data, "drive"), 2_340_000)
    lines = listed(data, capfd)
    assert lines[0].split() == ["set", "state", "size", "caches", "folder"]
    found = columns(lines)
    for name, state, caches in (
        ("drive/full", "prepared: train 3, validation 4", "2.3 MB"),
        (SPELLED, "prepared: train 2, validation 1, test 1", "-"),
        ("mine", "prepared: train 4, validation 1", "-"),
    ):
        folder = f"{name}/1.0.0"
        assert found[name] == [state, inventory.in_words(du(data / folder)), caches, folder]
    sets = sum(du(data / name) for name in ("drive/full", SPELLED, "mine/1.0.0"))
    assert lines[-2:] == [
        f"in {data}: {inventory.in_words(sets)} of prepared sets",
        f"in {data / array_files.FOLDER}: 2.3 MB of preprocessed caches",
    ]


def test_what_is_not_prepared_is_listed_as_without_any(data, tmp_path, capfd):
    missing = {
        f"{name:32} {state}"
        for name, state in store.listing(str(tmp_path / "absent"))
        if name != "drive/full"
    }
    assert len(missing) > 10 and missing <= set(listed(data, capfd))


def test_nothing_prepared_is_no_table(tmp_path, capfd):
    (tmp_path / "data").mkdir()
    lines = listed(tmp_path / "data", capfd)
    assert lines == [f"{name:32} {state}" for name, state in store.listing(str(tmp_path))]


def test_no_record_is_read(data, capfd, monkeypatch):
    for place, name in ((shards, "open_split"), (store, "open_split"), (digest, "_compute")):
        monkeypatch.setattr(place, name, None)
    (data / "drive/full/1.0.0" / digest.NAME).unlink()
    cached(data / array_files.FOLDER, "f" * 64, 500)
    found = columns(listed(data, capfd))
    # Which caches are the set's would take a pass over its records
    assert found["drive/full"][2] == "?" and found["mine"][2] == "-"
    assert found["preprocessed/ffffffffffffffff"][:3] == [
        "caches of no prepared set, or of one whose digest is not kept: drive/full",
        "-",
        "500 B",
    ]


def test_without_any_cache_none_is_in_doubt(data, capfd):
    (data / "drive/full/1.0.0" / digest.NAME).unlink()
    assert columns(listed(data, capfd))["drive/full"][2] == "-"


@pytest.mark.parametrize("elsewhere", [False, True])
def test_caches_of_no_set_are_listed_as_such(data, tmp_path, capfd, elsewhere):
    root = tmp_path / "cache" if elsewhere else data / array_files.FOLDER
    own = cached(root, digest_of(data, "mine"), 1000)
    lost = cached(root, "f" * 64, 3_000_000_000 // 1000)
    (root / "00112233445566ff.npy").write_bytes(b"old")
    (root / "notes.txt").write_text("mine")
    lines = listed(data, capfd, *(["--cache_dir", root] if elsewhere else []))
    shown = "" if elsewhere else "preprocessed/"
    found = columns(lines[:-1])
    state = "caches of no prepared set"
    assert found[f"{shown}00112233445566ff.npy"][:3] == [state, "-", "3 B"]
    assert found[f"{shown}{lost.name}"][:3] == [state, "-", "3.0 MB"]
    assert found["mine"][2:] == ["1.0 kB", "mine/1.0.0"]
    assert lines[-2] == f"in {root}: 3.0 MB of preprocessed caches"
    assert ("another data folder" if elsewhere else "go with the next `segjax data") in lines[-1]
    assert not any(own.name in line or "notes" in line for line in lines)


@pytest.mark.parametrize("shift", range(12))
def test_long_states_go_on_below_without_parting_a_count_from_its_split(shift):
    counts = [f"part_{n} 400" for n in range(9)]
    state = ", ".join([f"prepared: {'t' * shift}rain 400", *counts])
    row = inventory.Row("refuge2/full", state, pathlib.Path("data/refuge2/full/1.0.0"), 7_000_000)
    lines = list(inventory.table([row], "data"))
    assert max(len(line) for line in lines if not line.startswith("in ")) <= 120
    assert columns(lines)["refuge2/full"][0] == state
    assert all(sum(count in line for line in lines) == 1 for count in counts)


def test_other_peoples_sets_and_what_is_in_the_making_are_left_out(data, capfd):
    """A folder that TensorFlow Datasets uses for other sets as well."""
    for name in ("mnist", "drive/.making.x", "mine/.making.removed"):
        shutil.copytree(data / "drive/full/1.0.0", data / name / "1.0.0")
    (data / "mnist/1.0.0" / digest.NAME).unlink()
    assert set(inventory.prepared(data)) == {"drive/full", SPELLED, "mine"}
    assert not any("mnist" in line or ".making" in line for line in listed(data, capfd))


def test_a_damaged_set_is_named_and_the_others_are_listed(data, capfd):
    (data / SPELLED / "1.0.0" / shards.INFO).write_text("{")
    (data / "mine/1.0.0" / shards.INFO).unlink()
    capfd.readouterr()
    assert cli.main(["data", "list", "--data_dir", str(data)]) == 0
    lines = capfd.readouterr().out.splitlines()
    for name in (SPELLED, "mine"):
        (line,) = [line for line in lines if line.startswith(f"{name:32} damaged: ")]
        assert str(data / name) in line
    assert columns(lines)["drive/full"][3] == "drive/full/1.0.0"


def test_sizes_are_those_of_the_files_and_of_links_themselves(tmp_path):
    (tmp_path / "big").write_bytes(b"x" * 5000)
    folder = tmp_path / "set"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "a").write_bytes(b"x" * 100)
    (folder / "b").write_bytes(b"x" * 11)
    assert inventory.size_of(folder) == 111 and inventory.size_of(folder / "b") == 11
    (folder / "link").symlink_to(tmp_path / "big")
    (folder / "other").symlink_to(tmp_path)
    assert 111 <= inventory.size_of(folder) < 1000
    assert inventory.size_of(folder / "other") < 1000


@pytest.mark.parametrize(
    "size, words",
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (12_345, "12.3 kB"),
        (999_949, "999.9 kB"),
        (999_990, "1.0 MB"),
        (620_000_000, "620.0 MB"),
        (1_260_000_000, "1.3 GB"),
        (7_000_000_000_000, "7.0 TB"),
    ],
)
def test_sizes_in_words(size, words):
    assert inventory.in_words(size) == words


def test_the_newest_version_is_the_last(data):
    for version in ("1.9.0", "1.10.0"):
        shutil.copytree(data / "mine/1.0.0", data / "mine" / version)
    folders = inventory.prepared(data)["mine"]
    assert [path.name for path in folders] == ["1.0.0", "1.9.0", "1.10.0"]
    (row,) = [row for row in inventory.rows(str(data)) if row.name == "mine"]
    assert row.folder.name == "1.10.0" and row.size == sum(map(du, folders))
