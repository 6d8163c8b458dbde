"""The eight regions drawn into a fundus photograph."""

from collections.abc import Collection, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike

from segjax.data.regions.geometry import (
    CHORD,
    DISC_RADIUS,
    MACULA_RADIUS,
    REGIONS,
    Axes,
    axes_of,
    in_order,
    region_map,
    union,
)

INK = np.array((255, 255, 255), np.float32)
HALO = 0.65  # how much of the photograph is darkened right beside ink
SHADE = np.array((255, 170, 0), np.float32)
SHADING = 0.35
SHIFT = 4  # cv2 takes coordinates in sixteenths of a pixel
FONT = cv2.FONT_HERSHEY_SIMPLEX
LETTERS = (0.075, 0.06, 0.048)  # heights of capitals that are tried in turn, in D
SMALLEST = 7  # pixels; below that nobody can read them
COARSE = 128  # pixels of D on the grid on which places for names are looked for


def outlined(
    image: np.ndarray,
    disc: ArrayLike,
    fovea: ArrayLike,
    *,
    names: bool = True,
    marked: Collection[str] | Mapping[str, Sequence[tuple[int, int, int]]] = (),
) -> np.ndarray:
    """A photograph with the borders of the eight regions, their names, and the marked ones shaded.

    Widths of lines and heights of letters go with D. A name stands where it fits wholly within its
    region and the image, as far from the borders as it can; one that fits nowhere, or would be too
    small to read, is left out.

    Source: Son et al. (2018), figure 1. Departures: names are drawn, colours are ours.

    Args:
        image: uint8 RGB `[h, w, 3]`.
        disc: (x, y) of the optic disc's centre, continuous pixels.
        fovea: (x, y) of the fovea.
        names: whether the names are drawn.
        marked: names of regions to shade, all in one colour; or the colours of each region, which
            several share in stripes.

    Returns: a new image, uint8 RGB `[h, w, 3]`.
    Empty cases: none.
    Raises: ValueError on another shape or dtype, on points as `region_map`, on a name that is not
        in `REGIONS`, or a region without a colour.
    Cost: O(h w).
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(
            f"`image` takes uint8 RGB [h, w, 3], got {image.dtype} of shape {image.shape}"
        )
    axes = axes_of(disc, fovea)
    shaded = in_order("marked", marked)
    if bare := [name for name in shaded if isinstance(marked, Mapping) and not len(marked[name])]:
        raise ValueError(f"`marked` takes one colour or more of each region, none of {bare[0]!r}")
    height, width = image.shape[:2]
    picture = image.copy()
    numbers = region_map(disc, fovea, height, width)
    stripe = max(3, round(axes.distance / 25))
    for name in shaded:
        inside = union(numbers, [name])
        colours = np.array(marked[name] if isinstance(marked, Mapping) else [SHADE], np.float32)
        rows, columns = np.nonzero(inside)
        shade = colours[(rows + columns) // stripe % len(colours)]
        picture[inside] = _blend(picture[inside], shade, SHADING)
    ink = np.zeros((height, width), np.uint8)
    thickness = max(1, round(axes.distance / 150))
    for line in _borders(axes, (height, width)):
        points = np.rint((line - 0.5) * 2**SHIFT).astype(np.int32)
        cv2.polylines(ink, [points], False, 255, thickness, cv2.LINE_AA, SHIFT)
    if names:
        _write_names(ink, axes)
    # A dark rim keeps ink legible on bright exudates and on the disc.
    rim = cv2.dilate(ink, np.ones((2 * thickness + 1,) * 2, np.uint8))
    drawn = rim > 0
    darkened = _blend(picture[drawn], 0, HALO * (rim[drawn, None] / np.float32(255)))
    picture[drawn] = _blend(darkened, INK, ink[drawn, None] / np.float32(255))
    return picture


def _blend(colours: np.ndarray, other: float | np.ndarray, share: float | np.ndarray) -> np.ndarray:
    return np.rint(colours + share * (np.float32(other) - colours)).astype(np.uint8)


def _borders(axes: Axes, shape: tuple[int, int]) -> list[np.ndarray]:
    """Polylines `[n, 2]` of (x, y) in continuous pixels; half-lines reach beyond the image."""
    # Of the chord's upper end, in D as all that follows
    height = np.sqrt(DISC_RADIUS**2 - CHORD**2)
    far = 1 + (sum(shape) + abs(axes.disc[0]) + abs(axes.disc[1])) / axes.distance
    # Both arcs run from the upper end of the chord to the lower, round the side away from it
    down = np.linspace(1, -1, 181)
    disc, macula = np.arctan2(height, -CHORD) * down, np.arctan2(height, CHORD - 1) * down
    lines = [
        (-DISC_RADIUS * np.cos(disc), DISC_RADIUS * np.sin(disc)),
        (1 + MACULA_RADIUS * np.cos(macula), MACULA_RADIUS * np.sin(macula)),
        ((CHORD, CHORD), (-height, height)),
        ((-far, CHORD), (0, 0)),
        ((0, 0), (DISC_RADIUS, far)),
        ((0, 0), (-DISC_RADIUS, -far)),
        ((1, far), (MACULA_RADIUS, MACULA_RADIUS)),
        ((1, far), (-MACULA_RADIUS, -MACULA_RADIUS)),
    ]
    frame = np.array([axes.temporal, axes.superior]) * axes.distance
    return [np.stack(line, axis=-1) @ frame + axes.disc for line in lines]


def _write_names(ink: np.ndarray, axes: Axes) -> None:
    # On a coarser grid, for a photograph has ten million pixels
    step = max(1, int(axes.distance // COARSE))
    disc = np.array(axes.disc)
    fovea = disc + np.array(axes.temporal) * axes.distance
    height, width = (max(1, size // step) for size in ink.shape)
    regions = region_map(disc / step, fovea / step, height, width)
    for index, name in enumerate(REGIONS):
        _write(ink, regions == index, step, name.split("_"), axes.distance)


def _write(
    ink: np.ndarray, region: np.ndarray, step: int, words: list[str], distance: float
) -> None:
    """Writes words below each other where their box fits into a region, in the largest letters."""
    for share in LETTERS:
        letters = round(share * distance)
        if letters < SMALLEST:
            return
        thickness = max(1, round(letters / 9))
        scale = cv2.getFontScaleFromHeight(FONT, letters, thickness)
        widths = [cv2.getTextSize(word, FONT, scale, thickness)[0][0] for word in words]
        line = round(1.6 * letters)
        # Half a letter stays free on all sides
        box = (line * len(words) + letters, max(widths) + letters)
        corner = _middle(_fits(region, *(-(-side // step) for side in box)))
        if corner is None:
            continue
        for k, (word, size) in enumerate(zip(words, widths, strict=True)):
            x = corner[1] * step + (box[1] - size) // 2
            y = corner[0] * step + letters // 2 + line * k + round(1.3 * letters)
            cv2.putText(ink, word, (x, y), FONT, scale, 255, thickness, cv2.LINE_AA)
        return


def _fits(region: np.ndarray, height: int, width: int) -> np.ndarray:
    """Where the upper left corner of a box may lie that holds pixels of the region only."""
    if height > region.shape[0] or width > region.shape[1]:
        return np.zeros((0, 0), bool)
    sums = np.pad(np.cumsum(np.cumsum(region, axis=0, dtype=np.int64), axis=1), ((1, 0), (1, 0)))
    inside = sums[height:, width:] - sums[:-height, width:]
    return inside - sums[height:, :-width] + sums[:-height, :-width] == height * width


def _middle(mask: np.ndarray) -> tuple[int, int] | None:
    """(row, column) of the pixel deepest inside a mask, the image's edge being outside."""
    if not mask.any():
        return None
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)
    row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return int(row) - 1, int(column) - 1
