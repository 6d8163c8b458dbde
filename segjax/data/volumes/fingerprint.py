"""What a plan needs to know of a data set of volumes: sizes, spacings, intensities."""

import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import ndimage

from segjax.data.ignored import IGNORED
from segjax.errors import UserError

EVERY = 10  # of the foreground voxels, one in ten enters the intensity statistics

Slices = tuple[slice, slice, slice]


class Record:
    """A frozen dataclass that is kept as JSON: one field a line, and checked when read.

    Fields with a default came later, and may be missing.
    """

    def to_json(self) -> str:
        """JSON text, a field a line."""
        fields = dataclasses.asdict(self).items()
        lines = (f" {json.dumps(name)}: {json.dumps(value)}" for name, value in fields)
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_json(cls, text: str, *, source: str) -> typing.Self:
        """The record in `text`; UserError naming `source`, the file, when it is none."""
        try:
            return _decode(cls, json.loads(text), "")
        except ValueError as error:
            what = cls.__name__.lower()
            raise UserError(f"{source}: damaged, or no {what} of segjax: {error}") from error

    def digest(self) -> str:
        """16 hexadecimal digits that stand for the content."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]


def _decode(kind, value, name: str):
    """`value`, from JSON, as the annotated `kind`; ValueError naming the field otherwise."""
    wrong = ValueError(f"{name or 'the content'} is {json.dumps(value)[:60]}")
    if isinstance(kind, types.UnionType):
        inner, _ = typing.get_args(kind)  # only X | None occurs
        return None if value is None else _decode(inner, value, name)
    if typing.get_origin(kind) is tuple:
        kinds = typing.get_args(kind)
        if not isinstance(value, list):
            raise wrong
        # tuple[int, ...]: as many of the first kind as there are items
        if kinds[-1] is Ellipsis:
            kinds = kinds[:1] * len(value)
        if len(kinds) != len(value):
            raise wrong
        return tuple(_decode(k, item, name) for k, item in zip(kinds, value, strict=True))
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        if not isinstance(value, dict):
            raise wrong
        younger = {f.name for f in dataclasses.fields(kind) if f.default is not dataclasses.MISSING}
        # Odd is what only one side has, but for a field with a default that the file lacks.
        if odd := sorted((hints.keys() ^ value.keys()) - (younger - value.keys())):
            raise ValueError(f"field {odd[0]!r} is {'missing' if odd[0] in hints else 'unknown'}")
        return kind(**{field: _decode(hints[field], value[field], field) for field in value})
    # A length edited by hand, such as 1, is an int in JSON
    if kind is float and type(value) is int:
        value = float(value)
    # By type, for true is an int to isinstance; and Python's JSON reads NaN and Infinity
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise wrong
    return value


@dataclasses.dataclass(frozen=True)
class Intensity:
    """Statistics of a channel over the foreground voxels of all training cases."""

    median: float
    mean: float
    sd: float
    min: float
    max: float
    percentile_99_5: float
    percentile_00_5: float


@dataclasses.dataclass(frozen=True)
class Fingerprint(Record):
    """A data set in numbers. Axes are the stored ones, (d, h, w)."""

    dataset: str
    cases: int
    classes: tuple[str, ...]  # names of labels 1..k
    modalities: tuple[str, ...]  # names of the channels
    sizes: tuple[tuple[int, int, int], ...]  # voxels after the crop, a row for each case
    spacings: tuple[tuple[float, float, float], ...]  # mm
    reductions: tuple[float, ...]  # voxels after the crop / before it
    intensities: tuple[Intensity, ...]  # of each channel
    data: str = ""  # digest of the prepared set; not known of older records
    split: str = ""


def crop_to_nonzero(image: np.ndarray) -> tuple[Slices, np.ndarray]:
    """The box around everything that is not zero, and what lies inside the object in it.

    **Source**: nnU-Net v1 and v2, `crop_to_nonzero`: the union over channels, holes filled.
    **Departures**: none.

    Args:
        image: `[d, h, w, c]`.

    Returns: three slices of the axes (d, h, w); booleans of the cropped shape, True inside.
    **Empty cases**: all zero keeps the whole volume, with nothing inside.
    Cost: one filling of holes over the box.
    """
    nonzero = np.any(image != 0, axis=-1)
    found = ndimage.find_objects(nonzero.astype(np.uint8))
    if not found:
        return tuple(slice(0, size) for size in nonzero.shape), nonzero
    box = found[0]
    # Holes of the box are holes of the volume: the object nowhere reaches beyond the box.
    return box, ndimage.binary_fill_holes(nonzero[box])


def compute(
    volumes: Iterable[tuple[np.ndarray, np.ndarray, Sequence[float]]],
    *,
    dataset: str,
    classes: Sequence[str],
    modalities: Sequence[str],
) -> Fingerprint:
    """The fingerprint of a data set, from one volume at a time.

    **Source**: nnU-Net v1, `DatasetAnalyzer`: every tenth foreground voxel of each case.
    **Departures**: statistics of single cases are not kept; nothing in a plan reads them. Voxels
    of the label 255, of which nothing is known, are no foreground (version 2 takes them in).

    Args:
        volumes: (image `[d, h, w, c]`, labels `[d, h, w]`, mm along (d, h, w)) of each case.
        dataset: its name.
        classes: names of labels 1..k.
        modalities: names of the c channels.

    Returns: the fingerprint.
    Raises: UserError when there is no case or no foreground, or a case does not fit the names.
    Cost: one pass over the volumes; memory for a tenth of the foreground voxels.
    """
    sizes, spacings, reductions, samples = [], [], [], []
    for index, (image, labels, spacing) in enumerate(volumes):
        _check(image, labels, spacing, f"{dataset}: case {index}", len(classes), len(modalities))
        box, _ = crop_to_nonzero(image)
        inner = image[box]
        sizes.append(inner.shape[:3])
        # Six digits are what a float32 of a file header holds.
        spacings.append(tuple(float(f"{size:.6g}") for size in spacing))
        reductions.append(math.prod(inner.shape[:3]) / math.prod(image.shape[:3]))
        # Indexed before thinning: every tenth of the foreground, in stored order, as nnU-Net takes
        # it
        samples.append(inner[_foreground(labels[box])][::EVERY].astype(np.float32))
    if not samples:
        raise UserError(f"{dataset}: there is no case to plan for")
    voxels = np.concatenate(samples)
    if not len(voxels):
        raise UserError(f"{dataset}: no case has a voxel of {', '.join(classes)}")
    return Fingerprint(
        dataset=dataset,
        cases=len(sizes),
        classes=tuple(classes),
        modalities=tuple(modalities),
        sizes=tuple(sizes),
        spacings=tuple(spacings),
        reductions=tuple(reductions),
        intensities=tuple(_intensity(channel) for channel in voxels.T),
    )


def _foreground(labels: np.ndarray) -> np.ndarray:
    return (labels > 0) & (labels != IGNORED)


def _check(image, labels, spacing, case: str, classes: int, modalities: int) -> None:
    if image.ndim != 4 or image.shape[:3] != labels.shape or len(spacing) != 3:
        shapes = f"image {image.shape}, labels {labels.shape}, {len(spacing)} spacings"
        raise UserError(f"{case}: takes an image [d, h, w, c] and labels [d, h, w], got {shapes}")
    if image.shape[3] != modalities:
        raise UserError(f"{case}: {image.shape[3]} channels, but {modalities} are named")
    if not all(0 < size < math.inf for size in spacing):
        raise UserError(f"{case}: spacing {tuple(spacing)}, it takes three positive lengths in mm")
    if not np.isfinite(image).all():
        raise UserError(f"{case}: the image has values that are not finite numbers")
    if (largest := labels.max(initial=0, where=labels != IGNORED)) > classes:
        raise UserError(f"{case}: label {largest}, but only 1 to {classes} are named")


def _intensity(voxels: np.ndarray) -> Intensity:
    # Sums of millions of float32 lose digits
    voxels = voxels.astype(np.float64)
    low, median, high = np.percentile(voxels, (0.5, 50, 99.5))
    return Intensity(
        median=float(median),
        mean=float(voxels.mean()),
        sd=float(voxels.std()),
        min=float(voxels.min()),
        max=float(voxels.max()),
        percentile_99_5=float(high),
        percentile_00_5=float(low),
    )
