"""Pure array code that losses, metrics and models share."""

from segjax.ops.heatmap import (
    axis_logits,
    decode_agreement,
    decode_argmax,
    decode_centroid,
    decode_median,
    decode_subpixel,
    maximum_scales,
)
from segjax.ops.pooling import average_pool, max_pool
from segjax.ops.resampling import crop_center, pad_to_multiple, upsample_nearest

__all__ = [
    "average_pool",
    "axis_logits",
    "crop_center",
    "decode_agreement",
    "decode_argmax",
    "decode_centroid",
    "decode_median",
    "decode_subpixel",
    "max_pool",
    "maximum_scales",
    "pad_to_multiple",
    "upsample_nearest",
]
