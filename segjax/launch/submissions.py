"""What was submitted of a sweep: a folder and a record for each array job.

DIR/slurm/0001/job.json       the job's name, its points, and its number, when Slurm has given it
DIR/slurm/0001/points.txt     the points and their commands, a line each
DIR/slurm/0001/submit.sh      the batch script
DIR/slurm/0001/0.txt, …       what Slurm prints of each task of the array
"""

import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from segjax.errors import UserError
from segjax.files import write_text

FOLDER = "slurm"
RECORD = "job.json"


@dataclass(frozen=True)
class Submission:
    """An array job of some points.

    Attributes:
        folder: of the submission.
        name: of the job, which no other one has.
        points: ids, in the order of the array.
        job: Slurm's number of it; None while sbatch has not given it, or where that was not kept.
    """

    folder: pathlib.Path
    name: str
    points: Sequence[str]
    job: int | None = None

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return time.time() - self.folder.stat().st_mtime

    def keep(self, job: int | None = None) -> "Submission":
        """Writes it down, with the job's number."""
        kept = dataclasses.replace(self, job=job)
        content = dataclasses.asdict(kept) | {"folder": str(self.folder.resolve())}
        write_text(self.folder / RECORD, json.dumps(content) + "\n")
        return kept


def read(sweep: pathlib.Path) -> list[Submission]:
    """All submissions of a sweep, the oldest first; UserError for a damaged record.

    Those of another sweep, of which this folder is a copy, are not of this one.
    """
    folders = [path for path in _numbered(sweep) if (path / RECORD).exists()]
    made = [(_read(folder), folder) for folder in folders]
    return [one for (one, place), folder in made if not _is_copy(place, folder)]


def last(sweep: pathlib.Path) -> int:
    """The number of the last submission, 0 for none."""
    return max((int(path.name) for path in _numbered(sweep)), default=0)


def _numbered(sweep: pathlib.Path) -> list[pathlib.Path]:
    folder = sweep / FOLDER
    # Also links that lead nowhere: their names are taken
    names = os.listdir(folder) if folder.is_dir() else []
    return [folder / name for name in sorted(names) if name.isascii() and name.isdigit()]


def _read(folder: pathlib.Path) -> tuple[Submission, str]:
    """A submission, and where it was made."""
    path = folder / RECORD
    try:
        content = json.loads(path.read_text())
        name, points, place = content["name"], content["points"], content["folder"]
        job = None if content["job"] is None else int(content["job"])
        if all(isinstance(text, str) for text in (name, place, *points)):
            return Submission(folder, name, points, job), place
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        pass
    raise UserError(f"{path}: damaged: not the record of a submission")


def _is_copy(place: str, folder: pathlib.Path) -> bool:
    """Whether the folder in which a job was submitted is there still, and another one."""
    try:
        return not os.path.samefile(place, folder)
    except OSError:  # moved, or seen under another name on this machine
        return False
