"""Losses. Every public function is one: arrays in, one value per image out, the caller reduces."""

from segjax.losses.localization import (
    coordinate_mean_squared_error,
    multiscale_softmax_cross_entropy,
)
from segjax.losses.lovasz import lovasz_softmax
from segjax.losses.overlap import dice, focal_tversky, generalized_dice, jaccard, tversky
from segjax.losses.pixel import cross_entropy, focal, region_wise_cross_entropy, top_k_cross_entropy

__all__ = [
    "coordinate_mean_squared_error",
    "cross_entropy",
    "dice",
    "focal",
    "focal_tversky",
    "generalized_dice",
    "jaccard",
    "lovasz_softmax",
    "multiscale_softmax_cross_entropy",
    "region_wise_cross_entropy",
    "top_k_cross_entropy",
    "tversky",
]
