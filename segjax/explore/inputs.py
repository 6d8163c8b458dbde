"""Small arrays for any loss, made from its parameters' names, in ordinary and extreme cases."""

from collections.abc import Sequence

import numpy as np

from segjax.errors import UserError

# random: every class present. saturated: logits of +-1e4. empty: background alone. full: the last
# class everywhere. absent: one class missing.
SITUATIONS = ("random", "saturated", "empty", "full", "absent")
# The parameters that arrays are made for.
NAMES = (
    "logits",
    "labels",
    "maps",
    "heatmap",
    "points",
    "activation_logits",
    "region",
    "anchor",
    "positive",
    "negative",
)


def arguments(
    parameters: Sequence[str],
    situation: str = "random",
    *,
    batch: int = 2,
    spatial: tuple[int, ...] = (8, 8),
    channels: int = 3,
    features: int = 5,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """One float64 or integer array for each of a loss's positional parameters.

    Args:
        parameters: names of the parameters; the contract's names mean what they mean there.
        situation: one of `SITUATIONS`.
        batch, spatial, channels: the shape `[b, *s, c]` of logits and maps.
        features: length of the vectors of a metric-learning loss.
        seed: of the random numbers.

    Returns: `{name: array}`, in the order of `parameters`.
    Raises: UserError for a parameter name that no loss of segjax has.
    """
    shape, drawn = (batch, *spatial, channels), {}
    for name in parameters:
        # Each array depends on (name, seed) only, not on its neighbours.
        rng = np.random.default_rng([seed, *name.encode()])
        if name in ("logits", "heatmap", "activation_logits"):
            classed = name == "logits"
            drawn[name] = _logits(rng, shape if classed else shape[:-1], situation, classed)
        elif name == "labels":
            drawn[name] = _labels(rng, shape[:-1], max(2, channels), situation)
        elif name == "maps":
            drawn[name] = rng.standard_normal(shape)
        elif name == "points":
            drawn[name] = rng.uniform(0, spatial[::-1], (batch, len(spatial)))
        elif name == "region":
            drawn[name] = _labels(rng, shape[:-1], 2, situation) > 0
        elif name in ("anchor", "positive", "negative"):
            scale = 1e4 if situation == "saturated" else 1.0
            drawn[name] = scale * rng.standard_normal((batch, features))
        else:
            raise UserError(f"{name}: no array of this name is known; it has: {', '.join(NAMES)}")
    return drawn


def _logits(
    rng: np.random.Generator, shape: tuple[int, ...], situation: str, classed: bool
) -> np.ndarray:
    drawn = 2 * rng.standard_normal(shape)
    if situation != "saturated":
        return drawn
    one_of_many = classed and shape[-1] > 1
    # One class of many at +1e4, as a saturated softmax has it; each sign by itself otherwise
    best = drawn == drawn.max(axis=-1, keepdims=True) if one_of_many else drawn > 0
    return np.where(best, 1e4, -1e4)


def _labels(
    rng: np.random.Generator, shape: tuple[int, ...], classes: int, situation: str
) -> np.ndarray:
    if situation == "empty":
        return np.zeros(shape, np.int32)
    if situation == "full":
        return np.full(shape, classes - 1, np.int32)
    labels = rng.integers(0, classes, shape).astype(np.int32)
    if situation == "absent":
        labels[labels == 1] = 0
    return labels
