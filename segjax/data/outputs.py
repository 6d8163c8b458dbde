"""What a command may write over: the files that segjax wrote itself, and never its own input."""

import csv
import gzip
import json
import os
import pathlib
import re
import zlib
from collections.abc import Iterable, Sequence

from segjax import files
from segjax.data import names
from segjax.errors import UserError
from segjax.files import MARK

_LONGEST_HEAD = 4096
_LONGEST_NAME = 240  # bytes; files take 255, temporary ones among them
_PNG_MARK = b"tEXtSoftware\0" + MARK.encode()
_DESCRIP, _VOXELS = slice(148, 228), 352  # where a NIfTI-1 file describes itself, and goes on
# The columns of tables of predictions: what is predicted, and what earlier versions left empty
# beside it, for it wants annotations
_PREDICTED = re.compile(
    r"predicted_[xy]|(area|volume)_.+|lesions|lesion_share|largest_probability|threshold"
    r"|lesion_(x|y|area|probability)"
)
_JUDGED = re.compile(
    r"true_[xy]|distance(_pixels)?|true_(area|volume)_.+|mean_dice|jaccard"
    r"|(dice|limit|hausdorff|cl_dice|betti_error_[01])_.+"
)
_PLANS = ({"fingerprint", "transposition"}, {"modalities", "reductions"})  # and fingerprints


def nifti_mark(voxels: bytes) -> bytes:
    """What the header of a NIfTI file of labels says: segjax, and a checksum of the voxels.

    An editor that corrects labels by hand may keep the header.
    """
    return f"{MARK} {zlib.crc32(voxels):08x}".encode()


def is_own(path: pathlib.Path, columns: Sequence[str] | None = None) -> bool:
    """Whether segjax wrote a file: a marked PNG or NIfTI file, a table of predictions, a plan.

    Args:
        path: the file.
        columns: of a table of predictions, beside those that tasks of segjax have.
    """
    if path.suffix == ".csv":
        return _is_table(path, columns)
    try:
        with open(path, "rb") as file:
            head = file.read(_LONGEST_HEAD)
            if path.name.endswith(".nii.gz"):
                file.seek(0)
                with gzip.GzipFile(fileobj=file) as stream:
                    # To the end, not just the header: an editor that corrects labels by hand keeps
                    # the header, and its work must not be replaced.
                    data = stream.read()
                return data[_DESCRIP].rstrip(b"\0") == nifti_mark(data[_VOXELS:])
            if path.suffix == ".json":
                # Plans have no mark; they are known by keys that no other JSON is likely to have
                # together.
                content = json.loads(head + file.read())
                return isinstance(content, dict) and any(keys <= content.keys() for keys in _PLANS)
    except (OSError, EOFError, ValueError, zlib.error):
        return False
    return _PNG_MARK in head


def _is_table(path: pathlib.Path, columns: Sequence[str] | None) -> bool:
    """Whether a file has the headers of predictions, and numbers as `files.write_table` does."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            (first, *header), *rows = csv.reader(file)
        cells = [cell for row in rows for cell in row[1:] if cell]
        # Of earlier versions large whole numbers have six digits, too
        written = all(cell in (files.cell(n := float(cell)), f"{n:.6g}") for cell in cells)
    except (OSError, ValueError, csv.Error):
        return False
    predicted = {name for name in header if _PREDICTED.fullmatch(name)}
    others = [name for name in header if name not in predicted and not _JUDGED.fullmatch(name)]
    known = (predicted and not others) or (columns is not None and header == list(columns))
    whole = all(len(row) == len(header) + 1 for row in rows)
    return first in ("image", "lesion") and bool(known) and whole and written


def check_replaceable(
    paths: Iterable[pathlib.Path], flag: str = "--output", columns: Sequence[str] | None = None
) -> None:
    """Raises UserError for the first path that something else than segjax has put there.

    Args:
        paths: may be there or not.
        flag: for messages.
        columns: as `is_own` takes them.
    """
    for path in paths:
        # lexists: a dangling link is something of the user's, too
        if os.path.lexists(path) and not is_own(path, columns):
            what = "is a folder" if path.is_dir() else "exists, and segjax did not write it"
            raise UserError(f"{flag} {path}: {what}; take another name, or remove it")


def check_file(path: pathlib.Path, flag: str = "--output") -> None:
    """Raises UserError when a file cannot be written, or would replace one of someone else's."""
    if path.is_dir():
        raise UserError(f"{flag} {path}: is a folder, not a file")
    check_replaceable([path], flag)


def check_apart(
    output: pathlib.Path,
    inside: Sequence[str],
    inputs: Iterable[pathlib.Path],
    flag: str = "--output",
) -> None:
    """Raises UserError when an output folder and an input are, or lie in, one another.

    Links, `..` and, where the file system ignores it, case make no difference: folders are
    compared by their identity on the disk.

    Args:
        output: the folder, existing or not.
        inside: the names of the folders in it that are written to, which may be links.
        inputs: files and folders that exist.
        flag: the flag of the output, for messages.
    """
    # Folders inside count for themselves: they may be links that lead to the inputs
    folders = [output, *(output / name for name in inside)]
    places = [(folder, identity(folder), _identities(folder)) for folder in folders]
    for path in inputs:
        own, around = identity(path), _identities(path)
        for folder, itself, above in places:
            # A file cannot hold the output; its own identity would only match hard links
            if path.is_dir() and own in above:
                where = "is" if own == itself else "lies in"
                raise UserError(f"{flag} {folder}: {where} the input {path}; take another folder")
            if itself in around:
                raise UserError(f"{flag} {folder}: holds the input {path}; take another folder")


def check_names(outputs: Iterable[tuple[str, pathlib.Path]]) -> None:
    """Raises UserError, naming both, for the first two inputs whose outputs have one name.

    Case counts for nothing, as some file systems do not tell it apart. A name that is too long for
    a file is refused, too.

    Args:
        outputs: pairs of an output's name and its input.
    """
    seen: dict[str, pathlib.Path] = {}
    for name, path in outputs:
        if len(os.fsencode(pathlib.PurePath(name).name)) > _LONGEST_NAME:
            raise UserError(f"--input {path}: its output {name} has too long a name; shorten it")
        # casefold: on macOS and Windows `A.png` and `a.png` are one file; so are ways to write é
        other = seen.setdefault(names.composed(name).casefold(), path)
        if other is not path and other == path:
            raise UserError(f"--input {path}: is given twice")
        if other is not path:
            raise UserError(
                f"--input {path}: its output {name} would be that of {other} too; rename one, or "
                "predict them into different folders"
            )


def identity(path: pathlib.Path) -> tuple[int, int] | None:
    """What a file is on the disk, whatever it is called; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _identities(path: pathlib.Path) -> set[tuple[int, int] | None]:
    """Those of the true path and of the folders above it, as far as they exist."""
    # Resolved first: the parents of a link are not those of its target
    true = path.resolve()
    return {identity(place) for place in (true, *true.parents)} - {None}
