"""Rotation and scaling of planes about their centre, cut to a patch, without a gather.

Right-angle turns are transposes and flips. What is left of the angle, at most 45 degrees, and the
scale are two scanline passes, as in `segjax/data/augment.py`. Here the output is smaller than the
source, and what lies outside is 0.
"""

import math

import jax.numpy as jnp

from segjax.ops.scanline import MAX_ROTATION, margin, scale_columns, scale_rows, shear
from segjax.types import Array, Float, Int, Shaped


def turn(planes: Shaped[Array, "n s s"], turns: Int[Array, ""]) -> Shaped[Array, "n s s"]:
    """Turns square planes by right angles, from +x (right) towards +y (down): exact.

    out(R^k q) = planes(q), R = 90 degrees.

    Source: our own. Departures: none.

    Args:
        planes: any dtype.
        turns: how often, 0 to 3.

    Returns: as `planes`.
    Empty cases: no planes (n = 0) come back.
    Raises: nothing.
    Cost: three selects; no gather.
    """
    planes = jnp.where(turns % 2 == 1, jnp.swapaxes(planes, 1, 2), planes)
    planes = jnp.where((turns == 1) | (turns == 2), jnp.flip(planes, 2), planes)
    return jnp.where((turns == 2) | (turns == 3), jnp.flip(planes, 1), planes)


def centre_crop(planes: Shaped[Array, "n H W"], patch: tuple[int, int]) -> Array:
    """The centre of planes, [n, h, w]; the odd pixel is left at the end."""
    for axis, size in enumerate(patch, start=1):
        start = (planes.shape[axis] - size) // 2
        planes = planes[(slice(None),) * axis + (slice(start, start + size),)]
    return planes


def affine(
    planes: Float[Array, "n H W"],
    angle: Float[Array, ""],
    factor: Float[Array, ""],
    *,
    patch: tuple[int, int],
    largest_angle: float = math.radians(MAX_ROTATION),
    largest_factor: float = 2.0,
) -> Float[Array, "n h w"]:
    """Planes under out = factor R(angle) source about their centre, cut to the centre patch.

    With o an output position and q a source position, both from the centre of the planes,
        q_x = (o_x + s sin(a) q_y) / (s cos a)   from source rows to output columns, and
        q_y = (o_y - tan(a) o_x) cos(a) / s      from output columns to the output.

    Source: Catmull and Smith, 3-D transformations of images in scanline order (1980).
    Departures: linear interpolation in each of the four steps. Beyond the border a plane goes on
        with 0, and falls to it within one pixel.

    Args:
        planes: float32 values.
        angle: radians, at most `largest_angle` either way, from +x (right) towards +y (down).
        factor: above 1 enlarges.
        patch: (h, w) of the output.
        largest_angle: static bound of `angle`, at most 45 degrees; 0 leaves the shears out.
        largest_factor: static bound of `factor`.

    Returns: [n, h, w]; at angle 0 and factor 1 the centre crop.
    Empty cases: none.
    Raises: nothing; beyond the bounds the far corners of the output are wrong.
    Cost: two products per plane with matrices [w + 2 shear, W] and [h + 2 shear, H], the shears
        being at most (h + w) / 4 and w / 2 pixels, rounded up to powers of two; and two selects
        for each bit of the shear.
    """
    (height, width), sides = patch, planes.shape[1:]
    across, down = _reach(patch, sides[0], largest_angle, largest_factor)
    cos = jnp.cos(angle)
    matrix = _resampling(sides[1], width, across, 1 / (factor * cos))
    planes = scale_columns(planes, matrix)
    rows = _positions(sides[0], sides[0], 0)
    planes = shear(planes, factor * jnp.sin(angle) * rows, across, axis=2)
    matrix = _resampling(sides[0], height, down, cos / factor)
    planes = scale_rows(planes, matrix)
    columns = _positions(sides[1], width, 0)
    return shear(planes, -jnp.tan(angle) * columns, down, axis=1)


def _reach(patch: tuple[int, int], rows: int, angle: float, factor: float) -> tuple[int, int]:
    """The largest shear of either pass, in whole pixels; 0 means that no pass shears.

    The first pass need be right in the rows that the second reads, |q_y| <= (cos(a) h + sin(a) w)
    / (2 s) + 1; a patch of other parity than its source is half a pixel off the centre.
    """
    if not angle:
        return 0, 0
    height, width = patch[0] + 1, patch[1] + 1
    sin, cos = math.sin(angle), math.cos(angle)
    read = sin * ((cos * height + sin * width) / 2 + factor)
    return math.ceil(min(read, factor * sin * rows / 2)), math.ceil(math.tan(angle) * width / 2)


def _positions(source: int, size: int, reach: int) -> Array:
    """Centres of the pixels of the centre crop, from the source's centre, and of its margins."""
    start = (source - size) // 2 - reach
    index = jnp.arange(size + margin(reach), dtype=jnp.float32)
    return index + (start + 0.5 - source / 2)


def _resampling(source: int, size: int, reach: int, step: Array) -> Array:
    """Linear interpolation at step * position as a matrix [out, source], 0 outside."""
    at = step * _positions(source, size, reach)
    centres = jnp.arange(source, dtype=jnp.float32) + (0.5 - source / 2)
    return jnp.maximum(1 - jnp.abs(at[:, None] - centres[None, :]), 0)
