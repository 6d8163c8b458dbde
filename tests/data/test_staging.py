"""Folders in the making: held by the living, tidied after the killed."""

import os
import signal
import subprocess
import sys
import time

import pytest

from segjax.data import staging


def test_a_folder_goes_at_the_end_with_what_is_left_in_it(tmp_path):
    with staging.folder(tmp_path, "set") as folder:
        (folder / "part").write_text("")
        assert folder.parent == tmp_path and folder.name.startswith(".making.set.")
    with pytest.raises(KeyboardInterrupt), staging.folder(tmp_path, "set"):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


PROGRAM = """
import sys, time
from segjax.data import staging
with staging.folder(sys.argv[1], "set") as folder:
    (folder / "part").write_text("half")
    print(flush=True)
    time.sleep(60)
"""


def test_what_a_living_process_makes_stays_and_goes_once_it_is_killed(tmp_path):
    command = [sys.executable, "-c", PROGRAM, tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        (left,) = tmp_path.iterdir()
        assert staging.remove_abandoned(tmp_path) == 0 and left.exists()
        child.send_signal(signal.SIGKILL)
    assert left.exists()
    assert staging.remove_abandoned(tmp_path) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [".making.set.another-host.ab12_x3z", "incomplete.AB12CD_1.0.0"])
def test_another_machines_folder_goes_a_day_after_its_last_write(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "part").write_text("")
    os.utime(folder, (0, 0))
    assert staging.remove_abandoned(tmp_path) == 0
    long_ago = time.time() - staging.ABANDONED - 60
    os.utime(folder / "part", (long_ago, long_ago))
    assert staging.remove_abandoned(tmp_path) == 1 and not folder.exists()


def test_other_folders_and_files_are_left_alone(tmp_path):
    for name in (".config", ".making", "set", ".making.x", "1.0.0"):
        (tmp_path / name).mkdir()
    (tmp_path / "incomplete.txt").write_text("")
    before = sorted(tmp_path.iterdir())
    assert staging.remove_abandoned(tmp_path) == 0 and sorted(tmp_path.iterdir()) == before


def test_what_is_held_is_not_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "_held", {})
    staging.hold(tmp_path / "cache")
    staging.hold(tmp_path / "cache")
    assert len(staging._held) == 1
    assert not staging.remove(tmp_path / "cache") and (tmp_path / "cache").is_dir()
    os.close(staging._held.popitem()[1])
    assert staging.remove(tmp_path / "cache") and not (tmp_path / "cache").exists()


def test_a_folder_made_anew_is_held_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "_held", {})
    staging.hold(tmp_path / "cache")
    os.rename(tmp_path / "cache", tmp_path / "old")
    staging.hold(tmp_path / "cache")
    assert not staging.remove(tmp_path / "cache") and staging.remove(tmp_path / "old")
    os.close(staging._held.popitem()[1])


def test_where_the_disk_knows_no_locks_nothing_fails(tmp_path, monkeypatch):
    def refuse(handle, kind):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(staging.fcntl, "flock", refuse)
    monkeypatch.setattr(staging, "_held", {})
    with staging.folder(tmp_path, "set") as folder:
        staging.hold(folder)
        assert staging.remove_abandoned(tmp_path) == 0 and folder.exists()
        long_ago = time.time() - staging.ABANDONED - 60
        os.utime(folder, (long_ago, long_ago))
        assert staging.remove_abandoned(tmp_path) == 1
    os.close(staging._held.popitem()[1])
    assert not list(tmp_path.iterdir())
