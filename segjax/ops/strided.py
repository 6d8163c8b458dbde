"""Convolutions of the encoder-decoder networks: 2-D and 3-D, with strides, and their transpose."""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from segjax.ops.checks import check_rank
from segjax.ops.convolution import conv2d
from segjax.types import Array, Float

_CANONICAL = ("NHWC", "HWIO", "NHWC")


def conv(
    x: Float[Array, "b *s i"], kernel: Float[Array, "*k i o"], *, strides: tuple[int, ...]
) -> Float[Array, "b *t o"]:
    """Convolution in 2-D or 3-D with zero padding of half the window on both sides.

    y[b, r, o] = sum over (u, i) of x[b, strides * r + u - k // 2, i] kernel[u, i, o], r and u
    running over the spatial axes; a size n becomes ceil(n / stride).

    Source: the usual convolution layer (a cross-correlation), padded as PyTorch's with
    padding = k // 2; 'SAME' of XLA pads even sizes at the end only, and gives other values.
    Departures: none in value. The gradient is written out: in the form autodiff gives it, XLA runs
    it on CPU some fifty times slower inside scan, cond and lax.map. So forward-mode `jax.jvp` of
    this function raises, while grad, and jvp of grad, work. A 3-D convolution is a 2-D one over the
    depth-shifted copies of x, stacked in the channels, five times faster on CPU than XLA's own; the
    copies are made anew in the backward pass rather than kept.

    Args:
        x: activations.
        kernel: weights of x's dtype, odd window.
        strides: pixels between windows along each spatial axis.

    Returns:
        Values of x's dtype.

    Empty cases: none.

    Raises:
        ValueError: rank, channels, strides below 1 or an even window. TypeError: x and kernel
            differ in dtype.

    Cost: 2 b prod(t) prod(k) i o operations, twice that backwards.
    """
    check_rank("x", x, 4, 5)
    check_rank("kernel", kernel, x.ndim)
    if len(strides) != x.ndim - 2 or any(stride < 1 for stride in strides):
        raise ValueError(f"`strides` takes {x.ndim - 2} positive integers, got {strides}")
    if any(size % 2 == 0 for size in kernel.shape[:-2]):
        raise ValueError(f"`kernel` takes an odd window, got shape {tuple(kernel.shape)}")
    if kernel.shape[-2] != x.shape[-1]:
        raise ValueError(
            f"`kernel` takes {x.shape[-1]} input channels, got shape {tuple(kernel.shape)}"
        )
    if kernel.dtype != x.dtype:
        raise TypeError(f"`kernel` takes x's dtype {x.dtype}, got {kernel.dtype}")
    strides = tuple(strides)
    return _conv2d(x, kernel, strides) if x.ndim == 4 else _conv3d(x, kernel, strides)


def transposed_conv(
    x: Float[Array, "b *s i"], kernel: Float[Array, "*k i o"]
) -> Float[Array, "b *t o"]:
    """Transposed convolution whose stride is its window: every pixel becomes one block.

    y[b, k r + u, o] = sum over i of x[b, r, i] kernel[u, i, o], 0 <= u < k along each spatial axis.

    Source: the usual transposed convolution without overlap; PyTorch keeps its kernel as (i, o, *k)
    and does not turn it either.
    Departures: none in value. One matrix product and a reordering of its result replace
    `lax.conv_transpose`, which takes some twenty times as long on CPU.

    Args:
        x: activations, any spatial rank.
        kernel: weights of x's dtype.

    Returns:
        Values of x's dtype, each spatial size times the window.

    Empty cases: none.

    Raises:
        ValueError: rank or channels. TypeError: x and kernel differ in dtype.

    Cost: 2 b prod(t) i o operations, twice that backwards.
    """
    check_rank("kernel", kernel, x.ndim)
    if kernel.shape[-2] != x.shape[-1]:
        raise ValueError(
            f"`kernel` takes {x.shape[-1]} input channels, got shape {tuple(kernel.shape)}"
        )
    if kernel.dtype != x.dtype:
        raise TypeError(f"`kernel` takes x's dtype {x.dtype}, got {kernel.dtype}")
    window, (channels, features) = kernel.shape[:-2], kernel.shape[-2:]
    sizes, rank = x.shape[1:-1], len(window)
    blocks = math.prod(window) * features
    y = x.reshape(-1, channels) @ jnp.moveaxis(kernel, -2, 0).reshape(channels, blocks)
    y = y.reshape(x.shape[0], *sizes, *window, features)
    # From [b, *s, *k, o] to each spatial axis followed by its own window
    pairs = [axis for n in range(rank) for axis in (1 + n, 1 + rank + n)]
    y = y.transpose(0, *pairs, 1 + 2 * rank)
    return y.reshape(x.shape[0], *(n * k for n, k in zip(sizes, window, strict=True)), features)


# --- Three dimensions as two. -------------------------------------------------------------------


def _in_plane(
    convolve: Callable[..., Array], x: Array, kernel: Array, strides: tuple[int, int, int]
) -> Array:
    """The convolution as the 2-D one `convolve`, over depth-shifted copies stacked in channels."""
    depth = kernel.shape[0]
    planes = -(-x.shape[1] // strides[0])
    ends = [(0, 0), (depth // 2, depth // 2), (0, 0), (0, 0), (0, 0)]
    padded = jnp.pad(x, ends) if depth > 1 else x
    last = strides[0] * (planes - 1) + 1
    shifts = [padded[:, u : u + last : strides[0]] for u in range(depth)]
    stacked = jnp.concatenate(shifts, axis=-1) if depth > 1 else shifts[0]
    flat = stacked.reshape(-1, *stacked.shape[2:])
    # The depth of the kernel goes into its channels, in the order in which the shifts are stacked.
    weights = kernel.transpose(1, 2, 0, 3, 4).reshape(*kernel.shape[1:3], -1, kernel.shape[4])
    y = convolve(flat, weights, strides[1:])
    return y.reshape(x.shape[0], planes, *y.shape[1:])


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv3d(x: Array, kernel: Array, strides: tuple[int, int, int]) -> Array:
    return _in_plane(_lax_conv, x, kernel, strides)


def _conv3d_forward(x: Array, kernel: Array, strides: tuple) -> tuple[Array, tuple]:
    return _in_plane(_lax_conv, x, kernel, strides), (x, kernel)


def _conv3d_backward(strides: tuple, residuals: tuple, y_bar: Array) -> tuple[Array, Array]:
    # The value is not used, so only the shifted copies are computed again.
    run = partial(_in_plane, _conv2d, strides=strides)
    return jax.vjp(run, *residuals)[1](y_bar)


_conv3d.defvjp(_conv3d_forward, _conv3d_backward)


# --- Two dimensions. ----------------------------------------------------------------------------


def _conv2d(x: Array, kernel: Array, strides: tuple[int, int]) -> Array:
    if strides == (1, 1):
        return conv2d(x, kernel)
    if kernel.shape[:2] == (1, 1):
        # A window of one pixel reads only the pixels that the stride keeps.
        return conv2d(x[:, :: strides[0], :: strides[1]], kernel)
    return _strided(x, kernel, strides)


def _lax_conv(x: Array, kernel: Array, strides: tuple[int, int]) -> Array:
    padding = [(size // 2, size // 2) for size in kernel.shape[:2]]
    return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=_CANONICAL)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _strided(x: Array, kernel: Array, strides: tuple[int, int]) -> Array:
    return _lax_conv(x, kernel, strides)


def _forward(x: Array, kernel: Array, strides: tuple) -> tuple[Array, tuple[Array, Array]]:
    return _lax_conv(x, kernel, strides), (x, kernel)


def _backward(strides: tuple, residuals: tuple, y_bar: Array) -> tuple[Array, Array]:
    def transposes_of_lax(x: Array, kernel: Array, y_bar: Array) -> tuple[Array, Array]:
        x_bar = jax.linear_transpose(lambda x: _lax_conv(x, kernel, strides), x)(y_bar)[0]
        return x_bar, jax.linear_transpose(lambda k: _lax_conv(x, k, strides), kernel)(y_bar)[0]

    canonical = partial(_canonical_gradients, strides)
    return lax.platform_dependent(*residuals, y_bar, cpu=canonical, default=transposes_of_lax)


_strided.defvjp(_forward, _backward)


def _canonical_gradients(
    strides: tuple[int, int], x: Array, kernel: Array, y_bar: Array
) -> tuple[Array, Array]:
    """Both gradients as NHWC times HWIO convolutions, which alone stay fast inside a loop.

    x_bar is the convolution of y_bar, spread out by the stride, with the turned kernel; kernel_bar
    that of x with y_bar, spread out by the stride, as its window and the images as its channels.
    """
    window = kernel.shape[:2]
    half = [k // 2 for k in window]
    # Where the last window is centred, as seen from the first.
    reach = [(n - 1) * s for n, s in zip(y_bar.shape[1:3], strides, strict=True)]
    ends = [h - 1 - r for h, r in zip(x.shape[1:3], reach, strict=True)]
    x_bar = lax.conv_general_dilated(
        y_bar,
        kernel[::-1, ::-1].transpose(0, 1, 3, 2),
        window_strides=(1, 1),
        padding=[(p, e + p) for p, e in zip(half, ends, strict=True)],
        lhs_dilation=strides,
        dimension_numbers=_CANONICAL,
    )
    kernel_bar = lax.conv_general_dilated(
        x.transpose(3, 1, 2, 0),
        y_bar.transpose(1, 2, 0, 3),
        window_strides=(1, 1),
        # Rows after the last centre come off, so that what is left is just the window.
        padding=[(p, p - e) for p, e in zip(half, ends, strict=True)],
        rhs_dilation=strides,
        dimension_numbers=_CANONICAL,
    )
    return x_bar, kernel_bar.transpose(1, 2, 0, 3)
