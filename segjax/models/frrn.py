"""Full-resolution residual networks: a pooled stream beside one that keeps every pixel."""

from functools import partial

import jax.numpy as jnp
from flax import linen as nn

from segjax.models.layers import BatchNorm
from segjax.ops.checks import check_floating, check_integer, check_option, check_rank
from segjax.ops.convolution import conv2d
from segjax.ops.pooling import max_pool
from segjax.ops.resampling import upsample_linear_asymmetric, upsample_nearest
from segjax.types import Array, Float

# Per level of encoder and decoder: units, pixels of a side that one of the pooled stream covers,
# channels of that stream in multiples of `base`.
_ENCODER = {
    "A": ((3, 2, 2), (4, 4, 4), (2, 8, 8), (2, 16, 8)),
    "B": ((3, 2, 2), (4, 4, 4), (2, 8, 8), (2, 16, 8), (2, 32, 8)),
}
_DECODER = {
    "A": ((2, 8, 4), (2, 4, 4), (2, 2, 2)),
    "B": ((2, 16, 4), (2, 8, 4), (2, 4, 4), (2, 2, 2)),
}
# He's uniform initialisation: the gain is the square root of the first, sqrt(2) before a ReLU.
_BEFORE_RELU = nn.initializers.variance_scaling(2.0, "fan_in", "uniform")
_LINEAR = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, ReLU unless `relu` is off."""

    features: int
    window: int = 3
    relu: bool = True
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"], *, train: bool) -> Float[Array, "b h w o"]:
        shape = (self.window, self.window, x.shape[-1], self.features)
        kernel = self.param("kernel", _BEFORE_RELU if self.relu else _LINEAR, shape)
        y = conv2d(x, jnp.asarray(kernel, self.dtype))
        norm = BatchNorm(axis_name=self.axis_name, epsilon=1e-4, name="norm")
        y = norm(y, train=train).astype(self.dtype)
        return nn.relu(y) if self.relu else y


class Pointwise(nn.Module):
    """1x1 convolution, with a bias of 0 at first or without one."""

    features: int
    bias: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b h w o"]:
        kernel = self.param("kernel", _LINEAR, (1, 1, x.shape[-1], self.features))
        y = conv2d(jnp.asarray(x, self.dtype), jnp.asarray(kernel, self.dtype))
        if not self.bias:
            return y
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return y + jnp.asarray(bias, self.dtype).reshape(1, 1, 1, -1)


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions around which the input is added, projected where channels change."""

    features: int
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"], *, train: bool) -> Float[Array, "b h w o"]:
        unit = partial(ConvNorm, self.features, dtype=self.dtype, axis_name=self.axis_name)
        y = unit(name="conv_0")(x, train=train)
        y = unit(relu=False, name="conv_1")(y, train=train)
        if x.shape[-1] != self.features:
            x = Pointwise(self.features, bias=False, dtype=self.dtype, name="projection")(x)
        return x + y


class FullResolutionUnit(nn.Module):
    """The pooled stream y reads the residual stream z, which gets a summand back.

    u = [y, max_pool(z)], y' = two 3x3 convolutions of u, z' = z + repeat(1x1 convolution of y').
    """

    features: int
    pooled: int
    train: bool
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, y: Float[Array, "b k l i"], z: Float[Array, "b h w n"]
    ) -> tuple[Float[Array, "b k l o"], Float[Array, "b h w n"]]:
        y = jnp.concatenate([y, max_pool(z, window=self.pooled)], axis=-1)
        for t in range(2):
            unit = ConvNorm(
                self.features, dtype=self.dtype, axis_name=self.axis_name, name=f"conv_{t}"
            )
            y = unit(y, train=self.train)
        summand = Pointwise(z.shape[-1], dtype=self.dtype, name="residual")(y)
        return y, z + upsample_nearest(summand, factor=self.pooled)


class FRRN(nn.Module):
    """Full-resolution residual network, type A or B, for segmentation that is exact at borders.

    A residual stream z of `lanes` channels stays at full resolution from first to last; a stream y
    is max-pooled by two four times (A) or five times (B) and upsampled again. In every
    full-resolution residual unit y reads z, pooled to its own size, and adds to z what it found:
    gradients reach each unit through z past all the others. Residual units at full resolution come
    before the two part and after they are joined.

    Source: Pohlen et al. (2017), Full-Resolution Residual Networks for Semantic Segmentation in
    Street Scenes, arXiv 1611.08323, and the authors' code: batch norm with epsilon 1e-4
    and momentum 0.9, He's uniform initialisation, no ReLU after the sum of a residual unit, and a
    bilinear upsampling of y in Theano's form (`upsample_linear_asymmetric`), which the paper calls
    unpooling. Multi-scale Microaneurysms Segmentation Using Embedding Triplet Loss trains type A.
    Departures: the running average is of the variance, where theirs is of 1 / sqrt(variance).
    Equal maxima of a pool share the gradient. Any image size is taken: zeros are added at the end
    of both axes up to a multiple of 16 (A) or 32 (B), and the logits cropped back; the zeros count
    in the batch statistics.

    `apply` takes an image [b, h, w, c_in] and returns float32 'logits' [b, h, w, classes].
    Training mode (`train=True`) needs `mutable=['batch_stats']`.

    Cost: 17,745,970 parameters with two classes (A), 24,755,699 with nineteen (B); 61 billion
    multiply-adds for 256 x 256 pixels (A). Each unit holds z at full resolution for its gradient.

    Raises: ValueError for options out of range or an image of another rank; TypeError for an image
    of integers.

    Attributes:
        classes: channels of the logits; 1 is binary.
        variant: 'A' or 'B'.
        base: channels of y at full resolution; 2, 4 and 8 times as many below, as published.
        lanes: channels of z.
        remat: recompute full-resolution residual units in the backward pass, instead of holding
            what is inside them: 0.8 GiB instead of 1.3 for one image of 256 x 256 pixels (type A,
            float32). Values and variables are the same. XLA on CPU undoes most of it.
        dtype: precision of convolutions and streams; parameters, batch norm and logits are float32.
        axis_name: axis of pmap or shard_map over which batch statistics are shared.
    """

    classes: int = 2
    variant: str = "A"
    base: int = 48
    lanes: int = 32
    remat: bool = False
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b h w i"], *, train: bool) -> dict[str, Array]:
        self._check(image)
        how = {"dtype": self.dtype, "axis_name": self.axis_name}
        # `train` is an attribute of this unit, for rematerialisation would trace an argument.
        unit = nn.remat(FullResolutionUnit) if self.remat else FullResolutionUnit
        unit = partial(unit, train=train, **how)
        encoder, decoder = _ENCODER[self.variant], _DECODER[self.variant]
        y = _pad_end(jnp.asarray(image, self.dtype), encoder[-1][1])
        y = ConvNorm(self.base, window=5, name="stem", **how)(y, train=train)
        for t in range(3):
            y = ResidualUnit(self.base, name=f"first_{t}", **how)(y, train=train)
        z = ConvNorm(self.lanes, window=1, relu=False, name="split", **how)(y, train=train)
        for way, levels, resize in (
            ("down", encoder, max_pool),
            ("up", decoder, upsample_linear_asymmetric),
        ):
            for units, pooled, width in levels:
                y = resize(y)
                for t in range(units):
                    y, z = unit(width * self.base, pooled, name=f"{way}_{pooled}_{t}")(y, z)
        y = jnp.concatenate([upsample_linear_asymmetric(y), z], axis=-1)
        for t in range(3):
            y = ResidualUnit(self.base, name=f"last_{t}", **how)(y, train=train)
        logits = Pointwise(self.classes, name="head")(y)
        return {"logits": logits[:, : image.shape[1], : image.shape[2]]}

    def _check(self, image: Array) -> None:
        check_rank("image", image, 4)
        check_floating("image", image)
        check_option("variant", self.variant, tuple(_ENCODER))
        for name in ("classes", "base", "lanes"):
            check_integer(name, getattr(self, name), least=1)


def _pad_end(x: Float[Array, "b h w c"], multiple: int) -> Float[Array, "b k l c"]:
    # At the end alone: the first pixels of all levels lie over the first of the image.
    ends = [(0, -size % multiple) for size in x.shape[1:3]]
    return jnp.pad(x, [(0, 0), *ends, (0, 0)]) if any(end for _, end in ends) else x
