"""The preprocessed cases of a split: made once, kept on disk, opened as memory maps after that.

A set is a folder named after its recipe and its source. It holds three flat arrays, `image.npy`,
`labels.npy` and `stored_labels.npy`, the cases end to end, so that a set of any length takes three
open files; and `cases.json`, which says where each case lies. It appears under its name whole or
not at all. Sets of the same data lie in one folder, named after the data's digest (`folder_of`).
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import math
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from tqdm import tqdm

from segjax.data import staging
from segjax.data.volumes.fingerprint import Record
from segjax.data.volumes.preprocess import Geometry, Recipe, preprocess, preprocess_labels
from segjax.errors import UserError

VERSION = 1  # of the preprocessing: raise it when the same recipe gives other arrays
THREADS = 2
KINDS = {"image": np.float32, "labels": np.uint8, "stored_labels": np.uint8}
INDEX = "cases.json"
FOLDER = "preprocessed"  # of the cache, in the folder of prepared sets unless told otherwise
ELSEWHERE = (
    "name a folder for them: --config.data.cache_dir=DIR where a config is taken, else --cache_dir"
)
DIGITS = 16  # of a hash that make a name


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """One volume, ready for a 2-D network, and its labels as the data set has them.

    All arrays are memory-mapped and read-only.
    """

    name: str
    image: np.ndarray  # float32 [d, h, w, c], through-plane axis first
    labels: np.ndarray  # uint8 [d, h, w]
    spacing: tuple[float, float, float]  # mm along (d, h, w) of that grid
    geometry: Geometry
    stored_labels: np.ndarray  # uint8, of the stored axes
    stored_spacing: tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Index(Record):
    """The content of `cases.json`."""

    version: int
    key: str
    recipe: Recipe
    names: tuple[str, ...]
    geometries: tuple[Geometry, ...]

    def shapes(self, kind: str) -> list[tuple[int, ...]]:
        """The shape of each case's array of one kind."""
        if kind == "stored_labels":
            return [geometry.stored_shape for geometry in self.geometries]
        shapes = [geometry.shape_after for geometry in self.geometries]
        channels = len(self.recipe.normalization)
        return [(*shape, channels) for shape in shapes] if kind == "image" else shapes


def folder_of(root: str | os.PathLike, digest: str) -> pathlib.Path:
    """Where the cache `root` keeps all that is made from the data of this digest."""
    return pathlib.Path(root) / digest[:DIGITS]


def prepare_cases(
    examples: Iterable[Mapping],
    recipe: Recipe,
    folder: str | os.PathLike,
    *,
    key: str,
    label: str,
) -> list[Case]:
    """Every example of a split, preprocessed: from `folder` when it is there, else made and kept.

    A set that is damaged or incomplete is named on stderr and made again. Several processes may
    call this at once: each makes its own, and the first to end gives the set its place.

    Args:
        examples: with the fields `image`, `labels`, `spacing` and `image_id`; not touched when the
            set is there already.
        recipe: how to prepare them.
        folder: where sets of these data are kept (`folder_of`).
        key: what the examples are: the data's digest and the split.
        label: what to call the set in messages and beside the progress bar.

    Returns: the cases, in the order of the examples.
    Raises: UserError naming the case or the folder, when an example is no volume, two have one
        name, there is none, or the folder cannot be written.
    Cost: about 0.1 s for a million voxels the first time, and milliseconds after that.
    """
    place = pathlib.Path(folder) / _name(f"{key}\n{recipe.to_json()}")
    # Checked without a lock: a set appears whole, by a rename, or not at all
    if place.exists():
        try:
            return _open(place, key)
        except UserError as error:
            print(f"{label}: preparing again, because {error}", file=sys.stderr)
    with _stage(place) as stage:
        # A folder in the locked one: the stage itself is removed at the end, and is not what moves.
        made = stage / place.name
        made.mkdir()
        _write(examples, recipe, made, key, label)
        _put(made, place, key)
    return _open(place, key)


def kept_arrays(
    folder: str | os.PathLike,
    *,
    key: str,
    shapes: Sequence[tuple[int, ...]],
    make: Callable[[], Iterable[np.ndarray]],
) -> list[np.ndarray]:
    """What was computed from a set of cases, an array a case: from `folder`, or made and kept.

    Args:
        folder: where sets of these data are kept.
        key: of the cases and of what is computed from them.
        shapes: of the arrays.
        make: gives the arrays, float32, one after the other.

    Returns: memory maps, read-only.
    Raises: UserError when the folder cannot be written.
    """
    path = pathlib.Path(folder) / f"{_name(key)}.npy"
    try:
        if path.exists():
            return _split(path, shapes, np.float32)
    except UserError as error:
        print(f"computing again, because {error}", file=sys.stderr)
    with _stage(path) as stage:
        writer = _Writer(stage / path.name, np.float32)
        for array in make():
            writer.append(array)
        writer.close()
        # A file replaces another in one step, which a folder cannot: no `_put` is needed here
        os.replace(stage / path.name, path)
    return _split(path, shapes, np.float32)


def _name(content: str) -> str:
    return hashlib.sha256(f"{VERSION}\n{content}".encode()).hexdigest()[:DIGITS]


@contextlib.contextmanager
def _stage(place: pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder to write in what then gets its place; UserError where that cannot be."""
    folder = place.parent
    try:
        os.makedirs(folder, exist_ok=True)
        staging.remove_abandoned(folder)
        with staging.folder(folder, place.name) as stage:
            yield stage
    except OSError as error:
        raise UserError(
            f"{folder}: cannot keep preprocessed cases there: {error.strerror or error}; "
            f"{ELSEWHERE}"
        ) from error


def _write(examples, recipe: Recipe, folder: pathlib.Path, key: str, label: str) -> None:
    """Fills a folder with the arrays and the index of a set."""
    writers = {kind: _Writer(folder / f"{kind}.npy", dtype) for kind, dtype in KINDS.items()}
    geometries: dict[str, Geometry] = {}
    total = len(examples) if hasattr(examples, "__len__") else None
    bar = {"desc": f"preparing {label}", "total": total, "disable": not sys.stderr.isatty()}
    try:
        for name, arrays, geometry in tqdm(_prepared(examples, recipe, label), **bar):
            if name in geometries:
                raise UserError(f"{label}: two cases have the name {name}")
            geometries[name] = geometry
            for kind, writer in writers.items():
                writer.append(arrays[kind])
    finally:
        for writer in writers.values():
            writer.close()
    if not geometries:
        raise UserError(f"{label}: there is no case")
    # The index is written last, of what was written: it gives the arrays their lengths
    index = Index(VERSION, key, recipe, tuple(geometries), tuple(geometries.values()))
    (folder / INDEX).write_text(index.to_json(), encoding="utf-8")


def _prepared(examples, recipe: Recipe, label: str) -> Iterator[tuple[str, dict, Geometry]]:
    """The examples, preprocessed by threads, in their order; few are in memory at a time."""
    waiting: collections.deque = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        for example in examples:
            waiting.append(pool.submit(_prepare, example, recipe, label))
            # One more than there are threads: a thread that is done finds the next volume waiting
            if len(waiting) > THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _prepare(example: Mapping, recipe: Recipe, label: str) -> tuple[str, dict, Geometry]:
    name = example["image_id"]
    name = name.decode() if isinstance(name, bytes) else str(name)
    stored = np.asarray(example["labels"], np.uint8)
    try:
        image, geometry = preprocess(example["image"], example["spacing"], recipe)
        labels = preprocess_labels(stored, geometry)
    except ValueError as error:
        raise UserError(f"{label}: case {name}: {error}") from error
    return name, {"image": image, "labels": labels, "stored_labels": stored}, geometry


class _Writer:
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


def _put(made: pathlib.Path, place: pathlib.Path, key: str) -> None:
    """Gives a finished folder its name, unless another process was faster and its set is whole."""
    try:
        os.replace(made, place)
        return
    # A folder that holds something is in the place; where none is, the error is of the disk.
    except OSError:
        if not place.exists():
            raise
    try:
        _open(place, key)
    except UserError:  # damaged: it has to go first, for a full folder is not replaced
        os.replace(place, made.with_name("damaged"))
        os.replace(made, place)


def _open(place: pathlib.Path, key: str) -> list[Case]:
    """The cases of a set; UserError naming the file that is missing or damaged."""
    path = place / INDEX
    try:
        index = Index.from_json(path.read_text(encoding="utf-8"), source=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: missing or damaged: {error}") from error
    # The name of the folder is a hash cut to 16 digits; the key itself decides
    if (index.version, index.key) != (VERSION, key) or len(index.names) != len(index.geometries):
        raise UserError(f"{path}: damaged: it does not belong to this folder")
    arrays = {
        kind: _split(place / f"{kind}.npy", index.shapes(kind), KINDS[kind]) for kind in KINDS
    }
    return [
        Case(
            name=name,
            image=image,
            labels=labels,
            spacing=geometry.spacing_after,
            geometry=geometry,
            stored_labels=stored,
            stored_spacing=geometry.spacing_before,
        )
        for name, geometry, image, labels, stored in zip(
            index.names, index.geometries, *arrays.values(), strict=True
        )
    ]


def _split(path: pathlib.Path, shapes: list[tuple[int, ...]], dtype: type) -> list[np.ndarray]:
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
