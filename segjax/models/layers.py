"""Small layers shared by the models: float32 parameters, PyTorch's initialisation."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from segjax.ops.convolution import conv2d
from segjax.types import Array, Float


def torch_uniform(fan_in: int) -> Callable[..., Array]:
    """Initializer of PyTorch's convolution and linear layers, weights and biases alike.

    U(-1 / sqrt(fan_in), 1 / sqrt(fan_in)), which is Kaiming's uniform rule with slope sqrt(5).
    """
    bound = 1.0 / math.sqrt(fan_in)

    def initialize(key: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

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
        bias = self.param("bias", initialize, (self.features,))
        y = conv2d(jnp.asarray(x, self.dtype), jnp.asarray(kernel, self.dtype))
        return y + jnp.asarray(bias, self.dtype).reshape(1, 1, 1, -1)


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

    y = (x - mean) / sqrt(var + 1e-5) * scale + bias, per channel. Training takes mean and biased
    variance from the batch and moves the running ones, running <- momentum * running +
    (1 - momentum) * batch; evaluation takes the running ones.

    Variance is the mean square around the mean, not E[x^2] - E[x]^2: a network that normalises the
    raw image first meets means far above the spread (16-bit pictures), where the latter cancels.

    Attributes:
        momentum: weight of the old running statistics (one minus PyTorch's momentum).
        axis_name: name of a pmap or shard_map axis over which the statistics are averaged; leave it
            None under jit over a sharded batch, where they are global already.
    """

    momentum: float = 0.9
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b *s c"], *, train: bool) -> Float[Array, "b *s c"]:
        norm = nn.BatchNorm(
            use_running_average=not train,
            momentum=self.momentum,
            epsilon=1e-5,
            dtype=jnp.float32,
            use_fast_variance=False,
            axis_name=self.axis_name,
        )
        nn.share_scope(self, norm)
        return norm(jnp.asarray(x, jnp.float32))
