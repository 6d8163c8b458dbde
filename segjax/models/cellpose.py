"""The cellpose U-Net (versions 1 to 3): residual blocks with a style vector in the decoder."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from segjax.errors import UserError
from segjax.models.layers import BatchNorm, Conv, Dense
from segjax.ops.checks import check_floating, check_rank
from segjax.ops.pooling import max_pool
from segjax.ops.resampling import crop_center, pad_to_multiple, upsample_nearest
from segjax.types import Array, Float


class NormConv(nn.Module):
    """Batch norm, ReLU unless `relu` is off, convolution."""

    features: int
    window: int = 3
    relu: bool = True
    dtype: jnp.dtype = jnp.float32
    momentum: float = 0.95
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"], *, train: bool) -> Float[Array, "b h w o"]:
        x = BatchNorm(self.momentum, self.axis_name, name="norm")(x, train=train)
        x = nn.relu(x) if self.relu else x
        return Conv(self.features, self.window, self.dtype, name="conv")(x)


class StyleConv(nn.Module):
    """Adds a linear map of the style vector to every pixel, then norm, ReLU, convolution."""

    features: int
    unit: Callable[..., nn.Module]

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], style: Float[Array, "b k"], *, train: bool
    ) -> Float[Array, "b h w c"]:
        shift = Dense(self.features, x.dtype, name="style")(style)
        return self.unit(self.features, name="unit")(x + shift[:, None, None, :], train=train)


class DownBlock(nn.Module):
    """Two residual pairs of convolutions; the first skip is a 1x1 projection."""

    features: int
    unit: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"], *, train: bool) -> Float[Array, "b h w o"]:
        h = self.unit(self.features, window=1, relu=False, name="proj")(x, train=train)
        for pair in ((0, 1), (2, 3)):
            # The first pair adds to the projection of the input, the second to that sum.
            branch = x if pair == (0, 1) else h
            for t in pair:
                branch = self.unit(self.features, name=f"conv_{t}")(branch, train=train)
            h = h + branch
        return h


class UpBlock(nn.Module):
    """As the down block, with the encoder's map added once and the style three times."""

    features: int
    unit: Callable[..., nn.Module]

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h w i"],
        skip: Float[Array, "b h w o"],
        style: Float[Array, "b k"],
        *,
        train: bool,
    ) -> Float[Array, "b h w o"]:
        styled = partial(StyleConv, self.features, self.unit)
        branch = self.unit(self.features, name="conv_0")(x, train=train)
        # Added, not concatenated, as in the published networks whose weights load here
        branch = styled(name="conv_1")(branch + skip, style, train=train)
        h = self.unit(self.features, window=1, relu=False, name="proj")(x, train=train) + branch
        branch = styled(name="conv_2")(h, style, train=train)
        return h + styled(name="conv_3")(branch, style, train=train)


class CellposeUNet(nn.Module):
    """Pre-activation residual U-Net of cellpose 1 to 3, the backbone of multiscale fovea heat maps.

    Source: Stringer et al. 2021, "Cellpose: a generalist algorithm for cellular segmentation", and
    the authors' code (CPnet); weights of theirs load through `from_state_dict`.
    Departures: the norm of the style vector carries an epsilon; any image size is taken (padded
    with zeros to a multiple of 2^(levels - 1), evenly on both sides, and cropped), where the
    padding counts in the batch statistics and the style; sizes that are multiples are untouched.

    `apply` takes an image [b, h, w, c_in], raw float values, and returns
    'logits' float32 [b, h, w, outputs] and 'style' float32 [b, features[-1]], of unit length.
    Training mode (`train=True`) needs `mutable=['batch_stats']`. Cost: 6.6 million parameters by
    default, of which a style vector and the output see every level.

    Attributes:
        features: channels of each level, from full resolution down.
        outputs: channels of the logits.
        style: off feeds the decoder a zero style; the linear maps keep their biases.
        dtype: precision of convolutions; parameters, batch statistics and logits are float32.
        momentum: weight of the old running statistics: 0.95 in version 3, 0.9 before.
        axis_name: axis of pmap or shard_map over which batch statistics are shared.
    """

    features: tuple[int, ...] = (32, 64, 128, 256)
    outputs: int = 1
    style: bool = True
    dtype: jnp.dtype = jnp.float32
    momentum: float = 0.95
    axis_name: str | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b h w i"], *, train: bool) -> dict[str, Array]:
        check_rank("image", image, 4)
        check_floating("image", image)
        unit = partial(NormConv, dtype=self.dtype, momentum=self.momentum, axis_name=self.axis_name)
        x = pad_to_multiple(image, multiple=2 ** (len(self.features) - 1))
        maps = []
        for i, features in enumerate(self.features):
            x = max_pool(x) if i else x
            x = DownBlock(features, unit, name=f"down_{i}")(x, train=train)
            maps.append(x)
        style = _unit_style(x)
        fed = style if self.style else jnp.zeros_like(style)
        for k in reversed(range(len(self.features))):
            # The lowest decoder block has input and skip at one resolution: both are the last map.
            x = x if k == len(self.features) - 1 else upsample_nearest(x)
            x = UpBlock(self.features[k], unit, name=f"up_{k}")(x, maps[k], fed, train=train)
        logits = unit(self.outputs, window=1, name="output")(x, train=train)
        logits = crop_center(logits, shape=image.shape[1:3])
        return {"logits": jnp.asarray(logits, jnp.float32), "style": style}


def _unit_style(x: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
    # In float32 whatever the precision of x: it is a sum over all pixels.
    mean = jnp.mean(jnp.asarray(x, jnp.float32), axis=(1, 2))
    # Inside the root, so that a map of zeros has a finite gradient.
    return mean / jnp.sqrt(jnp.sum(mean**2, axis=-1, keepdims=True) + 1e-12)


# --- Weights of the published networks. ---------------------------------------------------------

_IGNORED = ("num_batches_tracked", "diam_mean", "diam_labels")
_NORM = {
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}
_AFFINE = {"weight": ("params", "kernel"), "bias": ("params", "bias")}


def _modules(levels: int) -> list[tuple[str, tuple[str, ...], int]]:
    """Every layer: its prefix in a state dict, its path here, the axes of its weight.

    The axes are 1 for a batch norm, 2 for a linear layer, 4 for a convolution.
    """
    found = []

    def add_unit(prefix: str, path: tuple[str, ...], conv_index: int) -> None:
        # In PyTorch the layers of a unit are numbered; a ReLU between them takes index 1.
        found.append((f"{prefix}.0", (*path, "norm"), 1))
        found.append((f"{prefix}.{conv_index}", (*path, "conv"), 4))

    for i in range(levels):
        down, up = f"downsample.down.res_down_{i}", f"upsample.up.res_up_{i}"
        add_unit(f"{down}.proj", (f"down_{i}", "proj"), 1)
        add_unit(f"{up}.proj", (f"up_{i}", "proj"), 1)
        add_unit(f"{up}.conv.conv_0", (f"up_{i}", "conv_0"), 2)
        for t in range(4):
            add_unit(f"{down}.conv.conv_{t}", (f"down_{i}", f"conv_{t}"), 2)
        for t in (1, 2, 3):
            prefix, path = f"{up}.conv.conv_{t}", (f"up_{i}", f"conv_{t}")
            add_unit(f"{prefix}.conv", (*path, "unit"), 2)
            found.append((f"{prefix}.full", (*path, "style"), 2))
    add_unit("output", ("output",), 2)
    return found


def _entries(levels: int) -> dict[str, tuple[tuple[str, ...], int]]:
    """State-dict key -> (path in the variables, axes of the layer's weight)."""
    entries = {}
    for prefix, path, axes in _modules(levels):
        for leaf, (collection, name) in (_NORM if axes == 1 else _AFFINE).items():
            entries[f"{prefix}.{leaf}"] = ((collection, *path, name), axes)
    return entries


def from_state_dict(
    state: Mapping[str, np.ndarray], *, template: Mapping[str, Mapping] | None = None
) -> dict[str, dict]:
    """Variables of `CellposeUNet` from a state dict of the authors' PyTorch network.

    Source: the published files of cellpose 1 to 3 (residual, style, skips added). With a template
    of another number of outputs or input channels, as the authors do for the head: the output
    layer, or the first batch norms and convolutions, keep the template's values.
    Departures: the running variance is taken as it is (PyTorch stores the unbiased one).

    Args:
        state: arrays by key; a 'module.' before every key is dropped, as are the counters
            `num_batches_tracked` and the sizes `diam_mean` and `diam_labels`.
        template: variables of the network to fill, from `model.init`; its features must agree.

    Returns:
        {'params': ..., 'batch_stats': ...} of float32 NumPy arrays (the template's own where kept).

    Raises:
        ValueError: a key is missing, unknown (a version 2 network with concatenated skips or plain
            blocks, a version 4 transformer), or its array has another shape; the key is named.
    """
    arrays = {key.removeprefix("module."): value for key, value in state.items()}
    arrays = {key: value for key, value in arrays.items() if key.split(".")[-1] not in _IGNORED}
    # More levels than any network has; keys beyond those that are there are refused below.
    levels = sum(f"downsample.down.res_down_{i}.proj.1.weight" in arrays for i in range(16))
    entries = _entries(levels)
    _check_keys(arrays, entries)
    expected = _expected_shapes(arrays, levels)
    wanted = None if template is None else flatten_dict(template)
    filled, kept = {}, _replaced(expected, wanted)
    for key, (path, axes) in entries.items():
        # Modules are one or two names of a path, after that of its collection.
        if path[1:3] in kept or path[1:2] in kept:
            filled[path] = wanted[path]
            continue
        value = np.asarray(arrays[key], np.float32)
        takes = _torch_shape(expected[path] if wanted is None else wanted[path].shape, axes)
        if value.shape != takes:
            raise ValueError(f"state dict: `{key}` takes shape {takes}, got {value.shape}")
        filled[path] = _to_flax(value, axes)
    return unflatten_dict(filled)


def to_state_dict(variables: Mapping[str, Mapping]) -> dict[str, np.ndarray]:
    """The authors' state dict of `CellposeUNet`'s variables, without counters and diameters.

    The inverse of `from_state_dict`; load it in PyTorch with `strict=False`.

    Args:
        variables: {'params': ..., 'batch_stats': ...}.

    Returns:
        Float32 arrays by PyTorch key.
    """
    flat = flatten_dict(variables)
    levels = sum(name.startswith("down_") for name in variables["params"])
    return {
        key: _to_torch(np.asarray(flat[path], np.float32), axes)
        for key, (path, axes) in _entries(levels).items()
    }


def load_torch_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Reads a published `.pth` file into a state dict of NumPy arrays, running no code from it.

    Args:
        path: a file written by `torch.save(net.state_dict(), ...)`.

    Returns:
        Arrays by key, for `from_state_dict`.

    Raises:
        ImportError: PyTorch, the extra `torch`, is not installed.
        UserError: the file is missing, or is not a state dict of tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"weights {path}: no such file")
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "reading PyTorch weights needs the extra `torch`: pip install 'segjax[torch]'"
        ) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # A damaged file raises whatever its first bad byte leads to.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"weights {path}: not a PyTorch file of tensors ({reason})") from error
    if not isinstance(state, Mapping) or not all(hasattr(v, "numpy") for v in state.values()):
        raise UserError(
            f"weights {path}: takes a state dict of tensors, got {type(state).__name__}"
        )
    # To float32 in PyTorch: NumPy has no bfloat16.
    return {key: value.float().numpy() for key, value in state.items()}


def _check_keys(arrays: Mapping[str, np.ndarray], entries: Mapping[str, tuple]) -> None:
    takes = "takes a residual cellpose network of versions 1 to 3 with added skips"
    unknown = sorted(set(arrays) - set(entries))
    missing = sorted(set(entries) - set(arrays))
    if unknown:
        raise ValueError(f"state dict: unknown key `{unknown[0]}`; {takes}")
    if missing:
        raise ValueError(f"state dict: no key `{missing[0]}`; {takes}")


def _expected_shapes(arrays: Mapping[str, np.ndarray], levels: int) -> dict[tuple, tuple]:
    """Shapes of all variables of the network whose widths the 1x1 projections give."""
    if levels == 0:
        raise ValueError("state dict: no key `downsample.down.res_down_0.proj.1.weight`")
    projections = [
        np.shape(arrays[f"downsample.down.res_down_{i}.proj.1.weight"]) for i in range(levels)
    ]
    head = np.shape(arrays["output.2.weight"])
    for key, shape in (
        ("downsample.down.res_down_0.proj.1.weight", projections[0]),
        ("output.2.weight", head),
    ):
        if len(shape) != 4:
            raise ValueError(f"state dict: `{key}` takes 4 axes, got shape {shape}")
    model = CellposeUNet(tuple(int(shape[0]) for shape in projections), outputs=int(head[0]))
    # Shapes only, of whatever image: nothing is computed, and no key is used up.
    image = jax.ShapeDtypeStruct((1, 8, 8, int(projections[0][1])), jnp.float32)
    shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), image)
    return {path: leaf.shape for path, leaf in flatten_dict(shapes).items()}


def _replaced(expected: Mapping[tuple, tuple], wanted: Mapping[tuple, Array] | None) -> set[tuple]:
    """Modules that keep the template's values: the head, the two layers that see the image."""
    if wanted is None:
        return set()
    if set(wanted) != set(expected):
        raise ValueError("`template` takes variables of a CellposeUNet with the state's levels")
    head = ("params", "output", "conv", "kernel")
    first = ("params", "down_0", "proj", "conv", "kernel")
    kept = set()
    if wanted[head].shape[3] != expected[head][3]:
        kept.add(("output",))
    if wanted[first].shape[2] != expected[first][2]:
        kept |= {("down_0", "conv_0"), ("down_0", "proj")}
    return kept


def _order(ndim: int, axes: int) -> tuple[int, ...]:
    """Axes of a PyTorch array in our order; a bias or a batch norm has one and keeps it."""
    if ndim == 1:
        return (0,)
    # (o, i, k, l) to (k, l, i, o), and (o, i) to (i, o)
    return (2, 3, 1, 0) if axes == 4 else (1, 0)


def _to_flax(value: np.ndarray, axes: int) -> np.ndarray:
    return value.transpose(_order(value.ndim, axes))


def _to_torch(value: np.ndarray, axes: int) -> np.ndarray:
    # argsort turns a permutation of axes round.
    return value.transpose(np.argsort(_order(value.ndim, axes)))


def _torch_shape(shape: tuple[int, ...], axes: int) -> tuple[int, ...]:
    return tuple(shape[i] for i in np.argsort(_order(len(shape), axes)))
