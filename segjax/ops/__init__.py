"""Pure array code that losses, metrics and models share."""

from segjax.ops.distance import distance_transform, signed_distance, unsigned_distance
from segjax.ops.filters import ball, disk, disk_filter, disk_filters, gaussian_filter
from segjax.ops.heatmap import (
    axis_logits,
    decode_agreement,
    decode_argmax,
    decode_centroid,
    decode_median,
    decode_subpixel,
    maximum_scales,
)
from segjax.ops.morphology import soft_dilate, soft_erode, soft_open, soft_skeleton
from segjax.ops.persistence import PersistencePairs, persistence_pairs
from segjax.ops.pooling import average_pool, max_pool, strided_max_pool
from segjax.ops.resampling import (
    crop_center,
    pad_to_multiple,
    upsample_linear_asymmetric,
    upsample_nearest,
)

__all__ = [
    "PersistencePairs",
    "average_pool",
    "axis_logits",
    "ball",
    "crop_center",
    "decode_agreement",
    "decode_argmax",
    "decode_centroid",
    "decode_median",
    "decode_subpixel",
    "disk",
    "disk_filter",
    "disk_filters",
    "distance_transform",
    "gaussian_filter",
    "max_pool",
    "maximum_scales",
    "pad_to_multiple",
    "persistence_pairs",
    "signed_distance",
    "soft_dilate",
    "soft_erode",
    "soft_open",
    "soft_skeleton",
    "strided_max_pool",
    "unsigned_distance",
    "upsample_linear_asymmetric",
    "upsample_nearest",
]
