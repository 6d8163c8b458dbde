"""The regionally guided classifier: a residual trunk, an atrous pyramid, and one map of logits."""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from flax import linen as nn

from segjax.models.layers import BatchNorm
from segjax.ops.checks import check_floating, check_integer, check_rank
from segjax.ops.convolution import dilated_conv2d
from segjax.ops.pooling import average_pool, max_pool
from segjax.ops.strided import conv
from segjax.types import Array, Float


class ConvNorm(nn.Module):
    """3x3 convolution without bias, batch norm, ReLU unless `relu` is off.

    `stride` or `rate`: one of them is 1.
    """

    features: int
    stride: int = 1
    rate: int = 1
    relu: bool = True
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"], *, train: bool) -> Float[Array, "b k l o"]:
        shape = (3, 3, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.glorot_uniform(), shape)
        kernel = jnp.asarray(kernel, self.dtype)
        if self.stride > 1:
            y = conv(x, kernel, strides=(self.stride, self.stride))
        else:
            y = dilated_conv2d(x, kernel, rate=self.rate)
        y = BatchNorm(axis_name=self.axis_name, name="norm")(y, train=train).astype(self.dtype)
        return nn.relu(y) if self.relu else y


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions around which the input is added, then ReLU; channels stay."""

    unit: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c"]:
        y = self.unit(x.shape[-1], name="conv_0")(x, train=train)
        y = self.unit(x.shape[-1], relu=False, name="conv_1")(y, train=train)
        return nn.relu(x + y)


class GuidedClassifier(nn.Module):
    """Classifier of one finding whose prediction is the mean of a map of logits.

    Every stage is a reduction layer (3x3 convolution of stride 2, batch norm, ReLU) and, but for
    the last, `units` residual units. All reduction layers are averaged down to the size of the last
    and concatenated; 3x3 convolutions of several dilation rates (batch norm, ReLU) look at that
    side by side, and a 1x1 convolution of what they see is the map. Losses may guide the map, for
    its sigmoid is the activation.

    Source: Son et al. (2018), Classification of Findings with Localized Lesions in Fundoscopic
    Images using a Regionally Guided CNN, section 2.2: reduction layers, concatenation, pyramid, map
    and pooling. Residual units are those of He et al. (2016), Deep Residual Learning, which the
    paper cites: convolution, batch norm, ReLU, with the ReLU after the sum. Kernels have Glorot's
    uniform initialisation, and the one bias is 0, as Glorot and Bengio (2010) have theirs.
    Departures: none that the paper excludes. Where it is silent, these are our choice: the first
    reduction layer reads the image itself; widths from 32, doubled three times; one residual unit
    between every two reduction layers, none after the last; 128 channels a branch of the pyramid,
    concatenated, without a bias before the batch norm; momentum 0.9 and epsilon 1e-5 of that; 2x2
    as the window of the max-pool. Any image size is taken: reduction layers give half the size,
    rounded up, and a window of a pool that reaches over the end takes the pixels that it has.

    `apply` takes an image [b, h, w, c_in], in [0, 1] as published, and returns float32 'logits'
    [b, 1] and 'activation_logits' [b, ceil(h / 16), ceil(w / 16)] with four stages, before any
    max-pool. Training mode (`train=True`) needs `mutable=['batch_stats']`.

    Cost: by default 2,990,241 parameters, and 6.9 billion multiply-adds for 512 x 512 pixels.

    Raises: ValueError for options out of range or an image of another rank; TypeError for an image
    of integers.

    Attributes:
        rates: dilation rates of the pyramid: (1, 2, 4, 8), (1, 2, 4) and (1, 2) for large, medium
            and small findings, as published.
        pool: whether the map is max-pooled before its mean, which the paper does for findings with
            small lesions.
        features: channels of each stage, which halves height and width.
        units: residual units in each stage but the last.
        branch: channels of each branch of the pyramid.
        dtype: precision of convolutions; parameters, batch norm, map and logits are float32.
        axis_name: axis of pmap or shard_map over which batch statistics are shared.
    """

    rates: tuple[int, ...] = (1, 2, 4, 8)
    pool: bool = False
    features: tuple[int, ...] = (32, 64, 128, 256)
    units: int = 1
    branch: int = 128
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b h w i"], *, train: bool) -> dict[str, Array]:
        self._check(image)
        unit = partial(ConvNorm, dtype=self.dtype, axis_name=self.axis_name)
        x, reduced, last = jnp.asarray(image, self.dtype), [], len(self.features) - 1
        for i, features in enumerate(self.features):
            x = unit(features, stride=2, name=f"reduce_{i}")(x, train=train)
            reduced.append(x)
            # After the last, a unit would lead nowhere: the pyramid reads the reduction layers.
            for t in range(self.units if i < last else 0):
                x = ResidualUnit(unit, name=f"residual_{i}_{t}")(x, train=train)
        pooled = [_cell_means(x, 2 ** (last - i)) for i, x in enumerate(reduced)]
        x = jnp.concatenate(pooled, axis=-1)
        branches = [
            unit(self.branch, rate=rate, name=f"branch_{n}")(x, train=train)
            for n, rate in enumerate(self.rates)
        ]
        glorot = nn.initializers.glorot_uniform()
        head = nn.Dense(1, dtype=jnp.float32, kernel_init=glorot, name="map")
        logits = head(jnp.concatenate(branches, axis=-1))
        judged = _max_pool(logits) if self.pool else logits
        return {"logits": jnp.mean(judged, axis=(1, 2)), "activation_logits": logits[..., 0]}

    def _check(self, image: Array) -> None:
        check_rank("image", image, 4)
        check_floating("image", image)
        for name in ("rates", "features"):
            values = getattr(self, name)
            if not values:
                raise ValueError(f"`{name}` takes one integer or more, got {values!r}")
            for i, value in enumerate(values):
                check_integer(f"{name}[{i}]", value, least=1)
        check_integer("units", self.units, least=0)
        check_integer("branch", self.branch, least=1)


def _missing(x: Array, window: int) -> list[tuple[int, int]]:
    """What to add at the end of each axis for sizes that are multiples of the window."""
    return [(0, 0), *((0, -n % window) for n in x.shape[1:3]), (0, 0)]


def _cell_means(x: Float[Array, "b h w c"], window: int) -> Float[Array, "b k l c"]:
    """Mean of each cell of `window` by `window` pixels; those at the end are of the pixels left."""
    ends = _missing(x, window)
    if not any(end for _, end in ends):
        return average_pool(x, window=window)
    inside = jnp.pad(jnp.ones((1, *x.shape[1:3], 1), x.dtype), ends)
    return average_pool(jnp.pad(x, ends), window=window) / average_pool(inside, window=window)


def _max_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b k l c"]:
    """Maximum of cells of 2 by 2 pixels; those at the end are of the pixels left."""
    # A pixel that is repeated changes no maximum.
    return max_pool(jnp.pad(x, _missing(x, 2), mode="edge"))
