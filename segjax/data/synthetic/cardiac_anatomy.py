"""The anatomy of the cardiac phantom: heart in two phases, and what lies around it.

Lengths are millimetres. The chest's frame has its origin on the axis of the left ventricle, at the
heart's base as it lies in diastole; x and y are the plane of the slices, z runs to the apex.
"""

import dataclasses
import enum

import numpy as np

VERTICES = 56
ANGLES = np.linspace(0, 2 * np.pi, VERTICES, endpoint=False)
CIRCLE = np.stack([np.cos(ANGLES), np.sin(ANGLES)], -1)
# From 2: a wave that goes round once would mostly move the outline
HARMONICS = np.arange(2, 6)
PHASES = ("ED", "ES")


class Tissue(enum.IntEnum):
    """What a point may be; later ones of the heart hide earlier ones."""

    AIR = 0
    FAT = 1
    MUSCLE = 2
    BONE = 3
    LUNG = 4
    LIVER = 5
    VESSEL = 6
    VESSEL_WALL = 7
    GUT = 8
    GUT_WALL = 9
    HEART_FAT = 10
    RIGHT_WALL = 11
    RIGHT_CAVITY = 12
    RIGHT_BAND = 13
    MYOCARDIUM = 14
    LEFT_CAVITY = 15
    PAPILLARY = 16


# The class of a tissue: bands and papillary muscles count with the cavity that they stand in, as in
# clinical outlines; the thin wall of the right ventricle is background.
CLASS_OF = {
    Tissue.RIGHT_CAVITY: 1,
    Tissue.RIGHT_BAND: 1,
    Tissue.MYOCARDIUM: 2,
    Tissue.LEFT_CAVITY: 3,
    Tissue.PAPILLARY: 3,
}
# Lowest and highest brightness of a tissue; a patient has one of each between.
BRIGHTNESS = {
    Tissue.AIR: (0.0, 0.03),
    Tissue.FAT: (0.75, 1.2),
    Tissue.MUSCLE: (0.2, 0.35),
    Tissue.BONE: (0.3, 0.7),
    Tissue.LUNG: (0.04, 0.12),
    Tissue.LIVER: (0.25, 0.5),
    Tissue.VESSEL: (0.75, 1.0),
    Tissue.VESSEL_WALL: (0.2, 0.4),
    Tissue.GUT: (0.3, 1.0),
    Tissue.GUT_WALL: (0.2, 0.4),
    Tissue.HEART_FAT: (0.45, 0.9),
    Tissue.RIGHT_WALL: (0.2, 0.4),
    Tissue.RIGHT_CAVITY: (0.65, 0.95),
    Tissue.RIGHT_BAND: (0.35, 0.5),
    Tissue.MYOCARDIUM: (0.22, 0.38),
    Tissue.LEFT_CAVITY: (0.72, 1.0),
    Tissue.PAPILLARY: (0.3, 0.5),
}


def stream(seed: int, *purpose: int) -> np.random.Generator:
    """Random numbers of one purpose: what is drawn for another never shifts them."""
    # Purposes: 1 heart, 2 surroundings, 3 scan, 4 brightness, 5 coil, 6 noise
    return np.random.default_rng([seed, *purpose])


@dataclasses.dataclass(frozen=True, eq=False)
class Solid:
    """A body like an egg, its sections wavy ellipses.

    Attributes:
        tissue: what fills it.
        centre: (x, y, z).
        axes: half axes, the first two in the plane, turned by `angle`.
        ripple: relative radius at each of `ANGLES`.
        wall: thickness of `wall_tissue` around it; 0 for none.
    """

    tissue: Tissue
    centre: tuple[float, float, float]
    axes: tuple[float, float, float]
    angle: float
    ripple: np.ndarray
    wall: float = 0.0
    wall_tissue: Tissue = Tissue.MUSCLE

    def sections(self, z: float) -> list[tuple[Tissue, np.ndarray]]:
        """The filled outlines `[n, 2]` of the section at `z`, in the order of painting."""
        # The section of an ellipsoid at z: its half axes shrink with the root of this
        above = 1 - ((z - self.centre[2]) / self.axes[2]) ** 2
        if above <= 0:
            return []
        half = np.array(self.axes[:2]) * np.sqrt(above)
        found = []
        if self.wall:
            found.append((self.wall_tissue, self._outline(half + self.wall)))
        return [*found, (self.tissue, self._outline(half))]

    def _outline(self, half: np.ndarray) -> np.ndarray:
        points = CIRCLE * half * self.ripple[:, None]
        return points @ turned(self.angle) + self.centre[:2]


def turned(angle: float) -> np.ndarray:
    """The matrix by which rows (x, y) are turned, from x towards y."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, sin], [-sin, cos]])


def ripple(rng: np.random.Generator, strength: float) -> np.ndarray:
    """Relative radii around an outline: 1 and a few waves."""
    # Finer waves are lower, or outlines would be jagged
    size = rng.normal(0, strength, HARMONICS.shape) * 2 / HARMONICS
    shift = rng.uniform(0, 2 * np.pi, HARMONICS.shape)
    return 1 + np.cos(ANGLES[:, None] * HARMONICS + shift) @ size


@dataclasses.dataclass(frozen=True, eq=False)
class Heart:
    """The ventricles in one phase.

    Attributes:
        base, apex: where the left ventricle begins and ends on the z axis.
        inner, wall: the left cavity's radius and the wall's thickness at the base.
        right: the right ventricle's half axes as shares of the outer radius: away from the left
            ventricle, and along it.
        right_end: where along base to apex, 0 to 1, the right ventricle ends.
        septum: the direction of the right ventricle.
        lean: (x, y) by which the axis moves for a millimetre of z.
        ripples: waves of the inner, outer and right outline.
        uneven: relative thickness of the wall at each of `ANGLES`.
        muscles: papillary muscles and folds, each (angle, distance, size), in inner radii.
        bands: the same in the right ventricle.
    """

    base: float
    apex: float
    inner: float
    wall: float
    right: tuple[float, float]
    right_end: float
    septum: float
    lean: tuple[float, float]
    ripples: tuple[np.ndarray, np.ndarray, np.ndarray]
    uneven: np.ndarray
    muscles: np.ndarray
    bands: np.ndarray

    @property
    def outer(self) -> float:
        return self.inner + self.wall

    def sections(self, z: float) -> list[tuple[Tissue, np.ndarray]]:
        """The filled outlines of the section at `z`, in the order of painting."""
        place = (z - self.base) / (self.apex - self.base)
        if not 0 <= place < 1:
            return []
        centre = np.array(self.lean) * z
        taper = np.sqrt(1 - place**2.4)  # blunt at the base, round at the apex
        # The taper alone would end in sections of a pixel or two: only the tip goes below a third
        outer = np.maximum(self.outer * taper, 0.35 * self.outer * (place < 0.95))
        outside = centre + CIRCLE * (outer * self.ripples[1])[:, None]
        groove = 1.01 + 0.15 * np.cos((ANGLES - self.septum) / 2) ** 2  # fat between the ventricles
        layers = [(Tissue.HEART_FAT, centre + (outside - centre) * groove[:, None])]
        layers += self._right(centre, outer, place)
        layers.append((Tissue.MYOCARDIUM, outside))
        inner = outer * self.ripples[1] - self.wall * self.uneven * (0.85 + 0.15 * taper)
        # Waves go inwards only: outwards they would thin the wall
        inner = np.minimum(inner * self.ripples[0], inner)
        # Radii below 2 mm are no cavity, and below 0 an outline that crosses itself
        if place < 0.93 and inner.min() > 2:
            layers.append((Tissue.LEFT_CAVITY, centre + CIRCLE * inner[:, None]))
            if 0.15 < place < 0.8:
                layers += _spots(self.muscles, Tissue.PAPILLARY, centre, inner.mean())
        return layers

    def _right(self, centre: np.ndarray, outer: float, place: float) -> list:
        """The right ventricle: an ellipse half hidden by the left, which leaves a crescent."""
        part = place / self.right_end
        if part >= 1:
            return []
        taper = np.sqrt(1 - part**2.2)
        away, along = np.array(self.right) * self.outer * taper
        direction = np.array([np.cos(self.septum), np.sin(self.septum)])
        # So far inside the left ventricle's outline that the myocardium, painted later, hides its
        # half
        middle = centre + direction * outer * 0.75
        shape = CIRCLE * (away, along) * self.ripples[2][:, None]
        layers = []
        for tissue, wider in ((Tissue.HEART_FAT, 6.5), (Tissue.RIGHT_WALL, 2.8)):
            grown = CIRCLE * (away + wider, along + wider) * self.ripples[2][:, None]
            layers.append((tissue, middle + grown @ turned(self.septum)))
        layers.append((Tissue.RIGHT_CAVITY, middle + shape @ turned(self.septum)))
        if part < 0.85:
            at = middle + direction * 0.35 * away
            layers += _spots(self.bands, Tissue.RIGHT_BAND, at, away)
        return layers


def _spots(spots: np.ndarray, tissue: Tissue, centre: np.ndarray, unit: float) -> list:
    return [
        (tissue, centre + unit * (far * np.array([np.cos(a), np.sin(a)]) + size * CIRCLE))
        for a, far, size in spots
    ]


def sample_heart(seed: int, phase: str) -> Heart:
    """The patient's heart at the end of diastole (ED) or of systole (ES).

    In systole the cavities shrink, the wall thickens about as much as its volume asks for, and the
    base moves towards the apex.
    """
    # Everything is drawn in diastole, for both phases alike; systole is computed from it
    rng = stream(seed, 1)
    inner, wall = rng.uniform(18, 24.5), rng.uniform(5.8, 8)
    length = rng.uniform(58, 84)
    right = rng.uniform(0.95, 1.3), rng.uniform(1.0, 1.3)
    right_end = rng.uniform(0.66, 0.85)
    squeeze, right_squeeze = rng.uniform(0.62, 0.85), rng.uniform(0.82, 0.97)
    descent = rng.uniform(4, 13)
    lean = tuple(rng.uniform(-0.15, 0.15, 2))
    ripples = tuple(ripple(rng, strength) for strength in (0.015, 0.022, 0.035))
    uneven = 1 + 0.12 * np.cos(ANGLES - rng.uniform(0, 2 * np.pi))
    septum = np.pi + rng.uniform(-0.3, 0.3)
    # Two papillary muscles across from the septum, and small folds along the inner edge.
    two = septum + np.pi + np.array([-1.0, 1.0]) + rng.normal(0, 0.2, 2)
    muscles = [two, rng.uniform(0.5, 0.7, 2), rng.uniform(0.1, 0.2, 2)]
    folds = [rng.uniform(0, 2 * np.pi, 7), rng.uniform(0.8, 0.92, 7), rng.uniform(0.05, 0.12, 7)]
    bands = [rng.uniform(0, 2 * np.pi, 4), rng.uniform(0, 0.6, 4), rng.uniform(0.05, 0.12, 4)]
    base = 0.0
    if phase == "ES":
        # The muscle's area in a section stays, but for the shortening, which makes it larger.
        area = ((inner + wall) ** 2 - inner**2) * length / (length - 0.7 * descent)
        inner, base = inner * squeeze, descent
        wall = np.sqrt(inner**2 + area) - inner
        right = right[0] * right_squeeze, right[1] * right_squeeze
    return Heart(
        base=base,
        apex=length - (2.0 if phase == "ES" else 0.0),
        inner=inner,
        wall=wall,
        right=right,
        right_end=right_end,
        septum=septum,
        lean=lean,
        ripples=ripples,
        uneven=uneven,
        muscles=np.concatenate([muscles, folds], axis=1).T,
        bands=np.stack(bands, axis=1),
    )


def sample_surroundings(seed: int, heart: Heart) -> list[Solid]:
    """Everything but the ventricles, in the order of painting.

    Much of it looks like a part of the heart: great vessels and atria are as bright as the
    cavities, liver and muscle as dark as the myocardium, and a loop of gut is a ring around
    something bright.
    """
    rng = stream(seed, 2)
    return [
        *_chest_wall(rng),
        *_back(rng, heart),
        *_lung_vessels(rng),
        *_belly(rng, heart),
        *_great_vessels(rng, heart),
    ]


def _egg(rng, tissue, centre, axes, strength=0.05, **wall) -> Solid:
    angle = rng.uniform(0, np.pi)
    return Solid(tissue, tuple(centre), tuple(axes), angle, ripple(rng, strength), **wall)


def _chest_wall(rng: np.random.Generator) -> list[Solid]:
    """Fat, muscle, ribs and lungs; the wall nearest to the heart lies beyond its right side."""
    middle = np.array([rng.uniform(25, 50), rng.uniform(5, 30)])
    half, angle = np.array([rng.uniform(116, 134), rng.uniform(125, 150)]), rng.uniform(-0.3, 0.3)
    fat, muscle = rng.uniform(7, 24), rng.uniform(7, 12)
    waves = ripple(rng, 0.012)

    def layer(tissue, less):
        # 400 mm along z: the same section in all slices, nearly. One angle and ripple for all
        # layers, so that they do not cross.
        return Solid(tissue, (*middle, 30.0), (*(half - less), 400.0), angle, waves)

    ribs = []
    for turn in np.arange(0, 2 * np.pi, 0.3) + rng.uniform(0, 0.3):
        spot = (half - fat - muscle / 2) * (np.cos(turn), np.sin(turn))
        place = spot @ turned(angle) + middle
        size = (rng.uniform(3, 5), rng.uniform(4, 9), rng.uniform(20, 60))
        ribs.append(_egg(rng, Tissue.BONE, (*place, rng.uniform(0, 60)), size, 0.03))
    return [
        layer(Tissue.FAT, 0),
        layer(Tissue.MUSCLE, fat),
        layer(Tissue.LUNG, fat + muscle),
        *ribs,
    ]


def _back(rng: np.random.Generator, heart: Heart) -> list[Solid]:
    """The soft tissue between heart and spine, and a vertebra."""
    far = heart.outer + rng.uniform(38, 52)
    place = far, rng.uniform(5, 25)
    between = far * 0.6, rng.uniform(8, 30), rng.uniform(-30, 30)
    soft = far * 0.5, rng.uniform(16, 30), rng.uniform(60, 110)
    spine = rng.uniform(14, 19), rng.uniform(14, 19), 300.0
    return [
        _egg(rng, Tissue.HEART_FAT, between, soft[1:2] + soft[:1] + soft[2:], 0.06),
        _egg(rng, Tissue.MUSCLE, (*place, 30.0), (26, 30, 300), 0.06),
        _egg(rng, Tissue.BONE, (*place, 30.0), spine, 0.05),
    ]


def _lung_vessels(rng: np.random.Generator) -> list[Solid]:
    spots = []
    for _ in range(26):
        turn, far, size = rng.uniform(0, 2 * np.pi), rng.uniform(35, 85), rng.uniform(0.8, 2.6)
        centre = (far * np.cos(turn) + 20, far * np.sin(turn) + 10, rng.uniform(-10, 80))
        spots.append(_egg(rng, Tissue.VESSEL, centre, (size, size * 1.4, 14.0)))
    return spots


def _belly(rng: np.random.Generator, heart: Heart) -> list[Solid]:
    """Liver, spleen and loops of gut below the heart, more of them towards the apex."""
    liver = rng.uniform(48, 68), rng.uniform(60, 85), rng.uniform(55, 90)
    centre = np.array([rng.uniform(-20, 10), heart.outer + 0.75 * liver[0] + rng.uniform(2, 14)])
    solids = [
        _egg(rng, Tissue.LIVER, (*centre, heart.apex + rng.uniform(-5, 25)), liver, 0.03),
        _egg(rng, Tissue.MUSCLE, (rng.uniform(55, 80), rng.uniform(30, 60), 70.0), (22, 34, 60)),
        _egg(rng, Tissue.FAT, (rng.uniform(20, 60), rng.uniform(50, 80), 80.0), (30, 40, 60)),
    ]
    for _ in range(4):  # vessels of the liver
        place = centre + rng.uniform(-25, 25, 2)
        size = rng.uniform(2, 5)
        solids.append(_egg(rng, Tissue.VESSEL, (*place, heart.apex), (size, size * 1.5, 35)))
    for _ in range(4):  # rings, as the myocardium is one
        place = rng.uniform(25, 75), rng.uniform(25, 60), rng.uniform(20, 80)
        size = rng.uniform(6, 14, 2)
        wall = {"wall": rng.uniform(3, 7), "wall_tissue": Tissue.GUT_WALL}
        solids.append(_egg(rng, Tissue.GUT, place, (*size, 38.0), 0.05, **wall))
    fat = rng.uniform(-50, 0), heart.outer + rng.uniform(4, 12), heart.apex
    return [*solids, _egg(rng, Tissue.HEART_FAT, fat, (rng.uniform(8, 16), 22, 45))]


def _great_vessels(rng: np.random.Generator, heart: Heart) -> list[Solid]:
    """Descending aorta, and above the base the two atria and the root of the aorta."""
    thin = {"wall": 2.0, "wall_tissue": Tissue.VESSEL_WALL}
    size = rng.uniform(9, 13)
    place = heart.outer + size + rng.uniform(8, 24), rng.uniform(-5, 35)
    solids = [_egg(rng, Tissue.VESSEL, (*place, 30.0), (size, size, 300.0), 0.02, **thin)]
    reach = heart.base + 6.0
    for side, half in ((12.0, 24.0), (-38.0, 22.0)):
        centre = side, rng.uniform(-10, 14), reach - 20
        axes = half * rng.uniform(0.8, 1.1), half * rng.uniform(0.8, 1.1), 26.0
        solids.append(_egg(rng, Tissue.VESSEL, centre, axes, 0.06, **thin))
    root = rng.uniform(-16, -6), rng.uniform(-14, -4), reach - 14
    size = rng.uniform(11, 14)
    return [*solids, _egg(rng, Tissue.VESSEL, root, (size, size, 18.0), 0.02, **thin)]
