"""The 2-D convolution of the models' layers, with a weight gradient that stays fast in loops."""

import jax
from jax import lax

from segjax.ops.checks import check_rank
from segjax.types import Array, Float


def conv2d(x: Float[Array, "b h w i"], kernel: Float[Array, "k l i o"]) -> Float[Array, "b h w o"]:
    """Convolution of stride 1 with zero padding that keeps the size ('same').

    y[b, r, s, o] = sum over (u, v, i) of x[b, r + u - k // 2, s + v - l // 2, i] kernel[u, v, i, o]

    Source: the usual convolution layer (a cross-correlation).
    Departures: none in value. The gradient is written out (see `_backward`), so that inside scan,
    cond and lax.map XLA on CPU keeps its fast path; forward-mode `jax.jvp` through this function
    alone therefore raises, while grad, and jvp of grad, work.

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
    return _conv(x, kernel)


def _canonical(x: Array, kernel: Array, padding: tuple[int, int]) -> Array:
    # NHWC times HWIO: inside a loop, the only layout for which XLA on CPU keeps its fast kernels.
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1, 1),
        padding=[(side, side) for side in padding],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _same(kernel: Array) -> tuple[int, int]:
    return kernel.shape[0] // 2, kernel.shape[1] // 2


@jax.custom_vjp
def _conv(x: Array, kernel: Array) -> Array:
    return _canonical(x, kernel, _same(kernel))


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _canonical(x, kernel, _same(kernel)), (x, kernel)


def _backward(residuals: tuple[Array, Array], y_bar: Array) -> tuple[Array, Array]:
    """Both gradients as canonical convolutions.

    For the input the kernel is turned by 180 degrees and its channels exchanged. For the weights
    batch and channel change places: the input is i images of b channels, the cotangent a kernel as
    large as the image, and the padding leaves a k by l result.
    """
    x, kernel = residuals
    x_bar = _canonical(y_bar, kernel[::-1, ::-1].transpose(0, 1, 3, 2), _same(kernel))
    images, window = x.transpose(3, 1, 2, 0), y_bar.transpose(1, 2, 0, 3)
    kernel_bar = _canonical(images, window, _same(kernel)).transpose(1, 2, 0, 3)
    return x_bar, kernel_bar


_conv.defvjp(_forward, _backward)
