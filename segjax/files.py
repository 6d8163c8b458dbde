"""Files that appear whole or not at all: text, bytes, figures, tables, and several at once.

Everything is written beside its place and renamed into it, so that a kill or a full disk leaves the
file of before, or none.
"""

import contextlib
import csv
import hashlib
import io
import math
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MARK = "segjax"  # the software that pictures and label volumes name as theirs


@contextlib.contextmanager
def whole(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A temporary name beside `path`, whose folders are made; the block writes a file there.

    The file takes the place of `path` when the block ends well, and is removed when it does not.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, for a rename is atomic within one file system only; with the number of the
    # process, so that two never write into one file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with naming(path):
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: pathlib.Path) -> Iterator[None]:
    """Gives an OSError that names no file, as that of a full disk, the path that it came from."""
    try:
        yield
    except OSError as error:
        # An error without a number is a library's own, whose message a name does not join.
        if error.errno is not None:
            error.filename = error.filename or str(path)
        raise


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a text file in UTF-8."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: pathlib.Path, content: bytes) -> None:
    """Writes a file of bytes."""
    with whole(path) as temporary:
        temporary.write_bytes(content)


def write_figure(path: pathlib.Path, figure: Any) -> None:
    """Writes a figure of matplotlib as PNG that names segjax as its software."""
    with whole(path) as temporary:
        # The temporary name ends in a number, so the format is named.
        figure.savefig(temporary, dpi=110, format="png", metadata={"Software": MARK})


def write_table(
    path: pathlib.Path,
    columns: Sequence[str],
    names: Sequence[str],
    rows: Sequence[Sequence[float]],
    *,
    first: str = "image",
) -> str:
    """Writes a table of cases as CSV; returns the SHA-256 of the file.

    Args:
        path: the file.
        columns: the header after the first column.
        names: of the cases, one a row.
        rows: `[cases, columns]`, whole numbers written exactly, others with six digits; nan leaves
            a cell empty.
        first: the header of the names.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([first, *columns])
    for name, row in zip(names, rows, strict=True):
        writer.writerow([name, *map(cell, row)])
    write_text(path, text.getvalue())
    return hashlib.sha256(text.getvalue().encode()).hexdigest()


def cell(value: float) -> str:
    """A number as `write_table` writes it."""
    if math.isnan(value):
        return ""
    # Counts of pixels have eight digits; from 2^53 on a float has no single ones
    return f"{value:.0f}" if abs(value) < 2**53 and value == int(value) else f"{value:.6g}"


def write_together(folder: pathlib.Path, contents: Mapping[str, bytes], *, stage: str) -> None:
    """Writes several files of a folder, which is made, or, on any failure, none.

    They are complete in a folder of their own before the first of them takes its place, in the
    order given. A process killed between two renames leaves a mixture, which the first file has to
    tell: let it be the one that holds checksums of the others.

    Args:
        folder: where they go.
        contents: bytes by name.
        stage: how the temporary folder's name begins; what a killed process left of it goes.
    """
    # What was not there before is gone again after a failure.
    created = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{stage}*"):
        shutil.rmtree(left)
    # Within the folder, so that renames stay in one file system
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=stage, dir=folder))
    try:
        for name, content in contents.items():
            with naming(folder / name):
                (temporary / name).write_bytes(content)
        for name in contents:
            os.replace(temporary / name, folder / name)
        temporary.rmdir()
    # Ctrl-C and SIGTERM, which raises KeyboardInterrupt, must not leave half of it either.
    except BaseException:
        shutil.rmtree(folder if created else temporary)
        raise
