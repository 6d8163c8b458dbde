"""Small layers shared by the models: float32 parameters, PyTorch's initialisation."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from segjax.ops.convolution import conv2d
from segjax.ops.normalization import instance_norm
from segjax.ops.strided import conv, transposed_conv
from segjax.types import Array, Float


def torch_uniform(fan_in: int) -> Callable[..., Array]:
    """Initializer of PyTorch's convolution and linear layers, weights and biases alike.

    U(-1 / sqrt(fan_in), 1 / sqrt(fan_in)), which is Kaiming's uniform rule with slope sqrt(5).
    """
    bound = 1.0 / math.sqrt(fan_in)

    def initialize(key: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return initialize


def kaiming_normal(fan_in: int, *, slope: float = 0.01) -> Callable[..., Array]:
    """Initializer of weights before a leaky ReLU of that slope.

    N(0, 2 / ((1 + slope^2) fan_in)), not truncated.
    """
    deviation = math.sqrt(2.0 / ((1.0 + slope**2) * fan_in))

    def initialize(key: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
        return deviation * jax.random.normal(key, shape, dtype)

    return initialize


class Conv(nn.Module):
    """Convolution of stride 1 with bias that keeps the image size.

    Attributes:
        features: output channels.
        window: pixels along each side of the kernel, odd.
        dtype: precision of the computation; parameters are float32.
    """

    features: int
    window: int = 3
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b h w o"]:
        channels = x.shape[-1]
        initialize = torch_uniform(self.window**2 * channels)
        shape = (self.window, self.window, channels, self.features)
        kernel = self.param("kernel", initialize, shape)
        # PyTorch bounds a bias by the fan-in of its kernel.
        bias = self.param("bias", initialize, (self.features,))
        y = conv2d(jnp.asarray(x, self.dtype), jnp.asarray(kernel, self.dtype))
        return y + jnp.asarray(bias, self.dtype).reshape(1, 1, 1, -1)


class StridedConv(nn.Module):
    """Convolution in 2-D or 3-D, padded by half its window; `kaiming_normal`, zero biases.

    Attributes:
        features: output channels.
        window: pixels of the kernel along each spatial axis, odd.
        strides: pixels between windows along each spatial axis.
        bias: False leaves the bias out. 'idle' makes the parameter and does not add it: a norm that
            follows takes every constant away, so values are the same, and its gradient is the
            exact 0 that rounding otherwise hides. It saves one pass forwards and one backwards.
        dtype: precision of the computation; parameters are float32.
    """

    features: int
    window: tuple[int, ...]
    strides: tuple[int, ...]
    bias: bool | str = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b *s i"]) -> Float[Array, "b *t o"]:
        channels = x.shape[-1]
        initialize = kaiming_normal(math.prod(self.window) * channels)
        kernel = self.param("kernel", initialize, (*self.window, channels, self.features))
        x, kernel = jnp.asarray(x, self.dtype), jnp.asarray(kernel, self.dtype)
        y = conv(x, kernel, strides=self.strides)
        return _add_bias(self, y) if self.bias else y


class TransposedConv(nn.Module):
    """Transposed convolution whose window is its stride; `kaiming_normal`, zero biases.

    The fan-in is that of PyTorch, features * prod(strides), from the second axis of its kernel.

    Attributes:
        features: output channels.
        strides: factor of the size along each spatial axis.
        bias: False leaves the bias out.
        dtype: precision of the computation; parameters are float32.
    """

    features: int
    strides: tuple[int, ...]
    bias: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b *s i"]) -> Float[Array, "b *t o"]:
        initialize = kaiming_normal(math.prod(self.strides) * self.features)
        kernel = self.param("kernel", initialize, (*self.strides, x.shape[-1], self.features))
        y = transposed_conv(jnp.asarray(x, self.dtype), jnp.asarray(kernel, self.dtype))
        return _add_bias(self, y) if self.bias else y


def _add_bias(module: nn.Module, y: Float[Array, "b *s o"]) -> Float[Array, "b *s o"]:
    bias = module.param("bias", nn.initializers.zeros, (module.features,))
    if module.bias == "idle":
        return y
    return y + jnp.asarray(bias, y.dtype).reshape(*(1,) * (y.ndim - 1), -1)


class Dense(nn.Module):
    """Linear map with bias over the last axis.

    Attributes:
        features: output channels.
        dtype: precision of the computation; parameters are float32.
    """

    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b i"]) -> Float[Array, "b o"]:
        initialize = torch_uniform(x.shape[-1])
        kernel = self.param("kernel", initialize, (x.shape[-1], self.features))
        bias = self.param("bias", initialize, (self.features,))
        y = jnp.asarray(x, self.dtype) @ jnp.asarray(kernel, self.dtype)
        return y + jnp.asarray(bias, self.dtype).reshape(1, -1)


class BatchNorm(nn.Module):
    """Batch normalisation in float32, whatever the precision around it.

    y = (x - mean) / sqrt(var + epsilon) * scale + bias, per channel. Training takes mean and biased
    variance from the batch and moves the running ones, running <- momentum * running +
    (1 - momentum) * batch; evaluation takes the running ones.

    Variance is the mean square around the mean, not E[x^2] - E[x]^2: a network that normalises the
    raw image first meets means far above the spread (16-bit pictures), where the latter cancels.

    Attributes:
        momentum: weight of the old running statistics (one minus PyTorch's momentum).
        axis_name: name of a pmap or shard_map axis over which the statistics are averaged; leave it
            None under jit over a sharded batch, where they are global already.
        epsilon: added to the variance.
        scale_init: initializer of the scale.
    """

    momentum: float = 0.9
    axis_name: str | None = None
    epsilon: float = 1e-5
    scale_init: Callable[..., Array] = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Float[Array, "b *s c"], *, train: bool) -> Float[Array, "b *s c"]:
        norm = nn.BatchNorm(
            use_running_average=not train,
            momentum=self.momentum,
            epsilon=self.epsilon,
            dtype=jnp.float32,
            scale_init=self.scale_init,
            use_fast_variance=False,
            axis_name=self.axis_name,
        )
        # Parameters and statistics lie under this module's name, not in one more level below it.
        nn.share_scope(self, norm)
        return norm(jnp.asarray(x, jnp.float32))


class InstanceNorm(nn.Module):
    """`instance_norm` with one learned scale and bias per channel, 1 and 0 at first."""

    @nn.compact
    def __call__(self, x: Float[Array, "b *s c"]) -> Float[Array, "b *s c"]:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        return instance_norm(x, scale, bias)
