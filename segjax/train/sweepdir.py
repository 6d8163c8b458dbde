"""The folder of a sweep, as engines write it and reports read it.

DIR/sweep.json            the points, with their ids
DIR/points/ID/            each point's work folder
DIR/points/ID.txt         what it printed
DIR/points/ID.failed      the line it failed with; gone when it runs again
"""

import json
import pathlib

from segjax.config import sweeps
from segjax.errors import UserError
from segjax.train import workdir as workdirs

MANIFEST = "sweep.json"


def is_sweep(folder: pathlib.Path) -> bool:
    """Whether a folder was made by `segjax sweep`."""
    return (folder / MANIFEST).exists()


def read_manifest(folder: pathlib.Path) -> dict:
    """The manifest of a sweep's folder; UserError if it is damaged."""
    try:
        return json.loads((folder / MANIFEST).read_text())
    except ValueError as error:
        raise UserError(f"{folder / MANIFEST}: damaged: {error}") from error


def folder_of(folder: pathlib.Path, point: sweeps.Point) -> pathlib.Path:
    """A point's work folder."""
    return folder / "points" / sweeps.point_id(point)


def output_of(workdir: pathlib.Path) -> pathlib.Path:
    """The file that takes what the point of a work folder prints."""
    return workdir.with_name(f"{workdir.name}.txt")


def failure_of(workdir: pathlib.Path) -> pathlib.Path:
    """The file that says that the point of a work folder failed."""
    return workdir.with_name(f"{workdir.name}.failed")


def is_done(folder: pathlib.Path, point: sweeps.Point) -> bool:
    """Whether a point has run to its very end."""
    return workdirs.is_done(folder_of(folder, point))
