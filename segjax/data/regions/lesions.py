"""From masks of lesions to the regions that a careful annotator would mark."""

from typing import NamedTuple

import cv2
import numpy as np

from segjax import checks
from segjax.data.regions.geometry import REGIONS, union


class Marked(NamedTuple):
    """Regions that hold a lesion, and how much of it lies outside them.

    Attributes:
        names: of the regions, in the order of `REGIONS`.
        share_outside: share of the lesion's pixels further than the tolerance from all of them.
        farthest: distance of the lesion's farthest pixel from them, in D; 0 where none is outside.
    """

    names: tuple[str, ...]
    share_outside: float
    farthest: float


def marked(
    lesion_mask: np.ndarray,
    regions: np.ndarray,
    *,
    distance: float,
    share: float = 0.25,
    tolerance: float = 0.1,
) -> Marked:
    """The regions in which a lesion lies, as annotations by region that agree with its mask.

    A connected component (8 neighbours) marks each region that holds at least `share` of its area,
    and the one that holds most of it in any case. So a lesion that only touches a border is marked
    once, one that lies across it twice, and none is left out, however small.

    Source: ours. Son et al. (2018), section 2.1, had the regions marked by hand.
    Departures: not applicable.

    Args:
        lesion_mask: bool or integer `[h, w]` or `[h, w, 1]`; not 0 is lesion.
        regions: uint8 `[h, w]` from `region_map`.
        distance: D, from the disc's centre to the fovea, in pixels of the mask.
        share: of a component's area, above 0 and at most 1; of 1 each component marks one region.
        tolerance: how far outside the marked regions a pixel is let pass, in D.

    Returns: `Marked`. The regions cover the image, so lesions lie outside the marked ones only:
        the parts of components that were too small a share. Distances are between centres of
        pixels.
    Empty cases: a mask without lesion marks nothing: ((), 0, 0).
    Raises: ValueError on shapes that differ, regions that are no indices, or options out of range;
        TypeError on a mask of floats.
    Cost: O(h w).
    """
    checks.check("distance", distance, checks.number(above=0))
    checks.check("share", share, checks.number(above=0, most=1))
    checks.check("tolerance", tolerance, checks.number(least=0))
    lesion = _lesion(lesion_mask, regions)
    if not lesion.any():
        return Marked((), 0.0, 0.0)
    count, components = cv2.connectedComponents(lesion.astype(np.uint8), connectivity=8)
    inside = components > 0
    # Pixels of each component in each region
    cells = (components[inside] - 1) * len(REGIONS) + regions[inside]
    areas = np.bincount(cells, minlength=(count - 1) * len(REGIONS)).reshape(-1, len(REGIONS))
    holds = areas >= share * areas.sum(axis=1, keepdims=True)
    holds[np.arange(count - 1), areas.argmax(axis=1)] = True
    names = tuple(np.array(REGIONS)[holds.any(axis=0)].tolist())
    outside = ~union(regions, names)
    if not np.any(outside & lesion):
        return Marked(names, 0.0, 0.0)
    # cv2 measures from every pixel that is not 0 to the nearest one that is
    away = cv2.distanceTransform(outside.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    far = away[lesion].astype(np.float64) / distance
    return Marked(names, float(np.mean(far > tolerance)), float(far.max()))


def _lesion(mask: np.ndarray, regions: np.ndarray) -> np.ndarray:
    mask, regions = np.asarray(mask), np.asarray(regions)
    if not (mask.dtype == bool or np.issubdtype(mask.dtype, np.integer)):
        raise TypeError(f"`lesion_mask` takes booleans or integers, got {mask.dtype}")
    if regions.dtype != np.uint8 or regions.ndim != 2 or regions.max(initial=0) >= len(REGIONS):
        raise ValueError("`regions` takes uint8 indices [h, w], as `region_map` gives them")
    if mask.shape not in (regions.shape, (*regions.shape, 1)):
        raise ValueError(
            f"`lesion_mask` takes the shape of `regions`, {regions.shape}, got {mask.shape}"
        )
    return mask.reshape(regions.shape) != 0
