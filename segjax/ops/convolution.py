"""The 2-D convolutions of the models' layers, with a weight gradient that is fast on CPU."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from segjax.ops.checks import check_integer, check_rank
from segjax.types import Array, Float

# Bytes of shifted copies that the weight gradient on CPU holds at a time: they stay in a core's
# second-level cache. One to eight MiB came out within a few percent of each other.
_BLOCK_BYTES = 2 * 2**20


def conv2d(x: Float[Array, "b h w i"], kernel: Float[Array, "k l i o"]) -> Float[Array, "b h w o"]:
    """Convolution of stride 1 with zero padding that keeps the size ('same').

    y[b, r, s, o] = sum over (u, v, i) of x[b, r + u - k // 2, s + v - l // 2, i] kernel[u, v, i, o]

    Source: the usual convolution layer (a cross-correlation).
    Departures: none in value. A 1x1 window is a matrix product. For larger ones the gradient is
    written out, because XLA's own weight gradient is two to three times slower on CPU, and a
    hundred times inside scan, cond and lax.map; so forward-mode `jax.jvp` of this function
    raises, while grad, and jvp of grad, work.

    Args:
        x: activations.
        kernel: weights of x's dtype, odd window.

    Returns:
        Values of x's dtype.

    Empty cases: none.

    Raises:
        ValueError: rank, channels or an even window. TypeError: x and kernel differ in dtype.

    Cost: 2 b h w k l i o operations, twice that backwards.
    """
    _check(x, kernel)
    if kernel.shape[:2] == (1, 1):
        # One contracted axis instead of three: XLA on CPU multiplies that three times faster.
        return (x.reshape(-1, x.shape[3]) @ kernel[0, 0]).reshape(*x.shape[:3], -1)
    return _conv(x, kernel, 1)


def dilated_conv2d(
    x: Float[Array, "b h w i"], kernel: Float[Array, "k l i o"], *, rate: int
) -> Float[Array, "b h w o"]:
    """Convolution over pixels `rate` apart, of stride 1, zero-padded so that it keeps the size.

    y[b, r, s, o] = sum over (u, v, i) of
        x[b, r + rate (u - k // 2), s + rate (v - l // 2), i] kernel[u, v, i, o]

    Source: atrous convolution, Chen et al. (2016), DeepLab, arXiv 1606.00915, section 3.1.
    Departures: none in value. The gradient is written out as that of `conv2d`, which it equals for
    `rate=1`: twice as fast on CPU as XLA's own for large maps, ten times and more inside scan, cond
    and lax.map; forward-mode `jax.jvp` of this function raises too.

    Args:
        x: activations, of any size: where `rate` reaches over the whole image, only the middle of
            the window meets it.
        kernel: weights of x's dtype, odd window.
        rate: pixels between neighbours of the window, along both axes.

    Returns:
        Values of x's dtype.

    Empty cases: none.

    Raises:
        ValueError: rank, channels, an even window or a rate below 1. TypeError: x and kernel differ
            in dtype.

    Cost: 2 b h w k l i o operations, twice that backwards, whatever the rate.
    """
    _check(x, kernel)
    rate = check_integer("rate", rate, least=1)
    if rate == 1 or kernel.shape[:2] == (1, 1):
        return conv2d(x, kernel)
    return _conv(x, kernel, rate)


def _check(x: Array, kernel: Array) -> None:
    check_rank("x", x, 4)
    check_rank("kernel", kernel, 4)
    if kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:
        raise ValueError(f"`kernel` takes an odd window, got shape {tuple(kernel.shape)}")
    if kernel.shape[2] != x.shape[3]:
        raise ValueError(
            f"`kernel` takes {x.shape[3]} input channels, got shape {tuple(kernel.shape)}"
        )
    if kernel.dtype != x.dtype:
        raise TypeError(f"`kernel` takes x's dtype {x.dtype}, got {kernel.dtype}")


def _lax_conv(x: Array, kernel: Array, rate: int) -> Array:
    # NHWC times HWIO: inside a loop, the only layout for which XLA on CPU keeps its fast kernels.
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1, 1),
        padding=[(rate * (size // 2),) * 2 for size in kernel.shape[:2]],
        rhs_dilation=(rate, rate),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv(x: Array, kernel: Array, rate: int) -> Array:
    return _lax_conv(x, kernel, rate)


def _forward(x: Array, kernel: Array, rate: int) -> tuple[Array, tuple[Array, Array]]:
    return _lax_conv(x, kernel, rate), (x, kernel)


def _backward(rate: int, residuals: tuple[Array, Array], y_bar: Array) -> tuple[Array, Array]:
    x, kernel = residuals
    # The kernel turned by 180 degrees, its channels exchanged.
    x_bar = _lax_conv(y_bar, kernel[::-1, ::-1].transpose(0, 1, 3, 2), rate)

    # Only XLA's CPU backend has the slow weight gradient; elsewhere its own transpose is kept.
    def transpose_of_lax(x: Array, y_bar: Array) -> Array:
        return jax.linear_transpose(lambda k: _lax_conv(x, k, rate), kernel)(y_bar)[0]

    def products(x: Array, y_bar: Array) -> Array:
        return _weight_gradient(x, y_bar, kernel.shape[:2], rate)

    if jax.process_count() > 1 and _rows(x, y_bar, kernel.shape[:2]) < x.shape[1]:
        # The blocks' loop has a sum over devices in its body, and XLA on CPU runs those of several
        # loops in an order of each process's own: gloo then ends the job
        return x_bar, transpose_of_lax(x, y_bar)
    return x_bar, lax.platform_dependent(x, y_bar, cpu=products, default=transpose_of_lax)


_conv.defvjp(_forward, _backward)


def _rows(x: Array, y_bar: Array, window: tuple[int, int]) -> int:
    """Rows of a block: the most that fit the cache and divide the height, or single ones."""
    b, h, w, i = x.shape
    row_bytes = b * w * (window[1] * i + window[0] * y_bar.shape[3]) * x.dtype.itemsize
    return max(n for n in range(1, h + 1) if h % n == 0 and n * row_bytes <= _BLOCK_BYTES or n == 1)


def _weight_gradient(x: Array, y_bar: Array, window: tuple[int, int], rate: int) -> Array:
    """Weight gradient as one matrix product per block of rows.

    kernel_bar[u, v] = sum over pixels (r, s) of
        x[r, s + rate (v - l // 2)]^T y_bar[r - rate (u - k // 2), s]

    The l column shifts are stacked in the channels of x and the k row shifts in those of y_bar, so
    that one product of l i by k o channels holds every pair of shifts: k + l copies where the usual
    matrix of patches takes k l. Blocks are rows, not images, because a batch may be sharded.
    """
    (_, h, _, i), o = x.shape, y_bar.shape[3]
    tall, wide = window
    rows = _rows(x, y_bar, window)
    y_bar = jnp.pad(y_bar, [(0, 0), (rate * (tall // 2),) * 2, (0, 0), (0, 0)])
    zero = jnp.zeros((), x.dtype)
    # bfloat16 and float16 are summed in float32 and rounded once.
    precision = jnp.float64 if x.dtype == jnp.float64 else jnp.float32

    def block(n: int | Array) -> Array:
        strip = lax.dynamic_slice_in_dim(x, n * rows, rows, axis=1)
        # A negative pad cuts: column s becomes s + rate (v - l // 2), with zeros from outside.
        shifts = [(rate * (wide // 2 - v), rate * (v - wide // 2), 0) for v in range(wide)]
        left = [lax.pad(strip, zero, [(0, 0, 0), (0, 0, 0), s, (0, 0, 0)]) for s in shifts]
        starts = [n * rows + rate * (tall - 1 - u) for u in range(tall)]
        right = [lax.dynamic_slice_in_dim(y_bar, start, rows, axis=1) for start in starts]
        return lax.dot_general(
            jnp.concatenate(left, axis=-1).reshape(-1, wide * i),
            jnp.concatenate(right, axis=-1).reshape(-1, tall * o),
            (((0,), (0,)), ((), ())),
            preferred_element_type=precision,
        )

    if rows == h:
        total = block(0)
    else:
        # `zeros_like` also hands on which shard_map axes x varies over.
        start = jnp.zeros_like(x, precision, shape=(wide * i, tall * o))
        total = lax.fori_loop(0, h // rows, lambda n, total: total + block(n), start)
    # From [l, i, k, o], as the product has it, to the kernel's [k, l, i, o]
    return total.reshape(wide, i, tall, o).transpose(2, 0, 1, 3).astype(x.dtype)
