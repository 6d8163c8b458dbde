"""Eight findings of fundus photographs for the synthetic eye: what lies where, as polygons."""

import dataclasses

import numpy as np

from segjax.data.synthetic.fundus_anatomy import Anatomy, Camera, Vessels, stream
from segjax.data.synthetic.fundus_lesions import CANDIDATES, Ground, Lesions, blob, gather
from segjax.data.synthetic.nerve_fibres import fibres, ribbons

FINDINGS = (
    "hard_exudate",
    "haemorrhage",
    "cotton_wool_patch",
    "microaneurysm",
    "drusen",
    "macular_hole",
    "membrane",
    "rnfl_defect",
)
PREVALENCE = 0.45  # of each finding, whatever the others
# Eye units from the border of the field: at 32 pixels, where one is worth 3 pixels or more, the
# pixel of a lesion's centre is in view then.
RIM = 0.26


@dataclasses.dataclass(frozen=True)
class Signs:
    """What is seen in one eye beside its anatomy.

    Attributes:
        lesions: by finding; none where it is absent.
        details: polygons, eye units, that are painted but in no mask: parts of findings, and what
            only resembles one.
    """

    lesions: dict[str, Lesions]
    details: dict[str, list[np.ndarray]]


def _none() -> Lesions:
    return gather([], [], [])


def _one(shape: np.ndarray, centre: np.ndarray, radius: float) -> Lesions:
    return gather([shape], [centre], [radius])


def _macular_hole(rng: np.random.Generator, anatomy: Anatomy, details: dict) -> Lesions:
    """A round hole through the fovea, and the swollen retina around it; together the mask."""
    radius = rng.uniform(0.115, 0.175)  # 0.35 to 0.5 mm across
    centre = anatomy.fovea + rng.normal(0.0, 0.015, 2)
    cuff = radius * rng.uniform(1.8, 2.3)
    details["hole"] = [centre + blob(rng, radius, 0.05)]
    if rng.random() < 0.5:
        # Yellow deposits at the bottom of the hole
        places = centre + rng.uniform(-0.5, 0.5, (int(rng.integers(2, 6)), 2)) * radius
        details["deposits"] = [place + blob(rng, 0.016, 0.1) for place in places]
    return _one(centre + blob(rng, cuff, 0.06), centre, cuff)


def _membrane(rng: np.random.Generator, anatomy: Anatomy, details: dict) -> Lesions:
    """A sheet of scar tissue on the macula, its folds radiating from where it contracts."""
    radius = rng.uniform(0.55, 1.05)
    turn, far = rng.uniform(0.0, 2 * np.pi), rng.uniform(0.0, 0.45)
    centre = anatomy.fovea + far * np.array([np.cos(turn), np.sin(turn)])
    long, angle = rng.uniform(1.0, 1.4), rng.uniform(0.0, np.pi)
    size = radius / np.sqrt(long)
    outline = centre + blob(rng, size, 0.28, long, angle)
    focus = centre + rng.normal(0.0, 0.2 * radius, 2)
    count = int(rng.integers(14, 26))
    way = 2 * np.pi * (np.arange(count) + rng.uniform(-0.6, 0.6, count))[:, None] / count
    # Each fold begins and ends where it likes, and bends a little
    near, far = rng.uniform(0.12, 0.7, (count, 1)), rng.uniform(0.25, 0.75, (count, 1))
    along = radius * (near + (1.25 - near) * far * np.linspace(0.0, 1.0, 12))
    curl = way + rng.normal(0.0, 0.4, (count, 1)) * along / radius
    curl = curl + rng.normal(0.0, 0.02, (count, 12))
    middle = focus + along[..., None] * np.stack([np.cos(curl), np.sin(curl)], -1)
    widths = rng.uniform(0.012, 0.03, (count, 1)) * np.sin(np.linspace(0.1, np.pi - 0.1, 12))
    details["folds"] = list(ribbons(middle, widths))
    # The far side of a fold lies in its shadow
    side = np.stack([-np.sin(way), np.cos(way)], -1) * 0.028
    details["shadows"] = list(ribbons(middle + side, widths))
    return _one(outline, centre, radius)


def _rnfl_defect(rng: np.random.Generator, anatomy: Anatomy, camera: Camera) -> Lesions:
    """A wedge between two nerve fibres, from the disc along the upper or lower temporal arcade."""
    end = rng.uniform(2.0, 3.0)
    away = np.linspace(0.45, end, 40)
    for up in (True, False) if rng.random() < 0.4 else (False, True):
        angle, width = rng.uniform(50.0, 80.0), rng.uniform(9.0, 18.0)
        angles = angle + width * np.array([0, -0.5, 0.5])
        middle, low, high = fibres(angles, up, away, anatomy.fovea[0])
        near = middle[(away > 0.85) & (away < 1.5)]
        near = near[camera.sees(near, margin=RIM)]
        if len(near):
            return _one(np.concatenate([low, high[::-1]]), near[0], 0.3)
    return _none()


def _haemorrhages(rng: np.random.Generator, ground: Ground) -> Lesions:
    """Blots, round and deep, and flames, bundles of streaks along the nerve fibres."""
    shapes, centres, radii = [], [], []
    for _ in range(int(rng.integers(2, 13))):
        radius = np.clip(rng.lognormal(np.log(0.1), 0.45), 0.06, 0.3)
        for place in ground.take(1, radius):
            parts = [place + blob(rng, radius, 0.2, rng.uniform(1.0, 1.3))]
            if rng.random() < 0.45:
                # Away from the disc, and temporal to it bent around the macula
                angle = np.arctan2(place[1], place[0]) + rng.normal(0.0, 0.1)
                angle -= 0.4 * np.sign(place[1]) * (place[0] > 0)
                way = np.array([np.cos(angle), np.sin(angle)])
                side = np.array([-way[1], way[0]])
                steps = rng.uniform(-0.55, 0.55, (int(rng.integers(5, 10)), 2)) * radius
                steps[0] = 0.0
                parts = [
                    place + u * way + v * side + blob(rng, 0.28 * radius, 0.12, 3.6, angle)
                    for u, v in steps
                ]
            shapes += parts
            centres += [part.mean(0) for part in parts]
            radii += [radius / np.sqrt(len(parts))] * len(parts)
    return gather(shapes, centres, radii)


def _hard_exudates(rng: np.random.Generator, ground: Ground, anatomy: Anatomy) -> Lesions:
    """Small sharp waxy deposits in clusters and rings, most of them near the macula."""
    shapes, centres, radii = [], [], []
    for _ in range(int(rng.integers(1, 5))):
        near = anatomy.fovea if rng.random() < 0.75 else None
        for middle in ground.take(1, 0.05, near=near, spread=0.7):
            ring = rng.random() < 0.4
            spread = rng.uniform(0.22, 0.4) if ring else rng.uniform(0.1, 0.25)
            turns = rng.uniform(0.0, 2 * np.pi, (CANDIDATES, 1))
            near = middle + spread * np.concatenate([np.cos(turns), np.sin(turns)], -1) * ring
            count, spread = int(rng.integers(8, 22)), 0.05 if ring else spread
            for spot in ground.take(count, 0.026, near=near, spread=spread):
                radius = np.clip(rng.lognormal(np.log(0.034), 0.45), 0.018, 0.09)
                long, angle = rng.uniform(1.0, 1.7), rng.uniform(0.0, np.pi)
                shapes.append(spot + blob(rng, radius, 0.35, long, angle))
                centres.append(spot)
                radii.append(radius)
    return gather(shapes, centres, radii)


def _cotton_wool_patches(rng: np.random.Generator, ground: Ground) -> Lesions:
    """Pale and fuzzy, across the nerve fibres that they swell, around disc and arcades."""
    shapes, centres, radii = [], [], []
    for _ in range(int(rng.integers(1, 6))):
        radius = rng.uniform(0.12, 0.22)
        near = np.array([rng.uniform(0.0, 2.2), rng.choice([-1.4, 1.4])])
        for place in ground.take(1, radius, near=near, spread=0.6):
            angle = np.arctan2(place[1], place[0]) + np.pi / 2
            # Of several lobes, so that the outline is that of a cloud
            lobes = rng.normal(0.0, 0.45 * radius, (4, 2))
            lobes[0] = 0.0
            for lobe, share in zip(lobes, (0.85, 0.6, 0.55, 0.5), strict=True):
                spot = place + lobe
                shapes.append(spot + blob(rng, share * radius, 0.2, rng.uniform(1.0, 1.5), angle))
                centres.append(spot)
                radii.append(share * radius)
    return gather(shapes, centres, radii)


def _drusen(rng: np.random.Generator, ground: Ground, anatomy: Anatomy) -> Lesions:
    """Round deposits below the retina, of one colour and of several sizes, all over the macula."""
    shapes, centres, radii = [], [], []
    for count, low, high in (
        (rng.integers(0, 9), 0.045, 0.075),
        (rng.integers(12, 32), 0.022, 0.045),
    ):
        for place in ground.take(int(count), high, near=anatomy.fovea, spread=0.55):
            radius = rng.uniform(low, high)
            shapes.append(place + blob(rng, radius, 0.08))
            centres.append(place)
            radii.append(radius)
    return gather(shapes, centres, radii)


def _microaneurysms(rng: np.random.Generator, ground: Ground) -> Lesions:
    centres = ground.take(int(rng.integers(5, 19)), 0.04, clear=0.1)
    radii = rng.uniform(0.024, 0.042, len(centres))
    shapes = [place + blob(rng, r, 0.06) for place, r in zip(centres, radii, strict=True)]
    return Lesions(shapes, centres, radii)


def _resembling(rng: np.random.Generator, ground: Ground, details: dict) -> None:
    """What only resembles a finding, drawn whatever the findings are."""
    if rng.random() < 0.2:
        # A naevus lies below the retina: flat and slate-coloured, no blood
        radius = rng.uniform(0.2, 0.45)
        details["naevus"] = [
            place + blob(rng, radius, 0.12, rng.uniform(1.0, 1.4), rng.uniform(0.0, np.pi))
            for place in ground.take(1, radius)
        ]
    if rng.random() < 0.35:
        count = int(rng.integers(2, 9))
        details["pigment"] = [
            place + blob(rng, rng.uniform(0.02, 0.045), 0.35) for place in ground.take(count, 0.05)
        ]
    if rng.random() < 0.4:
        # Reflexes of the inner limiting membrane in young eyes: silvery, beside the arcades
        places = np.stack([rng.uniform(0.5, 2.6, 4), rng.choice([-1.0, 1.0], 4)], -1)
        places[:, 1] *= rng.uniform(1.0, 1.6, 4)
        details["reflexes"] = [
            place + blob(rng, rng.uniform(0.05, 0.13), 0.3, rng.uniform(2.0, 4.0), -0.5 * place[1])
            for place in places[: int(rng.integers(1, 5))]
        ]


def _fibres(rng: np.random.Generator, anatomy: Anatomy) -> list[np.ndarray]:
    """The striation of healthy nerve fibres, thickest above and below the disc."""
    away = np.linspace(0.45, 3.2, 20)
    polygons = []
    for up in (True, False):
        angles = np.linspace(22.0, 112.0, 40) + rng.normal(0.0, 0.9, 40)
        lines = ribbons(fibres(angles, up, away, anatomy.fovea[0]), np.linspace(0.012, 0.045, 20))
        # Each is seen as far as it likes: a ribbon goes out on one side and comes back on the other
        for line, length in zip(lines, rng.integers(8, 21, len(lines)), strict=True):
            polygons.append(np.concatenate([line[:length], line[-length:]]))
    return polygons


def sample_signs(seed: int, anatomy: Anatomy, camera: Camera, vessels: np.ndarray) -> Signs:
    """Draws the findings of one eye, each present or absent whatever the others, and distractors.

    Args:
        seed: which eye.
        anatomy, camera: of that eye.
        vessels: points `[n, 2]` on its vessels, eye units.

    Returns: the signs; a finding that is present but finds no place has no lesions.
    """
    first, *own = stream(seed, "findings").spawn(len(FINDINGS) + 1)
    present = dict(zip(FINDINGS, first.random(len(FINDINGS)) < PREVALENCE, strict=True))
    rng = dict(zip(FINDINGS, own, strict=True))
    details: dict[str, list[np.ndarray]] = {}
    ground = Ground(first, anatomy, camera, vessels, RIM)
    lesions = dict.fromkeys(FINDINGS, _none())
    if present["macular_hole"]:
        lesions["macular_hole"] = _macular_hole(rng["macular_hole"], anatomy, details)
        hole = (*anatomy.fovea, lesions["macular_hole"].radii[0])
        ground.taken = np.concatenate([ground.taken, [hole]])
    if present["membrane"]:
        lesions["membrane"] = _membrane(rng["membrane"], anatomy, details)
    if present["rnfl_defect"]:
        lesions["rnfl_defect"] = _rnfl_defect(rng["rnfl_defect"], anatomy, camera)
    # The large ones first, while there is room; small ones find gaps
    draws = {
        "cotton_wool_patch": lambda rng: _cotton_wool_patches(rng, ground),
        "haemorrhage": lambda rng: _haemorrhages(rng, ground),
        "hard_exudate": lambda rng: _hard_exudates(rng, ground, anatomy),
        "drusen": lambda rng: _drusen(rng, ground, anatomy),
        "microaneurysm": lambda rng: _microaneurysms(rng, ground),
    }
    for name, draw in draws.items():
        if present[name]:
            ground.rng = rng[name]
            lesions[name] = draw(rng[name])
    ground.rng = first
    _resembling(first, ground, details)
    details["fibres"] = _fibres(first, anatomy)
    return Signs(lesions, details)


def puckered(vessels: Vessels, membrane: Lesions) -> Vessels:
    """The vessels under a membrane: drawn towards its middle, and wound like a corkscrew."""
    if not len(membrane.centres):
        return vessels
    centre, radius = membrane.centres[0], membrane.radii[0]
    off = centre - vessels.middle
    near = np.exp(-0.5 * (off**2).sum(-1, keepdims=True) / (0.8 * radius) ** 2)
    width = np.maximum(np.hypot(*np.moveaxis(vessels.side, -1, 0)), 1e-9)[..., None]
    step = np.arange(len(vessels.middle))[:, None, None]
    winding = 0.035 * np.sin(1.3 * step) * vessels.side / width
    return dataclasses.replace(vessels, middle=vessels.middle + near * (0.14 * off + winding))
