"""Pooling of images in the forms that are fast on every backend."""

from functools import reduce

import jax.numpy as jnp

from segjax.ops.checks import check_integer
from segjax.types import Array, Float

# `lax.reduce_window` selects and scatters in its backward pass, which XLA runs some thirty times
# slower on CPU than the strided slices below.


def _check_spatial(x: Array) -> None:
    if x.ndim < 3:
        raise ValueError(f"`x` takes [b, *s, c] with a spatial axis, got shape {tuple(x.shape)}")


def _check_window(x: Array, window: int) -> None:
    _check_spatial(x)
    if window < 1:
        raise ValueError(f"`window` takes a positive integer, got {window}")
    if any(size % window for size in x.shape[1:-1]):
        raise ValueError(
            f"`x` takes spatial sizes divisible by window {window}, got shape {tuple(x.shape)}"
        )


def _places(x: Array, axis: int, window: int, stride: int) -> list[Array]:
    """The pixels at each place of the windows inside the image, along one axis."""
    last = (x.shape[axis] - window) // stride * stride + 1
    index = [(slice(None),) * axis + (slice(k, k + last, stride),) for k in range(window)]
    return [x[i] for i in index]


def _prime_factors(n: int) -> list[int]:
    """In ascending order; none of 1."""
    found, factor = [], 2
    while n > 1:
        while n % factor == 0:
            found.append(factor)
            n //= factor
        factor += 1
    return found


def max_pool(x: Float[Array, "b *s c"], *, window: int = 2) -> Float[Array, "b *t c"]:
    """Maximum over windows of `window` pixels along every spatial axis, stride `window`.

    y[i] = max of x[window * i + k], 0 <= k < window, along each spatial axis in turn.

    Source: the usual pooling layer.
    Departures: equal maxima share the gradient (half each for two, as `jnp.maximum`; a constant
    2x2 window gives each pixel a quarter), where most libraries hand all of it to the first. A
    window that is no prime is pooled factor by factor: the maximum is the same, and the gradient
    is not spread out over the whole image once for every pixel of the window.

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
    for factor in _prime_factors(window):
        for axis in range(1, x.ndim - 1):
            x = reduce(jnp.maximum, _places(x, axis, factor, factor))
    return x


def strided_max_pool(
    x: Float[Array, "b *s c"], *, window: int, stride: int, padding: int = 0
) -> Float[Array, "b *t c"]:
    """Maximum over windows that may overlap, `stride` pixels apart along every spatial axis.

    y[i] = max of x[stride * i + k - padding], 0 <= k < window, along each spatial axis in turn,
    over the pixels that there are.

    Source: the usual pooling layer, with PyTorch's padding on both sides and its rounding down:
    windows that would reach beyond the padding are left out.
    Departures: equal maxima share the gradient, as in `max_pool`.

    Args:
        x: values, any spatial rank.
        window: pixels along each axis.
        stride: pixels between windows.
        padding: pixels by which the first window begins before the image, at most half a window.

    Returns:
        Values of x's dtype; a size n becomes (n + 2 padding - window) // stride + 1.

    Empty cases: none; a NaN in a window is returned.

    Raises:
        ValueError: an option out of its range, a padded size below `window`, or no spatial axis.

    Cost: `window` reads of x along the first axis, at 1 / stride of the size along the second.
    """
    _check_spatial(x)
    window = check_integer("window", window, least=1)
    stride = check_integer("stride", stride, least=1)
    padding = check_integer("padding", padding, least=0)
    if 2 * padding > window:
        raise ValueError(f"`padding` takes half the window {window} at most, got {padding}")
    if any(size + 2 * padding < window for size in x.shape[1:-1]):
        raise ValueError(
            f"`x` takes spatial sizes of at least {window - 2 * padding}, got shape "
            f"{tuple(x.shape)}"
        )
    if padding:
        ends = [(0, 0), *((padding, padding),) * (x.ndim - 2), (0, 0)]
        x = jnp.pad(x, ends, constant_values=-jnp.inf)
    for axis in range(1, x.ndim - 1):
        x = reduce(jnp.maximum, _places(x, axis, window, stride))
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
