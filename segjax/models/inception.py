"""Inception-v3, the classifier that papers compare theirs with."""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from flax import linen as nn

from segjax.ops.checks import check_floating, check_integer, check_number, check_rank
from segjax.ops.convolution import conv2d
from segjax.ops.pooling import strided_max_pool
from segjax.ops.strided import conv
from segjax.types import Array, Float

# A smaller image leaves nothing after the last reduction.
SMALLEST = 75
# The auxiliary head's pool and window together reach over so many pixels of its map.
_AUXILIARY_SIZE = 17


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm in float32, ReLU.

    Attributes:
        features: output channels.
        window: pixels of the kernel along each axis, odd.
        stride: pixels between windows.
        padded: zeros around the image keep its size; without them windows stay inside, and the
            stride counts from the first.
        deviation: of the normal distribution of the kernel, which is cut at two of them.
        dtype: precision of the convolution; parameters are float32.
        axis_name: axis over which batch statistics are shared.
    """

    features: int
    window: tuple[int, int] = (1, 1)
    stride: int = 1
    padded: bool = True
    deviation: float = 0.1
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"], *, train: bool) -> Float[Array, "b k l o"]:
        shape = (*self.window, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.truncated_normal(self.deviation), shape)
        kernel = jnp.asarray(kernel, self.dtype)
        y = conv2d(x, kernel) if self.padded else _inside_conv(x, kernel, self.stride)
        norm = nn.BatchNorm(
            use_running_average=not train,
            momentum=0.9,
            epsilon=1e-3,
            dtype=jnp.float32,
            use_fast_variance=False,
            axis_name=self.axis_name,
            name="norm",
        )
        return nn.relu(norm(y.astype(jnp.float32))).astype(self.dtype)


class Branch(nn.Module):
    """Convolutions in a row, each given as (features, rows of its window, columns)."""

    steps: tuple[tuple[int, int, int], ...]
    unit: Callable[..., nn.Module]
    # The last one halves the size, with windows of 3x3 inside the image.
    reduce: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"], *, train: bool) -> Float[Array, "b k l o"]:
        last = len(self.steps) - 1
        for t, (features, *window) in enumerate(self.steps):
            options = {"stride": 2, "padded": False} if self.reduce and t == last else {}
            x = self.unit(features, tuple(window), name=f"conv_{t}", **options)(x, train=train)
        return x


class Block(nn.Module):
    """Branches side by side, their channels concatenated in the order of PyTorch's.

    Attributes:
        branches: steps of each `Branch`.
        pooled: channels of the 1x1 convolution after a 3x3 average; None leaves the branch out.
        split: in the branches given by their number, the output goes through a 1x3 and a 3x1
            convolution of as many channels, side by side.
        reduce: every branch halves the size, and a 3x3 max-pool of stride 2 is one more.
    """

    branches: tuple[tuple[tuple[int, int, int], ...], ...]
    unit: Callable[..., nn.Module]
    pooled: int | None = None
    split: tuple[int, ...] = ()
    reduce: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"], *, train: bool) -> Float[Array, "b k l o"]:
        found = []
        for n, steps in enumerate(self.branches):
            y = Branch(steps, self.unit, self.reduce, name=f"branch_{n}")(x, train=train)
            if n in self.split:
                wide = self.unit(y.shape[-1], (1, 3), name=f"wide_{n}")(y, train=train)
                tall = self.unit(y.shape[-1], (3, 1), name=f"tall_{n}")(y, train=train)
                found += [wide, tall]
            else:
                found.append(y)
        if self.pooled is not None:
            y = _average_pool(jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)]), 3, 1)
            found.append(self.unit(self.pooled, name="pooled")(y, train=train))
        if self.reduce:
            found.append(_max_pool(x))
        return jnp.concatenate(found, axis=-1)


def _blocks() -> dict[str, dict]:
    """The options of every block, in their order, named by the kind of it."""
    double = ((64, 1, 1), (96, 3, 3), (96, 3, 3))
    blocks = {}
    for n, pooled in enumerate((32, 64, 64)):
        branches = (((64, 1, 1),), ((48, 1, 1), (64, 5, 5)), double)
        blocks[f"a_{n}"] = {"branches": branches, "pooled": pooled}
    blocks["b"] = {"branches": (((384, 3, 3),), double), "reduce": True}
    for n, c in enumerate((128, 160, 160, 192)):
        once = ((c, 1, 1), (c, 1, 7), (192, 7, 1))
        twice = ((c, 1, 1), (c, 7, 1), (c, 1, 7), (c, 7, 1), (192, 1, 7))
        blocks[f"c_{n}"] = {"branches": (((192, 1, 1),), once, twice), "pooled": 192}
    seven = ((192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3))
    blocks["d"] = {"branches": (((192, 1, 1), (320, 3, 3)), seven), "reduce": True}
    for n in range(2):
        branches = (((320, 1, 1),), ((384, 1, 1),), ((448, 1, 1), (384, 3, 3)))
        blocks[f"e_{n}"] = {"branches": branches, "pooled": 192, "split": (1, 2)}
    return blocks


class AuxiliaryHead(nn.Module):
    """Logits from the map in the middle of the network, where its gradient is short of the end.

    A map below 17x17 gets zeros around it up to that, evenly, the odd pixel at the end.
    """

    classes: int
    unit: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"], *, train: bool) -> Float[Array, "b k"]:
        missing = [max(0, _AUXILIARY_SIZE - n) for n in x.shape[1:3]]
        x = jnp.pad(x, [(0, 0), *((m // 2, m - m // 2) for m in missing), (0, 0)])
        x = self.unit(128, name="conv_0")(_average_pool(x, 5, 3), train=train)
        x = self.unit(768, (5, 5), padded=False, deviation=0.01, name="conv_1")(x, train=train)
        return _dense(self.classes, 0.001, "head")(_means(x))


class InceptionV3(nn.Module):
    """Inception-v3: blocks of convolutions of several windows side by side, for whole images.

    Source: Szegedy et al. (2016), Rethinking the Inception Architecture for Computer Vision, in the
    form of torchvision, whose layers, channels and parameters these are; average pools count their
    padding, as there. Kernels are drawn from a normal distribution of deviation 0.1 (0.01 and 0.001
    in the auxiliary head), cut at two deviations, as in the authors' TF-slim code; torchvision cuts
    at +-2, which is next to nothing, and its 0.01 never reaches the layer it is meant for.
    Departures: biases of the linear layers begin at 0, as in TF-slim. Equal maxima of a pool share
    the gradient. The auxiliary head is computed in evaluation too, and takes images below 299
    pixels, its map padded with zeros.

    `apply` takes an image [b, h, w, c_in] of at least 75 x 75 pixels, in [-1, 1] as published (299
    pixels there), and returns float32 'logits' [b, classes], 'features' [b, 2048], the mean of the
    last map before dropout, and with `auxiliary` 'auxiliary_logits' [b, classes], whose loss has
    the weight 0.4 in the publication's code. Training mode (`train=True`) needs
    `mutable=['batch_stats']` and, unless `dropout` is 0, a key `rngs={'dropout': key}`.

    Cost: 21,787,617 parameters with one class, 24,346,082 with the auxiliary head; 5.7 billion
    multiply-adds for 299 x 299 pixels.

    Raises: ValueError for options out of range, an image of another rank or below 75 pixels;
    TypeError for an image of integers.

    Attributes:
        classes: channels of the logits; 1 is binary.
        auxiliary: whether there is an auxiliary head.
        dropout: share of the features that training drops, in [0, 1).
        dtype: precision of convolutions; parameters, batch norm, features and logits are float32.
        axis_name: axis of pmap or shard_map over which batch statistics are shared.
    """

    classes: int = 1
    auxiliary: bool = False
    dropout: float = 0.5
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b h w i"], *, train: bool) -> dict[str, Array]:
        self._check(image)
        unit = partial(ConvNorm, dtype=self.dtype, axis_name=self.axis_name)
        x, outputs = self._stem(jnp.asarray(image, self.dtype), unit, train), {}
        for name, options in _blocks().items():
            x = Block(unit=unit, name=name, **options)(x, train=train)
            if name == "c_3" and self.auxiliary:
                head = AuxiliaryHead(self.classes, unit, name="auxiliary")
                outputs["auxiliary_logits"] = head(x, train=train)
        features = _means(x)
        kept = nn.Dropout(self.dropout, deterministic=not train)(features)
        logits = _dense(self.classes, 0.1, "head")(kept)
        return {"logits": logits, "features": features, **outputs}

    def _stem(self, x: Array, unit: Callable[..., nn.Module], train: bool) -> Array:
        inside = partial(unit, padded=False)
        x = inside(32, (3, 3), stride=2, name="stem_0")(x, train=train)
        x = inside(32, (3, 3), name="stem_1")(x, train=train)
        x = _max_pool(unit(64, (3, 3), name="stem_2")(x, train=train))
        x = unit(80, name="stem_3")(x, train=train)
        return _max_pool(inside(192, (3, 3), name="stem_4")(x, train=train))

    def _check(self, image: Array) -> None:
        check_rank("image", image, 4)
        check_floating("image", image)
        if min(image.shape[1:3]) < SMALLEST:
            raise ValueError(
                f"`image` takes at least {SMALLEST} x {SMALLEST} pixels, got shape "
                f"{tuple(image.shape)}"
            )
        check_integer("classes", self.classes, least=1)
        check_number("dropout", self.dropout, least=0, below=1)


def _dense(classes: int, deviation: float, name: str) -> nn.Dense:
    initialize = nn.initializers.truncated_normal(deviation)
    return nn.Dense(classes, dtype=jnp.float32, kernel_init=initialize, name=name)


def _means(x: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
    return jnp.mean(x.astype(jnp.float32), axis=(1, 2))


def _inside_conv(x: Array, kernel: Array, stride: int) -> Array:
    """Convolution whose windows stay inside the image, the first in its corner.

    It is cut out of the padded one, whose gradients are fast on CPU. There windows are centred on
    multiples of the stride; zeros put before the image move the first full one to such a place.
    """
    window = kernel.shape[:2]
    before = [-(k // 2) % stride for k in window]
    shifted = jnp.pad(x, [(0, 0), *((add, 0) for add in before), (0, 0)]) if any(before) else x
    y = conv(shifted, kernel, strides=(stride, stride))
    for axis, (k, add) in enumerate(zip(window, before, strict=True), start=1):
        first, count = (k // 2 + add) // stride, (x.shape[axis] - k) // stride + 1
        y = y[(slice(None),) * axis + (slice(first, first + count),)]
    return y


def _shifts(x: Array, axis: int, window: int, stride: int) -> list[Array]:
    """The pixels at each place of the windows inside the image, along one axis."""
    last = (x.shape[axis] - window) // stride * stride + 1
    index = [(slice(None),) * axis + (slice(k, k + last, stride),) for k in range(window)]
    return [x[i] for i in index]


def _max_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b k l c"]:
    """Maximum of 3x3 windows of stride 2 that lie inside the image."""
    return strided_max_pool(x, window=3, stride=2)


def _average_pool(x: Float[Array, "b h w c"], window: int, stride: int) -> Float[Array, "b k l c"]:
    """Mean of windows that lie inside the image, summed in float32."""
    y = x.astype(jnp.float32)
    for axis in (1, 2):
        y = sum(_shifts(y, axis, window, stride))
    return (y / window**2).astype(x.dtype)
