"""Augmentation on the device: of photographs with points or masks, of slices with labels.

Both take their options from one vocabulary, and move pixels by one warp.
"""

from segjax.data.augment.photographs import (
    augment,
    augment_with_masks,
    cut_at_random,
    default_strengths,
    region_around,
)
from segjax.data.augment.slices import EFFECTS, augment_slice, default_options, region_shape

__all__ = [
    "EFFECTS",
    "augment",
    "augment_slice",
    "augment_with_masks",
    "cut_at_random",
    "default_options",
    "default_strengths",
    "region_around",
    "region_shape",
]
