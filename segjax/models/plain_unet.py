"""The plain U-Net of nnU-Net: strided convolutions, instance norm, a head at every resolution."""

import math
from functools import partial

import jax.numpy as jnp
from flax import linen as nn

from segjax.models.layers import BatchNorm, InstanceNorm, StridedConv, TransposedConv
from segjax.ops.checks import check_floating, check_option, check_rank
from segjax.types import Array, Float


def deep_supervision_weights(levels: int) -> tuple[float, ...]:
    """Weights of the losses of the heads, full resolution first.

    w_i = 2^-i for i = 0, 1, ...; the lowest is 0 unless it is the only one; they sum to 1.

    Source: nnU-Net, version 1 ("MultipleOutputLoss2" in its trainer V2) and version 2 alike.
    Departures: none.

    Args:
        levels: number of heads, the one at full resolution included.

    Returns:
        One weight a head, for `(logits, *deep_logits)`.

    Empty cases: none.

    Raises:
        ValueError: `levels` is below 1.
    """
    if levels < 1:
        raise ValueError(f"`levels` takes a positive integer, got {levels}")
    if levels == 1:
        return (1.0,)
    halves = [0.5**i for i in range(levels - 1)]
    return (*(h / sum(halves) for h in halves), 0.0)


class ConvNorm(nn.Module):
    """Convolution with bias, norm, leaky ReLU of slope 0.01."""

    features: int
    window: tuple[int, ...]
    strides: tuple[int, ...]
    norm: str = "instance"
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b *s i"], *, train: bool) -> Float[Array, "b *t o"]:
        # Instance norm takes the bias away again; batch norm's running mean knows it.
        bias = "idle" if self.norm == "instance" else True
        y = StridedConv(self.features, self.window, self.strides, bias, self.dtype, name="conv")(x)
        if self.norm == "instance":
            y = InstanceNorm(name="norm")(y)
        else:
            y = BatchNorm(axis_name=self.axis_name, name="norm")(y, train=train)
        # Norms give float32, whatever the precision of the convolutions.
        return nn.leaky_relu(y.astype(self.dtype), 0.01)


class PlainUNet(nn.Module):
    """The U-Net that nnU-Net configures, in 2-D or 3-D by the length of `strides[0]`.

    A stage is `convolutions` times convolution, norm, leaky ReLU, the first with the stage's
    stride. The decoder goes up by transposed convolutions whose window is the stride, concatenates
    (up, skip), and applies two such units. Every decoder level has a 1x1 convolution as its head.

    Source: Isensee et al. 2021, "nnU-Net: a self-configuring method for deep learning-based
    biomedical image segmentation", and the authors' code. Version 1 (Generic_UNet) has
    `up_bias=False, head_bias=False` and, in 2-D, features 32 * 2^i up to 480; version 2
    (PlainConvUNet) both biases and features up to 512. The Kaiming initialisation of the
    transposed kernels counts output channels, as PyTorch does.
    Departures: an image of any size is taken, where nnU-Net pads its patches beforehand: zeros are
    added at the end of each axis up to the product of the strides, and the logits cropped back; the
    zeros count in the norms. The biases before an instance norm, which takes them away, are
    parameters but are not added: values are the same, their gradient is 0.

    `apply` takes an image [b, *s, c_in] and returns float32 'logits' [b, *s, classes] and
    'deep_logits', a tuple of logits at the lower resolutions of the decoder, finest first (empty
    with two stages): level i has ceil(n / s) pixels along an axis of n, s the product of strides
    up to it, so labels at every s-th pixel fit. Only `norm='batch'` has 'batch_stats', which
    `train=True` moves (`mutable=['batch_stats']`).

    Raises: ValueError where strides or kernels do not fit the features, or the image the strides;
    TypeError for an image of integers.

    Attributes:
        features: channels of each stage, from full resolution down; at least two.
        strides: per stage, pixels along each spatial axis; ones for the first stage.
        classes: channels of the logits.
        kernels: per stage, pixels of the window along each spatial axis, odd; None is 3
            everywhere. The decoder takes the window of the stage at its resolution.
        convolutions: units in each stage of the encoder; the decoder's two are fixed.
        up_bias: whether the transposed convolutions have a bias.
        head_bias: whether the heads have one.
        norm: 'instance' or 'batch'.
        dtype: precision of convolutions; parameters, norms and logits are float32.
        axis_name: axis of pmap or shard_map over which batch statistics are shared.
    """

    features: tuple[int, ...] = (32, 64, 128, 256, 512)
    strides: tuple[tuple[int, ...], ...] = ((1, 1), (2, 2), (2, 2), (2, 2), (2, 2))
    classes: int = 4
    kernels: tuple[tuple[int, ...], ...] | None = None
    convolutions: int = 2
    up_bias: bool = True
    head_bias: bool = True
    norm: str = "instance"
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, image: Float[Array, "b *s i"], *, train: bool
    ) -> dict[str, Array | tuple[Array, ...]]:
        strides, kernels = self._stages()
        check_rank("image", image, len(strides[0]) + 2)
        check_floating("image", image)
        unit = partial(ConvNorm, norm=self.norm, dtype=self.dtype, axis_name=self.axis_name)
        once, last = strides[0], len(strides) - 1
        skips, x = [], _pad_end(jnp.asarray(image, self.dtype), strides)
        for i, features in enumerate(self.features):
            for t in range(self.convolutions):
                step = strides[i] if t == 0 else once
                x = unit(features, kernels[i], step, name=f"down_{i}_{t}")(x, train=train)
            skips.append(x)
        heads = []
        for i in reversed(range(last)):
            up = TransposedConv(
                self.features[i], strides[i + 1], self.up_bias, self.dtype, name=f"up_{i}"
            )
            x = jnp.concatenate([up(x), skips[i]], axis=-1)
            for t in range(2):
                x = unit(self.features[i], kernels[i], once, name=f"decode_{i}_{t}")(x, train=train)
            head = StridedConv(
                self.classes, once, once, self.head_bias, self.dtype, name=f"head_{i}"
            )
            # The decoder begins at the lowest resolution, the list of heads at the highest.
            heads.insert(0, _crop(head(x), image.shape[1:-1], strides[: i + 1]))
        return {"logits": heads[0], "deep_logits": tuple(heads[1:])}

    def _stages(self) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
        """Strides and kernels of the stages, checked."""
        stages = len(self.features)
        strides = tuple(tuple(stride) for stride in self.strides)
        if stages < 2:
            raise ValueError(f"`features` takes two stages or more, got {self.features}")
        if len(strides) != stages:
            raise ValueError(
                f"`strides` takes one entry for each of the {stages} stages of `features`, ones "
                f"for the first, got {len(strides)}: {strides}"
            )
        rank = len(strides[0])
        if rank not in (2, 3) or any(stride != 1 for stride in strides[0]):
            raise ValueError(f"`strides` takes (1, 1) or (1, 1, 1) first, got {strides[0]}")
        _check_entries("strides", strides, rank)
        kernels = self.kernels or ((3,) * rank,) * stages
        kernels = tuple(tuple(window) for window in kernels)
        if len(kernels) != stages:
            raise ValueError(
                f"`kernels` takes one entry for each of the {stages} stages of `features`, got "
                f"{len(kernels)}: {kernels}"
            )
        _check_entries("kernels", kernels, rank)
        check_option("norm", self.norm, ("instance", "batch"))
        if self.convolutions < 1:
            raise ValueError(f"`convolutions` takes a positive integer, got {self.convolutions}")
        return strides, kernels


def _check_entries(name: str, entries: tuple[tuple[int, ...], ...], rank: int) -> None:
    for i, entry in enumerate(entries):
        if len(entry) != rank or any(n < 1 for n in entry):
            raise ValueError(f"`{name}[{i}]` takes {rank} positive integers, got {entry}")


def _steps(strides: tuple[tuple[int, ...], ...]) -> list[int]:
    """Pixels of the image under one pixel after these stages, per axis."""
    return [math.prod(axis) for axis in zip(*strides, strict=True)]


def _pad_end(x: Array, strides: tuple[tuple[int, ...], ...]) -> Array:
    # At the end alone: the first pixels of all levels lie over the first of the image.
    ends = [(0, -n % step) for n, step in zip(x.shape[1:-1], _steps(strides), strict=True)]
    return jnp.pad(x, [(0, 0), *ends, (0, 0)]) if any(end for _, end in ends) else x


def _crop(x: Array, sizes: tuple[int, ...], strides: tuple[tuple[int, ...], ...]) -> Array:
    """The pixels over the image of those sizes, in float32."""
    kept = [slice(-(-n // step)) for n, step in zip(sizes, _steps(strides), strict=True)]
    return jnp.asarray(x[(slice(None), *kept)], jnp.float32)
