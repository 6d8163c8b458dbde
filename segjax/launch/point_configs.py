"""The configs of a sweep's points, kept before the first one trains.

An experiment file may change before the turn of a point has come, in a queue or on this machine.
The point refuses to train then (`train/workdir.py: check_new`), and so does the sweep, of which no
report may mix two experiments.
"""

import pathlib
from collections.abc import Sequence, Set

from ml_collections import ConfigDict

from segjax.config import files, sweeps
from segjax.errors import UserError
from segjax.files import write_text
from segjax.train import workdir as workdirs
from segjax.train.sweepdir import folder_of


def check(
    text: str,
    workdir: pathlib.Path,
    points: Sequence[sweeps.Point],
    configs: Sequence[ConfigDict],
    busy: Set[str],
) -> None:
    """UserError if a point that has begun, or that is `busy`, would be another training now."""
    for point, config in zip(points, configs, strict=True):
        name, folder = sweeps.point_id(point), folder_of(workdir, point)
        if not (name in busy or _has_begun(folder)):
            continue
        if difference := workdirs.changed(folder, config):
            raise UserError(
                f"--config {text}: has changed since the point {name} was begun or submitted "
                f"({difference}); put it back, or take another --workdir"
            )


def keep(
    workdir: pathlib.Path,
    points: Sequence[sweeps.Point],
    configs: Sequence[ConfigDict],
    busy: Set[str],
) -> None:
    """Writes the configs of all points that are yet to begin."""
    for point, config in zip(points, configs, strict=True):
        folder = folder_of(workdir, point)
        if not (sweeps.point_id(point) in busy or _has_begun(folder)):
            write_text(folder / workdirs.CONFIG, files.to_json(config))


def _has_begun(folder: pathlib.Path) -> bool:
    return (folder / workdirs.ENVIRONMENT).exists()
