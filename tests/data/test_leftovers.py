"""What preparations leave that made no set: empty folders go at once, the rest by `data remove`."""

import contextlib
import os
import shutil

import pytest

from segjax import cli
from segjax.data import array_files, inventory, own, staging, store
from segjax.data.folders import preparing, scan
from segjax.data.sets.synthetic_fundus import SyntheticFundus
from tests.data.folders.settings import mask, picture
from tests.data.folders.test_photographs import prepare
from tests.wrong_input.conftest import refuses, snapshot

__all__ = ["refuses"]


@pytest.fixture
def eyes(tmp_path):
    """Five photographs with masks; the folder of sets is not there yet."""
    for n in range(5):
        picture(tmp_path / "images" / f"{n}.png", seed=n)
        mask(tmp_path / "masks" / f"{n}.png")
    return tmp_path


def make(eyes, *words):
    return prepare(eyes, "--masks", eyes / "masks", *words)


def refused(eyes):
    """A preparation that read all pictures and then found something wrong."""
    mask(eyes / "masks" / "4.png", size=(8, 8))
    assert make(eyes) == 2
    return eyes / "data"


def remove(data, name="mine", *words):
    return cli.main(["data", "remove", name, "--data_dir", str(data), *words])


# --- Empty folders. -----------------------------------------------------------------------------


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_scan_that_keeps_nothing_leaves_no_folder(eyes, monkeypatch, error, there):
    if there:
        (eyes / "data").mkdir()

    def stop(handle):
        raise error

    monkeypatch.setattr(staging, "share", stop)
    assert make(eyes) == 1
    assert list((eyes / "data").iterdir()) == [] if there else not (eyes / "data").exists()


def test_what_was_read_is_kept(eyes, monkeypatch):
    data = refused(eyes)
    assert [path.name for path in (data / "mine").iterdir()] == [scan.NAME]
    mask(eyes / "masks" / "4.png")
    usual, read = scan._picture, []
    monkeypatch.setattr(scan, "_picture", lambda path: read.append(path) or usual(path))
    assert make(eyes) == 0 and not read


def test_an_official_download_that_is_refused_leaves_no_folder(eyes):
    words = ["--manual_dir", str(eyes / "masks"), "--data_dir", str(eyes / "data")]
    assert cli.main(["data", "prepare", "idrid/grading", *words]) == 2
    assert not (eyes / "data").exists()


# --- `data remove`. -----------------------------------------------------------------------------


def test_a_kept_scan_and_a_sheet_are_removed_and_named(eyes, capfd):
    assert make(eyes, "--dry_run") == 0
    (eyes / "data" / "mine" / f".{preparing.SHEET}.4711").write_bytes(b"half")
    data = refused(eyes)
    sizes = {path: path.stat().st_size for path in (data / "mine").iterdir()}
    assert len(sizes) == 3
    capfd.readouterr()
    assert cli.main(["data", "list", "--data_dir", str(data)]) == 0
    assert "mine" not in capfd.readouterr().out
    assert remove(data) == 0
    *lines, remark, last = capfd.readouterr().out.splitlines()
    assert set(lines) == {f"removed {p}: {inventory.in_words(size)}" for p, size in sizes.items()}
    assert remark == "mine: was no set, only what a preparation had left"
    assert last == f"freed {inventory.in_words(sum(sizes.values()))}"
    assert data.is_dir() and not list(data.iterdir())
    assert remove(data) == 2
    assert "NAME='mine': " in capfd.readouterr().err


def test_an_empty_folder_is_removed_and_named(tmp_path, capfd):
    (tmp_path / "data" / "mine").mkdir(parents=True)
    assert remove(tmp_path / "data") == 0
    first, remark, last = capfd.readouterr().out.splitlines()
    assert first == f"removed {tmp_path / 'data' / 'mine'}: 0 B" and last == "freed 0 B"
    assert remark.startswith("mine: was no set") and not (tmp_path / "data" / "mine").exists()


@pytest.mark.parametrize("name", ["mine", "synthetic_fundus/48px_1_1_1", "acdc/full", "acdc"])
def test_what_a_killed_preparation_left_is_removed_and_named(tmp_path, name, capfd):
    data = tmp_path / "data"
    home = data / ("acdc/full" if name == "acdc" else name)
    home.mkdir(parents=True)
    with staging.folder(home, "1.0.0") as living:
        killed = living.with_name(living.name[:-8] + "k1lled00")
    killed.mkdir()
    (killed / "shard").write_bytes(b"x" * 2500)
    assert remove(data, name) == 0
    shown = capfd.readouterr().out
    assert f"removed {killed}: 2.5 kB\n" in shown and shown.endswith("freed 2.5 kB\n")
    assert not list(data.iterdir())


def test_beside_a_set_they_go_and_are_named_too(eyes, capfd):
    assert make(eyes) == 0
    home = eyes / "data" / "mine"
    with staging.folder(home, "1.0.0") as living:
        killed = living.with_name(living.name[:-8] + "k1lled00")
    killed.mkdir()
    assert remove(eyes / "data") == 0
    assert f"removed {killed}: 0 B\n" in capfd.readouterr().out and not home.exists()


def test_what_is_not_of_a_preparation_stays(eyes, capfd):
    data = refused(eyes)
    (data / "mine" / "notes.txt").write_text("mine")
    (data / "mine" / preparing.SHEET).write_bytes((eyes / "images" / "0.png").read_bytes())
    assert remove(data) == 0
    left = sorted(path.name for path in (data / "mine").iterdir())
    assert left == [preparing.SHEET, "notes.txt"]


def photographs(data):
    """A folder of a user's that only looks like that of a set."""
    picture(data / "mine" / preparing.SHEET)
    (data / "mine" / "empty").mkdir()


def other_library(data):
    (data / "mine" / "incomplete.AB12CD_1.0.0").mkdir(parents=True)
    os.utime(data / "mine" / "incomplete.AB12CD_1.0.0", (0, 0))


def behind_dots(data):
    (data / ".mine").mkdir(parents=True)


@pytest.mark.parametrize("put", [photographs, other_library, behind_dots])
def test_folders_of_others_are_no_leftovers(tmp_path, refuses, put):
    put(tmp_path / "data")
    for name in ("mine", "mine/empty", ".mine", "..", "."):
        words = ["data", "remove", name, "--data_dir", tmp_path / "data"]
        refuses(*words, names=["NAME="])


def test_caches_and_plans_are_no_leftovers(tmp_path, refuses):
    for name in (array_files.FOLDER, "plans"):
        (tmp_path / "data" / name).mkdir(parents=True)
        refuses("data", "remove", name, "--data_dir", tmp_path / "data", names=[name])


def test_of_a_folder_that_is_a_link_nothing_is_removed(eyes, refuses):
    data = refused(eyes)
    (data / "mine").rename(eyes / "elsewhere")
    (data / "mine").symlink_to(eyes / "elsewhere")
    named = [f"{data / 'mine'}: is a link, to {eyes / 'elsewhere'}"]
    refuses("data", "remove", "mine", "--data_dir", data, names=named, untouched=[eyes])


def test_of_caches_alone_nothing_is_there(eyes, refuses):
    data = refused(eyes)
    words = ["data", "remove", "mine", "--data_dir", data, "--caches"]
    refuses(*words, names=["NAME='mine'"], untouched=[data])


def test_two_configs_that_left_something_are_named(tmp_path, refuses):
    for config in ("grading", "localization"):
        (tmp_path / "data" / "idrid" / config).mkdir(parents=True)
    words = ["data", "remove", "idrid", "--data_dir", tmp_path / "data"]
    named = ["2 configurations of it have left something in", "idrid/grading, idrid/localization"]
    refuses(*words, names=named)


@contextlib.contextmanager
def reads(home):
    with scan.Journal(home / scan.NAME) as journal:
        journal.one(journal.path, "images", lambda path: [1])
        yield


@pytest.mark.parametrize("work", [store._alone, lambda home: staging.folder(home, "1.0.0"), reads])
def test_what_a_living_process_is_at_work_on_stays(eyes, refuses, work):
    data = refused(eyes)
    words = ["data", "remove", "mine", "--data_dir", data]
    with work(data / "mine"):
        refuses(*words, names=["mine: is just being prepared by another"], untouched=[data])
    assert remove(data) == 0 and not (data / "mine").exists()


def test_a_set_that_was_prepared_meanwhile_stays(eyes, monkeypatch, capfd):
    from segjax.data import removing

    data = refused(eyes)
    mask(eyes / "masks" / "4.png")
    usual = removing._check_no_link

    def slow(places):
        assert make(eyes) == 0
        return usual(places)

    monkeypatch.setattr(removing, "_check_no_link", slow)
    assert remove(data) == 2
    assert "mine: another process has just prepared it in" in capfd.readouterr().err
    assert own.names(data) == ["mine"] and (data / "mine" / preparing.SHEET).exists()


class Eyes(SyntheticFundus, skip_registration=True):
    """A builder that is not segjax's."""


def test_those_of_the_users_builder(tmp_path, capfd):
    name = "tests.data.test_leftovers:Eyes/48px_1_1_1"
    data = tmp_path / "data"
    store.prepare(store.builder(name, str(data)))
    home = data / "eyes" / "48px_1_1_1"
    (home / "1.0.0").rename(home / ".making.removed.x.y")
    before = snapshot(data)
    assert remove(data, name) == 2 and snapshot(data) == before  # of another machine, and fresh
    shutil.rmtree(home / ".making.removed.x.y")
    with staging.folder(home, "removed") as living:
        killed = living.with_name(living.name[:-8] + "k1lled00")
    killed.mkdir()
    assert remove(data, name) == 0 and not (data / "eyes").exists()
