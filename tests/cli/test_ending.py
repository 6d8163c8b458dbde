"""A full disk ends every verb with status 1 and one line, and leaves nothing half-written.

The disk is simulated by the limit on the size of a file, under which writing fails in Python and in
compiled libraries alike, as it does on a full disk.
"""

import contextlib
import errno
import os
import resource
import shutil
import signal
import sys
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import optax
import pytest

from segjax.cli import ending, main
from segjax.errors import UserError
from segjax.train import state as states
from segjax.train.checkpoint import Checkpoints
from segjax.train.logs import Events
from segjax.train.loop_state import LoopState
from tests.train import runs
from tests.wrong_input.words import picture

pytestmark = [pytest.mark.usefixtures("command_settings"), pytest.mark.pictures]


@contextlib.contextmanager
def room(size):
    """No file may grow beyond so many bytes."""
    before, bytecode = resource.getrlimit(resource.RLIMIT_FSIZE), sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # Python would keep a file cut short
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        sys.dont_write_bytecode = bytecode


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def out_of_room(capfd, monkeypatch, tmp_path):
    """Runs a command with so much room for a file; one line, status 1."""
    monkeypatch.chdir(tmp_path)
    shortest = jax.config.jax_persistent_cache_min_compile_time_secs
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1e9)  # keeps no programs

    def check(*words, size=1000):
        capfd.readouterr()
        with room(size):
            status = main([str(word) for word in words])
        output, errors = capfd.readouterr()
        assert status == 1, errors
        assert errors.startswith("segjax: ") and errors.count("\n") == 1, errors
        assert "make room" in errors and "Traceback" not in errors
        return errors

    yield check
    jax.config.update("jax_persistent_cache_min_compile_time_secs", shortest)


def test_full_disk_while_preparing(out_of_room, tmp_path):
    out_of_room("data", "prepare", runs.DATA, "--data_dir", tmp_path)
    assert not [name for name in names(tmp_path) if "1.0.0" in name]


def test_full_disk_while_showing_and_planning(out_of_room, tmp_path, data_dir):
    words = ["--data_dir", data_dir, "--output", "sheet.png"]
    out_of_room("data", "show", runs.DATA, *words)
    assert names(tmp_path) == []


@pytest.mark.parametrize("verb", ["export", "predict"])
def test_full_disk_while_writing_outputs(out_of_room, tmp_path, trained, verb):
    words = {"predict": ["--input", picture(tmp_path / "a.png")], "export": []}[verb]
    out_of_room(verb, "--workdir", trained, "--output", "out", *words)
    assert [name for name in names(tmp_path) if name != "a.png"] == []


@pytest.mark.parametrize("verb", ["evaluate", "report"])
def test_full_disk_keeps_earlier_results(out_of_room, tmp_path, trained, verb):
    shutil.copytree(trained, tmp_path / "run")
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    words = ["--workdir", "run"] if verb == "evaluate" else ["run"]
    out_of_room(verb, *words, size=100)
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


def state(value):
    params = {"kernel": jnp.full((64, 64), value, jnp.float32)}
    return states.create(params, {}, optax.sgd(0.1))


def test_full_disk_while_training_keeps_the_last_checkpoint(tmp_path, capfd):
    def save(step):
        with Checkpoints(tmp_path, keep=2) as checkpoints:
            checkpoints.save("latest", step, state(float(step)), LoopState(evaluated=step))

    save(1)
    with room(1000):
        assert ending.status_of(lambda: save(2)) == 1
    errors = capfd.readouterr().err
    assert "make room" in errors and errors.count("\n") == 1
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        restored, memory = checkpoints.restore("latest", state(0.0))
    assert memory.evaluated == 1 and float(restored.params["kernel"][0, 0]) == 1.0


def test_full_disk_ends_the_writing_of_events(tmp_path):
    events = Events(tmp_path, 1)
    with room(2000), pytest.raises(OSError) as caught:
        for step in range(1000):
            events.add_scalar("loss", 0.5, step)
    events.close()
    assert caught.value.errno in ending.FULL


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disk_is_found_behind_other_exceptions(number, capsys):
    def fail():
        try:
            raise OSError(number, os.strerror(number), "table.csv")
        except OSError as error:
            raise UserError("table.csv: cannot write") from error

    def fail_in_compiled_code():
        raise ValueError(f"UNKNOWN: Error writing 'manifest': {os.strerror(number)} [os_error]")

    for work, place in ((fail, "table.csv"), (fail_in_compiled_code, "manifest")):
        assert ending.status_of(work) == 1
        errors = capsys.readouterr().err
        assert place in errors and os.strerror(number) in errors and errors.count("\n") == 1


def test_sigterm_ends_a_command_with_a_line(capsys):
    before = signal.getsignal(signal.SIGTERM)
    assert ending.status_of(lambda: os.kill(os.getpid(), signal.SIGTERM)) == 1
    assert capsys.readouterr().err.startswith("segjax: interrupted; ")
    assert signal.getsignal(signal.SIGTERM) is before


def test_signal_that_comes_while_objects_are_collected_is_not_lost(capsys):
    class Collected:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)

    def work():
        Collected()
        time.sleep(2)

    assert ending.status_of(work) == 1
    assert capsys.readouterr().err.startswith("segjax: interrupted; ")


def test_loops_that_a_signal_broke_off_are_not_heard_of_afterwards(capsys, monkeypatch):
    """Threads of Orbax end after the command, each with a traceback."""

    def interrupted():
        raise KeyboardInterrupt

    heard = []
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    loop, other = (
        SimpleNamespace(exc_type=RuntimeError, exc_value=RuntimeError(text))
        for text in ("Event loop is closed", "something else")
    )
    assert ending.status_of(interrupted) == 1
    for one in (loop, other):
        sys.unraisablehook(one)
    assert heard == [other] and "interrupted" in capsys.readouterr().err
    # Of a command that came to its end nothing is held back
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    assert ending.status_of(lambda: None) == 0
    sys.unraisablehook(loop)
    assert heard == [other, loop]
