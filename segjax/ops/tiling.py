"""Prediction of whole images by a network trained on patches: overlapping tiles, blended.

`predict_slices` takes images of any number and size on the host, tile batches ahead; `tiled` is the
same inside a compiled program, for images of one size.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from segjax import checks
from segjax.types import Array, Float

Starts = list[tuple[int, int]]


def tile_starts(size: int, patch: int, step: float = 0.5, *, multiple: int = 1) -> list[int]:
    """Where tiles begin along one axis: evenly spread, the first at 0, the last at the end.

    n = ceil((size - patch) / (patch step)) + 1 tiles, start i = round(i (size - patch) / (n - 1)).

    Source: nnU-Net, sliding-window inference.
    Departures: with `multiple` m above 1 starts are those of a size and a patch m times smaller,
        times m: a network that halves its image several times sees each pixel at the same place of
        its coarser grids then, whichever tile it is in.

    Args:
        size: pixels of the image, at least `patch`.
        patch: pixels of a tile.
        step: largest distance of two tiles as a fraction of a tile, in (0, 1].
        multiple: of which starts are multiples; size and patch are, too.

    Returns: the first pixel of each tile, rising.
    Empty cases: size equal to patch is one tile.
    Raises: ValueError on an image smaller than the patch, a step out of range, and sizes that are
        no multiples.
    """
    checks.check("step", step, checks.number(above=0, most=1))
    checks.check("multiple", multiple, checks.whole(least=1))
    if size % multiple or patch % multiple:
        raise ValueError(f"`multiple` takes a divisor of {size} and {patch}, got {multiple}")
    if multiple > 1:
        # Tiles may overlap by more than asked, never by less: a patch of 3 and a step of one half
        # would be 2 apart
        step = max(1, int(patch // multiple * step)) / (patch // multiple)
        return [multiple * n for n in tile_starts(size // multiple, patch // multiple, step)]
    if not 1 <= patch <= size:
        raise ValueError(f"`patch` takes 1 to {size} pixels, the size of the image, got {patch}")
    last = size - patch
    intervals = int(np.ceil(last / (patch * step)))
    between = last / max(intervals, 1)
    return [round(between * i) for i in range(intervals + 1)]


def shared_pixels(patch: int, step: float = 0.5, *, multiple: int = 1) -> int:
    """How many pixels two neighbouring tiles share at least, whatever the size of the image.

    Args:
        patch, step, multiple: as of `tile_starts`.

    Returns: pixels along one axis; `margin` of `predict_slices` may be half of them.
    Raises: as `tile_starts`.
    """
    checks.check("step", step, checks.number(above=0, most=1))
    checks.check("multiple", multiple, checks.whole(least=1))
    if patch % multiple:
        raise ValueError(f"`multiple` takes a divisor of {patch}, got {multiple}")
    if multiple > 1:
        return patch - multiple * max(1, int(patch // multiple * step))
    # Starts are rounded: two tiles may be a pixel farther apart than others
    return max(0, patch - math.ceil(patch * step))


# The same for every call with this patch; callers share one array, so it is read-only.
@functools.lru_cache(maxsize=8)
def gaussian_weights(patch: tuple[int, int]) -> Float[Array, "h w"]:
    """What the pixels of a tile count: much in the centre, little at the rim, never 0.

    Source: nnU-Net: a point at patch // 2 filtered with sigma = patch / 8, scaled to a maximum of
        1, zeros replaced by the smallest other value. Departures: none.

    Args:
        patch: (h, w) of a tile.

    Returns: float32 in (0, 1], read-only.
    Empty cases: none.
    Raises: nothing.
    """
    weights = np.zeros(patch)
    weights[tuple(side // 2 for side in patch)] = 1
    sigma = [side / 8 for side in patch]
    weights = ndimage.gaussian_filter(weights, sigma, order=0, mode="constant", cval=0)
    weights = (weights / weights.max()).astype(np.float32)
    # The corner of an image lies in one tile only: a weight of 0 would make it 0 / 0.
    weights[weights == 0] = weights[weights != 0].min()
    weights.flags.writeable = False
    return weights


def predict_slices(
    slices: Float[Array, "n h w c"],
    apply: Callable[[np.ndarray], np.ndarray],
    *,
    patch: tuple[int, int],
    batch_size: int,
    step: float = 0.5,
    margin: int = 0,
    multiple: int = 1,
    progress: Callable[[int], object] | None = None,
) -> Float[Array, "n h w k"]:
    """Probabilities of every pixel of every slice, from a network that takes tiles.

    p_i = sum_t w_t(i) p_t(i) / sum_t w_t(i) over the tiles t that hold pixel i; a slice that is one
    tile is taken as it comes.

    Source: nnU-Net, sliding-window inference.
    Departures: none without `margin` and `multiple`. A network that looks at most `margin` pixels
        far gives what it gives for the whole image.

    Args:
        slices: images, all of one size; slices smaller than the patch are padded with 0 on both
            sides, the odd pixel at the end.
        apply: takes float32 [batch_size, ph, pw, c], always of this shape, and returns
            [batch_size, ph, pw, k]; it may return before it is done, as JAX does.
        patch: (ph, pw).
        batch_size: tiles at once; they may come from several slices, and the last batch is filled
            up with zeros.
        step: see `tile_starts`.
        margin: how far pixels lie at least from the sides of a tile to count there, but for sides
            that are those of the image; at most half of what neighbouring tiles share.
        multiple: see `tile_starts`.
        progress: called with 1 after every slice, such as the `update` of a progress bar.

    Returns: float32, of the slices' size.
    Empty cases: no slices raise, for nothing tells the number of classes.
    Raises: ValueError on the rank, the batch size, the step, the margin, an empty input and a wrong
        shape of what `apply` returns.
    Cost: beside `apply`, one multiplication and addition per pixel of a tile; the memory of the
        result, one slice and three batches.
    """
    slices = np.asarray(slices)
    if slices.ndim != 4 or not slices.size:
        raise ValueError(f"`slices` takes [n, h, w, c] with n above 0, got shape {slices.shape}")
    if batch_size < 1:
        raise ValueError(f"`batch_size` takes a positive integer, got {batch_size}")
    sides = [max(size, side) for size, side in zip(slices.shape[1:3], patch, strict=True)]
    axes = [
        tile_starts(size, side, step, multiple=multiple)
        for size, side in zip(sides, patch, strict=True)
    ]
    _check_margin(margin, axes, patch)
    starts = list(itertools.product(*axes))
    tiles = _predicted_tiles(slices, apply, tuple(sides), tuple(patch), starts, batch_size)
    weights, total = _blend(tuple(sides), tuple(patch), starts, margin)
    inner = tuple(
        slice((side - size) // 2, (side - size) // 2 + size)
        for side, size in zip(sides, slices.shape[1:3], strict=True)
    )
    result = None
    for index in range(len(slices)):
        # The number of classes is known with the first tile.
        blended = None
        for (y, x), tile in zip(starts, itertools.islice(tiles, len(starts)), strict=True):
            if blended is None:
                blended = np.zeros((*sides, tile.shape[-1]), np.float32)
            blended[y : y + patch[0], x : x + patch[1]] += weights(y, x) * tile
        if result is None:
            result = np.empty((*slices.shape[:3], blended.shape[-1]), np.float32)
        np.divide(blended[inner], total[inner], out=result[index])
        if progress is not None:
            progress(1)
    return result


def tiled(
    apply_fn: Callable[[Array], Mapping[str, Array]], *, patch: tuple[int, int], step: float = 0.5
) -> Callable[[Array], dict[str, Array]]:
    """`apply_fn`, which takes patches, as a function of whole images.

    y_i = sum_t w_t(i) y_t(i) / sum_t w_t(i) over the tiles t that hold pixel i, for every output y
    that has a value a pixel.

    Source: nnU-Net version 2, which blends logits so.
    Departures: none.

    Args:
        apply_fn: takes [b, ph, pw, c] and returns named arrays, those of pixels [b, ph, pw, k].
        patch: (ph, pw).
        step: see `tile_starts`.

    Returns: a function of images [b, h, w, c], to be traced by JAX, which returns the outputs of
        pixels as float32 [b, h, w, k]. Those of whole images, such as a style vector, and those at
        other resolutions are left out: they belong to a tile.
    Empty cases: images of the patch's size are one tile, whose outputs come as they are.
    Raises: ValueError on images smaller than the patch and a step out of range.
    Cost: `apply_fn` once a tile, one after the other, so that its memory is that of one tile; about
        four times its cost for the whole image where `step` is one half.
    """

    def whole(images: Array) -> dict[str, Array]:
        batch, *size, channels = images.shape
        if tuple(size) == tuple(patch):
            return dict(apply_fn(images))
        axes = (tile_starts(size[axis], patch[axis], step) for axis in range(2))
        starts = list(itertools.product(*axes))
        weights = jnp.asarray(_tile_weights(tuple(patch), len(starts)))[None]
        # Names and channels of the outputs, without a run of the network
        shapes = jax.eval_shape(
            apply_fn, jax.ShapeDtypeStruct((batch, *patch, channels), images.dtype)
        )
        pixels = (batch, *patch)
        blended = {
            name: jnp.zeros((batch, *size, output.shape[-1]), jnp.float32)
            for name, output in shapes.items()
            if getattr(output, "ndim", 0) == 4 and output.shape[:3] == pixels
        }

        def added(whole: Array, share: Array, corner: tuple) -> Array:
            before = jax.lax.dynamic_slice(whole, corner, share.shape)
            return jax.lax.dynamic_update_slice(whole, before + share, corner)

        def add(sums: tuple, start: Array) -> tuple[tuple, None]:
            blended, total = sums
            corner = (0, start[0], start[1], 0)
            outputs = apply_fn(jax.lax.dynamic_slice(images, corner, (*pixels, channels)))
            blended = {
                name: added(whole, weights * outputs[name].astype(jnp.float32), corner)
                for name, whole in blended.items()
            }
            return (blended, added(total, weights, corner)), None

        # Summed on the way: an array of the whole size would be a constant of the program.
        total = jnp.zeros((1, *size, 1), jnp.float32)
        (blended, total), _ = jax.lax.scan(add, (blended, total), jnp.array(starts, jnp.int32))
        return {name: whole / total for name, whole in blended.items()}

    return whole


def mirrored(
    apply_fn: Callable[[Array], Array], axes: Sequence[int] = (1, 2)
) -> Callable[[Array], Array]:
    """`apply_fn` averaged over all flips of its input, each flipped back.

    p(x) = mean over F of F^-1(apply_fn(F(x))), F every set of `axes`, the empty one among them.

    Source: nnU-Net version 1, which averages probabilities (version 2 averages logits).
    Departures: none.

    Args:
        apply_fn: takes [b, *s, c] and returns probabilities [b, *s, k].
        axes: which axes to flip.

    Returns: a function like `apply_fn`, to be traced by JAX.
    Empty cases: no axes give `apply_fn`'s own values.
    Raises: nothing.
    Cost: 2^axes times that of `apply_fn`.
    """
    flips = [
        chosen for n in range(len(axes) + 1) for chosen in itertools.combinations(tuple(axes), n)
    ]

    def averaged(x: Array) -> Array:
        parts = (jnp.flip(apply_fn(jnp.flip(x, flip)), flip) for flip in flips)
        return jax.tree.reduce(jnp.add, list(parts)) / len(flips)

    return averaged


def _blend(
    sides: tuple[int, int], patch: tuple[int, int], starts: Starts, margin: int
) -> tuple[Callable[[int, int], np.ndarray], np.ndarray]:
    """Weights of the tile at (y, x) and their sum over all, each with an axis for the classes."""
    # As nnU-Net: a single tile is taken as it comes, not multiplied and divided again.
    own = _tile_weights(patch, len(starts))

    def weights(y: int, x: int) -> np.ndarray:
        if not margin:
            return own
        inner = np.zeros_like(own)
        rows, columns = (
            slice(margin * (start > 0), side - margin * (start + side < size))
            for start, side, size in zip((y, x), patch, sides, strict=True)
        )
        inner[rows, columns] = own[rows, columns]
        return inner

    total = np.zeros((*sides, 1), np.float32)
    for y, x in starts:
        total[y : y + patch[0], x : x + patch[1]] += weights(y, x)
    return weights, total


def _check_margin(margin: int, axes: Sequence[Sequence[int]], patch: tuple[int, int]) -> None:
    """ValueError for a margin that leaves pixels between two tiles to nobody."""
    checks.check("margin", margin, checks.whole(least=0))
    for starts, side in zip(axes, patch, strict=True):
        shared = min((side - (b - a) for a, b in itertools.pairwise(starts)), default=side)
        if len(starts) > 1 and 2 * margin > shared:
            raise ValueError(
                f"`margin` takes at most {shared // 2}, half of what tiles share, got {margin}"
            )


def _tile_weights(patch: tuple[int, int], tiles: int) -> np.ndarray:
    """Weights `[h, w, 1]` of a tile; one alone is taken as it comes."""
    weights = gaussian_weights(patch) if tiles > 1 else np.ones(patch, np.float32)
    return weights[..., None]


def _predicted_tiles(
    slices: np.ndarray,
    apply: Callable[[np.ndarray], np.ndarray],
    sides: tuple[int, int],
    patch: tuple[int, int],
    starts: Starts,
    batch_size: int,
) -> Iterator[np.ndarray]:
    """The prediction of every tile, slice by slice; one batch is under way ahead of its use."""
    tiles = _tiles(slices, sides, patch, starts)
    waiting = None
    while True:
        chosen = list(itertools.islice(tiles, batch_size))
        coming = None
        if chosen:
            # A whole batch even of the last tiles: `apply` is compiled for one shape.
            batch = np.zeros((batch_size, *patch, slices.shape[-1]), np.float32)
            batch[: len(chosen)] = chosen
            coming = apply(batch), len(chosen)
        if waiting is not None:
            predicted, rows = np.asarray(waiting[0], np.float32), waiting[1]
            if predicted.ndim != 4 or predicted.shape[:3] != (batch_size, *patch):
                raise ValueError(
                    f"`apply` takes [b, h, w, c] and returns [{batch_size}, {patch[0]}, {patch[1]},"
                    f" k], got shape {predicted.shape}"
                )
            yield from predicted[:rows]
        if coming is None:
            return
        waiting = coming


def _tiles(
    slices: np.ndarray, sides: tuple[int, int], patch: tuple[int, int], starts: Starts
) -> Iterator[np.ndarray]:
    for image in slices:
        missing = [side - size for side, size in zip(sides, image.shape, strict=False)]
        if any(missing):
            image = np.pad(image, [(add // 2, add - add // 2) for add in missing] + [(0, 0)])
        for y, x in starts:
            yield image[y : y + patch[0], x : x + patch[1]]
