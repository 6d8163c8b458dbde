"""Submits the points of a sweep to Slurm, as one array job.

Plain sbatch: what is submitted is a text that one can read, and that --engine render writes, too.
What is missing is submitted again by the same command; points that Slurm has already are left be.
"""

import pathlib
import shlex
import time
from collections.abc import Mapping, Sequence
from typing import ClassVar

from ml_collections import ConfigDict

from segjax.config import sweeps
from segjax.errors import UserError
from segjax.launch import cluster, slurm, submissions
from segjax.launch.engines.local import command_of
from segjax.launch.flags import Flag
from segjax.launch.rendering import accelerators, sbatch
from segjax.launch.rendering.task import Task
from segjax.launch.submissions import Submission
from segjax.launch.sweep import Sweep
from segjax.train.sweepdir import folder_of

UNKEPT = 120  # seconds after which Slurm knows a job that it has taken, whoever submitted it
NEW, RETRIES = 60, 5  # seconds for which a submission is new, and how often it is asked for
ENDING = 60  # seconds that tasks have to end when they are cancelled


class Slurm:
    """Submits every point that is not done as one array job; ends when Slurm has taken it."""

    flags: ClassVar[Mapping[str, Flag]] = cluster.FLAGS

    def __init__(self, **values: object):
        self.cluster = cluster.made(values)
        # When Slurm was asked: the number of the last submission, and the jobs that were there
        self.submitted, self.live = 0, list[int]()

    def check(self, configs: Sequence[ConfigDict]) -> None:
        """UserError where there is no Slurm, or it would refuse such a job."""
        cluster.check_points(self.cluster, configs)
        accelerators.check(self.cluster)
        if why := sbatch.unfit(self.cluster):
            raise UserError(f"--engine slurm: {why}")
        _check_name("the current folder", pathlib.Path.cwd())
        slurm.check(self.cluster, pathlib.Path.cwd())

    def busy(self, workdir: pathlib.Path) -> set[str]:
        """Ids of points that Slurm has in its queue, or runs; waits for those that are ending."""
        _check_name("--workdir", workdir.resolve())
        until = time.monotonic() + ENDING
        while True:
            states = self._states(workdir)
            ending = [state for state in states.values() if state.name in slurm.ENDING]
            if not ending or time.monotonic() > until:
                live = {name: state for name, state in states.items() if state.is_live}
                self.live = sorted({state.job for state in live.values()})
                return {*live}
            time.sleep(1)

    def _states(self, workdir: pathlib.Path) -> dict[str, slurm.State]:
        try:
            self.submitted, made = submissions.last(workdir), submissions.read(workdir)
            states = slurm.states(made)
            # A job of this minute that Slurm does not list is asked for again before its points
            # are submitted twice
            for _ in range(RETRIES):
                if all(set(one.points) & states.keys() for one in made if one.age < NEW):
                    break
                time.sleep(1)
                states = slurm.states(made)
        except slurm.Unavailable as error:
            raise UserError(f"--engine slurm: {error}") from error
        for one in made:
            if one.job is None:
                _keep(one, states)
        return states

    def run(self, sweep: Sweep) -> bool:
        """Submits what is missing; when all are done already, the report follows."""
        if not sweep.progress.missing:
            return True
        waiting = [p for p in sweep.progress.missing if sweeps.point_id(p) not in sweep.busy]
        workdir = sweep.workdir.resolve()
        self._submit(workdir, [_task(sweep, point, workdir) for point in waiting])
        busy = len(sweep.progress.missing) - len(waiting)
        if busy:
            print(f"{busy} points are in Slurm's queue already, or run")
        print(
            f"`segjax sweep --status --workdir {shlex.quote(str(sweep.workdir))}` says where they "
            "are; when all are done, the same command as now writes the report"
        )
        return False

    def _submit(self, workdir: pathlib.Path, tasks: Sequence[Task]) -> None:
        """As few jobs as hold all tasks; UserError naming how many were taken before a refusal."""
        try:
            size = slurm.largest_array() if tasks else 1
        except slurm.Unavailable as error:
            raise UserError(f"--engine slurm: {error}") from error
        # The limit of how many run at once is of each array: one waits for the other
        after = self.live if self.cluster.array_limit else []
        for start in range(0, len(tasks), size):
            part = tasks[start : start + size]
            self.submitted += 1
            try:
                made = slurm.submit(workdir, self.submitted, part, self.cluster, after)
            except UserError as error:
                if not start:
                    raise
                # Limits on the jobs of a user, or of all
                raise UserError(
                    f"{error}; {start} of {len(tasks)} points are submitted, and the same command "
                    "submits the others when these have ended"
                ) from error
            after = [*after, made.job] if self.cluster.array_limit else []
            print(f"submitted {len(part)} points as job {made.job} ({made.folder}/{slurm.SCRIPT})")


def _keep(one: Submission, states: Mapping[str, slurm.State]) -> None:
    """Keeps the number of a job whose submission was broken off; UserError while it may come."""
    jobs = {states[point].job for point in one.points if point in states}
    if jobs:
        one.keep(min(jobs))
    elif one.age < UNKEPT:
        raise UserError(
            f"{one.folder}: a submission was begun {one.age:.0f} s ago, whose job Slurm does not "
            f"list: after {UNKEPT} s it never will, and the same command submits its points"
        )


def _check_name(what: str, folder: pathlib.Path) -> None:
    """UserError for a folder that Slurm cannot write into."""
    if any(letter == "\\" or not letter.isprintable() for letter in str(folder)):
        raise UserError(f"{what} {str(folder)!r}: Slurm takes no backslashes or line breaks there")


def _task(sweep: Sweep, point: sweeps.Point, workdir: pathlib.Path) -> Task:
    words = command_of(sweep.text, point, sweep.extra, folder_of(workdir, point))
    return Task(sweeps.point_id(point), words)
