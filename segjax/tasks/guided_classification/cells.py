"""What an activation map's cells cover of an image, and what is measured of the map by them."""

import functools

import cv2
import numpy as np

from segjax.metrics import activation_in_region
from segjax.types import Array, Float

# Half a cell: sums of float32 may come out a little below.
HALF = 0.5 - 1e-5
# A map is cut at these shares of its own maximum; the best is chosen on the validation split.
CUTS = tuple(k / 20 for k in range(1, 20))


@functools.cache
def _weights(cells: int, pixels: int) -> np.ndarray:
    """[cells, pixels]: the share of each cell of a side that each of its pixels is."""
    edges = np.linspace(0, pixels, cells + 1)
    low = np.maximum(edges[:-1, None], np.arange(pixels)[None, :])
    high = np.minimum(edges[1:, None], np.arange(1, pixels + 1)[None, :])
    return (np.maximum(high - low, 0) * cells / pixels).astype(np.float32)


def shares(region: Float[Array, "b h w"], size: tuple[int, int]) -> Float[Array, "b k l"]:
    """The share of each cell of a map of `size` that a region covers: an area mean.

    Args:
        region: 0 and 1, of NumPy or JAX, at the size of the image.
        size: (k, l) of the map, at most that of the image.
    """
    rows, columns = (_weights(n, m) for n, m in zip(size, region.shape[1:], strict=True))
    return rows @ region @ columns.T


def activation_shares(activation: np.ndarray, region: np.ndarray) -> dict[str, np.ndarray]:
    """`air` of maps `[n, k, l]`, and `air_chance`, that of a map that is the same everywhere.

    Args:
        activation: after the sigmoid.
        region: the shares of cells that regions cover.
    """
    flat = np.ones_like(activation)
    return {
        "air": np.asarray(activation_in_region(activation, region)),
        "air_chance": np.asarray(activation_in_region(flat, region)),
    }


def pointing(activation: np.ndarray, region: np.ndarray, tolerance: float) -> dict[str, np.ndarray]:
    """`pointing`: whether the highest cell of each map `[n, k, l]` lies in a region or near it.

    `pointing_chance` is the share of all cells that do.

    Source: the pointing game of Zhang et al. (2018), with its tolerance.

    Args:
        activation: maps, or their logits, of which fewer are equal; of a map that is the same
            everywhere no cell is the highest: 0.
        region: bool `[n, h, w]`, at the size of the image.
        tolerance: how far outside counts as inside, as a share of the image's shorter side.
    """
    found = {name: np.zeros(len(activation)) for name in ("pointing", "pointing_chance")}
    for index, (map_, inside) in enumerate(zip(activation, region, strict=True)):
        if not inside.any():
            continue
        outside = np.ascontiguousarray(~inside, np.uint8)
        distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        # The pixels in which the middles of the cells lie
        rows, columns = (
            ((np.arange(cells) + 0.5) * pixels / cells).astype(int)
            for pixels, cells in zip(inside.shape, map_.shape, strict=True)
        )
        hits = distance[np.ix_(rows, columns)] <= tolerance * min(inside.shape)
        found["pointing_chance"][index] = hits.mean()
        if map_.max() > map_.min():
            found["pointing"][index] = hits.flat[np.argmax(map_)]
    return found


def overlaps(activation: np.ndarray, region: np.ndarray) -> np.ndarray:
    """IoU `[cuts, n]` of each map, cut at shares of its maximum, with its region.

    IoU = sum(m b) / (sum(m) + sum((1 - m) b)), m the share of a cell that the region covers and b
    whether the map is at least the cut there.
    """
    highest = activation.max(axis=(1, 2), keepdims=True)
    rows = []
    for cut in CUTS:
        above = activation >= cut * highest
        both = (region * above).sum(axis=(1, 2))
        either = region.sum(axis=(1, 2)) + ((1 - region) * above).sum(axis=(1, 2))
        rows.append(np.where(either > 0, both / np.maximum(either, 1e-12), 0.0))
    return np.stack(rows)


def enlarged(
    activation: np.ndarray, box: tuple[int, int, int, int], shape: tuple[int, int]
) -> Float[np.ndarray, "h w"]:
    """A map `[k, l]` at the size of the photograph, bilinear, within 0 and 1; 0 outside the box.

    Args:
        activation: after the sigmoid.
        box: (top, bottom, left, right) of what the network saw.
        shape: (height, width) of the photograph.
    """
    top, bottom, left, right = box
    size = (right - left, bottom - top)
    large = cv2.resize(activation.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    whole = np.zeros(shape, np.float32)
    whole[top:bottom, left:right] = np.clip(large, 0, 1)
    return whole
