"""Linear filters of grey images: Gaussian, disk and ball."""

import functools
import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from segjax.ops import checks
from segjax.ops.classes import computing_dtype
from segjax.types import Array, Float

# How each border is called by `jnp.pad`, after SciPy's names.
_BORDERS = {"nearest": "edge", "constant": "constant", "reflect": "symmetric"}
# Chords in one step of the loop; a program with all of them would grow with the radii
_CHORDS_AT_ONCE = 8


def gaussian_filter(
    x: Float[Array, "b *s"],
    *,
    sigma: float | Sequence[float],
    border: str = "nearest",
    padding: float = 0.0,
    truncate: float = 4.0,
) -> Float[Array, "b *s"]:
    """Convolution with a Gaussian, one axis after the other.

    y = x * g along each spatial axis, g_k proportional to exp(-k^2 / (2 sigma^2)) with sum 1,
    |k| <= round(truncate sigma).

    Source: as `scipy.ndimage.gaussian_filter` of order 0, to rounding.
    Departures: the border defaults to SciPy's 'nearest' (SciPy: 'reflect'), which leaves constants
        constant and adds no structure.

    Args:
        x: values, one to three spatial axes after the batch axis.
        sigma: standard deviation in pixels, >= 0; one number, or one a spatial axis.
        border: 'nearest' repeats the border pixel, 'constant' continues with `padding`, 'reflect'
            mirrors the image at the pixel's edge.
        padding: value outside the image for 'constant'.
        truncate: where the Gaussian is cut, in sigmas.

    Returns: values of x's dtype and shape; bfloat16 and float16 are summed in float32.
    Empty cases: sigma 0 returns x.
    Raises: ValueError on the rank, a negative or missing sigma and an unknown border; TypeError on
        integers.
    Cost: 2 round(truncate sigma) + 1 shifted additions per axis.
    """
    _check(x)
    checks.check_option("border", border, tuple(_BORDERS))
    truncate = checks.check_number("truncate", truncate, above=0)
    sigmas = (sigma,) * (x.ndim - 1) if np.ndim(sigma) == 0 else sigma
    sigmas = checks.check_numbers("sigma", sigmas, x.ndim - 1, least=0)
    y = x.astype(computing_dtype(x))
    for axis, width in enumerate(sigmas, start=1):
        # SciPy's rounding of the radius
        radius = int(truncate * width + 0.5)
        if radius > 0:
            kernel = np.exp(-0.5 * (np.arange(radius + 1) / width) ** 2)
            # Of the half kernel the centre counts once, all else twice.
            kernel /= 2 * kernel.sum() - kernel[0]
            y = _symmetric(y, axis, kernel, border, padding)
    return y.astype(x.dtype)


def disk(radius: int) -> np.ndarray:
    """The disk as a boolean square array: True where i^2 + j^2 <= radius^2.

    Source: the definition of a digital disk.
    Departures: none.

    Args:
        radius: in pixels, >= 0.

    Returns: booleans `[2 radius + 1, 2 radius + 1]`, a NumPy array.
    Empty cases: radius 0 is one pixel.
    Raises: ValueError on the radius.
    Cost: none.
    """
    return _ball(radius, 2)


def ball(radius: int) -> np.ndarray:
    """The ball as a boolean cube: True where i^2 + j^2 + k^2 <= radius^2.

    Source: the definition of a digital ball.
    Departures: none.

    Args:
        radius: in voxels, >= 0.

    Returns: booleans `[2 radius + 1] * 3`, a NumPy array.
    Empty cases: radius 0 is one voxel.
    Raises: ValueError on the radius.
    Cost: none.
    """
    return _ball(radius, 3)


def disk_filter(
    x: Float[Array, "b *s"], *, radius: int, padding: float = 0.0
) -> Float[Array, "b *s"]:
    """Mean over the disk (in volumes the ball) around each pixel.

    y_i = (1 / |B|) sum of x_j over |i - j| <= radius, `padding` outside the image.

    Source: convolution with the normalised indicator of `disk` or `ball`.
    Departures: a disk is summed chord by chord, each chord the difference of two running sums. The
        sums of masks are exact; in general the error is that of a sum along a row. Forward-mode
        `jax.jvp` raises, because the gradient is written out.

    Args:
        x: values, one to three spatial axes after the batch axis.
        radius: in pixels, >= 0; with one spatial axis the disk is an interval.
        padding: value outside the image.

    Returns: values of x's dtype and shape; bfloat16 and float16 are summed in float32.
    Empty cases: radius 0 returns x.
    Raises: ValueError on the rank and the radius; TypeError on integers.
    Cost: 4 radius + 2 shifted additions in 2-D, some 2 pi radius^2 in 3-D; no convolution.
    """
    _check(x)
    return disk_filters(x, radii=(radius,), padding=padding)[0]


def disk_filters(
    x: Float[Array, "b *s"], *, radii: Sequence[int], padding: float = 0.0
) -> Float[Array, "r b *s"]:
    """`disk_filter` for several radii at once, stacked along a new first axis.

    y_ri = (1 / |B_r|) sum of x_j over |i - j| <= r.

    Source: see `disk_filter`.
    Departures: see `disk_filter`.

    Args:
        x: values, one to three spatial axes after the batch axis.
        radii: in pixels, each >= 0.
        padding: value outside the image.

    Returns: values of x's dtype, `[len(radii), *x.shape]`.
    Empty cases: as `disk_filter`.
    Raises: ValueError on the rank, no radius or a negative one; TypeError on integers.
    Cost: that of the radii added up; the running sum is shared and the program compiled once.
    """
    _check(x)
    if not radii:
        raise ValueError("`radii` takes at least one radius, got none")
    for radius in radii:
        _check_radius(radius)
    radii = tuple(radii)
    # The filter of the difference to the padding is linear, and its own transpose.
    sums = _disk_sums(x.astype(computing_dtype(x)) - padding, radii)
    sizes = [float(_ball(radius, x.ndim - 1).sum()) for radius in radii]
    return (sums / _along_first(sizes, sums) + padding).astype(x.dtype)


def _check(x: Array) -> None:
    checks.check_rank("x", x, 2, 3, 4)
    checks.check_floating("x", x)


def _check_radius(radius: int) -> None:
    checks.check_integer("radius", radius, least=0)


def _along_first(numbers: Sequence[float], like: Array) -> Array:
    """The numbers along the first axis, with the rank and the dtype of `like`."""
    return jnp.asarray(numbers, like.dtype).reshape(-1, *(1,) * (like.ndim - 1))


def _symmetric(x: Array, axis: int, kernel: np.ndarray, border: str, padding: float) -> Array:
    """Filters along one axis with the symmetric kernel whose right half is given."""
    radius, size = len(kernel) - 1, x.shape[axis]
    rim = [(radius, radius) if a == axis else (0, 0) for a in range(x.ndim)]
    values = {"constant_values": padding} if border == "constant" else {}
    padded = jnp.pad(x, rim, mode=_BORDERS[border], **values)

    def moved(by: int) -> Array:
        return lax.slice_in_dim(padded, radius + by, radius + by + size, axis=axis)

    y = float(kernel[0]) * moved(0)
    for k in range(1, radius + 1):
        y += float(kernel[k]) * (moved(k) + moved(-k))
    return y


def _ball(radius: int, axes: int) -> np.ndarray:
    _check_radius(radius)
    line = np.arange(-radius, radius + 1)
    return sum(i**2 for i in np.meshgrid(*[line] * axes, indexing="ij")) <= radius**2


# The forward and the backward pass take the same tables.
@functools.cache
def _chords(radii: tuple[int, ...], axes: int) -> tuple[np.ndarray, np.ndarray]:
    """Chords of the balls along the last axis, in the running sum padded by the largest radius.

    The sum over a chord is the running sum at its end less that at its start. Returns rows
    `(*leading offsets, start, end)` in blocks of `_CHORDS_AT_ONCE`, filled up with empty chords,
    and for each radius the block where it begins, and after all the number of blocks.
    """
    centre, rows, begins = max(radii), [], [0]
    for radius in radii:
        for offset in itertools.product(range(-radius, radius + 1), repeat=axes - 1):
            left = radius**2 - sum(o**2 for o in offset)
            if left >= 0:
                half = math.isqrt(left)
                rows.append((*(o + centre for o in offset), centre - half, centre + half + 1))
        rows += [(0,) * (axes + 1)] * (-len(rows) % _CHORDS_AT_ONCE)
        begins.append(len(rows) // _CHORDS_AT_ONCE)
    blocks = np.array(rows, np.int32).reshape(-1, _CHORDS_AT_ONCE, axes + 1)
    return blocks, np.array(begins, np.int32)


def _running_sum(x: Array, margin: int) -> Array:
    """Sums along the last axis of x and a margin of zeros, the first of them 0."""
    rim = [(0, 0)] + [(margin, margin)] * (x.ndim - 1)
    running = jnp.cumsum(jnp.pad(x, rim), axis=-1)
    # A 0 in front of the sums is the start of a chord that begins at the first pixel.
    return jnp.pad(running, [(0, 0)] * (x.ndim - 1) + [(1, 0)])


def _sum_chords(running: Array, blocks: Array, begin: Array, end: Array, like: Array) -> Array:
    """Adds up the chords of the blocks from `begin` to `end`."""

    def add(index: Array, total: Array) -> Array:
        block = lax.dynamic_index_in_dim(blocks, index, 0, keepdims=False)
        for row in range(_CHORDS_AT_ONCE):
            *leading, start, stop = (block[row, k] for k in range(like.ndim))
            origin = jnp.zeros((), jnp.int32)
            upper = lax.dynamic_slice(running, (origin, *leading, stop), like.shape)
            lower = lax.dynamic_slice(running, (origin, *leading, start), like.shape)
            total += upper - lower
        return total

    return lax.fori_loop(begin, end, add, jnp.zeros_like(like))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _disk_sums(x: Array, radii: tuple[int, ...]) -> Array:
    blocks, begins = (jnp.asarray(table) for table in _chords(radii, x.ndim - 1))
    running = _running_sum(x, max(radii))
    # A loop over the radii with one body: the blocks of each are all that differs.
    return lax.map(
        lambda ends: _sum_chords(running, blocks, ends[0], ends[1], x), (begins[:-1], begins[1:])
    )


def _disk_sums_forward(x: Array, radii: tuple[int, ...]) -> tuple[Array, None]:
    return _disk_sums(x, radii), None


def _disk_sums_backward(radii: tuple[int, ...], _, y_bar: Array) -> tuple[Array]:
    blocks, begins = (jnp.asarray(table) for table in _chords(radii, y_bar.ndim - 2))

    def add(total: Array, one: tuple[Array, Array, Array]) -> tuple[Array, None]:
        running = _running_sum(one[0], max(radii))
        return total + _sum_chords(running, blocks, one[1], one[2], total), None

    # Disks are symmetric, so the transpose sums the same chords, of each radius' cotangent.
    start = jnp.zeros_like(y_bar[0])
    return (lax.scan(add, start, (y_bar, begins[:-1], begins[1:]))[0],)


_disk_sums.defvjp(_disk_sums_forward, _disk_sums_backward)
