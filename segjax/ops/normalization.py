"""Normalisation of activations, with the gradient written out."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from segjax.ops.checks import check_shape
from segjax.types import Array, Float

# That of PyTorch's norms, with which nnU-Net is published
_EPSILON = 1e-5


def instance_norm(
    x: Float[Array, "b *s c"], scale: Float[Array, "c"], bias: Float[Array, "c"]
) -> Float[Array, "b *s c"]:
    """Every channel of every image to mean 0 and variance 1 over its pixels, then scale and bias.

    y = (x - mean) / sqrt(var + 1e-5) * scale + bias, mean and biased variance over the pixels.

    Source: Ulyanov et al. 2016, "Instance normalization: the missing ingredient for fast
    stylization".
    Departures: none in value. The variance is the mean square around the mean, and the mean is
    taken around the first pixel, so that neither cancels where the mean is far above the spread
    (16-bit pictures, CT). The gradient is written out, which halves its passes over x; forward-mode
    `jax.jvp` of this function raises, while grad, and jvp of grad, work.

    Args:
        x: activations, any spatial rank.
        scale: factor per channel.
        bias: summand per channel.

    Returns:
        Values in float32 (float64 where x or scale is), whatever x's precision.

    Empty cases: a constant channel, and an image of one pixel, give the bias, with gradient 0 for x
    and scale.

    Raises:
        ValueError: x has no spatial axis, or scale or bias are not one number per channel.

    Cost: three reads of x forwards, five of x or the cotangent backwards.
    """
    if x.ndim < 3:
        raise ValueError(f"`x` takes [b, *s, c] with a spatial axis, got shape {tuple(x.shape)}")
    check_shape("scale", scale, (x.shape[-1],))
    check_shape("bias", bias, (x.shape[-1],))
    return _norm(x, scale, bias)


def _per_channel(vector: Array, x: Array) -> Array:
    return vector.reshape(*(1,) * (x.ndim - 1), -1)


def _mean(x: Array) -> Array:
    axes = tuple(range(1, x.ndim - 1))
    return jnp.sum(x, axis=axes, keepdims=True) / math.prod(x.shape[1:-1])


def _statistics(x: Array, scale: Array) -> tuple[Array, Array, Array]:
    """x in the precision of the computation, its mean, and one over its deviation."""
    double = jnp.float64 in (x.dtype, scale.dtype)
    x = x.astype(jnp.float64 if double else jnp.float32)
    first = x[(slice(None), *(slice(0, 1),) * (x.ndim - 2))]
    mean = first + _mean(x - first)
    return x, mean, lax.rsqrt(_mean((x - mean) ** 2) + _EPSILON)


@jax.custom_vjp
def _norm(x: Array, scale: Array, bias: Array) -> Array:
    return _forward(x, scale, bias)[0]


def _forward(x: Array, scale: Array, bias: Array) -> tuple[Array, tuple]:
    wide, mean, inverse = _statistics(x, scale)
    factor = inverse * _per_channel(scale.astype(wide.dtype), x)
    y = (wide - mean) * factor + _per_channel(bias.astype(wide.dtype), x)
    # x is kept in its own precision, and standardised again backwards.
    return y, (x, scale, bias, mean, inverse)


def _backward(residuals: tuple, y_bar: Array) -> tuple[Array, Array, Array]:
    x, scale, bias, mean, inverse = residuals
    standard = (x.astype(y_bar.dtype) - mean) * inverse
    # The norm takes a constant and a scale away, so what y_bar has along either does not reach x.
    along, across = _mean(y_bar), _mean(y_bar * standard)
    factor = inverse * _per_channel(scale.astype(y_bar.dtype), x)
    x_bar = factor * (y_bar - along - standard * across)
    pixels = math.prod(x.shape[1:-1])
    images = tuple(range(x.ndim - 1))
    # The same two means, times the pixels, are the sums that scale and bias need.
    scale_bar = pixels * jnp.sum(across, axis=images)
    bias_bar = pixels * jnp.sum(along, axis=images)
    return x_bar.astype(x.dtype), scale_bar.astype(scale.dtype), bias_bar.astype(bias.dtype)


_norm.defvjp(_forward, _backward)
