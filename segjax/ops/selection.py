"""Order statistics without a sort, which XLA runs slowly on CPU."""

import jax
import jax.numpy as jnp

from segjax.types import Array, Float, Int


def kth_largest(x: Float[Array, "b n"], k: Int[Array, "b"]) -> Float[Array, "b"]:
    """The k-th largest number of each row (k = 1 is the maximum), for numbers >= 0.

    The bit patterns of floats >= 0 are ordered as the numbers are, so the answer is found bit by
    bit, from the highest: the largest pattern that at least k numbers reach. Once exactly k do, the
    smallest of them is the answer.

    Source: bisection over the representation of floating-point numbers.
    Departures: none.

    Args:
        x: numbers >= 0, float32 or float64; no gradient flows through the choice.
        k: counted from 1.

    Returns: one number of x per row.
    Empty cases: k above n gives the smallest.
    Raises: nothing; callers check.
    Cost: one pass over x for each bit that is needed: some log2 n + 8 of 31, all where numbers are
        equal; no memory.
    """
    x = jax.lax.stop_gradient(x)
    bits = 8 * x.dtype.itemsize
    whole = jnp.int64 if bits == 64 else jnp.int32
    patterns = jax.lax.bitcast_convert_type(x, whole)

    def reaching(candidate):
        return jnp.sum(patterns >= candidate[:, None], axis=-1, dtype=jnp.int32)

    def undecided(state):
        bit, _, count = state
        return (bit >= 0) & jnp.any(count != k)

    def try_bit(state):
        bit, found, count = state
        candidate = found | jnp.left_shift(jnp.ones((), whole), bit)
        reached = reaching(candidate)
        enough = reached >= k
        return bit - 1, jnp.where(enough, candidate, found), jnp.where(enough, reached, count)

    lowest = jnp.zeros(x.shape[:1], whole)
    # The sign bit of numbers >= 0 is 0: the search begins at the bit below it.
    start = jnp.array(bits - 2, whole), lowest, reaching(lowest)
    _, found, _ = jax.lax.while_loop(undecided, try_bit, start)
    return jnp.min(jnp.where(patterns >= found[:, None], x, jnp.inf), axis=-1)


def mean_of_largest(x: Float[Array, "b n"], k: Int[Array, "b"]) -> Float[Array, "b"]:
    """Mean of the k largest numbers of each row, for numbers >= 0 and k >= 1.

    Numbers equal to the k-th share its places, so the gradient does not depend on their order.

    Source: the top-k mean.
    Departures: ties share the gradient equally.

    Args:
        x: numbers >= 0.
        k: how many count, at least 1.

    Returns: one mean per row; differentiable.
    Empty cases: a row of zeros gives 0.
    Raises: nothing; callers check.
    Cost: as `kth_largest`, and one pass more.
    """
    edge = kth_largest(x, k)[:, None]
    above, equal = (x > edge).astype(x.dtype), (x == edge).astype(x.dtype)
    # Places that those above the edge leave to those equal to it
    left = k.astype(x.dtype) - jnp.sum(above, axis=-1)
    share = left / jnp.maximum(jnp.sum(equal, axis=-1), 1)
    return jnp.sum(x * (above + equal * share[:, None]), axis=-1) / k.astype(x.dtype)
