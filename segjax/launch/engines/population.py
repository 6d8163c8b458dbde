"""Runs the points of a sweep together: those of one shape train in one compiled program.

Points that differ in hyperparameters alone (seed, learning rate, weights of terms:
`train/hyperparameters.py`) make a population; whatever else differs makes another one, so that
every sweep runs. Work folders are those of `segjax train`. A point that failed runs again alone.
"""

import pathlib
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from ml_collections import ConfigDict

from segjax.config import sweeps
from segjax.errors import Interrupted, UserError
from segjax.launch.flags import WATCHDOG, Flag
from segjax.launch.sweep import Progress, Sweep
from segjax.train.sweepdir import failure_of, folder_of, output_of

HERE = "--engine population"


class Population:
    """Trains every point that is not done, `members` at once; one that fails leaves the rest be."""

    flags: ClassVar[Mapping[str, Flag]] = {
        "members": Flag(8, "how many points train in one program; 16 on accelerators", 1),
        "watchdog": WATCHDOG,
    }

    def __init__(self, *, members: int | None = None, watchdog: int | None = None):
        self.members = members
        self.watchdog = WATCHDOG.default if watchdog is None else watchdog

    def check(self, configs: Sequence[ConfigDict]) -> None:
        """UserError for what a population does not do."""
        for config in configs:
            check(config)

    def run(self, sweep: Sweep) -> bool:
        """Trains group by group."""
        # Here: the parser reads the flags of all engines at every command, which should not wait
        # for JAX.
        import jax

        from segjax.launch import grouping
        from segjax.train.loop import Stop

        members = self.members or (8 if jax.default_backend() == "cpu" else 16)
        with Stop() as stop:
            for group in _to_run(grouping.groups(sweep.configs, members), sweep.progress):
                _run(group, sweep, stop, self.watchdog)
        return True


def check(config: ConfigDict) -> None:
    """UserError for what a population does not do."""
    if config.parallel == "pmap":
        raise UserError(f"config.parallel='pmap': {HERE} takes 'sharding'; or take --engine local")
    for key, value in config.train.items():
        if key.startswith("patience") and value is not None:
            raise UserError(
                f"config.train.{key}={value!r}: {HERE} stops no member early; "
                "set it to none, or take --engine local"
            )


def _to_run(made: list, progress: Progress) -> Iterator:
    """The groups without what is done; points that failed before come last, each alone."""
    from segjax.launch import grouping

    missing = {sweeps.point_id(point) for point in progress.missing}
    ids = [sweeps.point_id(point) for point in progress.points]
    folders = [folder_of(progress.workdir, point) for point in progress.points]
    # Looked up before any point begins, for that forgets its failure
    failed = {place for place, folder in enumerate(folders) if failure_of(folder).exists()}
    for group in made:
        left = tuple(i for i in group.places if ids[i] in missing and i not in failed)
        for together in grouping.at_one_step(left, folders):
            yield grouping.Group(together, group.paths)
    # Alone, so that what made one fail does not end the others with it again
    for place in sorted(failed):
        if ids[place] in missing:
            yield grouping.Group((place,), ())


def _run(group: Any, sweep: Sweep, stop: Any, limit: float) -> None:
    """Trains one group; an error that is not one member's fails all that are not done."""
    from segjax.launch import job
    from segjax.train.watchdog import Watchdog

    jobs, points = [], {}
    for place in group.places:
        point = sweep.points[place]
        folder = folder_of(sweep.workdir, point)
        sweep.progress.begins(point)
        jobs.append(job.Job(sweep.configs[place], folder, _writer(output_of(folder))))
        points[folder] = point

    def finished(one: job.Job, error: str | None) -> None:
        if error is not None:
            one.say(f"segjax: {error}")
        # Taken out: those left when an error comes are the ones that have not ended
        sweep.progress.ended(points.pop(one.folder), error)

    try:
        job.train_together(jobs, group.paths, stop, finished, Watchdog(limit))
    # Not the fault of a point: it ends the sweep
    except Interrupted:
        raise
    except Exception as error:
        shown = " ".join(f"{error}".split()) or type(error).__name__
        for one in jobs:
            if one.folder in points:
                # The traceback goes into what the point printed; of a user's mistake the line is
                # enough.
                if not isinstance(error, UserError):
                    one.say(traceback.format_exc())
                finished(one, shown)


def _writer(path: pathlib.Path) -> Callable[[str], None]:
    """Appends lines to a file, which takes what `segjax train` would print."""

    def say(line: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(line + "\n")

    return say
