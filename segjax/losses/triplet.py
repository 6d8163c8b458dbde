"""Loss of three embedded vectors: an anchor, one of its kind, and one of another kind."""

import jax
import jax.numpy as jnp

from segjax.ops import checks, classes
from segjax.types import Array, Float

DISTANCES = ("angular", "cosine", "euclidean")
SHORTEST = 1e-12  # a shorter vector is not stretched to length 1: its gradient would blow up


def triplet(
    anchor: Float[Array, "b d"],
    positive: Float[Array, "b d"],
    negative: Float[Array, "b d"],
    *,
    margin: float = 0.5,
    distance: str = "angular",
) -> Float[Array, "b"]:
    """How much nearer the positive should be to the anchor than the negative is (0 is enough).

    It shapes an embedding, and is 0 with zero gradient as soon as the margin is kept, so most
    triplets soon teach nothing: sample hard ones. It does not classify; a cross entropy beside it
    does.

    L = [d(anchor, positive) - d(anchor, negative) + margin]_+;
    'angular': d(u, v) = arccos(u.v / |u||v|) / pi = (2 / pi) atan2(|u^ - v^|, |u^ + v^|),
    u^ = u / |u|, in [0, 1]; 'cosine': 1 - u^.v^, in [0, 2]; 'euclidean': |u - v|.

    Source: Multi-scale Microaneurysms Segmentation Using Embedding Triplet Loss, equation (1), with
    its margin and its angular cosine distance. FaceNet's (Schroff et al. 2015) is twice 'cosine'
    with half its margin.
    Departures: the paper does not say whether the angle is divided by pi; a margin of 0.5 fits
    distances in [0, 1]. It sums over triplets, which is left to the caller. arccos has an infinite
    slope at equal and at opposite vectors; atan2 gives the same number with a bounded one.

    Args:
        anchor: embedded vectors, of any length.
        positive: of the same kind as the anchor.
        negative: of another kind.
        margin: >= 0, in units of the distance.
        distance: 'angular' (the paper), 'cosine' or 'euclidean'.

    Returns: one value per triplet, >= 0; float32 (float64 for float64 vectors).
    Empty cases: equal vectors are 0 apart and opposite ones 1 ('angular'), both with zero gradient;
        a zero vector is at right angles to every other, 0.5 ('angular') or 1 ('cosine').
    Raises: ValueError on shapes and options; TypeError on dtypes.
    Cost: O(b d).
    """
    checks.check_rank("anchor", anchor, 2)
    for name, vectors in (("anchor", anchor), ("positive", positive), ("negative", negative)):
        checks.check_floating(name, vectors)
        checks.check_shape(name, vectors, tuple(anchor.shape))
    checks.check_option("distance", distance, DISTANCES)
    margin = checks.check_number("margin", margin, least=0)
    dtype = classes.computing_dtype(anchor)
    anchor, positive, negative = (x.astype(dtype) for x in (anchor, positive, negative))
    apart = {"angular": _angular, "cosine": _cosine, "euclidean": _euclidean}[distance]
    slack = apart(anchor, positive) - apart(anchor, negative) + margin
    # Not a maximum: at 0 it would pass half of the gradient.
    return jnp.where(slack <= 0, 0, slack)


def _angular(u: Float[Array, "b d"], v: Float[Array, "b d"]) -> Float[Array, "b"]:
    u, v = _unit(u), _unit(v)
    across, along = _unless_rounding(_length(u - v)), _unless_rounding(_length(u + v))
    # Two zero vectors: an angle of 0, and no slope, which atan2 does not have there.
    none = (across == 0) & (along == 0)
    return jnp.where(none, 0, jnp.arctan2(across, jnp.where(none, 1, along)) * (2 / jnp.pi))


def _cosine(u: Float[Array, "b d"], v: Float[Array, "b d"]) -> Float[Array, "b"]:
    return 1 - jnp.sum(_unit(u) * _unit(v), axis=-1)


def _euclidean(u: Float[Array, "b d"], v: Float[Array, "b d"]) -> Float[Array, "b"]:
    return _length(u - v)


def _unless_rounding(length: Float[Array, "b"]) -> Float[Array, "b"]:
    """0 for what rounding leaves of the difference of equal unit vectors: it has no direction."""
    return jnp.where(length <= 8 * jnp.finfo(length.dtype).eps, 0, length)


def _unit(x: Float[Array, "b d"]) -> Float[Array, "b d"]:
    return x / jnp.maximum(_length(x), SHORTEST)[:, None]


def _length(x: Float[Array, "b d"]) -> Float[Array, "b"]:
    """|x| without overflow or underflow of the squares; its gradient at 0 is 0."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1))
    # The slope of a root at 0 is infinite, so the root is taken of 1 there: a `where` after it
    # alone would give the gradient 0 * inf.
    none = largest == 0
    largest = jnp.where(none, 1, largest)
    squares = jnp.sum((x / largest[:, None]) ** 2, axis=-1)
    return jnp.where(none, 0, jnp.sqrt(jnp.where(none, 1, squares)) * largest)
