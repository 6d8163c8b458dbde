"""The losses of a localisation with the decoding that belongs to each, by word.

Source: Wu, Walter, Merhof, Multiscale Softmax Cross Entropy for Fovea Localization on Color Fundus
Photography, table 1.
"""

from ml_collections import ConfigDict

from segjax.checks import nearest
from segjax.config.lookup import spec
from segjax.errors import UserError

# How a heat map becomes axis logits: the pooling between scales, and the reduction to an axis.
AXES = {"ave/mean": ("average", "mean"), "max/sum": ("max", "sum")}
WORDS = ("msce", "sce", "mse")


def localization_loss(text: str) -> tuple[dict[str, ConfigDict], dict[str, str]]:
    """The terms of `config.loss`, and the options of the task that decode by them.

    Args:
        text: msce (multiscale softmax cross entropy), sce (the finest scale alone) or mse (of the
            coordinates), with +ave/mean, which is the default, or +max/sum behind it.

    Raises: UserError for another word.
    """
    word, _, axes = text.partition("+")
    for value, known in ((word, WORDS), (axes or "ave/mean", tuple(AXES))):
        if value not in known:
            raise UserError(
                f"loss={text!r}: no {value!r}{nearest(value, known)} It takes: {', '.join(known)}"
            )
    pool, reduce = AXES[axes or "ave/mean"]
    if word == "mse":
        term = spec("losses", "coordinate_mean_squared_error", reduce=reduce)
    else:
        scales = 1 if word == "sce" else None
        name = "multiscale_softmax_cross_entropy"
        term = spec("losses", name, scales=scales, pool=pool, reduce=reduce)
    term.weight = 1.0
    # A map trained for its centre of mass is decoded by it
    decode = "centroid" if word == "mse" else "argmax"
    return {word: term}, {"decode": decode, "pool": pool, "reduce": reduce}
