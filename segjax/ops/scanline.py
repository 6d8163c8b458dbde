"""The two passes an affine of a plane is made of: scale an axis by a product, then shear it.

Nothing here gathers (Catmull and Smith, 3-D transformations of images in scanline order, 1980), for
warps that gather are slow on TPUs, and this form is no slower on a CPU.
"""

import jax
import jax.numpy as jnp

from segjax.types import Array, Float

# Degrees: beyond it a pass would squeeze an axis to less than 0.7 of its pixels.
MAX_ROTATION = 45.0
# Degrees: at it a column leans by as much as it is high.
MAX_SHEAR = 45.0


# HIGHEST, because accelerators multiply float32 in fewer bits by default
def scale_columns(
    planes: Float[Array, "n h w"], matrix: Float[Array, "u w"]
) -> Float[Array, "n h u"]:
    """Resamples the last axis: sum_w matrix_uw planes_nhw, in full float32."""
    return jnp.einsum("nhw,uw->nhu", planes, matrix, precision=jax.lax.Precision.HIGHEST)


def scale_rows(planes: Float[Array, "n h w"], matrix: Float[Array, "v h"]) -> Float[Array, "n v w"]:
    """Resamples the axis of rows: sum_h matrix_vh planes_nhw, in full float32."""
    return jnp.einsum("nhw,vh->nvw", planes, matrix, precision=jax.lax.Precision.HIGHEST)


def margin(reach: int) -> int:
    """Pixels that `shear` uses up for offsets up to `reach` either way, and for interpolation."""
    # The steps of all bits come to one less than this power; the interpolation takes one pixel.
    return 2 ** (2 * reach).bit_length() if reach else 0


def shear(
    planes: Float[Array, "n h w"], offsets: Float[Array, "l"], reach: int, *, axis: int
) -> Float[Array, "n u v"]:
    """Reads every line along `axis` at position + its own offset, and removes the margin.

    A barrel shifter: whole pixels by static slices chosen bit by bit, the rest by linear
    interpolation between neighbours.

    Source: Catmull and Smith (1980). Departures: none.

    Args:
        planes: they begin `reach` pixels before the output and are `margin(reach)` longer.
        offsets: pixels, one a line: of the rows for `axis` 2, of the columns for `axis` 1; held to
            `reach` either way.
        reach: the largest offset, static.
        axis: 1 or 2.

    Returns: the planes, `margin(reach)` shorter along `axis`.
    Empty cases: with `reach` 0 the planes come back as they are.
    Raises: nothing.
    Cost: a select for each bit of 2 reach, and one interpolation.
    """
    if not reach:
        return planes
    # The planes begin `reach` pixels early, so every line moves the same way, by 0 to 2 reach.
    start = jnp.clip(offsets + reach, 0, 2 * reach)
    offsets = start[None, :, None] if axis == 2 else start[None, None, :]
    whole = jnp.floor(offsets)
    fraction, whole = offsets - whole, whole.astype(jnp.int32)
    for bit in reversed(range((2 * reach).bit_length())):
        step = 2**bit
        stay, move = _drop_last(planes, step, axis), _drop_first(planes, step, axis)
        # A set bit drops pixels in front, a clear one as many behind: lines stay of one length.
        planes = jnp.where((whole >> bit) & 1 == 1, move, stay)
    here, following = _drop_last(planes, 1, axis), _drop_first(planes, 1, axis)
    return here + fraction * (following - here)


def _drop_first(planes: Array, count: int, axis: int) -> Array:
    return jax.lax.slice_in_dim(planes, count, planes.shape[axis], axis=axis)


def _drop_last(planes: Array, count: int, axis: int) -> Array:
    return jax.lax.slice_in_dim(planes, 0, planes.shape[axis] - count, axis=axis)
