"""`segjax data remove`: a prepared set goes whole, with what was made of it, and nothing else."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from segjax import cli
from segjax.data import array_files, digest, inventory, removing, shards, staging, store, tidy
from segjax.data.folders import scan
from segjax.data.sets.synthetic_fundus import SyntheticFundus
from tests.data import test_idrid
from tests.data.folders.settings import mask, picture
from tests.data.folders.test_photographs import prepare
from tests.data.test_inventory import cached, du
from tests.wrong_input.conftest import snapshot

SPELLED = "synthetic_fundus/48px_1_1_1"
GRADING, LOCATING = "idrid/grading", "idrid/localization"


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Two configs of an official set, a generated set, a set of a user's, and the sources."""
    folder = tmp_path_factory.mktemp("removing")
    for make in test_idrid.MAKE.values():
        make(folder / "downloads", "train")
    for n in range(5):
        picture(folder / "images" / f"{n}.png", seed=n)
        mask(folder / "masks" / f"{n}.png")
    words = ["--manual_dir", str(folder / "downloads"), "--data_dir", str(folder / "data")]
    for name in (GRADING, LOCATING):
        assert cli.main(["data", "prepare", name, *words]) == 0
    store.prepare(store.builder(SPELLED, str(folder / "data")))
    assert prepare(folder, "--masks", folder / "masks") == 0
    return folder


@pytest.fixture
def data(everything, tmp_path):
    shutil.copytree(everything, tmp_path / "all")
    return tmp_path / "all" / "data"


def remove(data, name, *words):
    """The command; its exit status."""
    return cli.main(["data", "remove", name, "--data_dir", str(data), *map(str, words)])


def cache_of(data, name, size=1000, root=None):
    """A cache of a prepared set."""
    found = digest.of(store.builder(name, str(data)))
    return cached(root or data / array_files.FOLDER, found, size)


def names(data):
    """The prepared sets."""
    return set(inventory.prepared(data))


ALL = {GRADING, LOCATING, SPELLED, "mine"}


def test_an_own_set_goes_with_its_sheet_its_journal_and_its_caches(data, capfd):
    others = {path: content for path, content in snapshot(data).items() if "/mine" not in path}
    sources = snapshot(data.parent / "images"), snapshot(data.parent / "masks")
    own, other = cache_of(data, "mine"), cache_of(data, GRADING, 50)
    sizes = {path: du(path) for path in (data / "mine/1.0.0", own)}
    sizes |= {
        p: p.stat().st_size for p in (data / "mine" / n for n in ("contact_sheet.png", scan.NAME))
    }
    capfd.readouterr()
    assert remove(data, "mine") == 0
    *lines, last = capfd.readouterr().out.splitlines()
    assert set(lines) == {f"removed {p}: {inventory.in_words(size)}" for p, size in sizes.items()}
    assert last == f"freed {inventory.in_words(sum(sizes.values()))}"
    assert not (data / "mine").exists() and not own.exists() and other.is_dir()
    shutil.rmtree(data / array_files.FOLDER)
    left = snapshot(data)
    assert {path: left[path] for path in others if pathlib.Path(path).is_file()} == {
        path: content for path, content in others.items() if pathlib.Path(path).is_file()
    }
    assert left.keys() == others.keys()
    assert (snapshot(data.parent / "images"), snapshot(data.parent / "masks")) == sources
    assert prepare(data.parent, "--masks", data.parent / "masks") == 0 and names(data) == ALL


def test_what_a_user_has_put_beside_a_set_stays(data):
    (data / "mine" / "notes.txt").write_text("mine")
    assert remove(data, "mine") == 0
    assert [path.name for path in (data / "mine").iterdir()] == ["notes.txt"]
    assert names(data) == ALL - {"mine"}


def test_one_config_of_a_set_goes_and_the_other_stays(data, capfd):
    stays = snapshot(data / LOCATING)
    assert remove(data, GRADING) == 0
    assert f"removed {data / GRADING / '1.0.0'}: " in capfd.readouterr().out
    assert names(data) == ALL - {GRADING} and snapshot(data / LOCATING) == stays
    assert not (data / GRADING).exists()
    # Its last config will do by the name of the set, whether it is the first of all configs or not
    assert remove(data, "idrid") == 0
    assert f"removed {data / LOCATING / '1.0.0'}: " in capfd.readouterr().out
    assert names(data) == {SPELLED, "mine"} and not (data / "idrid").exists()


@pytest.mark.parametrize("name", [SPELLED, "synthetic_fundus"])
def test_a_generated_set_goes_and_is_made_again(data, name):
    assert remove(data, name) == 0
    assert names(data) == ALL - {SPELLED} and not (data / "synthetic_fundus").exists()
    assert store.prepare(store.builder(SPELLED, str(data)))


class Eyes(SyntheticFundus, skip_registration=True):
    """A builder that is not segjax's."""


def test_a_set_of_the_users_builder_goes_by_either_name(data):
    whole = "tests.data.test_removing:Eyes/48px_1_1_1"
    for name in (whole, whole.partition("/")[0], "eyes", "eyes/48px_1_1_1"):
        store.prepare(store.builder(whole, str(data)))
        assert "eyes/48px_1_1_1" in names(data)
        assert remove(data, name) == 0 and names(data) == ALL


def test_only_the_caches(data, tmp_path, capfd):
    before = snapshot(data)
    own, other = cache_of(data, GRADING, 2500), cache_of(data, LOCATING)
    assert remove(data, GRADING, "--caches") == 0
    assert capfd.readouterr().out == f"removed {own}: 2.5 kB\nfreed 2.5 kB\n"
    assert other.is_dir() and not own.exists() and names(data) == ALL
    assert remove(data, GRADING, "--caches") == 0
    assert "nothing is preprocessed from it in" in capfd.readouterr().out
    shutil.rmtree(data / array_files.FOLDER)
    assert {p: s for p, s in snapshot(data).items() if pathlib.Path(p) != data} == before


def test_caches_that_lie_elsewhere(data, tmp_path, capfd):
    own = cache_of(data, GRADING, root=tmp_path / "cache")
    beside = cache_of(data, GRADING)
    assert remove(data, GRADING, "--cache_dir", tmp_path / "cache") == 0
    assert f"removed {own}: 1.0 kB" in capfd.readouterr().out
    assert not own.exists() and beside.is_dir() and GRADING not in names(data)


def test_a_cache_that_a_set_of_the_same_content_owns_stays(data, capfd):
    shutil.copytree(data / "mine", data / "again")
    own = cache_of(data, "mine")
    assert remove(data, "mine") == 0
    assert f"{own}: stays, for another prepared set has the same content" in capfd.readouterr().out
    assert own.is_dir()
    assert remove(data, "again") == 0 and not own.exists()


def test_the_digest_of_an_older_set_is_found_out(data):
    own = cache_of(data, "mine")
    (data / "mine/1.0.0" / digest.NAME).unlink()
    assert remove(data, "mine") == 0 and not own.exists()


def test_a_damaged_set_goes_too(data, capfd):
    own = cache_of(data, "mine")
    for name in (GRADING, "mine"):
        (data / name / "1.0.0" / digest.NAME).unlink()
        (data / name / "1.0.0" / shards.INFO).write_text("{")
    assert remove(data, GRADING) == 0 and remove(data, "mine") == 0
    shown = capfd.readouterr().out
    assert shown.count("its caches are not known: ") == 2 and own.is_dir()
    assert names(data) == ALL - {GRADING, "mine"}


def test_nothing_behind_a_link_in_a_set_is_removed(data, capfd):
    outside = data.parent / "outside"
    (outside / "folder").mkdir(parents=True)
    (outside / "file").write_bytes(b"x" * 50_000)
    (outside / "folder" / "file").write_bytes(b"x" * 50_000)
    before, size = snapshot(outside), du(data / "mine/1.0.0")
    (data / "mine/1.0.0/more").symlink_to(outside / "folder")
    (data / "mine/1.0.0/extra").symlink_to(outside / "file")
    (data / "mine/contact_sheet.png").unlink()
    (data / "mine/contact_sheet.png").symlink_to(outside / "file")
    own = cache_of(data, "mine")
    (own / "linked").symlink_to(outside / "folder")
    assert remove(data, "mine") == 0
    assert snapshot(outside) == before and not (data / "mine").exists() and not own.exists()
    *_, freed, unit = capfd.readouterr().out.splitlines()[-1].split()
    assert unit == "kB" and size < 1000 * float(freed) < size + 10_000


def test_caches_behind_a_link_stay(data, tmp_path, capfd):
    own = cache_of(data, "mine", root=tmp_path / "cache")
    other = cache_of(data, GRADING, root=tmp_path / "elsewhere")
    other.rename(tmp_path / "moved")
    (tmp_path / "cache" / other.name).symlink_to(tmp_path / "moved")
    (data / array_files.FOLDER).symlink_to(tmp_path / "cache")
    assert remove(data, "mine") == 0
    shown = capfd.readouterr().out
    assert f"{data / array_files.FOLDER}: is a link, whose caches stay; --cache_dir" in shown
    assert own.is_dir() and "mine" not in names(data)
    # Named by the user a link may be followed, but not one in it
    assert remove(data, GRADING, "--cache_dir", data / array_files.FOLDER) == 0
    assert (
        f"{data / array_files.FOLDER / other.name}: is a link, and stays" in capfd.readouterr().out
    )
    assert len(list((tmp_path / "moved").iterdir())) == 2


def test_a_data_folder_that_is_a_link_itself_is_the_users(data, tmp_path):
    (tmp_path / "link").symlink_to(data)
    assert remove(tmp_path / "link", "mine") == 0 and names(data) == ALL - {"mine"}


def test_what_cannot_be_moved_aside_stays(data, monkeypatch, capfd):
    own = cache_of(data, "mine")
    before = {path: path.is_dir() or path.read_bytes() for path in data.rglob("*")}

    def refuse(source, place):
        raise PermissionError(13, "Permission denied", str(source))

    monkeypatch.setattr(os, "rename", refuse)
    assert remove(data, "mine") == 2
    assert f"{data / 'mine/1.0.0'}: Permission denied" in capfd.readouterr().err
    monkeypatch.undo()
    assert {path: path.is_dir() or path.read_bytes() for path in data.rglob("*")} == before
    assert own.is_dir()


KILLED = """
import os, shutil, sys, time
from segjax import cli

def slow(*unused, **settings):
    print("deleting", flush=True)
    time.sleep(60)

shutil.rmtree = slow
cli.main(["data", "remove", "mine", "--data_dir", sys.argv[1]])
"""


def test_a_removal_that_is_killed_leaves_no_set_and_is_tidied(data, capfd):
    own = cache_of(data, "mine")
    command = [sys.executable, "-c", KILLED, data]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "deleting\n"
        assert names(data) == ALL - {"mine"}
        child.send_signal(signal.SIGKILL)
    (left,) = (data / "mine").iterdir()
    assert left.name.startswith(".making.") and own.is_dir()
    assert cli.main(["data", "list", "--data_dir", str(data)]) == 0
    shown = capfd.readouterr().out
    assert "mine" not in shown and "caches of no prepared set" in shown
    assert "removed 1 left by killed preparations, 1 preprocessed" in tidy.tidy(str(data))
    assert not left.exists() and not own.exists()


def test_interrupted_while_it_deletes_it_ends_that_first(data, monkeypatch):
    own, usual, calls = cache_of(data, "mine"), shutil.rmtree, []

    def stop(*given, **settings):
        calls.append(given)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return usual(*given, **settings)

    monkeypatch.setattr(shutil, "rmtree", stop)
    assert remove(data, "mine") == 1
    assert not (data / "mine").exists() or not list((data / "mine").iterdir())
    # The caches are next: they stay whole, and belong to no set
    assert sorted(path.name for path in own.iterdir()) == [
        "0123456789abcdef",
        "fedcba9876543210.npy",
    ]


def test_of_two_removals_one_says_that_the_other_was_faster(data, monkeypatch, capfd):
    usual = removing._lock_set

    def slower(*given):
        monkeypatch.undo()
        assert remove(data, "mine") == 0
        usual(*given)

    monkeypatch.setattr(removing, "_lock_set", slower)
    assert remove(data, "mine") == 2
    assert "mine: another process has just removed it" in capfd.readouterr().err
    assert names(data) == ALL - {"mine"}


def test_who_waits_for_a_removal_prepares_the_set_afterwards(data):
    made = store.builder(SPELLED, str(data))
    home, done = pathlib.Path(made.data_path).parent, []
    waits = threading.Thread(target=lambda: done.append(store.prepare(made)))
    with staging.alone(home) as free:
        assert free
        shutil.rmtree(home / "1.0.0")
        waits.start()
        waits.join(1.0)
        assert waits.is_alive()
        home.rmdir()
    waits.join(60)
    assert done == [True] and names(data) == ALL
