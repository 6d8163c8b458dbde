"""Photographs at full resolution, preprocessed once and kept as uint8, opened as memory maps.

A set is a folder named after its recipe and its source, with a flat array of each kind, and
`photographs.json`, which says where each photograph lies (`data/array_files.py`).
"""

import dataclasses
import json
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from tqdm import tqdm

from segjax.data.array_files import Writer, name_of, put, split, stage
from segjax.data.contrast import contrast_enhanced
from segjax.data.field_of_view import field_of_view_mask
from segjax.data.resizing import resize_image, resize_mask
from segjax.errors import UserError

VERSION = 1  # of the preprocessing: raise it when the same recipe gives other arrays
INDEX = "photographs.json"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How photographs are preprocessed.

    Attributes:
        scale: of height and width; areas are averaged.
        sigma, gain, offset: of the contrast enhancement, which comes before; gain 0 leaves it out.
    """

    scale: float = 1.0
    sigma: float = 1024 / 30
    gain: float = 4.0
    offset: float = 128.0

    def size(self, stored: Sequence[int]) -> tuple[int, int]:
        """Height and width at the scale, of those of a photograph."""
        return tuple(max(1, round(side * self.scale)) for side in stored[:2])

    def apply(self, image: np.ndarray) -> np.ndarray:
        """A photograph `[h, w, 3]` uint8, enhanced and at the scale."""
        if self.gain:
            image = contrast_enhanced(image, sigma=self.sigma, gain=self.gain, offset=self.offset)
        size = self.size(image.shape)
        return image if size == image.shape[:2] else resize_image(image, size)


@dataclasses.dataclass(frozen=True)
class Marked:
    """What is known of a photograph as it is stored.

    Attributes:
        image: `[h, w, 3]` uint8.
        lesions: `[h, w]` bool.
        is_healthy: whether it counts as one without any sign of the disease.
    """

    image: np.ndarray
    lesions: np.ndarray
    is_healthy: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph, ready for patches to be cut. Its arrays are memory-mapped and read-only.

    Attributes:
        name: its `image_id`.
        image: `[h, w, 3]` uint8, at the scale of the recipe.
        labels: `[h, w]` uint8, 1 where a lesion is, at that scale.
        field: `[h, w]` uint8, 1 inside the camera's field of view, at that scale.
        stored_labels: `[H, W]` uint8, at the size of the photograph.
        is_healthy: whether it counts as one without any sign of the disease.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray
    field: np.ndarray
    stored_labels: np.ndarray
    is_healthy: bool


def prepare_photographs(
    examples: Iterable[Mapping],
    recipe: Recipe,
    folder: str | os.PathLike,
    *,
    read: Callable[[Mapping], Marked],
    key: str,
    label: str,
) -> list[Photograph]:
    """Every example of a split, preprocessed: from `folder` when it is there, else made and kept.

    A set that is damaged is named on stderr and made again. Several processes may call this at
    once: each makes its own, and the first to end gives the set its place.

    Args:
        examples: with `image_id` and what `read` takes; not touched when the set is there already.
        recipe: how to prepare them.
        folder: where sets of these data are kept (`array_files.folder_of`).
        read: what is known of an example.
        key: what the examples are, and what `read` takes of them: the data's digest, the split, …
        label: what to call the set in messages and beside the progress bar.

    Returns: the photographs, in the order of the examples.
    Raises: UserError naming the photograph or the folder, where a mask has another size than its
        image, two have one name, there is none, or the folder cannot be written.
    Cost: some two seconds for twelve million pixels the first time, milliseconds after that.
    """
    key = f"{key}\n{dataclasses.asdict(recipe)}"
    place = pathlib.Path(folder) / name_of(key, VERSION)
    if place.exists():
        try:
            return _open(place, key)
        except UserError as error:
            print(f"{label}: preparing again, because {error}", file=sys.stderr)
    with stage(place) as staged:
        made = staged / place.name
        made.mkdir()
        _write(examples, recipe, made, read, key, label)
        put(made, place, lambda: _open(place, key))
    return _open(place, key)


def _write(examples, recipe: Recipe, folder: pathlib.Path, read, key: str, label: str) -> None:
    """Fills a folder with the arrays and the index of a set."""
    kinds = ("image", "labels", "field", "stored_labels")
    writers = {kind: Writer(folder / f"{kind}.npy", np.uint8) for kind in kinds}
    rows: dict[str, dict] = {}
    total = len(examples) if hasattr(examples, "__len__") else None
    bar = {"desc": f"preparing {label}", "total": total, "disable": not sys.stderr.isatty()}
    try:
        for example in tqdm(examples, **bar):
            name, marked = id_of(example), read(example)
            if name in rows:
                raise UserError(f"{label}: two photographs have the name {name}")
            arrays = _prepared(name, marked, recipe)
            for kind, writer in writers.items():
                writer.append(arrays[kind])
            rows[name] = {
                "size": list(arrays["labels"].shape),
                "stored": list(marked.lesions.shape),
                "is_healthy": bool(marked.is_healthy),
            }
    finally:
        for writer in writers.values():
            writer.close()
    if not rows:
        raise UserError(f"{label}: there is no photograph")
    # Written last, of what was written: it gives the arrays their lengths
    content = {"version": VERSION, "key": key, "photographs": rows}
    (folder / INDEX).write_text(json.dumps(content, indent=1), encoding="utf-8")


def id_of(example: Mapping) -> str:
    """The `image_id` of an example."""
    name = example["image_id"]
    return name.decode() if isinstance(name, bytes) else str(name)


def _prepared(name: str, marked: Marked, recipe: Recipe) -> dict[str, np.ndarray]:
    stored = marked.image.shape[:2]
    if marked.lesions.shape != stored:
        shapes = (f"{shape[1]}x{shape[0]}" for shape in (marked.lesions.shape, stored))
        raise UserError("{}: a mask of {} pixels, an image of {}".format(name, *shapes))
    size = recipe.size(stored)
    # A lesion of a few pixels stays, where half of a pixel is covered
    labels = resize_mask(marked.lesions, size)
    return {
        "image": recipe.apply(marked.image),
        "labels": labels.astype(np.uint8),
        "field": resize_mask(field_of_view_mask(marked.image), size).astype(np.uint8),
        "stored_labels": marked.lesions.astype(np.uint8),
    }


def _open(place: pathlib.Path, key: str) -> list[Photograph]:
    """The photographs of a set; UserError naming the file that is missing or damaged."""
    path = place / INDEX
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if (content["version"], content["key"]) != (VERSION, key):
            raise ValueError("it does not belong to this folder")
        rows = content["photographs"]
        sizes = [tuple(row["size"]) for row in rows.values()]
        stored = [tuple(row["stored"]) for row in rows.values()]
        healthy = [row["is_healthy"] for row in rows.values()]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: missing or damaged: {error}") from error
    shapes = {
        "image": [(*size, 3) for size in sizes],
        "labels": sizes,
        "field": sizes,
        "stored_labels": stored,
    }
    arrays = [split(place / f"{kind}.npy", shapes[kind], np.uint8) for kind in shapes]
    return [
        Photograph(name, *parts, is_healthy=known)
        for name, *parts, known in zip(rows, *arrays, healthy, strict=True)
    ]
