"""Changing the size of images: upsampling, padding to a multiple, cropping back."""

import jax.numpy as jnp

from segjax.types import Array, Float


def _check_spatial(x: Array) -> None:
    if x.ndim < 3:
        raise ValueError(f"`x` takes [b, *s, c] with a spatial axis, got shape {tuple(x.shape)}")


def upsample_nearest(x: Float[Array, "b *s c"], *, factor: int = 2) -> Float[Array, "b *t c"]:
    """Repeats every pixel `factor` times along every spatial axis.

    y[i] = x[floor(i / factor)] along each spatial axis.

    Source: nearest-neighbour upsampling, as the decoders of U-Nets use it.
    Departures: none. Broadcast and reshape replace `jax.image.resize`, whose gather and scatter
    take some forty times as long on CPU.

    Args:
        x: values, any spatial rank.
        factor: repeats along each axis.

    Returns:
        Values of x's dtype, each spatial size times `factor`.

    Empty cases: none.

    Raises:
        ValueError: `factor` is below 1, or there is no spatial axis.

    Cost: one write of the output.
    """
    _check_spatial(x)
    if factor < 1:
        raise ValueError(f"`factor` takes a positive integer, got {factor}")
    # [b, h, 1, w, 1, c], spread to [b, h, factor, w, factor, c], is [b, h factor, w factor, c].
    split, wide, joined = [x.shape[0]], [x.shape[0]], [x.shape[0]]
    for size in x.shape[1:-1]:
        split += [size, 1]
        wide += [size, factor]
        joined += [size * factor]
    channels = x.shape[-1]
    return jnp.broadcast_to(x.reshape(*split, channels), (*wide, channels)).reshape(
        *joined, channels
    )


def upsample_linear_asymmetric(
    x: Float[Array, "b *s c"], *, factor: int = 2
) -> Float[Array, "b *t c"]:
    """Linear interpolation between pixels and the next, pixel i of x at `factor * i` of the result.

    y[factor i + k] = (1 - k / factor) x[i] + (k / factor) x[i + 1], 0 <= k < factor, along each
    spatial axis in turn; beyond the last pixel x goes on as that pixel.

    Source: bilinear upsampling of Theano (`bilinear_upsampling` of its `abstract_conv`), which ONNX
    calls linear with asymmetric coordinates.
    Departures: none. `jax.image.resize` and PyTorch's `interpolate` make the borders of the two
    images meet instead (half-pixel centres), which moves y by (factor - 1) / 2 pixels to the end.

    Args:
        x: values, any spatial rank.
        factor: pixels of the result from one pixel of x to the next.

    Returns:
        Values of x's dtype, each spatial size times `factor`.

    Empty cases: none; a single pixel is repeated.

    Raises:
        ValueError: `factor` is below 1, or there is no spatial axis.

    Cost: one write of the output, and one at 1 / factor of its size for each further axis.
    """
    _check_spatial(x)
    if factor < 1:
        raise ValueError(f"`factor` takes a positive integer, got {factor}")
    for axis in range(1, x.ndim - 1):
        before = (slice(None),) * axis
        following = jnp.concatenate(
            [x[(*before, slice(1, None))], x[(*before, slice(-1, None))]], axis
        )
        between = [x + (k / factor) * (following - x) for k in range(1, factor)]
        shape = list(x.shape)
        shape[axis] *= factor
        x = jnp.stack([x, *between], axis + 1).reshape(shape)
    return x


def pad_to_multiple(x: Float[Array, "b *s c"], *, multiple: int) -> Float[Array, "b *t c"]:
    """Pads every spatial axis with zeros up to the next multiple, half on each side.

    Source: cellpose, which pads with zeros, the odd pixel at the end; `crop_center` undoes it.
    Departures: cellpose always adds at least one `multiple` around the image; here an image whose
    sizes are multiples already comes back as it is.

    Args:
        x: values, any spatial rank.
        multiple: every returned spatial size is a multiple of it.

    Returns:
        Values of x's dtype.

    Empty cases: none.

    Raises:
        ValueError: `multiple` is below 1, or there is no spatial axis.

    Cost: one copy, none where nothing is added.
    """
    _check_spatial(x)
    if multiple < 1:
        raise ValueError(f"`multiple` takes a positive integer, got {multiple}")
    missing = [-size % multiple for size in x.shape[1:-1]]
    if not any(missing):
        return x
    return jnp.pad(x, [(0, 0), *((add // 2, add - add // 2) for add in missing), (0, 0)])


def crop_center(x: Float[Array, "b *s c"], *, shape: tuple[int, ...]) -> Float[Array, "b *t c"]:
    """Cuts the centre of spatial size `shape` out of x: the inverse of `pad_to_multiple`.

    Source: our own.
    Departures: none. Of an odd number of pixels taken away, the odd one comes from the end.

    Args:
        x: values, any spatial rank.
        shape: spatial sizes to return, none larger than those of x.

    Returns:
        Values of x's dtype.

    Empty cases: none.

    Raises:
        ValueError: `shape` has another number of axes than x has spatial ones, or is larger.

    Cost: one copy, none where nothing is cut.
    """
    _check_spatial(x)
    sizes = x.shape[1:-1]
    if len(shape) != len(sizes) or any(n > s for n, s in zip(shape, sizes, strict=False)):
        raise ValueError(f"`shape` takes sizes up to {tuple(sizes)}, got {tuple(shape)}")
    starts = [(size - new) // 2 for size, new in zip(sizes, shape, strict=True)]
    index = [slice(start, start + new) for start, new in zip(starts, shape, strict=True)]
    return x[(slice(None), *index)]
