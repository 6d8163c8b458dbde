"""Runs the points of a sweep on this machine, each in a subprocess, several at once if asked.

The processor cores are shared out among those that run at the same time. A signal (Ctrl-C,
SIGTERM) goes on to the children, which save and end; a second one ends them at once. When this
process is killed they save and end as well.
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from ml_collections import ConfigDict

from segjax.config import files, sweeps
from segjax.errors import Interrupted
from segjax.launch import parent
from segjax.launch.flags import WATCHDOG, Flag
from segjax.launch.sweep import Progress, Sweep, last_line, lines_of
from segjax.train.sweepdir import folder_of, output_of

TOLD = {1, 2}  # the statuses of a command that says in a line why it ends
PAUSE = 0.05  # seconds between two looks at the children


def command_of(text: str, point: sweeps.Point, extra: Mapping[str, str], workdir) -> list[str]:
    """The `segjax train` command of one point; its paths are as they are in the current folder."""
    path, _ = files.split_name(text)
    config = f"{path}:{point['arg']}" if "arg" in point else str(path)
    settings = {key: value for key, value in point.items() if key != "arg"} | dict(extra)
    flags = [f"--config.{key}={value}" for key, value in settings.items()]
    # -P: a folder `segjax` in the current one, as that of a clone, is not taken for the package
    head = [sys.executable, "-P", "-m", "segjax.cli", "train"]
    return [*head, "--config", config, "--workdir", str(workdir), *flags]


class Local:
    """Runs every point that is not done, `jobs` at once; a failed point does not stop the rest."""

    flags: ClassVar[Mapping[str, Flag]] = {
        "jobs": Flag(1, "how many points run at the same time; cores are shared out", 1),
        "watchdog": WATCHDOG,
    }

    def __init__(self, *, jobs: int | None = None, watchdog: int | None = None):
        self.jobs = 1 if jobs is None else jobs
        self.watchdog = WATCHDOG.default if watchdog is None else watchdog

    def check(self, configs: Sequence[ConfigDict]) -> None:
        """Whatever `segjax train` takes."""

    def run(self, sweep: Sweep) -> bool:
        """Waits for all children."""
        commands = {}
        for point in sweep.progress.missing:
            folder = folder_of(sweep.workdir, point)
            words = command_of(sweep.text, point, sweep.extra, folder)
            commands[sweeps.point_id(point)] = [*words, f"--watchdog={self.watchdog}"]
        with _signals() as asked:
            Children(self.jobs, asked, self.watchdog).run(sweep.progress, commands)
        return True


@dataclass
class Children:
    """The subprocesses of a sweep, at most `jobs` at a time.

    Attributes:
        jobs: how many run at the same time.
        asked: the signals that came.
        watchdog: seconds after which one that is stopped, which cannot end itself, is killed.
        running: points and their processes, by place.
        stopped: since when processes are stopped, by place.
    """

    jobs: int
    asked: list[int]
    watchdog: float = 0
    running: dict[int, tuple[sweeps.Point, subprocess.Popen]] = field(default_factory=dict)
    stopped: dict[int, float] = field(default_factory=dict)

    def run(self, progress: Progress, commands: Mapping[str, list[str]]) -> None:
        """Runs the missing points of a sweep, by their commands; raises Interrupted on a signal."""
        waiting, told = list(progress.missing), 0
        while waiting or self.running:
            while waiting and len(self.running) < self.jobs and not self.asked:
                point = waiting.pop(0)
                progress.begins(point)
                self._start(point, folder_of(progress.workdir, point), commands)
            for slot, (point, child) in list(self.running.items()):
                if child.poll() is None:
                    self._end_stopped(slot, child)
                    continue
                del self.running[slot]
                waited = self.stopped.pop(slot, None)
                # This end of its pipe, which stays open for as long as the child may run
                child.stdin.close()
                if child.returncode == 0:
                    progress.ended(point)
                # A child that was told to stop has not failed: its point stays begun
                elif not self.asked:
                    line = failure(child.returncode, output_of(folder_of(progress.workdir, point)))
                    if self._is_over(waited):
                        line = f"stopped for more than {self.watchdog:g} s, so killed"
                    progress.ended(point, line)
            if len(self.asked) > told:
                # Sent when signals come, not at every look: a second SIGTERM would keep a child
                # from saving. Signals of one moment, as of a terminal that closes, are one.
                again, told = told > 0, len(self.asked)
                for _, child in self.running.values():
                    child.kill() if again else child.terminate()
                    child.send_signal(signal.SIGCONT)  # one that is stopped takes no other
            if self.asked and not self.running:
                raise Interrupted("stopped by a signal, points saved; the same command goes on")
            time.sleep(PAUSE)

    def _end_stopped(self, slot: int, child: subprocess.Popen) -> None:
        """Kills a child that was stopped for too long; its own watchdog is stopped with it."""
        if not _is_stopped(child.pid):
            self.stopped.pop(slot, None)
        elif self._is_over(self.stopped.setdefault(slot, time.monotonic())):
            child.kill()

    def _is_over(self, since: float | None) -> bool:
        return (
            bool(self.watchdog) and since is not None and (time.monotonic() - since > self.watchdog)
        )

    def _start(self, point: sweeps.Point, folder: pathlib.Path, commands: Mapping) -> None:
        slot = next(slot for slot in range(self.jobs) if slot not in self.running)
        # Appended: what the point printed before it was interrupted stays
        with output_of(folder).open("a") as output:
            child = parent.start(
                commands[sweeps.point_id(point)],
                _environment(self.jobs),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches this process alone, which passes it on
            )
        if self.jobs > 1 and hasattr(os, "sched_setaffinity"):
            with contextlib.suppress(OSError):  # it has ended already
                # The child is importing still: threads that it starts later inherit this.
                os.sched_setaffinity(child.pid, cores_of(slot, self.jobs))
        self.running[slot] = point, child


def failure(status: int, output: pathlib.Path) -> str:
    """Why a child failed, in one line: the signal that killed it, or what it said of its end."""
    if status >= 0:
        # Another process may be printing there, as one that trains this point already
        own = [line for line in lines_of(output) if line.startswith("segjax: ")]
        return own[-1] if status in TOLD and own else last_line(output)
    name = signal.Signals(-status).name if -status in {*signal.Signals} else f"signal {-status}"
    memory = " (out of memory?)" if -status == signal.SIGKILL else ""
    return f"killed by {name}{memory}; what it printed is in {output}"


def _is_stopped(child: int) -> bool:
    """Whether a child is stopped by a signal."""
    try:
        # It stays to be waited for, and to be asked again
        return os.waitid(os.P_PID, child, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
    except (AttributeError, OSError):  # not POSIX; or it has ended
        return False


def cores_of(slot: int, jobs: int) -> set[int]:
    """The processor cores of one of `jobs` children; with fewer cores than jobs, one each."""
    cores = sorted(os.sched_getaffinity(0))
    return set(cores[slot::jobs]) or {cores[slot % len(cores)]}


def _environment(jobs: int) -> dict[str, str]:
    """The children's environment: on an accelerator each takes its share of the memory."""
    # JAX takes three quarters of an accelerator's memory at its start: a second child would find
    # too little left.
    share = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / jobs:.3f}"} if jobs > 1 else {}
    # What the user has set counts
    return share | os.environ


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects the signals that ask for an end, instead of ending."""
    asked: list[int] = []
    # Python lets only the main thread set handlers of signals
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {
        name: signal.signal(getattr(signal, name), lambda number, frame: asked.append(number))
        for name in names
    }
    try:
        yield asked
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
