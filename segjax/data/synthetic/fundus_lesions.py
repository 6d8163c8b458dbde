"""Signs of diabetic retinopathy for the synthetic eye: what lies where, as polygons."""

import dataclasses

import numpy as np

from segjax.data.synthetic.fundus_anatomy import Anatomy, Camera, stream

KINDS = ("microaneurysms", "haemorrhages", "hard_exudates", "soft_exudates")
SEVERE_HAEMORRHAGES = 10
CANDIDATES = 400


@dataclasses.dataclass(frozen=True)
class Lesions:
    """Lesions of one kind.

    Attributes:
        shapes: polygons, each `[v, 2]`, eye units.
        centres: `[n, 2]`, one of each polygon.
        radii: `[n]`, the size of each polygon.
    """

    shapes: list[np.ndarray]
    centres: np.ndarray
    radii: np.ndarray


def grade_of(microaneurysms: int, haemorrhages: int, hard: int, soft: int) -> int:
    """The grade of an eye from its numbers of lesions.

    0: none. 1: microaneurysms only. 3: ten haemorrhages or more. 2: anything between.
    The steps follow the idea, not the letter, of the International Clinical Diabetic Retinopathy
    scale (Wilkinson et al., Ophthalmology 110, 2003), which also counts quadrants.
    """
    # From the worst grade down: each sign alone decides
    if haemorrhages >= SEVERE_HAEMORRHAGES:
        return 3
    if haemorrhages or hard or soft:
        return 2
    return 1 if microaneurysms else 0


def blob(rng: np.random.Generator, radius: float, rough: float, long: float = 1.0, angle=0.0):
    """A closed irregular outline `[20, 2]` around the origin, `long` times longer along `angle`."""
    turn = np.linspace(0.0, 2 * np.pi, 20, endpoint=False)
    phase = rng.uniform(0.0, 2 * np.pi, 3)
    size = rng.uniform(0.3, 1.0, 3) * rough * (1.0, 0.7, 0.5)
    # Waves of 2, 3 and 5 turns have no period in common, so the outline does not repeat itself
    wave = 1 + (size * np.sin(turn[:, None] * (2, 3, 5) + phase)).sum(-1)
    flat = radius * wave[:, None] * np.stack([long * np.cos(turn), np.sin(turn)], -1)
    cos, sin = np.cos(angle), np.sin(angle)
    return flat @ np.array([[cos, sin], [-sin, cos]])


class Ground:
    """Free places of the retina: in view, off the disc, off the fovea's centre, off each other.

    `rim` is how far lesions stay from the border of the field, eye units.
    """

    def __init__(self, rng, anatomy: Anatomy, camera: Camera, vessels: np.ndarray, rim=0.12):
        self.rng, self.anatomy, self.camera, self.rim = rng, anatomy, camera, rim
        self.vessels = vessels[::2]
        # Rows (x, y, radius): the disc, the fovea's centre, then all that was placed
        self.taken = np.array([[0.0, 0.0, 0.62], [*anatomy.fovea, 0.12]])

    def take(self, count: int, radius: float, *, near=None, spread=1.0, clear=0.0) -> np.ndarray:
        """Up to `count` places `[n, 2]`, `clear` eye units away from every vessel if asked."""
        camera, rng = self.camera, self.rng
        if near is None:
            reach = camera.radius / camera.scale
            # The root spreads points evenly over the area of the field
            away = reach * np.sqrt(rng.random(CANDIDATES))
            turn = rng.uniform(0.0, 2 * np.pi, CANDIDATES)
            places = camera.gaze + away[:, None] * np.stack([np.cos(turn), np.sin(turn)], -1)
        else:
            places = near + rng.normal(0.0, spread, (CANDIDATES, 2))
        # All candidates are drawn before any is refused: it takes as many numbers in a full eye as
        # in an empty one.
        places = places[camera.sees(places, margin=radius + self.rim)]
        gap = np.hypot(*(places[:, None] - self.taken[:, :2]).transpose(2, 0, 1))
        places = places[(gap > self.taken[:, 2] + radius).all(-1)]
        found: list[np.ndarray] = []
        for place in places:
            if len(found) == count:
                break
            if any(np.hypot(*(place - other)) < 2 * radius for other in found):
                continue
            if clear and np.hypot(*(self.vessels - place).T).min() < clear:
                continue
            found.append(place)
        chosen = np.array(found).reshape(-1, 2)
        self.taken = np.concatenate([self.taken, np.insert(chosen, 2, radius, axis=1)])
        return chosen


def gather(shapes: list[np.ndarray], centres: list, radii: list) -> Lesions:
    """Lesions from lists, which may be empty."""
    return Lesions(shapes, np.array(centres).reshape(-1, 2), np.array(radii).reshape(-1))


def _haemorrhages(rng: np.random.Generator, ground: Ground, count: int) -> Lesions:
    """Blots, round and deep, and flames, which lie along the nerve fibres that leave the disc."""
    shapes, centres, radii = [], [], []
    for _ in range(count):
        radius = np.clip(rng.lognormal(np.log(0.075), 0.5), 0.04, 0.3)
        for place in ground.take(1, radius):
            flame = rng.random() < 0.4
            # Away from the origin, the disc, as the nerve fibres run
            angle = np.arctan2(place[1], place[0]) + rng.normal(0.0, 0.2)
            long = rng.uniform(1.6, 2.6) if flame else rng.uniform(1.0, 1.3)
            # The area of a circle of that radius, however long
            size = radius / np.sqrt(long)
            shapes.append(place + blob(rng, size, 0.25 if flame else 0.18, long, angle))
            centres.append(place)
            radii.append(radius)
    return gather(shapes, centres, radii)


def _hard_exudates(rng, ground: Ground, anatomy: Anatomy, clusters: int) -> Lesions:
    """Small sharp deposits in clusters, most of them in the macula, some in rings."""
    shapes, centres, radii = [], [], []
    for _ in range(clusters):
        macular = rng.random() < 0.65
        near = anatomy.fovea if macular else None
        for middle in ground.take(1, 0.08, near=near, spread=0.8):
            spread = rng.uniform(0.1, 0.28)
            for place in ground.take(int(rng.integers(3, 16)), 0.022, near=middle, spread=spread):
                radius = np.clip(rng.lognormal(np.log(0.03), 0.45), 0.015, 0.085)
                long, angle = rng.uniform(1.0, 1.7), rng.uniform(0.0, np.pi)
                shapes.append(place + blob(rng, radius, 0.35, long, angle))
                centres.append(place)
                radii.append(radius)
    return gather(shapes, centres, radii)


def _soft_exudates(rng: np.random.Generator, ground: Ground, count: int) -> Lesions:
    """Cotton wool spots: pale, fuzzy, along the arcades, where the nerve fibres are thick."""
    shapes, centres, radii = [], [], []
    for _ in range(count):
        radius = rng.uniform(0.1, 0.22)
        near = np.array([rng.uniform(0.3, 2.2), rng.choice([-1.5, 1.5])])
        for place in ground.take(1, radius, near=near, spread=0.6):
            angle = np.arctan2(place[1], place[0]) + np.pi / 2
            shapes.append(place + blob(rng, radius, 0.2, rng.uniform(1.0, 1.5), angle))
            centres.append(place)
            radii.append(radius)
    return gather(shapes, centres, radii)


def _microaneurysms(rng: np.random.Generator, ground: Ground, count: int) -> Lesions:
    centres = ground.take(count, 0.03, clear=0.09)
    radii = rng.uniform(0.018, 0.034, len(centres))
    shapes = [place + blob(rng, r, 0.06) for place, r in zip(centres, radii, strict=True)]
    return Lesions(shapes, centres, radii)


def sample_lesions(
    seed: int, anatomy: Anatomy, camera: Camera, vessels: np.ndarray
) -> tuple[dict[str, Lesions], int]:
    """Draws the lesions of one eye; returns them by kind, and the eye's grade.

    The grade is read off the lesions that found a place, never off what was meant to be drawn.
    """
    rng = stream(seed, "lesions")
    ground = Ground(rng, anatomy, camera, vessels)
    severity = int(rng.choice(4, p=[0.35, 0.2, 0.27, 0.18]))
    blots = (0, 0, int(rng.integers(0, 8)), int(rng.integers(12, 28)))[severity]
    clusters = (0, 0, int(rng.integers(0, 4)), int(rng.integers(1, 7)))[severity]
    spots = (0, 0, int(rng.random() < 0.3), int(rng.integers(0, 5)))[severity]
    aneurysms = (0, *rng.integers((2, 3, 8), (8, 18, 35)))[severity]
    # The large ones first, while there is room; small ones find gaps.
    soft = _soft_exudates(rng, ground, spots)
    haemorrhages = _haemorrhages(rng, ground, blots)
    hard = _hard_exudates(rng, ground, anatomy, clusters)
    tiny = _microaneurysms(rng, ground, int(aneurysms))
    lesions = dict(zip(KINDS, (tiny, haemorrhages, hard, soft), strict=True))
    return lesions, grade_of(*(len(lesion.centres) for lesion in lesions.values()))
