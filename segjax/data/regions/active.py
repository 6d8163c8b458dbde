"""The regions in which an activation map sees a finding."""

import numpy as np
from numpy.typing import ArrayLike

from segjax.data.regions.geometry import REGIONS, region_map

# From here on a cell speaks for the finding: its logit is positive
ACTIVE = 0.5


def active_regions(activation: np.ndarray, disc: ArrayLike, fovea: ArrayLike) -> tuple[str, ...]:
    """The regions that hold activation of at least 0.5 or, where there is none, the highest one.

    Source: none; the paper shows maps, and leaves regions to the eye.

    Args:
        activation: `[h, w]` in 0 to 1, the map over the photograph, at any resolution.
        disc: (x, y) in pixels of the map.
        fovea: (x, y).

    Returns: names, in the order of `REGIONS`.
    Empty cases: a map that is 0 everywhere gives none.
    Raises: ValueError as `region_map`.
    """
    peak = float(activation.max())
    if not peak > 0:
        return ()
    numbers = region_map(disc, fovea, *activation.shape)
    found = np.unique(numbers[activation >= min(ACTIVE, peak)])
    return tuple(REGIONS[number] for number in found)
