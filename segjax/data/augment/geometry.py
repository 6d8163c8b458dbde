"""Exact moves of planes and points: flips, right-angle turns, the centre crop."""

import jax.numpy as jnp

from segjax.types import Array, Bool, Float, Int, Shaped


def flip(array: Shaped[Array, "*s"], flipped: Bool[Array, ""], *, axis: int) -> Array:
    """The array, reversed along `axis` where `flipped`; exact, without a gather."""
    # A select of both, not an index: `flipped` is traced, and gathers are slow on TPUs
    return jnp.where(flipped, jnp.flip(array, axis), array)


def flip_points(
    points: Float[Array, "n 2"], flipped: Bool[Array, ""], side: int, *, axis: int
) -> Float[Array, "n 2"]:
    """Points (x, y) as `flip` moves them: side - x (`axis` 0) or side - y (1) where `flipped`."""
    coordinates = [points[:, 0], points[:, 1]]
    coordinates[axis] = jnp.where(flipped, side - coordinates[axis], coordinates[axis])
    return jnp.stack(coordinates, axis=-1)


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
    # Every right-angle turn is a transposition (odd ones) and flips: 1 = T then x, 2 = x and y, 3 =
    # T then y.
    planes = jnp.where(turns % 2 == 1, jnp.swapaxes(planes, 1, 2), planes)
    planes = flip(planes, (turns == 1) | (turns == 2), axis=2)
    return flip(planes, (turns == 2) | (turns == 3), axis=1)


def centre_crop(planes: Shaped[Array, "n H W"], size: tuple[int, int]) -> Shaped[Array, "n h w"]:
    """The centre of planes, [n, h, w]; the odd pixel is left at the end."""
    for axis, length in enumerate(size, start=1):
        start = (planes.shape[axis] - length) // 2
        planes = planes[(slice(None),) * axis + (slice(start, start + length),)]
    return planes


def move_points(
    points: Float[Array, "n 2"],
    size: tuple[int, int],
    angle: Float[Array, ""],
    factor: Float[Array, ""],
    shift: Float[Array, "2"],
    shear: Float[Array, ""] | None = None,
) -> Float[Array, "n 2"]:
    """s R K (p - centre) + centre + t of points (x, y), the map of `warp.affine` over (h, w)."""
    centre_x, centre_y = size[1] / 2, size[0] / 2
    x, y = points[:, 0] - centre_x, points[:, 1] - centre_y
    x = x if shear is None else x + jnp.tan(shear) * y
    cos, sin = factor * jnp.cos(angle), factor * jnp.sin(angle)
    return jnp.stack(
        [cos * x - sin * y + centre_x + shift[0], sin * x + cos * y + centre_y + shift[1]], axis=-1
    )
