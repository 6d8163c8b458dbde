"""What a command may write over: the files that segjax wrote itself, and never its own input."""

import gzip
import json
import os
import pathlib
import zlib
from collections.abc import Iterable, Sequence

from segjax.errors import UserError
from segjax.files import MARK

_LONGEST_HEAD = 4096
_LONGEST_NAME = 240  # bytes; files take 255, temporary ones among them
_PNG_MARK = b"tEXtSoftware\0" + MARK.encode()
_DESCRIP, _VOXELS = slice(148, 228), 352  # where a NIfTI-1 file describes itself, and goes on
_TABLE = b"image,"
_PLANS = ({"fingerprint", "transposition"}, {"modalities", "reductions"})  # and fingerprints


def nifti_mark(voxels: bytes) -> bytes:
    """What the header of a NIfTI file of labels says: segjax, and a checksum of the voxels.

    An editor that corrects labels by hand may keep the header.
    """
    return f"{MARK} {zlib.crc32(voxels):08x}".encode()


def is_own(path: pathlib.Path) -> bool:
    """Whether segjax wrote a file: a marked PNG or NIfTI file, a table of predictions, a plan."""
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
    return head.startswith(_TABLE) if path.suffix == ".csv" else _PNG_MARK in head


def check_replaceable(paths: Iterable[pathlib.Path], flag: str = "--output") -> None:
    """Raises UserError for the first path that something else than segjax has put there."""
    for path in paths:
        # lexists: a dangling link is something of the user's, too
        if os.path.lexists(path) and not is_own(path):
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
    places = [(folder, _identity(folder), _identities(folder)) for folder in folders]
    for path in inputs:
        own, around = _identity(path), _identities(path)
        for folder, identity, above in places:
            # A file cannot hold the output; its own identity would only match hard links
            if path.is_dir() and own in above:
                where = "is" if own == identity else "lies in"
                raise UserError(f"{flag} {folder}: {where} the input {path}; take another folder")
            if identity in around:
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
        # casefold: on macOS and Windows `A.png` and `a.png` are one file
        other = seen.setdefault(name.casefold(), path)
        if other is not path and other == path:
            raise UserError(f"--input {path}: is given twice")
        if other is not path:
            raise UserError(
                f"--input {path}: its output {name} would be that of {other} too; rename one, or "
                "predict them into different folders"
            )


def _identity(path: pathlib.Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _identities(path: pathlib.Path) -> set[tuple[int, int] | None]:
    """Those of the true path and of the folders above it, as far as they exist."""
    # Resolved first: the parents of a link are not those of its target
    true = path.resolve()
    return {_identity(place) for place in (true, *true.parents)} - {None}
