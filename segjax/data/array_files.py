"""What is computed from prepared data and kept on disk: flat arrays, opened as memory maps.

A flat `.npy` file holds the arrays of all cases end to end, so that a set of any length takes one
open file a kind. A set appears under its name whole or not at all. What is made of the same data
lies in one folder, named after the data's digest (`folder_of`).
"""

import contextlib
import hashlib
import math
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from segjax.data import staging
from segjax.errors import UserError

FOLDER = "preprocessed"  # of the cache, in the folder of prepared sets unless told otherwise
ELSEWHERE = (
    "name a folder for them: --config.data.cache_dir=DIR where a config is taken, else --cache_dir"
)
DIGITS = 16  # of a hash that make a name


def folder_of(root: str | os.PathLike, digest: str) -> pathlib.Path:
    """Where the cache `root` keeps all that is made from the data of this digest."""
    return pathlib.Path(root) / digest[:DIGITS]


def name_of(content: str, version: int) -> str:
    """The name of what is kept: a hash of what it depends on."""
    return hashlib.sha256(f"{version}\n{content}".encode()).hexdigest()[:DIGITS]


@contextlib.contextmanager
def stage(place: pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder to write in what then gets its place; UserError where that cannot be."""
    folder = place.parent
    try:
        os.makedirs(folder, exist_ok=True)
        staging.remove_abandoned(folder)
        with staging.folder(folder, place.name) as made:
            yield made
    except OSError as error:
        raise UserError(
            f"{folder}: cannot keep preprocessed cases there: {error.strerror or error}; "
            f"{ELSEWHERE}"
        ) from error


def put(made: pathlib.Path, place: pathlib.Path, check: Callable[[], object]) -> None:
    """Gives a finished folder its name, unless another process was faster and its set is whole.

    `check` raises UserError for the set that lies in the place.
    """
    try:
        os.replace(made, place)
        return
    # A folder that holds something is in the place; where none is, the error is of the disk.
    except OSError:
        if not place.exists():
            raise
    try:
        check()
    except UserError:  # damaged: it has to go first, for a full folder is not replaced
        os.replace(place, made.with_name("damaged"))
        os.replace(made, place)


class Writer:
    """A flat .npy file that grows. Its header is written first without, at last with the length."""

    def __init__(self, path: pathlib.Path, dtype: type):
        self._file, self._dtype, self._length = open(path, "wb"), np.dtype(dtype), 0
        self._header()

    def append(self, array: np.ndarray) -> None:
        """Adds an array's values."""
        # The buffer itself: `tobytes` would copy the volume once more
        self._file.write(np.ascontiguousarray(array, self._dtype).data)
        self._length += array.size

    def close(self) -> None:
        """Writes the final header; NumPy leaves room in headers for the first axis to grow."""
        self._file.seek(0)
        self._header()
        self._file.close()

    def _header(self) -> None:
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._length,)}
        np.lib.format.write_array_header_1_0(self._file, header)


def split(path: pathlib.Path, shapes: Sequence[tuple[int, ...]], dtype: type) -> list[np.ndarray]:
    """The arrays that lie end to end in a flat .npy file, as views of one memory map."""
    try:
        flat = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: missing or damaged: {error}") from error
    sizes = [math.prod(shape) for shape in shapes]
    # A file that was cut short, or never got its last header, has another length
    if flat.dtype != dtype or flat.shape != (sum(sizes),):
        raise UserError(f"{path}: damaged: {flat.dtype} {flat.shape}, expected {sum(sizes)} values")
    ends = np.cumsum(sizes)
    parts = zip(ends - sizes, ends, shapes, strict=True)
    return [flat[start:end].reshape(shape) for start, end, shape in parts]
