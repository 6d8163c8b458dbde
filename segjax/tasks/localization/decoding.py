"""How a heat map becomes a point: functions, and what they answer in words."""

from collections.abc import Callable
from dataclasses import dataclass

from segjax.ops import heatmap


@dataclass(frozen=True)
class Decoder:
    """One way to decode.

    Attributes:
        function: from heat maps `[b, h, w]` to points `[b, 2]`.
        answer: what that is, in words.
        whole: whether it is always the middle of a pixel.
    """

    function: Callable
    answer: str
    whole: bool = False


DECODERS = {
    "argmax": Decoder(
        heatmap.decode_argmax, "the middle of the most probable pixel of each axis", whole=True
    ),
    "agreement": Decoder(
        heatmap.decode_agreement,
        "the middle of the pixel of each axis on which all scales agree most",
        whole=True,
    ),
    "subpixel": Decoder(
        heatmap.decode_subpixel, "the mean position near the most probable pixel of each axis"
    ),
    "median": Decoder(heatmap.decode_median, "the median position of each axis"),
    "centroid": Decoder(
        heatmap.decode_centroid, "the centre of mass of the sigmoid of the logits of each axis"
    ),
}
