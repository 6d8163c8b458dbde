"""A child of a sweep saves and ends when its parent is killed."""

import os
import signal
import subprocess
import sys
import time

from segjax.cli import main
from segjax.launch import parent
from tests.train import runs

CHILD = """
import pathlib, signal, sys, time
from segjax.launch import parent
here = pathlib.Path(sys.argv[1])
def stop(*unused):
    (here / "saved").touch()
    sys.exit(1)
signal.signal(signal.SIGTERM, stop)
parent.watch()
(here / "begun").touch()
time.sleep(60)
"""
PARENT = """
import os, pathlib, sys, time
from segjax.launch import parent
here, child = pathlib.Path(sys.argv[1]), sys.argv[2]
parent.start([sys.executable, "-c", child, str(here)], dict(os.environ), start_new_session=True)
time.sleep(60)
"""


def wait_for(path):
    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end, path.name
        time.sleep(0.02)


def test_child_of_a_killed_parent_saves_and_ends(tmp_path):
    words = [sys.executable, "-c", PARENT, str(tmp_path), CHILD]
    with subprocess.Popen(words, env=os.environ | {"PYTHONPATH": str(runs.ROOT)}) as process:
        wait_for(tmp_path / "begun")
        assert not (tmp_path / "saved").exists()
        process.send_signal(signal.SIGKILL)
    wait_for(tmp_path / "saved")


def test_training_watches_its_parent(tmp_path, monkeypatch, capfd):
    watched = []
    monkeypatch.setattr(parent, "watch", lambda: watched.append(True))
    assert main(["train", "--config", "absent.py", "--workdir", str(tmp_path / "run")]) == 2
    assert watched and "absent.py" in capfd.readouterr().err
