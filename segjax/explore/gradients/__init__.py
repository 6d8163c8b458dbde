"""The gradients of losses with respect to their logits, written out from the equations.

Each function carries its loss's name and takes its arguments; it returns the gradient of the sum of
the losses over the batch, which is each image's own, in float64. NumPy, no automatic
differentiation: `segjax check` holds the two against each other. Options are the loss's; the loss
refuses the wrong ones.
"""

from segjax.explore.gradients.contour import active_contour
from segjax.explore.gradients.distance import boundary, hausdorff_dt, region_wise
from segjax.explore.gradients.localization import (
    coordinate_mean_squared_error,
    guidance,
    multiscale_softmax_cross_entropy,
    triplet,
)
from segjax.explore.gradients.overlap import (
    dice,
    focal_tversky,
    generalized_dice,
    jaccard,
    lovasz_softmax,
    tversky,
)
from segjax.explore.gradients.pixel import (
    cross_entropy,
    focal,
    region_wise_cross_entropy,
    top_k_cross_entropy,
)

__all__ = [
    "active_contour",
    "boundary",
    "coordinate_mean_squared_error",
    "cross_entropy",
    "dice",
    "focal",
    "focal_tversky",
    "generalized_dice",
    "guidance",
    "hausdorff_dt",
    "jaccard",
    "lovasz_softmax",
    "multiscale_softmax_cross_entropy",
    "region_wise",
    "region_wise_cross_entropy",
    "top_k_cross_entropy",
    "triplet",
    "tversky",
]
