"""How far predicted points lie from the true ones."""

import jax.numpy as jnp

from segjax.ops import checks
from segjax.ops.classes import check_where
from segjax.types import Array, Bool, Float


def euclidean_distance(
    predicted: Float[Array, "b 2"], true: Float[Array, "b 2"]
) -> Float[Array, "b"]:
    """Euclidean distance of each pair of points, in the units given (0 is perfect).

    Source: Wu et al., Multiscale Softmax Cross Entropy for Fovea Localization, section 2.1.
    Departures: none.

    Args:
        predicted: points (x, y), in pixels or normalised.
        true: points in the same units.

    Returns: one distance per row, float32.
    Empty cases: no rows give no distances.
    Raises: ValueError on a wrong rank or shape.
    Cost: O(b).
    """
    predicted, true = jnp.asarray(predicted), jnp.asarray(true)
    checks.check_shape("predicted", predicted, (None, 2))
    checks.check_shape("true", true, tuple(predicted.shape))
    error = predicted.astype(jnp.float32) - true.astype(jnp.float32)
    return jnp.hypot(error[:, 0], error[:, 1])


def r_aed(
    predicted: Float[Array, "n 2"],
    true: Float[Array, "n 2"],
    *,
    where: Bool[Array, "n"] | None = None,
) -> Float[Array, ""]:
    """Reciprocal of the average Euclidean distance over a set of images; at most 10, higher better.

    R-AED = 1 / (mean_i |p_i - q_i| + 0.1)

    Source: Wu et al., section 2.1, after the GAMMA challenge.
    Departures: none. The paper's formula shows one image; as the name says, the distances are
    averaged over the set first and the mean is inverted once.

    Args:
        predicted: points normalised by the image's sides, (x / width, y / height).
        true: points in the same units.
        where: True counts; rows that do not count may hold anything. None is all.

    Returns: one number in [0, 10] for the whole set, float32.
    Empty cases: no row that counts gives 0, the limit of a distance without bound. A nan that
        counts gives nan.
    Raises: ValueError on a wrong rank or shape; TypeError on a `where` that is not boolean.
    Cost: O(n).
    """
    distance = euclidean_distance(predicted, true)
    counts = jnp.ones(distance.shape, bool) if where is None else jnp.asarray(where)
    check_where(counts, tuple(distance.shape))
    number = jnp.sum(counts.astype(jnp.float32))
    total = jnp.sum(jnp.where(counts, distance, 0))
    return jnp.where(number > 0, r_aed_from_mean_distance(total / jnp.maximum(number, 1)), 0)


def r_aed_from_mean_distance(mean_distance: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """R-AED of a mean normalised distance: 1 / (mean_distance + 0.1).

    For distances kept as a (sum, count) pair across batches and devices: merge the pairs, divide
    once, then call this.

    Source: Wu et al., section 2.1. Departures: none.

    Args:
        mean_distance: average normalised Euclidean distance of the whole set; a number or an array.

    Returns: R-AED in [0, 10], of the same shape.
    Empty cases: none here; a set without images has no mean (`r_aed` gives it 0).
    Raises: nothing.
    Cost: O(1) per entry.
    """
    return 1.0 / (mean_distance + 0.1)
