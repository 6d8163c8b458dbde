"""Components, holes and cavities of masks, and how well two centre lines agree."""

import itertools
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np

from segjax.metrics.masks import binary_masks, bounding_box, mask_pairs
from segjax.metrics.thinning import thin
from segjax.ops import checks
from segjax.types import Array, Bool, Float, Int

CONNECTIVITIES = ("full", "face")


def euler_number(mask: Bool[Array, "b *s"], *, connectivity: str = "full") -> Int[Array, "b"]:
    """Euler characteristic of each mask: components minus holes, plus cavities in a volume.

    A cheap check on the whole topology, and the only one here that runs compiled. Equal numbers do
    not mean equal topology: a split and a new hole cancel.

    chi = sum_d (-1)^d (number of cells of dimension d). `full`: pixels are closed squares, cells
    are their faces, edges and corners. `face`: pixels are the points, cells join face neighbours.

    Source: Kong and Rosenfeld (1989). Departures: none.

    Args:
        mask: `[b, h, w]` or `[b, d, h, w]`, bool or integer; nonzero is the object.
        connectivity: of the object, 'full' (8 in a plane, 26 in a volume, the background 4 or 6)
            or 'face' (4 or 6, the background 8 or 26).

    Returns: one number per image, int32.
    Empty cases: an empty mask 0; a full one 1.
    Raises: ValueError on a wrong rank or option; TypeError on floats.
    Cost: O(n): 2^axes passes over the pixels; runs under jit.
    """
    mask = mask if isinstance(mask, jax.Array) else np.asarray(mask)
    checks.check_rank("mask", mask, 3, 4)
    checks.check_option("connectivity", connectivity, CONNECTIVITIES)
    if not (mask.dtype == bool or jnp.issubdtype(mask.dtype, jnp.integer)):
        raise TypeError(f"`mask` takes booleans or integers, got {mask.dtype}")
    return _euler_number(jnp.asarray(mask.astype(bool)), connectivity, jnp)


def betti_numbers(
    mask: Bool[Array, "b *s"], *, connectivity: str = "full"
) -> Int[np.ndarray, "b d"]:
    """Betti numbers of each mask: components b0 and holes b1; in a volume tunnels b1, cavities b2.

    b0 and b2 by labelling the object and its background; b1 from chi = b0 - b1 + b2.

    Source: Kong and Rosenfeld (1989). Departures: none.

    Args:
        mask: binary masks `[b, h, w]` or `[b, d, h, w]`. Outside the image is background: a ring
            that leaves the image is not closed.
        connectivity: of the object, 'full' (8 in a plane, 26 in a volume, the background 4 or 6;
            in persistence, pixels as top cells) or 'face' (4 or 6, the background 8 or 26; pixels
            as vertices).

    Returns: `[b, 2]` (b0, b1) of planes, `[b, 3]` (b0, b1, b2) of volumes, int64.
    Empty cases: an empty mask is all 0; a full one b0 = 1.
    Raises: ValueError on a wrong rank or option or a map of more than two classes; TypeError on
        floats.
    Cost: host, SciPy; O(n).
    """
    mask = binary_masks("mask", mask)
    checks.check_option("connectivity", connectivity, CONNECTIVITIES)
    numbers = np.zeros((len(mask), mask.ndim - 1), np.int64)
    for index, one in enumerate(mask):
        numbers[index] = _betti_numbers(one, connectivity)
    return numbers


def betti_error(
    pred: Bool[Array, "b *s"],
    label: Bool[Array, "b *s"],
    *,
    patch: int | tuple[int, ...] | None = None,
    connectivity: str = "full",
) -> Float[np.ndarray, "b d"]:
    """Difference of the Betti numbers of two masks, dimension by dimension; 0 is perfect.

    E_d = mean over tiles of |b_d(pred) - b_d(label)|

    It counts, and does not match: a component lost here and one gained there cancel. Small tiles
    keep errors from cancelling over a distance.

    Source: Hu et al. (2019), arXiv:1906.05404.
    Departures: tiles on a grid in place of patches at random places, so that the value is one;
    dimensions are kept apart, their sum is the caller's.

    Args:
        pred: binary masks `[b, h, w]` or `[b, d, h, w]`.
        label: the true masks.
        patch: side of the tiles in pixels, or one side per axis; None is the whole image. The last
            tiles of an axis may be smaller. Each tile counts by itself, its outside background.
        connectivity: as in `betti_numbers`.

    Returns: `[b, 2]` (b0, b1) of planes, `[b, 3]` of volumes, float64.
    Empty cases: both empty 0; one empty, the Betti numbers of the other.
    Raises: ValueError on a wrong rank, shape or option or a map of more than two classes;
        TypeError on floats.
    Cost: host, SciPy; O(n).
    """
    pred, label = mask_pairs(pred, label)
    checks.check_option("connectivity", connectivity, CONNECTIVITIES)
    tiles = _tiles(pred.shape[1:], patch)
    errors = np.zeros((len(pred), pred.ndim - 1), np.float64)
    for index, (one, other) in enumerate(zip(pred, label, strict=True)):
        for tile in tiles:
            numbers = _betti_numbers(one[tile], connectivity)
            errors[index] += np.abs(numbers - _betti_numbers(other[tile], connectivity))
    return errors / len(tiles)


def cl_dice(pred: Bool[Array, "b *s"], label: Bool[Array, "b *s"]) -> Float[np.ndarray, "b"]:
    """Centre-line Dice of tubes such as vessels: whether each skeleton lies in the other mask.

    1 is perfect. It asks for the course of a tube and not for its width, and thin branches count
    as much as thick ones.

    T_p = |S_p and L| / |S_p|, T_s = |S_l and P| / |S_l|, clDice = 2 T_p T_s / (T_p + T_s), S the
    skeletons of the masks.

    Source: Shit et al. (2021), arXiv:2003.07311.
    Departures: planes are thinned by scikit-image as in the authors' code. Volumes are not: there
    its `skeletonize` deletes tubes of even width altogether (its issue 3757), so ours is used,
    which keeps the topology. Empty skeletons, nan in the authors' code, as below.

    Args:
        pred: binary masks `[b, h, w]` or `[b, d, h, w]`.
        label: the true masks.

    Returns: one value per image in [0, 1], float64.
    Empty cases: both empty 1; one empty, or skeletons that both lie outside, 0.
    Raises: ImportError on planes without the extra `topology`; ValueError on a wrong rank or shape
        or a map of more than two classes; TypeError on floats.
    Cost: host; thinning takes O(n) per voxel of width, 0.2 s for vessels in a volume of 128^3.
    """
    pred, label = mask_pairs(pred, label)
    skeleton = thin if pred.ndim == 4 else _plane_thinning()
    return np.array(
        [_cl_dice(one, other, skeleton) for one, other in zip(pred, label, strict=True)],
        np.float64,
    )


def _cl_dice(pred: np.ndarray, label: np.ndarray, skeleton) -> float:
    if not (pred.any() and label.any()):
        return float(not (pred.any() or label.any()))
    box = bounding_box(pred | label)
    # Thinning takes as long as its array is large, and the box holds both objects.
    pred, label = pred[box], label[box]
    precision = label[skeleton(pred)].mean()
    sensitivity = pred[skeleton(label)].mean()
    total = precision + sensitivity
    return float(2 * precision * sensitivity / total) if total > 0 else 0.0


def _plane_thinning():
    try:
        from skimage.morphology import skeletonize
    except ImportError as error:
        raise ImportError(
            "`cl_dice` of planes needs the extra `topology`: pip install 'segjax[topology]'"
        ) from error
    return skeletonize


def _betti_numbers(mask: np.ndarray, connectivity: str) -> np.ndarray:
    """Betti numbers of one mask."""
    from scipy import ndimage  # here, for it adds to the time that `import segjax` takes

    axes = mask.ndim
    whole = np.ones((3,) * axes, bool)
    cross = ndimage.generate_binary_structure(axes, 1)
    inside, outside = (whole, cross) if connectivity == "full" else (cross, whole)
    # What lies outside the box is one piece of background and changes no number.
    mask = mask[bounding_box(mask)]
    components = ndimage.label(mask, inside)[1]
    euler = int(_euler_number(mask[None], connectivity, np)[0])
    if axes == 2:
        return np.array([components, components - euler])
    # One component of the background is the outside, which the margin joins up.
    cavities = ndimage.label(~np.pad(mask, 1), outside)[1] - 1
    return np.array([components, components + cavities - euler, cavities])


def _euler_number(mask: Array, connectivity: str, xp: ModuleType) -> Array:
    """Alternating sum of the cells of each mask `[b, *s]`, in NumPy or JAX."""
    axes = range(1, mask.ndim)
    full = connectivity == "full"
    total = xp.zeros(mask.shape[0], xp.int32)
    for joined in itertools.chain.from_iterable(
        itertools.combinations(axes, count) for count in range(mask.ndim)
    ):
        # Closed pixels: a cell thin along the joined axes is there if any pixel beside it is.
        # Pixels as points: a cell long along the joined axes is there if all its pixels are.
        cells = xp.pad(mask, [(int(full and a in joined),) * 2 for a in range(mask.ndim)])
        for axis in joined:
            low = (slice(None),) * axis + (slice(None, -1),)
            high = (slice(None),) * axis + (slice(1, None),)
            cells = cells[low] | cells[high] if full else cells[low] & cells[high]
        dimension = len(axes) - len(joined) if full else len(joined)
        count = xp.sum(cells, axis=tuple(axes), dtype=xp.int32)
        total = total + (-1) ** dimension * count
    return total


def _tiles(shape: tuple[int, ...], patch: int | tuple[int, ...] | None) -> list[tuple[slice, ...]]:
    """Slices of a grid of tiles over an image."""
    if patch is None:
        return [tuple(slice(None) for _ in shape)]
    sides = (patch,) * len(shape) if np.ndim(patch) == 0 else tuple(patch)
    if len(sides) != len(shape):
        raise ValueError(f"`patch` takes None, one side or {len(shape)} sides; got {patch!r}")
    sides = [checks.check_integer("patch", side, least=1) for side in sides]
    starts = [range(0, length, side) for length, side in zip(shape, sides, strict=True)]
    return [
        tuple(slice(start, start + side) for start, side in zip(corner, sides, strict=True))
        for corner in itertools.product(*starts)
    ]
