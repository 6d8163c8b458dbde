"""Exact Euclidean distance transforms, batched, in any number of axes."""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from segjax.ops import checks
from segjax.ops.classes import as_int32
from segjax.types import Array, Bool, Float, Shaped

# The squared distance separates: along the first axis it is found by walking the line both ways,
# along each further one it is d2[j] = min_k d2[k] + (j - k)^2. XLA's CPU backend runs that minimum
# near the peak of the processor in one form, `_min_plus_tiled`; accelerators fuse the plain one.
_TILE = 65536  # values in a tile of rows: it stays in the cache while the sources pass by
_CHUNK = 2**19  # elements of a batch that pass through at once
_UNROLLED = 8  # sources in one step of the loop: fewer reads and writes of the tile
_SEGMENT = 64  # lines that share one bound


def distance_transform(
    mask: Bool[Array, "*axes"],
    *,
    spacing: Sequence[float] | Float[Array, "s"] | None = None,
    spatial_ndim: int | None = None,
    squared: bool = False,
) -> Float[Array, "*axes"]:
    """Euclidean distance of every True element to the nearest False one; 0 for False elements.

    d(i) = min over j with mask_j false of |spacing * (i - j)|, from centre to centre: the outermost
    True elements have the distance of one step, never 0. Exact, as SciPy's
    `distance_transform_edt`. It is piecewise constant, so no gradient passes.

    Source: Felzenszwalb and Huttenlocher, Distance Transforms of Sampled Functions (2012), for the
    separation into axes.
    Departures: each line's minimum is taken over the sources that can matter, not by the lower
    envelope of parabolas, whose stack does not vectorise.

    Args:
        mask: booleans, or integers of which nonzero is True.
        spacing: units per pixel along each spatial axis; None is 1. One spacing for all: `vmap`
            where images differ.
        spatial_ndim: the number of trailing axes that are space; axes before them are a batch.
            None: all axes are space.
        squared: leave out the square root.

    Returns: float32 of the mask's shape, in units of `spacing`.
    Empty cases: no True element: 0 everywhere. No False element: there is no distance; 0 everywhere
        (SciPy measures to a point outside the image), so a caller to whom it matters asks
        `mask.all()`.
    Raises: ValueError on `spatial_ndim` and on the length or sign of `spacing`; TypeError on a mask
        of floats.
    Cost: O(N) along the longest axis; along each other one O(N r), r at most its length, about the
        largest distance where masks are dense and the extent of the zeros where those are few.
        `vmap` and sharding over the batch keep it one program; no host callback.
    """
    mask = _checked("mask", mask, spatial_ndim)
    ndim = mask.ndim if spatial_ndim is None else spatial_ndim
    return _transform(mask.astype(bool), _spacing(spacing, ndim), ndim, False, squared)


def unsigned_distance(
    labels: Shaped[Array, "*axes"],
    *,
    spacing: Sequence[float] | Float[Array, "s"] | None = None,
    spatial_ndim: int | None = None,
    squared: bool = False,
) -> Float[Array, "*axes"]:
    """Euclidean distance of every element to the nearest one with another value.

    d(i) = min over j with label_j != label_i of |spacing * (i - j)|. For a mask it is
    `distance_transform(mask) + distance_transform(~mask)`, for a label map the distance within
    every class, sum_c distance_transform(labels == c), in one transform.

    Source: as `distance_transform`. Along an axis the nearest element of another value lies either
    on the line itself, at a distance e, or abreast of an element of one's own value; elements of
    other values on the line are at least e away, so their own distances never win and need no test.
    Departures: none.

    Args:
        labels: booleans or integers; those beyond int32 on one side count as one value.
        spacing, spatial_ndim, squared: as for `distance_transform`.

    Returns: float32 of the labels' shape, in units of `spacing`; nowhere below the smallest
        spacing, unless all values are equal.
    Empty cases: all values equal: 0 everywhere.
    Raises: as `distance_transform`.
    Cost: as `distance_transform`, once for both sides or for all classes.
    """
    labels = _checked("labels", labels, spatial_ndim)
    ndim = labels.ndim if spatial_ndim is None else spatial_ndim
    return _transform(labels, _spacing(spacing, ndim), ndim, True, squared)


def signed_distance(
    mask: Bool[Array, "*axes"],
    *,
    spacing: Sequence[float] | Float[Array, "s"] | None = None,
    spatial_ndim: int | None = None,
) -> Float[Array, "*axes"]:
    """Distance to the nearest element of the other value: negative inside, positive outside.

    d(i) = -distance_transform(mask)(i) inside, +distance_transform(~mask)(i) outside. The first
    layers are -1 and +1 pixel: the zero level runs between the elements.

    Source: the level-set convention of Kervadec et al., Boundary loss (2019).
    Departures: their code subtracts one pixel inside, so that the first layer is 0; that offset is
    an option of `maps.signed`.

    Args:
        mask: booleans, or integers of which nonzero is inside.
        spacing, spatial_ndim: as for `distance_transform`.

    Returns: float32 of the mask's shape, in units of `spacing`.
    Empty cases: nothing inside or nothing outside: 0 everywhere.
    Raises: as `distance_transform`.
    Cost: one transform.
    """
    mask = _checked("mask", mask, spatial_ndim).astype(bool)
    distance = unsigned_distance(mask, spacing=spacing, spatial_ndim=spatial_ndim)
    return jnp.where(mask, -distance, distance)


def _checked(name: str, array: Array, spatial_ndim: int | None) -> Array:
    array = array if isinstance(array, jax.Array) else np.asarray(array)
    if not (array.dtype == bool or jnp.issubdtype(array.dtype, jnp.integer)):
        raise TypeError(f"`{name}` takes booleans or integers, got {array.dtype}")
    if array.ndim == 0:
        raise ValueError(f"`{name}` takes at least 1 axis, got shape ()")
    if spatial_ndim is not None and not 1 <= spatial_ndim <= array.ndim:
        raise ValueError(
            f"`spatial_ndim` takes 1 to {array.ndim} for shape {tuple(array.shape)}, "
            f"got {spatial_ndim}"
        )
    return array if array.dtype == bool else as_int32(array)


def _spacing(spacing: Sequence[float] | Array | None, ndim: int) -> Array:
    if spacing is None:
        return jnp.ones(ndim, jnp.float32)
    if not isinstance(spacing, jax.core.Tracer):
        spacing = np.asarray(spacing, np.float32)
        if not np.all((spacing > 0) & np.isfinite(spacing)):
            raise ValueError(f"`spacing` takes numbers > 0, got {spacing.tolist()}")
    checks.check_shape("spacing", spacing, (ndim,))
    return lax.stop_gradient(jnp.asarray(spacing, jnp.float32))


@functools.partial(jax.jit, static_argnames=("ndim", "unsigned", "squared"))
def _transform(labels: Array, spacing: Array, ndim: int, unsigned: bool, squared: bool) -> Array:
    if not labels.size:
        return jnp.zeros(labels.shape, jnp.float32)
    flat = labels.reshape(-1, *labels.shape[labels.ndim - ndim :])
    d2 = (_UNSIGNED if unsigned else _ONE_SIDED)(flat, spacing).reshape(labels.shape)
    # inf is left where nothing differs in the whole image: there is no distance.
    d2 = jnp.where(d2 < jnp.inf, d2, 0)
    return d2 if squared else jnp.sqrt(d2)


def _vmappable(unsigned: bool):
    # vmap would give every element its own trip counts and turn slices into gathers; the batch
    # axis takes it instead.
    @jax.custom_batching.custom_vmap
    def squared(labels, spacing):
        walk, line = (functools.partial(f, unsigned=unsigned) for f in (_walk, _along_line))
        whole = functools.partial(_all_axes, along_line=line, min_plus=_min_plus, again=unsigned)
        part = functools.partial(
            _all_axes, along_line=walk, min_plus=_min_plus_tiled, again=unsigned
        )
        return lax.platform_dependent(
            labels, spacing, cpu=functools.partial(_in_chunks, part), default=whole
        )

    @squared.def_vmap
    def rule(size, batched, labels, spacing):
        # A transform has one spacing: where images differ in it they go one after the other.
        if batched[1]:
            if not batched[0]:
                labels = jnp.broadcast_to(labels[None], (size, *labels.shape))
            return lax.map(lambda pair: squared(*pair), (labels, spacing)), True
        merged = labels.reshape(-1, *labels.shape[2:])
        return squared(merged, spacing).reshape(labels.shape), True

    return squared


_ONE_SIDED, _UNSIGNED = _vmappable(False), _vmappable(True)


def _in_chunks(transform: Callable, labels: Array, spacing: Array) -> Array:
    """A batch too large for the cache in parts, one after the other: up to three times faster."""
    batch, wanted = labels.shape[0], labels.size / _CHUNK
    divisors = [n for n in range(1, batch + 1) if batch % n == 0]
    parts = min(divisors, key=lambda n: abs(math.log(n / wanted)))
    if parts == 1:
        return transform(labels, spacing)
    chunks = labels.reshape(parts, -1, *labels.shape[1:])
    return lax.map(lambda chunk: transform(chunk, spacing), chunks).reshape(labels.shape)


def _all_axes(
    labels: Array, spacing: Array, *, along_line: Callable, min_plus: Callable, again: bool
) -> Array:
    """Squared distances of `[b, *s]`, inf where there is none.

    Each pass sees its axis in front and leaves the others as they are: a transpose between two
    reshapes takes ten times as long on CPU. `again` asks for `along_line` along every axis.
    """
    # The longest axis is walked, at O(1) an element; on the others an element costs its reach.
    first, *others = sorted(range(1, labels.ndim), key=lambda axis: (-labels.shape[axis], -axis))
    d2 = jnp.moveaxis(along_line(jnp.moveaxis(labels, first, 0), spacing[first - 1]), 0, first)
    for axis in others:
        step = spacing[axis - 1]
        rows = start = jnp.moveaxis(d2, axis, 0)
        # `rows` are the distances abreast of each element; another value on the line itself is a
        # start, and may be nearer than all of them.
        if again:
            start = _lesser(rows, along_line(jnp.moveaxis(labels, axis, 0), step))
        d2 = jnp.moveaxis(min_plus(rows, start, step), 0, axis)
    return d2


def _lesser(a: Array, b: Array) -> Array:
    # One instruction; `jnp.minimum` also looks for nan.
    return jnp.where(b < a, b, a)


def _walk(line: Array, step: Array, *, unsigned: bool) -> Array:
    """Squared distance along axis 0 to the nearest other value (or False), step by step."""

    def count(carry, value):
        before, steps = carry
        if unsigned:
            steps = jnp.where(value == before, steps + 1, 1)
        else:
            steps = jnp.where(value, steps + 1, 0)
        return (value, steps), steps

    def count_back(carry, pair):
        carry, steps = count(carry, pair[0])
        return carry, (_lesser(pair[1], steps) * step) ** 2

    # No other value met yet: inf + 1 stays inf, and a line of one value is left to other axes.
    far = jnp.full_like(line[0], jnp.inf, dtype=jnp.float32)
    _, forth = lax.scan(count, (line[0], far), line)
    return lax.scan(count_back, (line[-1], far), (line, forth), reverse=True)[1]


def _squares(line: Array, step: Array) -> Array:
    """Squared distance of every two positions on axis 0, with the axes of line[None]."""
    position = jnp.arange(line.shape[0], dtype=jnp.float32)
    squares = ((position[:, None] - position[None, :]) * step) ** 2
    return lax.expand_dims(squares, range(2, line.ndim + 1))


def _along_line(line: Array, step: Array, *, unsigned: bool) -> Array:
    """`_walk` as one reduction."""
    other = line[None] != line[:, None] if unsigned else ~line[None]
    return jnp.min(jnp.where(other, _squares(line, step), jnp.inf), axis=1)


def _min_plus(rows: Array, start: Array, step: Array) -> Array:
    """min(start[j], min_k rows[k] + (step (j - k))^2) along axis 0."""
    return _lesser(start, jnp.min(_squares(rows, step) + rows[None], axis=1))


def _min_plus_tiled(rows: Array, start: Array, step: Array) -> Array:
    """`_min_plus`, a tile of targets at a time over the sources between its two bounds."""
    n = rows.shape[0]
    if n == 1:
        return start
    # Tiles of about `_TILE` values, of 8 targets at least
    tile = math.ceil(n / max(1, min(n // 8, round(rows.size / _TILE))))
    tiles = math.ceil(n / tile)
    first, last = _source_bounds(rows, step, tile)
    # Targets beyond n fill the last tile up; they are cut off at the end.
    position = jnp.arange(tile * tiles, dtype=jnp.float32)

    def one_tile(t, out):
        targets = lax.dynamic_slice_in_dim(position, t * tile, tile)
        values = lax.dynamic_slice_in_dim(out, t * tile, tile)
        values = _sweep(values, targets, rows, step, first[t], last[t])
        return lax.dynamic_update_slice_in_dim(out, values, t * tile, 0)

    start = jnp.pad(start, [(0, tile * tiles - n)] + [(0, 0)] * (rows.ndim - 1))
    return lax.fori_loop(0, tiles, one_tile, start)[:n]


def _sweep(
    values: Array, targets: Array, rows: Array, step: Array, first: Array, last: Array
) -> Array:
    """Lowers `values` by the sources from `first` to `last`, and by a few more to fill a step.

    One slice per source and `_lesser` are what LLVM vectorises: the same loop over a slice of
    several sources is eight times slower.
    """
    end = rows.shape[0] - 1

    def some(carry):
        source, values = carry
        for k in range(_UNROLLED):
            # Past the end the last source comes again, which changes no minimum.
            k = jnp.minimum(source + k, end)
            away = ((targets - k.astype(jnp.float32)) * step) ** 2
            away = lax.expand_dims(away, range(1, rows.ndim))
            values = _lesser(values, lax.dynamic_slice_in_dim(rows, k, 1) + away)
        return source + _UNROLLED, values

    return lax.while_loop(lambda carry: carry[0] <= last, some, (first, values))[1]


def _source_bounds(rows: Array, step: Array, tile: int) -> tuple[Array, Array]:
    """First and last source that can matter to any target of each tile (none: last < first).

    Within a segment of neighbouring lines no result exceeds the least largest sum, so a source
    whose smallest sum is above that does nothing there.
    """
    n = rows.shape[0]
    width = min(rows.shape[-1], _SEGMENT)
    padding = [(0, 0)] * (rows.ndim - 1) + [(0, -rows.shape[-1] % width)]
    # Lines repeated to fill a segment change neither its highest nor its lowest value.
    segments = jnp.pad(rows, padding, mode="edge").reshape(*rows.shape[:-1], -1, width)
    highest = jnp.max(segments, axis=-1).reshape(n, -1)
    lowest = jnp.min(segments, axis=-1).reshape(n, -1).T
    position = jnp.arange(n, dtype=jnp.float32)
    source = jnp.arange(n, dtype=jnp.int32)
    # Above every result of the segment at that target; a whole sweep, but of few values
    bound = _sweep(highest, position, highest, step, source[0], source[-1])
    bound = jnp.pad(bound, ((0, -n % tile), (0, 0)), constant_values=-jnp.inf)
    bound = jnp.max(bound.reshape(-1, tile, bound.shape[1]), axis=1).T
    starts = position[::tile]
    ends = jnp.minimum(starts + (tile - 1), position[-1])
    # How far each source lies from the nearest target of the tile, 0 within it
    outside = jnp.maximum(starts[:, None] - position[None, :], position[None, :] - ends[:, None])
    sums = lowest[:, None, :] + ((jnp.maximum(outside, 0) * step) ** 2)[None]
    useful = jnp.any((sums <= bound[:, :, None]) & (sums < jnp.inf), axis=0)
    first = jnp.min(jnp.where(useful, source[None], n), axis=1)
    last = jnp.max(jnp.where(useful, source[None], -1), axis=1)
    return first, last
