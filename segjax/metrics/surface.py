"""Distances between the boundaries of two masks, in physical units. On the host, with SciPy."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from segjax.metrics.masks import cropped_pairs, mask_pairs
from segjax.ops import checks
from segjax.types import Array, Bool, Float

Spacing = float | Sequence[float] | np.ndarray | None


def hausdorff_distance(
    pred: Bool[Array, "b *s"],
    label: Bool[Array, "b *s"],
    *,
    spacing: Spacing = None,
    percentile: float = 100,
) -> Float[np.ndarray, "b"]:
    """Hausdorff distance between two boundaries (0 is perfect), or a percentile of it.

    The farthest that either boundary strays from the other: one stray pixel decides it, which
    `percentile=95` (HD95) forgives.

    H = max(q_p {d(a, B) : a in A}, q_p {d(b, A) : b in B}), A and B the boundary pixels
    m & ~erode(m) of `pred` and `label`, d(a, B) = min_b |a - b|, q_p the percentile p.

    Source: Huttenlocher et al. (1993); Valverde and Tohka (2022), equation (7).
    Departures: none at 100. The percentile is taken of each direction and the larger one returned,
    as MONAI does; MedPy's hd95 pools the two directions first and is smaller. Boundary pixels count
    alike, whatever area of the surface they stand for.

    Args:
        pred: binary masks `[b, h, w]` or `[b, d, h, w]`; one image needs its batch axis too.
        label: the true masks. Outside the image is background: an object that touches the edge
            has a boundary there.
        spacing: units per pixel along each spatial axis, `[axes]`, or a row for each image,
            `[b, axes]`; one number for all; None is 1.
        percentile: in [0, 100], interpolated linearly.

    Returns: one distance per image, float64, in units of `spacing`.
    Empty cases: both empty 0. One empty: inf, for no distance measures a missing object, and a
        finite stand-in would depend on the size of the image; report how many there are.
    Raises: ValueError on a wrong rank, shape, spacing or percentile, or on a map of more than two
        classes; TypeError on floats.
    Cost: host. A k-d tree of the boundary pixels: O(m log m) for m of them, O(n) to find them.
    """
    checks.check_number("percentile", percentile, least=0, most=100)

    def score(outward: np.ndarray, inward: np.ndarray) -> float:
        return max(np.percentile(outward, percentile), np.percentile(inward, percentile))

    return _scores(pred, label, spacing, score, both_empty=0, one_empty=np.inf)


def average_surface_distance(
    pred: Bool[Array, "b *s"],
    label: Bool[Array, "b *s"],
    *,
    spacing: Spacing = None,
    symmetric: bool = True,
) -> Float[np.ndarray, "b"]:
    """Mean distance between two boundaries (0 is perfect).

    ASSD = (sum_(a in A) d(a, B) + sum_(b in B) d(b, A)) / (|A| + |B|); with `symmetric=False` only
    sum_(a in A) d(a, B) / |A|, from the prediction to the label, which does not see what it misses.

    Source: Heimann et al. (2009), the liver segmentation challenge.
    Departures: none. MedPy's assd is the mean of the two directed means instead, which differs
    where one boundary is longer.

    Args:
        pred: binary masks `[b, h, w]` or `[b, d, h, w]`; one image needs its batch axis too.
        label: the true masks.
        spacing: units per pixel along each spatial axis, `[axes]` or `[b, axes]`; one number for
            all; None is 1.
        symmetric: whether both directions count.

    Returns: one distance per image, float64, in units of `spacing`.
    Empty cases: both empty 0; one empty inf, as for `hausdorff_distance`.
    Raises: ValueError on a wrong rank, shape or spacing, or on a map of more than two classes;
        TypeError on floats.
    Cost: host, as `hausdorff_distance`.
    """

    def score(outward: np.ndarray, inward: np.ndarray) -> float:
        return np.mean(np.concatenate([outward, inward]) if symmetric else outward)

    return _scores(pred, label, spacing, score, both_empty=0, one_empty=np.inf)


def surface_dice(
    pred: Bool[Array, "b *s"],
    label: Bool[Array, "b *s"],
    *,
    tolerance: float,
    spacing: Spacing = None,
) -> Float[np.ndarray, "b"]:
    """Share of the two boundaries that lies within `tolerance` of the other; 1 is perfect.

    How much of the contour a person need not redraw; also called the normalised surface distance.

    NSD = (#{a in A : d(a, B) <= t} + #{b in B : d(b, A) <= t}) / (|A| + |B|)

    Source: Nikolov et al. (2018), arXiv:1809.04430.
    Departures: boundary pixels count alike; the authors weigh surface elements by their area.

    Args:
        pred: binary masks `[b, h, w]` or `[b, d, h, w]`; one image needs its batch axis too.
        label: the true masks.
        tolerance: t >= 0 in units of `spacing`, such as the distance between two readers. Distances
            equal to it count as within, rounding in the last digits aside.
        spacing: units per pixel along each spatial axis, `[axes]` or `[b, axes]`; one number for
            all; None is 1.

    Returns: one value per image in [0, 1], float64.
    Empty cases: both empty 1; one empty 0.
    Raises: ValueError on a wrong rank, shape, spacing or tolerance, or on a map of more than two
        classes; TypeError on floats.
    Cost: host, as `hausdorff_distance`.
    """
    checks.check_number("tolerance", tolerance, least=0)
    # Distances are roots of sums of products: one that equals the tolerance may end above it.
    reach = tolerance * (1 + 1e-9)

    def score(outward: np.ndarray, inward: np.ndarray) -> float:
        return np.mean(np.concatenate([outward, inward]) <= reach)

    return _scores(pred, label, spacing, score, both_empty=1, one_empty=0)


def _scores(
    pred: ArrayLike,
    label: ArrayLike,
    spacing: Spacing,
    score: Callable[[np.ndarray, np.ndarray], float],
    *,
    both_empty: float,
    one_empty: float,
) -> np.ndarray:
    """`score` of each image's two sets of boundary distances, pred to label and back."""
    from scipy.spatial import KDTree  # here, for it adds to the time that `import segjax` takes

    pred, label = mask_pairs(pred, label)
    units = _units(spacing, len(pred), pred.ndim - 1)
    scores = np.empty(len(pred), np.float64)
    for index, (one, other) in enumerate(cropped_pairs(pred, label)):
        if one.any() and other.any():
            # In units before the search, for which pixel is the nearest depends on them
            a, b = _boundary(one) * units[index], _boundary(other) * units[index]
            scores[index] = score(KDTree(b).query(a)[0], KDTree(a).query(b)[0])
        else:
            scores[index] = one_empty if one.any() or other.any() else both_empty
    return scores


def _boundary(mask: np.ndarray) -> np.ndarray:
    """Positions `[m, axes]` of the pixels that an erosion by the face-connected cross removes."""
    # The margin is background, so an object that touches the edge has a boundary there.
    padded, inside = np.pad(mask, 1), mask.copy()
    for axis in range(mask.ndim):
        for start in (0, 2):
            shifted = [slice(1, -1)] * mask.ndim
            shifted[axis] = slice(start, start + mask.shape[axis])
            inside &= padded[tuple(shifted)]
    return np.argwhere(mask & ~inside)


def _units(spacing: Spacing, images: int, axes: int) -> np.ndarray:
    """Units per pixel, `[images, axes]`."""
    units = np.asarray(1.0 if spacing is None else spacing, np.float64)
    if units.shape not in ((), (axes,), (images, axes)):
        raise ValueError(
            f"`spacing` takes one number, or {axes}, one per spatial axis, or one such row per "
            f"image; got shape {units.shape}"
        )
    if not np.all((units > 0) & np.isfinite(units)):
        raise ValueError(f"`spacing` takes numbers above 0, got {units.tolist()}")
    return np.broadcast_to(units, (images, axes))
