"""The eight regions as polygons within a photograph: to fill, to click into, to export."""

import cv2
import numpy as np
from numpy.typing import ArrayLike

from segjax.data.regions.geometry import (
    CHORD,
    DISC_RADIUS,
    MACULA_RADIUS,
    REGIONS,
    axes_of,
    region_map,
)

STEP = np.deg2rad(1.5)  # of an arc: off by less than 1e-4 of its radius
COARSE = 48  # pixels of D on the grid on which anchors are looked for


def polygons(
    disc: ArrayLike, fovea: ArrayLike, height: int, width: int
) -> dict[str, list[np.ndarray]]:
    """The outline of each region, cut at the edges of the photograph.

    Source: Son et al. (2018), section 2.1, read as `region_map` reads it.
    Departures: arcs are polylines; they leave the circle by less than 1e-4 of its radius.

    Args:
        disc: (x, y) of the optic disc's centre, continuous pixels.
        fovea: (x, y) of the fovea.
        height: of the photograph in pixels.
        width: of it.

    Returns: by name, in the order of `REGIONS`, float64 `[n, 2]` of (x, y), one polygon or none. A
        region that the edge parts is one polygon, whose parts a line along that edge joins.
    Empty cases: a region outside the photograph has none.
    Raises: ValueError as `region_map`.
    Cost: O(1).
    """
    axes = axes_of(disc, fovea)
    # Beyond every corner, wherever the points lie
    far = 2 + (height + width + abs(axes.disc[0]) + abs(axes.disc[1])) / axes.distance
    frame = np.array([axes.temporal, axes.superior]) * axes.distance
    found = {}
    for name, outline in _outlines(far).items():
        cut = _within(outline @ frame + axes.disc, height, width)
        found[name] = [cut] if len(cut) > 2 and abs(area(cut)) > 0 else []
    return found


def area(polygon: np.ndarray) -> float:
    """The signed area of a polygon `[n, 2]`, by the shoelace formula."""
    x, y = polygon.T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def anchors(
    disc: ArrayLike, fovea: ArrayLike, height: int, width: int
) -> dict[str, tuple[float, float] | None]:
    """A point deep inside each region, where its name can stand; None outside the photograph.

    Args, Raises: as `polygons`.
    Cost: O(height width / D^2).
    """
    disc, fovea = np.asarray(disc, np.float64), np.asarray(fovea, np.float64)
    step = max(1.0, float(np.hypot(*(fovea - disc))) / COARSE)
    rows, columns = max(1, round(height / step)), max(1, round(width / step))
    scale = np.array([columns / width, rows / height])
    numbers = region_map(disc * scale, fovea * scale, rows, columns)
    found: dict[str, tuple[float, float] | None] = {}
    for index, name in enumerate(REGIONS):
        inside = np.pad(numbers == index, 1).astype(np.uint8)
        depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
        row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
        # The padding has moved the grid by one: the middle of its pixel is half a pixel back
        place = np.array([column - 0.5, row - 0.5]) / scale
        found[name] = (float(place[0]), float(place[1])) if inside.any() else None
    return found


def _outlines(far: float) -> dict[str, np.ndarray]:
    """Polygons in the frame of the eye, (temporal, superior) in D, as far as `far`."""
    chord = np.sqrt(DISC_RADIUS**2 - CHORD**2)
    end = np.arctan2(chord, CHORD)  # of the chord, seen from the disc's centre
    start = np.arctan2(chord, CHORD - 1)  # and from the fovea
    upper = {
        "disc_superior": [*_arc(0, DISC_RADIUS, end, np.pi), (CHORD, 0)],
        "superior_temporal": [
            *_arc(0, DISC_RADIUS, np.pi / 2, end),
            *_arc(1, MACULA_RADIUS, start, np.pi / 2),
            (far, MACULA_RADIUS),
            (far, far),
            (0, far),
        ],
        "superior_nasal": [
            *_arc(0, DISC_RADIUS, np.pi / 2, np.pi),
            (-far, 0),
            (-far, far),
            (0, far),
        ],
    }
    outlines = {name: np.array(points) for name, points in upper.items()}
    for name in upper:
        outlines[name.replace("superior", "inferior")] = outlines[name] * (1, -1)
    outlines["macula"] = np.array(_arc(1, MACULA_RADIUS, start, -start))
    outlines["temporal"] = np.array(
        [
            *_arc(1, MACULA_RADIUS, np.pi / 2, -np.pi / 2),
            (far, -MACULA_RADIUS),
            (far, MACULA_RADIUS),
        ]
    )
    return {name: outlines[name] for name in REGIONS}


def _arc(middle: float, radius: float, first: float, last: float) -> list[tuple[float, float]]:
    """Points on a circle about (middle, 0), from one angle to another."""
    angles = np.linspace(first, last, 2 + int(abs(last - first) / STEP))
    return [(middle + radius * np.cos(a), radius * np.sin(a)) for a in angles]


def _within(polygon: np.ndarray, height: int, width: int) -> np.ndarray:
    """A polygon cut at the four edges of an image, one after the other (Sutherland and Hodgman)."""
    for axis, sign, edge in ((0, 1, 0), (0, -1, width), (1, 1, 0), (1, -1, height)):
        if not len(polygon):
            break
        depth = sign * (polygon[:, axis] - edge)  # how far inside of this edge
        kept = []
        for here, there, inner, outer in zip(
            polygon, np.roll(polygon, -1, axis=0), depth, np.roll(depth, -1), strict=True
        ):
            if inner >= 0:
                kept.append(here)
            if (inner >= 0) != (outer >= 0):
                crossing = here + (there - here) * (inner / (inner - outer))
                crossing[axis] = edge  # exactly, whatever rounding has done
                kept.append(crossing)
        polygon = np.array(kept).reshape(-1, 2)
    return polygon
