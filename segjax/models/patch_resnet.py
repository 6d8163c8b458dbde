"""ResNet-50 for patches whose centre pixel is in question, with an embedding beside the logits."""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from flax import linen as nn

from segjax.models.layers import BatchNorm
from segjax.ops.checks import check_floating, check_integer, check_option, check_rank
from segjax.ops.pooling import strided_max_pool
from segjax.ops.strided import conv
from segjax.types import Array, Float

OMITTED = ("pool", "stem", "last", "none")


class ConvNorm(nn.Module):
    """Convolution without bias and batch norm.

    Attributes:
        features: output channels.
        window: pixels along each side of the kernel, odd.
        stride: pixels between windows.
        scale: of the norm, at first.
        dtype: precision of the convolution; parameters are float32.
        axis_name: axis over which batch statistics are shared.
    """

    features: int
    window: int = 1
    stride: int = 1
    scale: float = 1.0
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"], *, train: bool) -> Float[Array, "b k l o"]:
        shape = (self.window, self.window, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        y = conv(x, jnp.asarray(kernel, self.dtype), strides=(self.stride, self.stride))
        scale = nn.initializers.constant(self.scale)
        norm = BatchNorm(axis_name=self.axis_name, scale_init=scale, name="norm")
        return norm(y, train=train).astype(self.dtype)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution, the last to four times the channels, around a shortcut."""

    features: int
    stride: int
    # The shortcut is the input itself, or a 1x1 convolution of it.
    projected: bool
    unit: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"], *, train: bool) -> Float[Array, "b k l o"]:
        wide = 4 * self.features
        y = nn.relu(self.unit(self.features, name="conv_0")(x, train=train))
        y = self.unit(self.features, window=3, stride=self.stride, name="conv_1")(y, train=train)
        # A scale of 0: every block begins as its shortcut.
        y = self.unit(wide, scale=0.0, name="conv_2")(nn.relu(y), train=train)
        if self.projected:
            x = self.unit(wide, stride=self.stride, name="projection")(x, train=train)
        return nn.relu(x + y)


class PatchResNet(nn.Module):
    """ResNet-50 as a classifier of patches by their centre, one of its halvings left out.

    Every halving pads both sides alike, so that windows are centred on pixels 0, 2, 4, ... of the
    finer map: a size 2^n + 1 becomes 2^(n-1) + 1, and its centre stays its centre.

    Source: Multi-scale Microaneurysms Segmentation Using Embedding Triplet Loss, section 2: patches
    of 129 x 129 pixels, "one downsampling step is omitted", and an embedding for the triplet loss.
    The network is that of He et al. (2016), Deep Residual Learning for Image Recognition, Table 1,
    in the later form with the stride in the 3x3 convolution of a block (version 1.5); kernels have
    LeCun's normal initialisation, and the last scale of each block begins at 0 (Goyal et al. 2017,
    arXiv 1706.02677, section 5.1), as in Flax's example.
    Departures: the paper does not say which step is omitted; the max-pool is our choice, for it
    costs no parameter and leaves the stem as it is. Equal maxima share the gradient.

    `apply` takes an image [b, h, w, c_in] of any size and returns float32 'logits' [b, classes] and
    'embedding' [b, 32 * width] with four stages, the mean of the last map over its pixels. That map
    has 9 x 9 pixels for 129 x 129, and 5 x 5 with `omitted='none'`. Training mode (`train=True`)
    needs `mutable=['batch_stats']`.

    Cost: 23,512,130 parameters with two classes, 25,557,032 with a thousand, whatever is omitted.
    For 129 x 129 pixels 5.8 billion multiply-adds ('pool'), 5.9 ('stem'), 2.5 ('last') or 1.7.

    Raises: ValueError for options out of range or an image of another rank; TypeError for an image
    of integers.

    Attributes:
        classes: channels of the logits; 1 is binary.
        omitted: the halving that is left out: 'pool' the max-pool, 'stem' the stride of the first
            convolution, 'last' that of the last stage; 'none' is the usual classifier.
        width: channels of the first convolution.
        stages: blocks of each stage; every one but the first halves the size.
        dtype: precision of convolutions; parameters, batch norm, embedding and logits are float32.
        axis_name: axis of pmap or shard_map over which batch statistics are shared.
    """

    classes: int = 2
    omitted: str = "pool"
    width: int = 64
    stages: tuple[int, ...] = (3, 4, 6, 3)
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b h w i"], *, train: bool) -> dict[str, Array]:
        self._check(image)
        unit = partial(ConvNorm, dtype=self.dtype, axis_name=self.axis_name)
        x, stride = jnp.asarray(image, self.dtype), 1 if self.omitted == "stem" else 2
        x = nn.relu(unit(self.width, window=7, stride=stride, name="stem")(x, train=train))
        if self.omitted != "pool":
            x = strided_max_pool(x, window=3, stride=2, padding=1)
        last = len(self.stages) - 1
        for i, blocks in enumerate(self.stages):
            stride = 1 if i == 0 or (i == last and self.omitted == "last") else 2
            for t in range(blocks):
                block = Bottleneck(
                    self.width * 2**i, 1 if t else stride, t == 0, unit, name=f"block_{i}_{t}"
                )
                x = block(x, train=train)
        embedding = jnp.mean(x.astype(jnp.float32), axis=(1, 2))
        logits = nn.Dense(self.classes, dtype=jnp.float32, name="head")(embedding)
        return {"logits": logits, "embedding": embedding}

    def _check(self, image: Array) -> None:
        check_rank("image", image, 4)
        check_floating("image", image)
        check_option("omitted", self.omitted, OMITTED)
        check_integer("classes", self.classes, least=1)
        check_integer("width", self.width, least=1)
        if len(self.stages) < 2:
            raise ValueError(f"`stages` takes two or more, got {self.stages!r}")
        for i, blocks in enumerate(self.stages):
            check_integer(f"stages[{i}]", blocks, least=1)
