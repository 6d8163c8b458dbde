"""What earlier predictions left in an output folder: it stays there, and is named."""

import gzip
import pathlib
import zlib
from collections.abc import Mapping

from segjax.files import MARK

KINDS = ("*.nii.gz", "*/*.png")  # the files that predictions consist of, beside the table
HEAD = 4096  # bytes at the beginning of a file, within which it names segjax
SHOWN = 3

State = tuple[int, int]  # a file that is written anew has another


def files_of(output: pathlib.Path) -> dict[str, State]:
    """The files below a folder that are of the kinds of predictions, each with its state."""
    found = sorted(path for kind in KINDS for path in output.glob(kind))
    return {path.relative_to(output).as_posix(): _state(path) for path in found if path.is_file()}


def remark(output: pathlib.Path, before: Mapping[str, State], *, most: int = SHOWN) -> str | None:
    """A line on the files of earlier predictions; None where there are none.

    Args:
        output: the folder of a prediction that has ended.
        before: `files_of` it, when the prediction began.
        most: how many are named.
    """
    now = files_of(output)
    left = [name for name, state in before.items() if now.get(name) == state]
    # Of any run, so that only what the file says tells whose it is. Not by `outputs.is_own`: labels
    # that someone has corrected since are of an earlier prediction, too.
    left = [name for name in left if _names_segjax(output / name)]
    if not left:
        return None
    more = f" and {len(left) - most} more" if len(left) > most else ""
    return (
        f"{output} also holds {len(left)} file{'s' * (len(left) > 1)} of earlier predictions, not "
        f"of this one, whose rows predictions.csv no longer has: {', '.join(left[:most])}{more}"
    )


def _state(path: pathlib.Path) -> State:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def _names_segjax(path: pathlib.Path) -> bool:
    """Whether a picture or a volume says that segjax made it."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            return MARK.encode() in file.read(HEAD)
    except (OSError, EOFError, zlib.error):
        return False
