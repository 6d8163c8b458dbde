"""Ends a process of a training that hangs: no step, evaluation or save ends within a time limit.

JAX ends the processes of a job when one of them dies, but one that is alive and stuck (a read that
never returns, a stopped process) would hold the others for ever. Each process therefore has a
thread that looks at its own progress, and tells the others of it through the coordination service.
"""

import contextlib
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import NoReturn

import segjax
from segjax.train import processes

TICK = 1.0  # seconds between two looks
INQUIRY = 8 * TICK  # at most for so long the others are asked who is behind, before the limit
PACKAGE = os.path.dirname(segjax.__file__) + os.sep


class Watchdog:
    """Looks after one training; a context manager, within which it watches.

    Nothing is watched in a debugger, nor with a limit of 0.

    Args:
        limit: seconds, within which a step, a part of an evaluation or a save has to end.
        tell: called every second with where the process is, which shows that it is alive, and with
            None when it watches no more.
    """

    def __init__(self, limit: float = 0, tell: Callable[[str | None], None] = lambda place: None):
        self._limit, self._tell = limit, tell
        self._inquiry = min(INQUIRY, limit / 2)
        self._place, self._step = "before the first step", -1
        self._since = self._ticked = time.monotonic()
        self._ended, self._main = threading.Event(), threading.get_ident()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Watchdog":
        if self._limit:
            self._since = self._ticked = time.monotonic()
            self._main = threading.get_ident()
            self._ended.clear()
            self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
            self._thread.start()
            # In a thread of its own: it waits for process 0, which may be the one that hangs
            threading.Thread(target=self._publish, name="publisher", daemon=True).start()
        return self

    def __exit__(self, *unused) -> None:
        if self._thread is not None:
            self._ended.set()
            self._thread.join()
            self._thread = None
            self._tell(None)

    def passed(self, step: int, what: str = "step") -> None:
        """Notes that a step, a part of an evaluation or a save has ended."""
        self.require_unbroken()
        self._place, self._step, self._since = f"after {what} {step}", step, time.monotonic()
        self._tell(self._place)

    def require_unbroken(self) -> None:
        """Ends a process of several that was stopped for longer than the limit.

        The others have ended by then, and another job may be training in their folder: called
        before anything is written.
        """
        if self._thread is not None and self._broken(time.monotonic() - self._ticked):
            self._end_broken(time.monotonic() - self._ticked)

    def _run(self) -> None:
        while not self._ended.wait(TICK):
            now = time.monotonic()
            gap = now - self._ticked
            if self._broken(gap):
                self._end_broken(gap)
            if gap > 2 * TICK:
                # This process was stopped for a while: its work had no part of that time
                self._since += gap
            self._ticked = now
            self._tell(self._place)
            late = now - self._since
            if late > self._limit - self._inquiry:
                if _debugged():
                    self._since = now
                else:
                    self._end_if_late()

    def _publish(self) -> None:
        for count in itertools.count():
            place = self._described(time.monotonic() - self._since)
            processes.publish({"count": count, "step": self._step, "place": place})
            if self._ended.wait(TICK):
                return

    def _broken(self, gap: float) -> bool:
        # One process alone keeps nobody waiting: paused and continued, it goes on
        return gap > self._limit and processes.several() and not _debugged()

    def _described(self, late: float) -> str:
        """Where this process is, with the line of code where it has been for a while."""
        line = _line_of(self._main) if late >= min(3 * TICK, self._inquiry) else None
        return self._place + (f", in {line}" if line else "")

    def _end_if_late(self) -> None:
        """Asks who is behind, and ends this process unless it gets further until the limit."""
        since = self._since
        here = self._described(time.monotonic() - since)
        if processes.several():
            others = _others_behind(self._step, self._inquiry)
            line = f"process {processes.own()} waits {here}; {others}"
        else:
            line = f"this process is {here}"
        while self._since == since and not self._ended.is_set():
            self._ticked = time.monotonic()
            if self._ticked - since > self._limit:
                _end(
                    f"no step, evaluation or save has ended for {self._limit:g} s: {line}; the "
                    "same command goes on from the last checkpoint"
                )
            self._tell(self._place)
            self._ended.wait(TICK / 4)

    def _end_broken(self, gap: float) -> NoReturn:
        _end(
            f"process {processes.own()} was stopped for {gap:.0f} s {self._place}, longer "
            f"than the {self._limit:g} s that the others wait; nothing was written since"
        )


def _others_behind(step: int, seconds: float) -> str:
    """Which processes keep this one waiting, as far as it can be told within some seconds."""
    found: list[dict[int, dict]] = []

    def ask() -> None:
        with contextlib.suppress(Exception):  # process 0 has gone
            found.append(processes.published())

    for pause in seconds / 2, 0:
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(seconds / 4)
        time.sleep(pause)
    if len(found) < 2:
        return "process 0, through which they tell each other, answers no more and is behind"
    return behind(*found, step)


def behind(first: Mapping[int, dict], second: Mapping[int, dict], step: int) -> str:
    """Names the processes that are behind, by what all have told at two moments.

    Args:
        first, second: by process, its count of messages, its step and its place, seconds apart.
        step: of the process that asks.
    """
    silent = [p for p, told in second.items() if first.get(p, {}).get("count") == told["count"]]
    if silent:
        named = ", ".join(f"process {p} (last {second[p]['place']})" for p in silent)
        return f"{named} answers no more and is behind"
    least = min(told["step"] for told in second.values())
    if least < step:
        late = [p for p, told in second.items() if told["step"] == least]
        named = ", ".join(f"process {p} ({second[p]['place']})" for p in late)
        return f"{named} is behind"
    named = "; ".join(f"process {p} {second[p]['place']}" for p in sorted(second))
    return f"all are alive and at the same step ({named})"


def _line_of(thread: int) -> str | None:
    """The innermost line of segjax, or of any code, that a thread is at."""
    frame = sys._current_frames().get(thread)
    innermost = frame
    while frame is not None and not frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    frame = frame or innermost
    if frame is None:
        return None
    name = frame.f_code.co_filename
    short = f"segjax{os.sep}{name.removeprefix(PACKAGE)}" if name.startswith(PACKAGE) else name
    return f"{short}:{frame.f_lineno} ({frame.f_code.co_name})"


def _debugged() -> bool:
    """Whether a debugger holds this process: pdb and its kin, or one of compiled code."""
    if sys.gettrace() is not None or "pydevd" in sys.modules or "debugpy" in sys.modules:
        return True
    try:
        with open("/proc/self/status") as status:
            return any(line.startswith("TracerPid:") and int(line[10:]) for line in status)
    except OSError:  # not Linux
        return False


def _end(line: str) -> NoReturn:
    # Not an exception: the main thread may be in compiled code that never returns
    sys.stderr.write(f"segjax: {line}\n")
    sys.stderr.flush()
    os._exit(1)
