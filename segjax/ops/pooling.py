"""Pooling over windows that do not overlap, in the forms that are fast on every backend."""

import jax.numpy as jnp

from segjax.types import Array, Float

# `lax.reduce_window` selects and scatters in its backward pass, which XLA runs some thirty times
# slower on CPU than the strided slices below.


def _check_window(x: Array, window: int) -> None:
    if x.ndim < 3:
        raise ValueError(f"`x` takes [b, *s, c] with a spatial axis, got shape {tuple(x.shape)}")
    if window < 1:
        raise ValueError(f"`window` takes a positive integer, got {window}")
    if any(size % window for size in x.shape[1:-1]):
        raise ValueError(
            f"`x` takes spatial sizes divisible by window {window}, got shape {tuple(x.shape)}"
        )


def _strided(x: Array, axis: int, start: int, step: int) -> Array:
    index = [slice(None)] * x.ndim
    index[axis] = slice(start, None, step)
    return x[tuple(index)]


def max_pool(x: Float[Array, "b *s c"], *, window: int = 2) -> Float[Array, "b *t c"]:
    """Maximum over windows of `window` pixels along every spatial axis, stride `window`.

    y[i] = max of x[window * i + k], 0 <= k < window, along each spatial axis in turn.

    Source: the usual pooling layer.
    Departures: equal maxima share the gradient (half each for two, as `jnp.maximum`; a constant
    2x2 window gives each pixel a quarter), where most libraries hand all of it to the first.

    Args:
        x: values, any spatial rank.
        window: pixels along each axis; every spatial size is a multiple of it.

    Returns:
        Values of x's dtype, each spatial size divided by `window`.

    Empty cases: none; a NaN in a window is returned.

    Raises:
        ValueError: a spatial size is not a multiple of `window`, or there is no spatial axis.

    Cost: one read of x per axis, the second at 1 / window of the size.
    """
    _check_window(x, window)
    for axis in range(1, x.ndim - 1):
        y = _strided(x, axis, 0, window)
        for start in range(1, window):
            y = jnp.maximum(y, _strided(x, axis, start, window))
        x = y
    return x


def average_pool(x: Float[Array, "b *s c"], *, window: int = 2) -> Float[Array, "b *t c"]:
    """Mean over windows of `window` pixels along every spatial axis, stride `window`.

    y[i] = mean of x[window * i + k], 0 <= k < window, over all spatial axes.

    Source: the usual pooling layer.
    Departures: none. bfloat16 and float16 are averaged in float32 and rounded once.

    Args:
        x: values, any spatial rank.
        window: pixels along each axis; every spatial size is a multiple of it.

    Returns:
        Values of x's dtype, each spatial size divided by `window`.

    Empty cases: none.

    Raises:
        ValueError: a spatial size is not a multiple of `window`, or there is no spatial axis.

    Cost: one read of x.
    """
    _check_window(x, window)
    shape = [x.shape[0]]
    for size in x.shape[1:-1]:
        shape += [size // window, window]
    axes = tuple(range(2, len(shape), 2))
    return jnp.mean(x.reshape(*shape, x.shape[-1]), axis=axes)
