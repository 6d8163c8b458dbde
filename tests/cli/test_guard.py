"""What a process of a job says when JAX aborts it, and who ends with whom."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from segjax.cli import guard
from tests.train import runs

DUMP = """\
W1128 13:34:58.010845    4954 preemption_sync_manager.cc:147] Failed to retrieve preemption notice
Additional GRPC error information from remote target coordination_service:
F1128 13:24:40.920135    9465 client.h:80] Terminating process because the JAX distributed service \
detected fatal errors. This most likely indicates that another task died
    @     0x7f2a66440634  absl::lts_20260107::log_internal::LogMessage::SendToLog()
"""
SILENT = """\
E1203 08:35:22.190871    9721 coordination_service.cc:1549] [17] Use error polling to propagate \
the following error: UNAVAILABLE: The following tasks are unhealthy (stopped sending heartbeats):
1
3
"""
LOST = "segjax: " + guard.LINE.format(named="another process", where="") + "\n"
JOINING = "not all have joined"


def guarded(body, limit=0, first="pass"):
    """A process that guards `work`, of which the body is given."""
    source = "\n".join(
        [
            "import os, sys, time",
            "from segjax.cli import guard",
            "from segjax.errors import UserError",
            first,
            f"def work(tell):\n    {body}",
            f"sys.exit(guard.run(work, {limit}, {JOINING!r}))",
        ]
    )
    return subprocess.Popen(
        [sys.executable, "-c", source],
        cwd=runs.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    "body, status, line",
    [
        (f"os.write(2, {DUMP.encode()!r}); os.abort()", 1, f"segjax: {JOINING}\n"),
        (f"tell(None); os.write(2, {DUMP.encode()!r}); os.abort()", 1, LOST),
        (
            f"tell('after step 3'); os.write(2, {(SILENT + DUMP).encode()!r}); os.abort()",
            1,
            "segjax: process 1, 3 of the job has ended, or cannot be reached any more (this one "
            "was after step 3); the same ",
        ),
        ("os.write(2, b'out of memory\\n'); os.abort()", 1, "out of memory\nsegjax: ended by "),
        ("os.write(2, b'a warning\\n')", 0, "a warning\n"),
        ("print('fine', file=sys.stderr)", 0, "fine\n"),
        # Process 0 left first, while this one was about to say why it ends itself.
        (f"os.write(2, {DUMP.encode()!r}); raise UserError('wrong')", 2, "segjax: wrong\n"),
    ],
)
def test_end_of_a_guarded_process_is_told_in_a_line(body, status, line):
    process = guarded(body)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == status
    assert errors.startswith(line) and "SendToLog" not in errors
    assert "Traceback" not in errors and errors.count("segjax: ") == line.count("segjax: ")


@pytest.mark.parametrize(
    "end, status, line",
    [
        ("return 1", 1, ""),
        ("raise UserError('wrong')", 2, "segjax: wrong\n"),
        # An unforeseen error may come of the loss of the other process, and is held back
        ("tell(None); raise RuntimeError('a collective')", 1, LOST),
    ],
)
def test_a_process_that_is_aborted_while_it_leaves_keeps_its_status(end, status, line):
    leaves = f"lambda error: (os.write(2, {DUMP.encode()!r}), os.abort())"
    process = guarded(
        "import types; sys.modules['segjax.train.processes'] = "
        f"types.SimpleNamespace(before_leaving={leaves}); {end}"
    )
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (status, line)


def test_an_unforeseen_error_keeps_its_traceback():
    process = guarded("raise RuntimeError('of our own')")
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1 and errors.endswith("RuntimeError: of our own\n")


def test_guarded_work_ends_with_the_process_that_was_killed():
    process = guarded("print(os.getpid(), flush=True); time.sleep(60)")
    child = int(process.stdout.readline())
    process.kill()
    process.communicate()
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("the work goes on alone")


def state(process):
    """As Linux names it by a letter; None when it has ended."""
    try:
        text = pathlib.Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()[0]


def wait_for(condition, seconds):
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it has not come to that"
        time.sleep(0.05)


LINUX = pytest.mark.skipif(not pathlib.Path("/proc").exists(), reason="states are those of Linux")
TELLING = (
    "tell('after step 3'); print(os.getpid(), flush=True); "
    "[(tell('after step 3'), time.sleep(0.1)) for _ in range"
)


@LINUX
def test_guarded_work_is_stopped_and_continued_with_the_process_that_was_started():
    # A machine under load may take longer than the others would wait
    process = guarded(f"{TELLING}(100)]", limit=60, first="guard.HEARTBEAT = 60")
    child = int(process.stdout.readline())
    # Also before the watching thread has begun, and for no longer than the child takes to see it
    for seconds in (0, 3, 0):
        process.send_signal(signal.SIGSTOP)
        wait_for(lambda: state(child) == "T", 20)
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)
        wait_for(lambda: state(child) != "T", 20)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0 and errors == "", errors


@LINUX
def test_work_that_was_stopped_longer_than_others_wait_is_killed():
    process = guarded(f"{TELLING}(600)]", limit=60, first="guard.HEARTBEAT = 3")
    child = int(process.stdout.readline())
    os.kill(child, signal.SIGSTOP)
    began = time.monotonic()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1 and time.monotonic() - began < 20
    assert errors.startswith("segjax: this process was stopped, or stuck, for ")
    assert "after step 3" in errors and errors.count("\n") == 1


def test_work_that_cannot_run_python_any_more_is_killed():
    # A regular expression that takes for ever keeps the interpreter's lock
    stuck = "import re; tell('after step 3'); print(flush=True); re.match('(a+)+b', 'a' * 60)"
    process = guarded(stuck, limit=1, first="guard.GRACE = 1")
    process.stdout.readline()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert errors.startswith("segjax: this process was stopped, or stuck, for ")


def test_guarded_work_gets_the_signals():
    # In short sleeps: Python answers a signal that comes right before a sleep when that is over
    process = guarded("print(os.getpid(), flush=True); [time.sleep(0.1) for _ in range(600)]")
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1 and errors.startswith("segjax: interrupted; ")
