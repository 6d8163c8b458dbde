"""Runs one process of a job of several in a child process, so that its end is always explained.

When a process of the job dies, JAX aborts the others from a thread of its own, with a dump of many
lines and SIGABRT; no Python code runs any more in them. The process that was started therefore
only waits: it passes signals on, holds such a dump back, and says in one line what happened.
"""

import contextlib
import mmap
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, MutableSequence

from segjax.cli.ending import status_of

# The lines that the coordination service of JAX writes when it has lost a process.
DUMP = re.compile(
    r"[EFW]\d{4} .*\b(coordination_service\w*|preemption_sync_manager|client)\.(cc|h):"
)
LOST = "JAX distributed service detected fatal errors"
LINE = (
    "another process of the job has ended, or cannot be reached any more; "
    "the same command, also with fewer processes, goes on from the last checkpoint"
)
UNFORESEEN = 3  # the status of a child that ended in a traceback
SIGNALS = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]


def run(work: Callable[[], int | None]) -> int:
    """`work()` in a child process; its exit status, 1 when a signal ended it."""
    # Or the child writes once more what is still in these buffers
    sys.stdout.flush()
    sys.stderr.flush()
    errors, errors_in = os.pipe()
    alive, alive_in = os.pipe()  # at its end when this process is
    ending = mmap.mmap(-1, 1)  # shared: the status that the child was leaving with, 0 for none
    # A thread takes them: a handler of Python's would wait until a blocking read is over, where the
    # signal comes right before it
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    child = os.fork()
    if child == 0:
        # Also where whoever started this process had blocked them
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        # The ends of the other process: a pipe ends when nobody has its writing end any more
        os.close(errors)
        os.close(alive_in)
        return _child(work, errors_in, alive, ending)
    os.close(errors_in)
    os.close(alive)
    ended = threading.Event()
    passing = threading.Thread(target=_pass_signals_on, args=(child, ended), daemon=True)
    passing.start()
    try:
        dump = _pass_on(errors)
        _, status = os.waitpid(child, 0)
    finally:
        ended.set()
        signal.pthread_kill(passing.ident, signal.SIGTERM)  # so that it looks
        passing.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(alive_in)
    # Of two that fail together, the one that leaves later is aborted although it said why it ends
    code = ending[0] or os.waitstatus_to_exitcode(status)
    told = code in (0, 1, 2)  # by the process itself, whatever JAX wrote while it was leaving
    if LOST in dump and not told:
        print(f"segjax: {LINE}", file=sys.stderr)
    elif code < 0:
        sys.stderr.write(dump)
        print(f"segjax: ended by {signal.Signals(-code).name}", file=sys.stderr)
    return code if told else 1


def _pass_signals_on(child: int, ended: threading.Event) -> None:
    """Hands every signal that this process gets to the child, until it has ended."""
    while True:
        number = signal.sigwait(SIGNALS)
        if ended.is_set():
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)


def _pass_on(errors: int) -> str:
    """Passes on what libraries write to the standard error, but a dump, which it returns."""
    held: list[str] = []
    with open(errors, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            # Once a dump has begun, all that follows is taken for part of it
            if held or DUMP.match(line):
                held.append(line)
            else:
                sys.stderr.write(line)
    return "".join(held)


def _child(
    work: Callable[[], int | None], errors_in: int, alive: int, ending: MutableSequence[int]
) -> int:
    """The status of good work; a process that failed leaves without a word to JAX."""
    os.setpgid(0, 0)  # Ctrl-C reaches the waiting process alone, which passes it on
    # Python writes to the terminal still; descriptor 2, where compiled code writes, is the pipe
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    os.dup2(errors_in, 2)
    os.close(errors_in)
    threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()
    status, error = 1, None
    try:
        status = status_of(work)
    except BaseException as raised:
        error = raised
    if status:
        ending[0] = status if error is None else 0
        # Absent when the work did not get so far as to join the job.
        if processes := sys.modules.get("segjax.train.processes"):
            processes.before_leaving(error)
        if error is not None:
            traceback.print_exception(error)
        sys.stderr.flush()
        # An ordinary exit would wait minutes for the others.
        os._exit(status if error is None else UNFORESEEN)
    return status


def _end_with_parent(alive: int) -> None:
    os.read(alive, 1)
    # Nobody is left to be told, and JAX would wait for the others
    os.kill(os.getpid(), signal.SIGKILL)
