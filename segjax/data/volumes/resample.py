"""Volumes on another grid: cubic for images, class by class for labels, linear for probabilities.

Every interpolation here is linear in the values and separable, so each axis is one product with a
sparse matrix of weights, in place of a loop over voxels and their 64 neighbours. Sparse products
also leave the processor's other cores alone, which dense ones would compete for.
"""

import functools
from collections.abc import Sequence

import numpy as np
from scipy import ndimage, sparse

from segjax.data.ignored import IGNORED

ANISOTROPY = 3  # beyond this ratio of spacings, the coarse axis is not interpolated
_ROUNDING = 1e-3  # spacings of file headers that differ by less are taken as equal


def through_plane_axis(spacing: Sequence[float]) -> int:
    """The axis of largest spacing; on a tie, as for isotropic volumes, the first of those tied."""
    # Within rounding the first axis wins, which is that of the slices in the files' own order
    largest = max(spacing) * (1 - _ROUNDING)
    return next(axis for axis, size in enumerate(spacing) if size >= largest)


def separate_axis(spacing: Sequence[float], target: Sequence[float]) -> int | None:
    """The one axis that is too coarse to be interpolated, or None.

    Source: nnU-Net v1: an axis whose spacing, before or else after, is more than 3 times the
    smallest one; none where two axes share the largest spacing.
    """
    # The old grid first: where it is isotropic, the new one may still be too coarse
    for sizes in (spacing, target):
        if max(sizes) > ANISOTROPY * min(sizes):
            coarse = [axis for axis, size in enumerate(sizes) if size == max(sizes)]
            return coarse[0] if len(coarse) == 1 else None
    return None


def new_shape(
    shape: Sequence[int], spacing: Sequence[float], target: Sequence[float]
) -> tuple[int, ...]:
    """round(shape * spacing / target), at least 1 along each axis."""
    sizes = np.round(np.asarray(shape) * np.asarray(spacing, np.float64) / np.asarray(target))
    return tuple(max(1, int(size)) for size in sizes)


def resample_image(
    image: np.ndarray,
    shape: Sequence[int],
    *,
    spacing: Sequence[float],
    target: Sequence[float],
    order: int = 3,
) -> np.ndarray:
    """An image on a grid of another size over the same extent, by splines.

    Voxel i of the new grid lies at (i + 1/2) old / new - 1/2 of the old one. Beyond its edge a
    volume goes on with the value of its edge. No blur before shrinking.

    **Source**: nnU-Net v1 and v2, `resample_data_or_seg` (order 3, 'edge', no antialiasing, values
    kept in the range of the input). An axis that `separate_axis` names takes the nearest slice.
    **Departures**: sums are float32; weights below 1e-8 are left out.

    Args:
        image: `[d, h, w, c]`.
        shape: the new `(d, h, w)`.
        spacing: mm along (d, h, w) of the grid it is on; only its ratios matter.
        target: mm along (d, h, w) of the new grid.
        order: of the spline, 0 to 5.

    Returns: `[*shape, c]`, float32.
    **Empty cases**: an axis of one voxel is repeated.
    Raises: ValueError when the image has no four axes.
    Cost: a product along each axis that changes, some 30 operations a voxel (order 1: 2).
    """
    if image.ndim != 4:
        raise ValueError(f"`image` takes [d, h, w, c], got shape {image.shape}")
    separate = separate_axis(spacing, target)
    image = np.asarray(image, np.float32)
    if image.shape[:3] == tuple(shape):
        return image.copy()
    resized = _resize(image, shape, order, separate)
    # Linear weights are positive and add up to 1: nothing overshoots
    if order < 2:
        return resized
    # A spline overshoots at edges: the range is that of the slice where slices stand alone.
    over = tuple(axis for axis in range(3) if axis != separate)
    low, high = image.min(over, keepdims=True), image.max(over, keepdims=True)
    if separate is not None:
        nearest = _nearest(image.shape[separate], shape[separate])
        low, high = low.take(nearest, separate), high.take(nearest, separate)
    return np.clip(resized, low, high, out=resized)


def resample_probabilities(
    probs: np.ndarray,
    shape: Sequence[int],
    *,
    spacing: Sequence[float],
    target: Sequence[float],
) -> np.ndarray:
    """`resample_image` of order 1: sums over classes and the range [0, 1] survive it."""
    return resample_image(probs, shape, spacing=spacing, target=target, order=1)


def resample_labels(
    labels: np.ndarray,
    shape: Sequence[int],
    *,
    spacing: Sequence[float],
    target: Sequence[float],
    method: str = "linear",
) -> np.ndarray:
    """Labels on a grid of another size over the same extent.

    'linear': each label's mask is interpolated linearly, and the label written where its share is
    at least 1/2; of two with 1/2 each the higher label wins, and where none has 1/2 there is
    background. 'nearest': the label of the nearest voxel.

    255 says that nothing is known of a voxel. It is also written where it has any share and no
    label, the background among them, has 1/2: nothing is made up there.

    **Source**: nnU-Net v1, `resize_segmentation` of order 1.
    **Departures**: a share counts as 1/2 from 1e-5 below it, for sums are rounded; of 255, theirs
    is one label of many.

    Args:
        labels: `[d, h, w]`, integers from 0 to 255 or booleans.
        shape, spacing, target: as for `resample_image`.
        method: 'linear' or 'nearest'.

    Returns: `[*shape]`, uint8.
    **Empty cases**: labels without foreground stay so.
    Raises: ValueError on another rank or method.
    Cost: one linear resampling for each label that occurs.
    """
    if labels.ndim != 3:
        raise ValueError(f"`labels` takes [d, h, w], got shape {labels.shape}")
    if method not in ("linear", "nearest"):
        raise ValueError(f"`method` takes 'linear' or 'nearest', got {method!r}")
    labels = np.asarray(labels, np.uint8)
    if labels.shape == tuple(shape):
        return labels.copy()
    if method == "nearest":
        return labels[np.ix_(*map(_nearest, labels.shape, shape))]
    separate = separate_axis(spacing, target)

    def share(label: int) -> np.ndarray:
        found = (labels == label).astype(np.float32)[..., None]
        return _resize(found, shape, 1, separate)[..., 0]

    there = np.flatnonzero(np.bincount(labels.ravel(), minlength=1))
    resized = np.zeros(tuple(shape), np.uint8)
    if IGNORED in there:
        resized[(share(IGNORED) > 1e-5) & (share(0) < 0.5 - 1e-5)] = IGNORED
    # Upwards, so that of two with 1/2 each the higher label is written last and stays
    for label in there[there > 0]:
        resized[share(label) >= 0.5 - 1e-5] = label
    return resized


# Cases of a set share few sizes, and a matrix takes `old` interpolations to make
@functools.lru_cache(maxsize=64)
def _weights(old: int, new: int, order: int) -> sparse.csr_array:
    """The matrix `[new, old]` that takes a line of voxels to its new grid: it is linear, so the
    images of the unit vectors are its columns."""
    # Centres of the new pixels in the old line, whose pixel j has its centre at j
    places = ((np.arange(new) + 0.5) * old / new - 0.5)[None]
    columns = [
        ndimage.map_coordinates(unit, places, order=order, mode="nearest") for unit in np.eye(old)
    ]
    weights = np.stack(columns, axis=1)
    # A cubic spline reaches over the whole line, with weights that fall to nothing: cutting them
    # makes the matrix sparse.
    return sparse.csr_array(np.where(np.abs(weights) > 1e-8, weights, 0).astype(np.float32))


def _nearest(old: int, new: int) -> np.ndarray:
    """For each voxel of the new line, the voxel of the old one that holds its centre."""
    # A row of order 0 has a single weight, a 1, so the columns of all rows are the answer
    return _weights(old, new, 0).indices


def _resize(
    image: np.ndarray, shape: Sequence[int], order: int, separate: int | None
) -> np.ndarray:
    """Each axis on its own: the rows and columns of a slice at a time, then across slices."""
    orders = [0 if axis == separate else order for axis in range(3)]
    depth, rows, columns = (
        None if old == new else _weights(old, new, axis_order)
        for old, new, axis_order in zip(image.shape[:3], shape, orders, strict=True)
    )
    resized = np.empty((image.shape[0], *shape[1:], image.shape[3]), np.float32)
    # A slice at a time: the intermediate of a whole volume, rows resized and columns not yet, would
    # take much of its memory again.
    for index, plane in enumerate(image):
        if rows is not None:
            plane = _product(rows, plane)
        if columns is not None:
            plane = _product(columns, plane.swapaxes(0, 1)).swapaxes(0, 1)
        resized[index] = plane
    return resized if depth is None else _product(depth, resized)


def _product(weights: sparse.csr_array, values: np.ndarray) -> np.ndarray:
    """The weights applied along the first axis."""
    # Sparse matrices multiply planes only: all other axes are one for the product
    return (weights @ values.reshape(len(values), -1)).reshape(-1, *values.shape[1:])
