"""Shear, rotation, scaling and translation of planes about their centre, in two scanline passes.

Each pass scales and shifts one axis by a small matrix product, then shears it (`ops/scanline.py`).
"""

import math
from typing import Literal

import jax.numpy as jnp

from segjax.ops import scanline
from segjax.ops.scanline import MAX_ROTATION, margin, scale_columns, scale_rows
from segjax.types import Array, Float

Border = Literal["zero", "repeat"]


def affine(
    planes: Float[Array, "n H W"],
    angle: Float[Array, ""],
    factor: Float[Array, ""],
    shift: Float[Array, "2"] | None = None,
    shear: Float[Array, ""] | None = None,
    *,
    size: tuple[int, int],
    border: Border = "zero",
    largest_angle: float = math.radians(MAX_ROTATION),
    largest_factor: float = 2.0,
    largest_shift: float = 0.0,
    largest_shear: float = 0.0,
) -> Float[Array, "n h w"]:
    """Planes under out = factor R(angle) K(shear) source + shift about their centre, cut to it.

    K adds tan(shear) q_y to q_x. With o an output position less the shift and q a source position,
    both from the centre,
        q_x = (o_x + s (sin(a) - tan(shear) cos(a)) q_y) / (s cos a)
                                                 from source rows to output columns, and
        q_y = (o_y - tan(a) o_x) cos(a) / s      from output columns to the output.
    No pass throws away what a later one needs: the first keeps every source row, and each product
    makes a margin as wide as the largest shear.

    Source: Catmull and Smith, 3-D transformations of images in scanline order (1980).
    Departures: linear interpolation in each of the four steps.

    Args:
        planes: float32 values.
        angle: radians, at most `largest_angle` either way, from +x (right) towards +y (down).
        factor: above 1 enlarges.
        shift: (x, y) in pixels; none is no translation.
        shear: radians, at most `largest_shear` either way, by which columns lean from +y (down)
            towards +x (right); none is no shear.
        size: (h, w) of the output, at most that of the planes.
        border: what lies beyond the planes: zero, to which they fall within one pixel; or the
            pixels of their rim, repeated.
        largest_angle: static bound of `angle`, at most 45 degrees; 0 leaves the shears out.
        largest_factor: static bound of `factor`.
        largest_shift: static bound of `shift`, as a share of the output's sides.
        largest_shear: static bound of `shear`, with that of the angle below 90 degrees.

    Returns: [n, h, w]; at angle 0, factor 1 and no shift and shear the centre crop.
    Empty cases: no planes (n = 0) come back cut.
    Raises: nothing; beyond the bounds the far corners of the output are wrong.
    Cost: two products per plane with matrices [w + 2 shear, W] and [h + 2 shear, H]; the shears are
        at most (h + w) / 4 and w / 2 pixels where a patch is cut with zeros around and columns do
        not lean, rounded up to powers of two; and two selects for each bit of the shear.
    """
    (height, width), (rows, columns) = size, planes.shape[1:]
    bounds = largest_angle, largest_factor, largest_shift, largest_shear
    across, down = _reach((rows, columns), size, border, *bounds)
    x_shift, y_shift = (None, None) if shift is None else (shift[0], shift[1])
    cos = jnp.cos(angle)
    at = _positions(columns, width, across, x_shift)
    # First pass, along x: the product samples every line at u / (s cos a), with a margin on both
    # sides; rows are then sheared: the source row q_y is read at o_x + s slope q_y, its offset.
    planes = scale_columns(planes, _resampling(columns, 1 / (factor * cos) * at, border))
    slope = jnp.sin(angle)
    slope = slope if shear is None else slope - jnp.tan(shear) * cos
    offsets = factor * slope * _positions(rows, rows, 0)
    planes = scanline.shear(planes, offsets, across, axis=2)
    at = _positions(rows, height, down, y_shift)
    # Second pass, along y: samples at v cos(a) / s, of which the output column o_x is then read at
    # v = o_y - tan(a) o_x.
    planes = scale_rows(planes, _resampling(rows, cos / factor * at, border))
    offsets = -jnp.tan(angle) * _positions(columns, width, 0, x_shift)
    return scanline.shear(planes, offsets, down, axis=1)


def _reach(
    source: tuple[int, int],
    size: tuple[int, int],
    border: Border,
    angle: float,
    factor: float,
    shift: float,
    shear: float,
) -> tuple[int, int]:
    """The largest shear of either pass, in whole pixels; 0 means that no pass shears.

    The first shears by at most s sin(a + b) / cos(b) times half of the rows, b the shear's angle:
    |sin(a) - tan(b) cos(a)| = |sin(a - b)| / cos(b). With zeros around a patch it need be right
    only in the rows that the second reads, |q_y| <= (cos(a) h + sin(a) w) / (2 s) + 1.
    """
    if not angle and not shear:
        return 0, 0
    sin, cos, tan = math.sin(angle), math.cos(angle), math.tan(angle)
    # A patch of other parity than its source is half a pixel off the centre.
    off = 0 if border == "repeat" and size == source else 1
    height, width = (side + off for side in size)
    # In shares of a side: half of it, and a translation moves the far edge further away
    half = 0.5 + shift
    slope = math.sin(angle + shear) / math.cos(shear)
    across = factor * slope * source[0] / 2
    if border == "zero":
        # Without a shear the product is largest at the largest angle; with one, bound each factor
        rows = (1 if shear else cos) * height + sin * width
        across = min(across, slope * (rows * half + factor))
    return math.ceil(across), math.ceil(tan * half * width)


def _positions(source: int, size: int, reach: int, shift: Array | None = None) -> Array:
    """Centres of the centre crop's pixels and margins, from the source's centre less the shift."""
    start = (source - size) // 2 - reach
    # `margin` is longer than twice the reach, up to a power of two, as the shear uses it up
    index = jnp.arange(size + margin(reach), dtype=jnp.float32)
    positions = index + (start + 0.5 - source / 2)
    return positions if shift is None else positions - shift


def _resampling(source: int, at: Float[Array, "o"], border: Border) -> Float[Array, "o s"]:
    """Linear interpolation at positions from the source's centre, as a matrix [out, source]."""
    centres = jnp.arange(source, dtype=jnp.float32) + 0.5
    if border == "repeat":
        at = jnp.clip(at + source / 2, 0.5, source - 0.5)
    else:
        # Half-pixels from the centre are exact at any size, so no angle and no scale is a crop.
        centres = centres - source / 2
    # A hat around each position: at most two weights of a row are above 0. Repeating the border
    # needs no more than positions held to the outermost centres.
    return jnp.maximum(1 - jnp.abs(at[:, None] - centres[None, :]), 0)
