"""One process at a time holds a work folder, and its end frees it, however it ends."""

import errno
import json
import os
import signal
import subprocess
import sys

import pytest

from segjax.errors import UserError
from segjax.train import holder, workdir
from tests.train import runs
from tests.wrong_input.conftest import snapshot

HOLD_AND_DIE = """
import os, pathlib, signal, sys
from segjax.train import holder
with holder.hold(pathlib.Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_second_holder_is_refused_by_name_and_changes_nothing(tmp_path):
    folder = tmp_path / "new" / "run"
    with holder.hold(folder):
        named = json.loads((folder / workdir.HOLDER).read_text())
        assert named["pid"] == os.getpid() and named["start"]
        before = snapshot(tmp_path)
        words = f"{folder}: in use by process {os.getpid()} on {named['host']}, started"
        with pytest.raises(UserError, match=words), holder.hold(folder):
            pass
        with pytest.raises(UserError, match=words):
            holder.check_free(folder)
        assert snapshot(tmp_path) == before
    holder.check_free(folder)
    with holder.hold(folder):
        pass


def test_folder_of_a_killed_holder_is_free_and_not_occupied(tmp_path):
    words = [sys.executable, "-c", HOLD_AND_DIE, str(tmp_path / "run")]
    done = subprocess.run(words, env=os.environ | {"PYTHONPATH": str(runs.ROOT)}, timeout=60)
    assert done.returncode == -signal.SIGKILL and (tmp_path / "run" / workdir.HOLDER).exists()
    assert workdir.is_fresh(tmp_path / "run", workdir.CONFIG)
    with holder.hold(tmp_path / "run"):
        pass


def test_where_files_cannot_be_locked_one_warning_tells(tmp_path, monkeypatch, capsys):
    def refuse(*unused):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(holder.fcntl, "flock", refuse)
    with holder.hold(tmp_path / "run"):
        pass
    errors = capsys.readouterr().err
    assert errors.startswith(f"segjax: {tmp_path / 'run'}: cannot be locked ([Errno")
    assert errors.count("\n") == 1


def test_of_several_processes_the_first_answers_for_all(tmp_path):
    with holder.hold(tmp_path / "run", first=False, told=lambda held: True):
        assert not (tmp_path / "run").exists()
    refused = pytest.raises(UserError, match="in use by another process")
    with refused, holder.hold(tmp_path / "run", first=False, told=lambda held: False):
        pass
