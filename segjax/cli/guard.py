"""Runs one process of a job of several in a child process, so that its end is always explained.

When a process of the job dies, JAX aborts the others from a thread of its own, with a dump of many
lines and SIGABRT; no Python code runs any more in them. The process that was started therefore
only waits: it passes signals on, holds such a dump back, and says in one line what happened.

The two are one to the outside: when the waiting process is stopped, so is its child; and a child
that is stopped, or cannot run Python code any more, is killed when it has been silent for longer
than the others wait.
"""

import contextlib
import ctypes
import mmap
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import ClassVar

from segjax.cli.ending import status_of
from segjax.train.limits import HEARTBEAT

# The lines that the coordination service of JAX writes when it has lost a process.
DUMP = re.compile(
    r"[EFW]\d{4} .*\b(coordination_service\w*|preemption_sync_manager|client)\.(cc|h):"
)
# What it says of those that it has lost, a number a line, and of its own leader.
SILENT = re.compile(r"unhealthy \(stopped sending heartbeats\):((?:\n\d+)+)")
LEADER = re.compile(r"CoordinationService/Heartbeat|the leader task was preempted")
LOST = "JAX distributed service detected fatal errors"
LINE = (
    "{named} of the job has ended, or cannot be reached any more{where}; "
    "the same command, also with fewer processes, goes on from the last checkpoint"
)
UNFORESEEN = 3  # the status of a child that ended in a traceback
TICK = 1.0  # seconds between two looks of the two at each other
STOPPED = "T"  # as Linux names the state
GRACE = 5  # seconds beyond the limit, in which the child ends itself if it can
SIGNALS = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]


class Shared(ctypes.Structure):
    """What the two processes see of each other.

    Attributes:
        ending: the status that the child was leaving with, 0 for none.
        guarded: when the waiting process last looked, on the clock that both have.
        joined: whether the child has said anything, which it first does when it has joined the job.
        follows: whether the child has stopped itself, for the waiting process is stopped.
        ticked: when the child last said where it is; 0 while it says nothing.
        place: where that was.
    """

    _fields_: ClassVar = [
        ("ending", ctypes.c_int),
        ("joined", ctypes.c_bool),
        ("follows", ctypes.c_bool),
        ("guarded", ctypes.c_double),
        ("ticked", ctypes.c_double),
        ("place", ctypes.c_char * 80),
    ]

    def tell(self, place: str | None) -> None:
        """Called in the child, again and again: where it is; None when nothing follows for now."""
        self.joined = True
        self.place = (place or "").encode()[:79]
        self.ticked = 0 if place is None else time.monotonic()


Tell = Callable[[str | None], None]


def run(work: Callable[[Tell], int | None], limit: float = 0, joining: str = "") -> int:
    """`work(tell)` in a child process; its exit status, 1 when a signal ended it.

    Args:
        work: what is done; once it has called `tell`, with where it is, it has to go on calling.
        limit: seconds, after which a child that has ceased to call is killed; 0 for never.
        joining: what is said when JAX gives up before the first call.
    """
    # Or the child writes once more what is still in these buffers
    sys.stdout.flush()
    sys.stderr.flush()
    errors, errors_in = os.pipe()
    alive, alive_in = os.pipe()  # at its end when this process is
    shared = Shared.from_buffer(mmap.mmap(-1, ctypes.sizeof(Shared)))
    shared.guarded = time.monotonic()
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
        return _child(work, errors_in, alive, shared)
    os.close(errors_in)
    os.close(alive)
    ended = threading.Event()
    passing = threading.Thread(target=_pass_signals_on, args=(child, ended), daemon=True)
    passing.start()
    killed: list[str] = []
    watching = threading.Thread(
        target=_watch, args=(child, shared, limit, ended, killed), daemon=True
    )
    watching.start()
    try:
        dump = _pass_on(errors)
        _, status = os.waitpid(child, 0)
    finally:
        ended.set()
        signal.pthread_kill(passing.ident, signal.SIGTERM)  # so that it looks
        passing.join()
        watching.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(alive_in)
    # Of two that fail together, the one that leaves later is aborted although it said why it ends
    code = shared.ending or os.waitstatus_to_exitcode(status)
    told = code in (0, 1, 2)  # by the process itself, whatever JAX wrote while it was leaving
    if killed and not told:
        print(f"segjax: {killed[0]}", file=sys.stderr)
    elif LOST in dump and not told:
        lost = _lost(dump, shared.place.decode(errors="replace"))
        print(f"segjax: {lost if shared.joined or not joining else joining}", file=sys.stderr)
    elif code < 0:
        sys.stderr.write(dump)
        print(f"segjax: ended by {signal.Signals(-code).name}", file=sys.stderr)
    return code if told else 1


def _watch(
    child: int, shared: Shared, limit: float, ended: threading.Event, killed: list[str]
) -> None:
    """Continues a child that was stopped with this process; kills one that is silent too long."""
    before = running = shared.guarded
    while not ended.wait(TICK):
        shared.guarded = now = time.monotonic()
        gap, before = now - before, now
        paused = gap > 3 * TICK  # this process was, and its child with it
        if not paused and _state(child) != STOPPED:
            running = now
        silent = now - shared.ticked if shared.ticked and not paused else 0.0
        # By then the others have ended, or JAX has told them that this process is dead
        lost = shared.joined and now - running > min(limit or HEARTBEAT, HEARTBEAT)
        if (lost or (limit and silent > limit + GRACE)) and not _is_traced(child):
            place = shared.place.decode(errors="replace")
            killed.append(
                f"this process was stopped, or stuck, for {max(silent, now - running):.0f} s "
                f"{place}, longer than the others wait; ended, nothing was written since"
            )
            os.kill(child, signal.SIGKILL)
            return
        # The child takes this back itself: it may be about to stop
        if paused or shared.follows:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGCONT)


def _state(process: int) -> str | None:
    """The state of a process as Linux names it by a letter; None elsewhere, or if it has ended."""
    try:
        with open(f"/proc/{process}/stat") as stat:
            # Behind the name of the command, which may have brackets in it
            return stat.read().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return None


def _is_traced(process: int) -> bool:
    """Whether a debugger holds a process, which keeps it from telling anything."""
    try:
        with open(f"/proc/{process}/status") as status:
            return any(line.startswith("TracerPid:") and int(line[10:]) for line in status)
    except OSError:  # not Linux, or it has ended
        return False


def _stop_with_parent(shared: Shared) -> None:
    """In the child: stops this process for as long as the waiting one is stopped."""
    while True:
        time.sleep(TICK)
        if time.monotonic() - shared.guarded < 2 * TICK:
            continue
        if _state(os.getppid()) == STOPPED:
            shared.follows = True
            os.kill(os.getpid(), signal.SIGSTOP)
            # This thread may run on for a moment
            while time.monotonic() - shared.guarded >= 2 * TICK:
                time.sleep(TICK / 10)
            shared.follows = False


def _lost(dump: str, place: str) -> str:
    """What is said when JAX has lost another process, named where the dump names it."""
    silent = {int(word) for found in SILENT.findall(dump) for word in found.split()}
    # It is process 0 that counts the others; that it counts itself says that it was stopped
    named = ", ".join(map(str, sorted(silent))) if silent and 0 not in silent else ""
    named = named or ("0" if LEADER.search(dump) and not silent else "")
    where = f" (this one was {place})" if place else ""
    return LINE.format(named=f"process {named}" if named else "another process", where=where)


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


def _child(work: Callable[[Tell], int | None], errors_in: int, alive: int, shared: Shared) -> int:
    """The status of good work; a process that failed leaves without a word to JAX."""
    os.setpgid(0, 0)  # Ctrl-C reaches the waiting process alone, which passes it on
    # Python writes to the terminal still; descriptor 2, where compiled code writes, is the pipe
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    os.dup2(errors_in, 2)
    os.close(errors_in)
    threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()
    threading.Thread(target=_stop_with_parent, args=(shared,), daemon=True).start()
    status, error = 1, None
    try:
        status = status_of(lambda: work(shared.tell))
    except BaseException as raised:
        error = raised
    if status:
        shared.ending = status if error is None else 0
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
