"""A training that hangs ends, and says where; so do those that wait for it."""

import os
import pathlib
import signal
import sys
import time

import pytest

from segjax.train import watchdog
from segjax.train.watchdog import Watchdog, behind
from tests.train import hanging, runs

SETTINGS = {"train__steps": 2000, "schedule__name": "tests.train.hanging:stuck"}


def told(**places):
    """What processes have told: `p1=(count, step)`."""
    return {
        int(name[1:]): {"count": count, "step": step, "place": f"after step {step}"}
        for name, (count, step) in places.items()
    }


@pytest.mark.parametrize(
    "first, second, line",
    [
        (
            told(p0=(5, 12), p1=(5, 11)),
            told(p0=(8, 12), p1=(5, 11)),
            "process 1 (last after step 11) answers no more and is behind",
        ),
        # It tells still, but is a step behind
        (
            told(p0=(5, 12), p1=(5, 11), p2=(5, 12)),
            told(p0=(8, 12), p1=(8, 11), p2=(8, 12)),
            "process 1 (after step 11) is behind",
        ),
        (
            told(p0=(5, 12), p1=(5, 12)),
            told(p0=(8, 12), p1=(8, 12)),
            "all are alive and at the same step (process 0 after step 12; process 1 after step 12)",
        ),
        (
            told(p0=(5, 12)),
            told(p0=(8, 12), p1=(1, -1)),
            "process 1 (after step -1) is behind",
        ),
    ],
)
def test_the_process_that_is_behind_is_named(first, second, line):
    assert behind(first, second, 12) == line


class Ended(Exception):
    """In place of the end of the process."""


@pytest.fixture
def ends(monkeypatch):
    """The lines with which a watchdog would have ended this process."""
    lines = []

    def end(line):
        lines.append(line)
        raise Ended

    monkeypatch.setattr(watchdog, "_end", end)
    monkeypatch.setattr(watchdog, "TICK", 0.05)
    return lines


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_one_that_hangs_is_ended_and_its_line_of_code_named(ends):
    places = []
    with Watchdog(0.5, places.append) as looking:
        looking.passed(7)
        began = time.monotonic()
        while not ends and time.monotonic() - began < 5:
            time.sleep(0.01)
    assert 0.4 < time.monotonic() - began < 2
    (line,) = ends
    assert line.startswith("no step, evaluation or save has ended for 0.5 s: this process is ")
    assert "after step 7, in " in line and "test_watchdog.py:" in line
    assert "after step 7" in places and places[-1] is None


def test_what_goes_on_is_left_alone(ends):
    with Watchdog(0.4) as looking:
        for step in range(12):
            looking.passed(step)
            time.sleep(0.1)
    time.sleep(0.6)  # nothing is watched any more
    assert not ends


def test_nothing_is_ended_in_a_debugger(ends, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydevd", pathlib)
    with Watchdog(0.2):
        time.sleep(0.8)
    assert not ends


def test_a_limit_of_0_watches_nothing(ends):
    with Watchdog(0) as looking:
        looking.passed(1)
        time.sleep(0.3)
    assert not ends


def test_time_in_which_this_process_was_stopped_does_not_count(ends, monkeypatch):
    shift = 0.0
    clock = time.monotonic
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: clock() + shift)
    with Watchdog(1.0) as looking:
        looking.passed(1)
        time.sleep(0.2)
        shift = 30.0
        time.sleep(0.3)
        looking.passed(2)
    assert not ends


def test_one_of_several_that_was_stopped_writes_nothing(ends, monkeypatch):
    monkeypatch.setattr(watchdog, "TICK", 60)
    monkeypatch.setattr(watchdog.processes, "several", lambda: True)
    clock, shift = time.monotonic, 0.0
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: clock() + shift)
    monkeypatch.setattr(Watchdog, "_publish", lambda self: None)
    with Watchdog(10.0) as looking:
        looking.passed(3)
        shift = 31.0
        with pytest.raises(Ended):
            looking.require_unbroken()
    assert ends[0].startswith("process 0 was stopped for 31 s after step 3, longer than the 10 s")


def wait_for_rows(jobs, workdir):
    path = workdir / "metrics.jsonl"
    for _ in range(1200):
        if path.exists() and path.read_text().count("\n") > 40:
            return
        assert all(job.poll() is None for job in jobs), jobs[0].communicate()[0][-2000:]
        time.sleep(0.05)
    raise AssertionError("the job did not begin to train")


def test_one_process_alone_that_hangs_ends(tmp_path, data_dir, monkeypatch):
    monkeypatch.setenv(hanging.HANGS, "0")
    job = runs.start(runs.command(tmp_path / "run", data_dir, "--watchdog=15", **SETTINGS))
    _, errors = job.communicate(timeout=120)
    assert job.returncode == 1 and "Traceback" not in errors
    last = errors.splitlines()[-1]
    assert last.startswith(
        "segjax: no step, evaluation or save has ended for 15 s: this process is"
    )
    # The rate of a step is that of the updates before it
    assert "after step 21, in segjax/train/runs.py:" in last and "(trained)" in last


def test_a_process_that_is_alive_and_stuck_ends_the_job(tmp_path, data_dir, monkeypatch):
    monkeypatch.setenv(hanging.HANGS, "0")
    workdir = tmp_path / "run"
    jobs = runs.start_job(workdir, data_dir, flags=["--watchdog=6"], **SETTINGS)
    outputs = [job.communicate(timeout=120)[0] for job in jobs]
    assert [job.returncode for job in jobs] == [1, 1], outputs
    lines = [output.splitlines()[-1] for output in outputs]
    # Whoever ends first leaves the other to JAX, or both end at the same time
    assert any("no step, evaluation or save has ended for 6 s" in line for line in lines), lines
    assert all(line.startswith("segjax: ") for line in lines)


@pytest.mark.parametrize("stopped", [0, 1])
def test_a_stopped_process_ends_the_other_and_writes_nothing(tmp_path, data_dir, stopped):
    workdir = tmp_path / "run"
    settings = {"train__steps": 5000, "evaluate__every_steps": 10}
    jobs = runs.start_job(workdir, data_dir, flags=["--watchdog=10"], **settings)
    wait_for_rows(jobs, workdir)
    # Its child is stopped with it
    jobs[stopped].send_signal(signal.SIGSTOP)
    began = time.monotonic()
    other, _ = jobs[1 - stopped].communicate(timeout=60)
    took = time.monotonic() - began
    assert jobs[1 - stopped].returncode == 1
    # A second until the child is stopped, too, and those of the limit
    assert took < 17, other
    line = other.splitlines()[-1]
    assert line.startswith("segjax: no step, evaluation or save has ended for 10 s: process ")
    assert f"process {stopped}" in line and "is behind" in line
    before = contents(workdir)
    jobs[stopped].send_signal(signal.SIGCONT)
    began = time.monotonic()
    own, _ = jobs[stopped].communicate(timeout=60)
    assert jobs[stopped].returncode == 1 and time.monotonic() - began < 5
    assert own.splitlines()[-1].startswith("segjax: this process was stopped, or stuck, for ")
    assert contents(workdir) == before


def contents(folder):
    return {
        str(path): (path.stat().st_mtime_ns, os.path.getsize(path))
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_coordinator_whose_name_does_not_resolve_is_named(tmp_path, data_dir):
    flags = ["--coordinator=nowhere.invalid:1234", "--processes=2", "--process=1"]
    words = runs.command(tmp_path / "run", data_dir, *flags, "--start_timeout=2")
    job = runs.start(words)
    began = time.monotonic()
    _, errors = job.communicate(timeout=60)
    assert job.returncode == 2 and time.monotonic() - began < 20
    line = "segjax: --coordinator nowhere.invalid:1234: the name 'nowhere.invalid' has not resolved"
    assert errors.splitlines()[-1].startswith(line)
