"""Losses. Every public function is one: arrays in, one value per image out, the caller reduces."""

from segjax.losses.active_contour import active_contour
from segjax.losses.centerline import soft_cl_dice
from segjax.losses.guidance import guidance
from segjax.losses.hausdorff_distance import hausdorff_dt
from segjax.losses.hausdorff_morphology import hausdorff_cv, hausdorff_er
from segjax.losses.localization import (
    coordinate_mean_squared_error,
    multiscale_softmax_cross_entropy,
)
from segjax.losses.lovasz import lovasz_softmax
from segjax.losses.overlap import dice, focal_tversky, generalized_dice, jaccard, tversky
from segjax.losses.pixel import cross_entropy, focal, region_wise_cross_entropy, top_k_cross_entropy
from segjax.losses.region_wise import boundary, region_wise
from segjax.losses.topology import betti_matching, topological
from segjax.losses.triplet import triplet

__all__ = [
    "active_contour",
    "betti_matching",
    "boundary",
    "coordinate_mean_squared_error",
    "cross_entropy",
    "dice",
    "focal",
    "focal_tversky",
    "generalized_dice",
    "guidance",
    "hausdorff_cv",
    "hausdorff_dt",
    "hausdorff_er",
    "jaccard",
    "lovasz_softmax",
    "multiscale_softmax_cross_entropy",
    "region_wise",
    "region_wise_cross_entropy",
    "soft_cl_dice",
    "top_k_cross_entropy",
    "topological",
    "triplet",
    "tversky",
]
