"""The preprocessed cases of a split: made once, kept on disk, opened as memory maps after that.

A set is a folder named after its recipe and its source. It holds three flat arrays, `image.npy`,
`labels.npy` and `stored_labels.npy`, the cases end to end, so that a set of any length takes three
open files; and `cases.json`, which says where each case lies. It appears under its name whole or
not at all. Sets of the same data lie in one folder, named after the data's digest (`folder_of`).
"""

import collections
import concurrent.futures
import dataclasses
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from tqdm import tqdm

from segjax.data.array_files import Writer, name_of, put, split, stage
from segjax.data.volumes.fingerprint import Record
from segjax.data.volumes.preprocess import Geometry, Recipe, preprocess, preprocess_labels
from segjax.errors import UserError

VERSION = 1  # of the preprocessing: raise it when the same recipe gives other arrays
THREADS = 2
KINDS = {"image": np.float32, "labels": np.uint8, "stored_labels": np.uint8}
INDEX = "cases.json"


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
    place = pathlib.Path(folder) / name_of(f"{key}\n{recipe.to_json()}", VERSION)
    # Checked without a lock: a set appears whole, by a rename, or not at all
    if place.exists():
        try:
            return _open(place, key)
        except UserError as error:
            print(f"{label}: preparing again, because {error}", file=sys.stderr)
    with stage(place) as staged:
        # A folder in the locked one: the staged one is removed at the end, and is not what moves.
        made = staged / place.name
        made.mkdir()
        _write(examples, recipe, made, key, label)
        put(made, place, lambda: _open(place, key))
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
    path = pathlib.Path(folder) / f"{name_of(key, VERSION)}.npy"
    try:
        if path.exists():
            return split(path, shapes, np.float32)
    except UserError as error:
        print(f"computing again, because {error}", file=sys.stderr)
    with stage(path) as staged:
        writer = Writer(staged / path.name, np.float32)
        for array in make():
            writer.append(array)
        writer.close()
        # A file replaces another in one step, which a folder cannot: no `put` is needed here
        os.replace(staged / path.name, path)
    return split(path, shapes, np.float32)


def _write(examples, recipe: Recipe, folder: pathlib.Path, key: str, label: str) -> None:
    """Fills a folder with the arrays and the index of a set."""
    writers = {kind: Writer(folder / f"{kind}.npy", dtype) for kind, dtype in KINDS.items()}
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
    arrays = {kind: split(place / f"{kind}.npy", index.shapes(kind), KINDS[kind]) for kind in KINDS}
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
