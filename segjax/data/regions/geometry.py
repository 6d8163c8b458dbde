r"""The eight regions of a fundus photograph that the optic disc and the fovea define.

All lengths follow from D, the distance from the disc's centre to the fovea. With t along the axis
L from the disc to the fovea and s towards superior, both in D::

    s            superior     :       superior temporal
     2/3          nasal       :           _________________________  tangent from t = 1 on
                          .---:---.   .-'         '-.
                         / superior \|               |
      0   - - - - - - - |--- disc ---|     macula    |   temporal       L, also beyond the disc
                         \ inferior /|               |
                          '---:---'   '-._________.-'
    -2/3         inferior     :           -------------------------  tangent
                  nasal       :       inferior temporal
    t                         0      0.358     1

The disc has radius 2/5, the macula 2/3; where the circles cut each other, a chord parts them.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from segjax import checks

REGIONS = (
    "disc_superior",
    "disc_inferior",
    "macula",
    "temporal",
    "superior_temporal",
    "inferior_temporal",
    "superior_nasal",
    "inferior_nasal",
)
# In D
DISC_RADIUS = 2 / 5
MACULA_RADIUS = 2 / 3
# Of the chord from the disc's centre: where both circles have the same power
CHORD = (1 + DISC_RADIUS**2 - MACULA_RADIUS**2) / 2

BLOCK = 2**20  # pixels that are worked on at once


@dataclass(frozen=True)
class Axes:
    """The frame of an eye in the image: its origin is the disc's centre.

    Attributes:
        disc: (x, y) of the disc's centre, continuous pixels.
        distance: D, from the disc's centre to the fovea, in pixels.
        temporal: unit vector (x, y) from the disc to the fovea.
        superior: unit vector at right angles to it, towards the top of the image.
    """

    disc: tuple[float, float]
    distance: float
    temporal: tuple[float, float]
    superior: tuple[float, float]


def axes_of(disc: ArrayLike, fovea: ArrayLike) -> Axes:
    """The frame that a disc and a fovea define, in which the regions of every eye are alike.

    Superior is the side that lies up in the image, so an eye and its mirror image have mirrored
    frames. Of a vertical axis neither side lies up; it counts as the limit of a left eye, whose
    fovea lies right of the disc: superior is the right side where the fovea is below the disc, the
    left side where it is above. There alone the frame of a mirror image is not the mirrored frame.

    Source: Son et al. (2018), section 2.1. Departures: none; the rule of superior is ours.

    Args:
        disc: (x, y) of the optic disc's centre, continuous pixels; inside the image or not.
        fovea: (x, y) of the fovea.

    Returns: the frame.
    Empty cases: none.
    Raises: ValueError on points that are not two finite numbers, or that are one.
    Cost: O(1).
    """
    start, end = _point("disc", disc), _point("fovea", fovea)
    across, down = (float(step) for step in end - start)
    distance = float(np.hypot(across, down))
    if distance == 0:
        raise ValueError(f"`fovea` takes a point other than `disc`, got {_shown(end)} for both")
    across, down = across / distance, down / distance
    superior = (down, -across) if across >= 0 else (-down, across)
    return Axes((float(start[0]), float(start[1])), distance, (across, down), superior)


def region_map(disc: ArrayLike, fovea: ArrayLike, height: int, width: int) -> np.ndarray:
    """The region in which the centre of each pixel lies.

    With (t, s) the coordinates of a centre along the axis from the disc (temporal, superior), in D:
    disc where t^2 + s^2 <= (2/5)^2 and t <= 161/450, halved by s = 0; macula where
    (t - 1)^2 + s^2 <= (2/3)^2 otherwise; temporal where t >= 1 and |s| <= 2/3 otherwise; the rest
    by the signs of t and s.

    Source: Son et al. (2018), section 2.1. They name no regions and number none: the names are
    ours.
    Departures: none; read so where the text leaves it open. The tangents start at their tangent
    points, and the axis, which the text draws as a half-line that cuts the disc, also halves the
    nasal side: without that there are seven regions, and the text has eight.

    Args:
        disc: (x, y) of the optic disc's centre, continuous pixels (pixel j covers [j, j + 1)).
        fovea: (x, y) of the fovea. For a map at another resolution scale the points with it.
        height: of the map in pixels.
        width: of the map in pixels.

    Returns: uint8 `[height, width]`, indices into `REGIONS`. Centres on a border belong to the
        inferior, the nasal, the temporal strip, the disc or the macula.
    Empty cases: a region that lies outside the image, or between centres, has no pixel.
    Raises: ValueError on points that are not two finite numbers or are one, and on sizes below 1.
    Cost: O(height width) time; memory beyond the map is bounded.
    """
    axes = axes_of(disc, fovea)
    checks.check("height", height, checks.whole(least=1))
    checks.check("width", width, checks.whole(least=1))
    regions = np.empty((height, width), np.uint8)
    x = np.arange(width) + 0.5 - axes.disc[0]
    rows = max(1, BLOCK // width)
    for top in range(0, height, rows):
        y = np.arange(top, min(height, top + rows))[:, None] + 0.5 - axes.disc[1]
        along = axes.temporal[0] * x + axes.temporal[1] * y
        up = axes.superior[0] * x + axes.superior[1] * y
        regions[top : top + rows] = _regions_of(along, up, axes.distance)
    return regions


def rasterised(disc: ArrayLike, fovea: ArrayLike, height: int, width: int) -> np.ndarray:
    """The regions as masks, one plane each, in the order of `REGIONS`.

    Source, Departures, Args, Empty cases, Raises: as `region_map`.

    Returns: bool `[height, width, 8]`; every pixel is True in one plane.
    Cost: O(height width).
    """
    return region_map(disc, fovea, height, width)[..., None] == np.arange(len(REGIONS))


def union(regions: np.ndarray, names: Collection[str]) -> np.ndarray:
    """The pixels that lie in any of the named regions: what the guidance loss takes as `region`.

    Source: Son et al. (2018), section 3.1, the union of the annotated regions. Departures: none.

    Args:
        regions: uint8 `[h, w]` from `region_map`.
        names: of regions; repetitions and order do not matter.

    Returns: bool `[h, w]`.
    Empty cases: no names give False everywhere.
    Raises: ValueError on a name that is not in `REGIONS`, with the nearest one, or on a text
        instead of a collection.
    Cost: O(h w).
    """
    wanted = np.zeros(len(REGIONS), bool)
    wanted[[REGIONS.index(name) for name in in_order("names", names)]] = True
    return wanted[regions]


def in_order(argument: str, names: Collection[str]) -> tuple[str, ...]:
    """Names of regions, each once, in the order of `REGIONS`.

    Raises: ValueError, naming the argument that held them, as `union`.
    """
    if isinstance(names, str):
        raise ValueError(
            f"`{argument}` takes a collection of names of regions, got the text {names!r}"
        )
    for name in names:
        checks.check(argument, name, checks.choice(REGIONS))
    return tuple(name for name in REGIONS if name in names)


def _regions_of(along: np.ndarray, up: np.ndarray, distance: float) -> np.ndarray:
    """Indices of the regions of points in the frame of the eye; all in pixels."""
    disc_radius, macula_radius = DISC_RADIUS * distance, MACULA_RADIUS * distance
    # On either side of the axis L and of the line at right angles to it
    regions = np.where(along > 0, 5, 7) - (up > 0)
    strip = (along >= distance) & (np.abs(up) <= macula_radius)
    regions[strip] = REGIONS.index("temporal")
    macula = (along - distance) ** 2 + up**2 <= macula_radius**2
    regions[macula] = REGIONS.index("macula")
    disc = (along**2 + up**2 <= disc_radius**2) & (along <= CHORD * distance)
    regions[disc] = 1 - (up[disc] > 0)
    return regions.astype(np.uint8)


def _point(name: str, point: ArrayLike) -> np.ndarray:
    point = np.asarray(point, np.float64)
    if point.shape != (2,):
        raise ValueError(f"`{name}` takes (x, y), got shape {point.shape}")
    if not np.all(np.isfinite(point)):
        raise ValueError(f"`{name}` takes finite (x, y), got {_shown(point)}")
    return point


def _shown(point: np.ndarray) -> str:
    return f"({point[0]:g}, {point[1]:g})"
