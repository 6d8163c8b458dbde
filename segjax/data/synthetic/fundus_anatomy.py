"""The synthetic eye: where disc, fovea and vessels lie, and how the camera looks at them.

Everything here is drawn in eye units, one of which is the diameter of the optic disc: the disc's
centre is the origin, the fovea lies on the positive x axis (temporal), y points down. `Camera`
turns these into normalised image coordinates, so that one seed is one eye at every image size.
"""

import dataclasses

import numpy as np

STEP = 0.1  # eye units walked by a vessel between two of its vertices
STEPS = 85
MOST_VESSELS = 320
THINNEST = 0.013
AVASCULAR = 0.38  # radius of the foveal avascular zone

ARTERY, VEIN = 0, 1
TEMPORAL, NASAL, TWIG = 0, 1, 2


def stream(seed: int, name: str) -> np.random.Generator:
    """An independent source of numbers for one part of the picture.

    Parts have a stream each so that a change to one (say more lesions) leaves the others alone.
    """
    # A name counts by its place: new ones go to the end, or all pictures change
    names = ("camera", "anatomy", "vessels", "lesions", "light", "sensor", "findings", "signs")
    return np.random.Generator(np.random.PCG64([seed, names.index(name)]))


@dataclasses.dataclass(frozen=True)
class Camera:
    """Where the field of view lies in the image and what of the eye is seen in it.

    Attributes:
        centre: centre of the field of view `[2]`, normalised by the image's size.
        radius: radius of the field of view, normalised.
        cut: half height at which the field is cut off at top and bottom, normalised.
        gaze: the point of the eye `[2]` at the centre of the field, eye units.
        scale: normalised lengths per eye unit.
        tilt: angle in radians by which the fovea lies below the disc.
        left: True for a left eye, whose disc is in the left half of a picture of the macula.
    """

    centre: np.ndarray
    radius: float
    cut: float
    gaze: np.ndarray
    scale: float
    tilt: float
    left: bool

    def project(self, points: np.ndarray) -> np.ndarray:
        """Eye units `[..., 2]` to normalised image coordinates `[..., 2]`."""
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        turned = (points - self.gaze) @ np.array([[cos, sin], [-sin, cos]])
        # A right eye is the mirror image of a left one
        return self.centre + turned * (self.scale if self.left else -self.scale, self.scale)

    def sees(self, points: np.ndarray, margin: float = 0.0) -> np.ndarray:
        """Whether points `[n, 2]` in eye units are in view, `margin` eye units from the border."""
        margin = margin * self.scale
        place = self.project(points)
        off = place - self.centre
        inside = np.hypot(off[:, 0], off[:, 1]) < self.radius - margin
        inside &= np.abs(off[:, 1]) < self.cut - margin
        return inside & (place > margin).all(-1) & (place < 1 - margin).all(-1)


@dataclasses.dataclass(frozen=True)
class Anatomy:
    """Disc, cup and fovea in eye units.

    Attributes:
        fovea: `[2]`, on the x axis.
        disc_axes: half axes `[2]` of the disc, 0.5 on average.
        cup: half axes `[2]` of the cup.
        cup_centre: `[2]`.
    """

    fovea: np.ndarray
    disc_axes: np.ndarray
    cup: np.ndarray
    cup_centre: np.ndarray


def sample_anatomy(seed: int) -> Anatomy:
    """Draws disc, cup and fovea of one eye."""
    rng = stream(seed, "anatomy")
    squeeze = rng.uniform(0.0, 0.06)
    axes = np.array([0.5 - squeeze, 0.5 + squeeze])
    share = np.clip(rng.normal(0.42, 0.12), 0.2, 0.75)
    return Anatomy(
        fovea=np.array([rng.uniform(2.05, 2.55), 0.0]),
        disc_axes=axes,
        cup=axes * share * rng.uniform(0.9, 1.08, 2),
        cup_centre=np.array([rng.uniform(-0.02, 0.05), rng.uniform(-0.03, 0.03)]),
    )


def sample_camera(seed: int, anatomy: Anatomy) -> Camera:
    """Draws a field of view that holds the whole disc and the fovea."""
    rng = stream(seed, "camera")
    radius = rng.uniform(0.43, 0.54)
    centre = 0.5 + rng.uniform(-0.03, 0.03, 2)
    cut = radius * rng.uniform(0.8, 0.95) if rng.random() < 0.5 else radius
    # Centred on the macula, between macula and disc, or on the disc.
    middle = rng.choice([1.0, 0.55, 0.0], p=[0.55, 0.25, 0.2])
    gaze = anatomy.fovea * (middle + rng.uniform(-0.1, 0.1)) + (0.0, rng.uniform(-0.3, 0.3))
    # The farther of disc and fovea, with room for the disc's radius of 0.5
    reach = max(np.hypot(*gaze), np.hypot(*(anatomy.fovea - gaze))) + 0.6
    # The field may be larger than the picture, which then cuts it off
    visible = min(radius, 0.5 - np.abs(centre - 0.5).max())
    # Eye units from the field's centre to its border
    span = max(rng.uniform(3.1, 4.2), reach * radius / visible)
    return Camera(
        centre=centre,
        radius=radius,
        cut=cut,
        gaze=gaze,
        scale=radius / span,
        tilt=np.deg2rad(np.clip(rng.normal(7.0, 4.0), -3.0, 17.0)),
        left=bool(rng.random() < 0.5),
    )


@dataclasses.dataclass(frozen=True)
class Vessels:
    """Vessels as ribbons of vertices, eye units.

    Attributes:
        middle: centre lines `[STEPS, n, 2]`.
        side: from the centre line to the right edge `[STEPS, n, 2]`.
        first, last: vessel i has the vertices `first[i]:last[i]`.
        kind: ARTERY or VEIN, `[n]`.
    """

    middle: np.ndarray
    side: np.ndarray
    first: np.ndarray
    last: np.ndarray
    kind: np.ndarray

    def points(self) -> np.ndarray:
        """All vertices `[m, 2]`."""
        step = np.arange(len(self.middle))[:, None]
        return self.middle[(step >= self.first) & (step < self.last)]


def _roots(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The vessels that leave the disc: place, heading, width, kind, role and bend of each."""
    rows = []
    for up in (-1.0, 1.0):
        lean = rng.uniform(0.5, 0.8)  # the arcade is the parabola x = lean * y ** 2
        for kind in (ARTERY, VEIN):
            bend = lean * rng.uniform(0.8, 1.2)
            width = rng.uniform(0.06, 0.078) if kind == ARTERY else rng.uniform(0.082, 0.105)
            rows.append((0.02, 0.1 * up, 0.2, up, width, kind, TEMPORAL, bend))
            angle = np.deg2rad(rng.uniform(100.0, 165.0))
            way = np.array([np.cos(angle), up * np.sin(angle)])
            rows.append((*(0.08 * way), *way, rng.uniform(0.55, 0.8) * width, kind, NASAL, 0.0))
    for _ in range(rng.integers(2, 5)):
        angle = rng.uniform(-0.9, 0.9)
        way = (np.cos(angle), np.sin(angle))
        width = rng.uniform(0.02, 0.03)
        rows.append((0.3 * way[0], 0.3 * way[1], *way, width, ARTERY, TWIG, 0.0))
    table = np.array(rows)
    return {
        "place": table[:, :2] + rng.normal(0.0, 0.035, (len(table), 2)),
        "heading": np.arctan2(table[:, 3], table[:, 2]),
        "width": table[:, 4],
        "kind": table[:, 5].astype(int),
        "role": table[:, 6].astype(int),
        "bend": table[:, 7],
    }


def _guide(state: dict[str, np.ndarray], fovea: np.ndarray) -> np.ndarray:
    """The direction `[n]` in which each vessel is drawn on."""
    x, y = state["place"].T
    bend, role = state["bend"], state["role"]
    # Along the tangent of the arcade's parabola, and back to the parabola where it was left.
    arcade = np.arctan2(np.sign(y), 2 * bend * np.abs(y) + 1.5 * (bend * y * y - x))
    radial = np.arctan2(y, x)
    to_fovea = np.arctan2(fovea[1] - y, fovea[0] - x)
    outward = to_fovea + np.pi
    branch = np.where(state["side"] > 0, to_fovea, outward)
    near = np.hypot(x - fovea[0], y - fovea[1]) < 3.0
    branch = np.where(near & (x > -0.3), branch, radial)
    root = np.where(role == TEMPORAL, arcade, np.where(role == NASAL, radial, to_fovea))
    return np.where(state["child"], branch, root)


def _turn(angle: np.ndarray) -> np.ndarray:
    """Angles brought into [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def grow_vessels(seed: int, anatomy: Anatomy, camera: Camera) -> Vessels:
    """Grows the vessel trees: all vessels walk a step at a time, side by side, and branch."""
    rng = stream(seed, "vessels")
    fovea = anatomy.fovea
    state = _roots(rng)
    count = len(state["place"])
    state["width"] *= rng.uniform(0.85, 1.2)
    state["side"] = np.zeros(count)
    state["child"] = np.zeros(count, bool)
    state["wiggle"] = np.zeros(count)
    state["age"] = np.zeros(count, int)
    state["alive"] = np.ones(count, bool)
    unrest, fertility = rng.uniform(0.03, 0.085), rng.uniform(0.07, 0.12)
    # A vessel keeps its column for good: new ones are added behind, and none is taken out
    middle = np.zeros((STEPS, MOST_VESSELS, 2))
    side = np.zeros((STEPS, MOST_VESSELS, 2))
    first, last = np.zeros(MOST_VESSELS, int), np.zeros(MOST_VESSELS, int)
    for step in range(STEPS):
        count = len(state["place"])
        place, heading = state["place"], state["heading"]
        normal = np.stack([-np.sin(heading), np.cos(heading)], -1)
        middle[step, :count] = place
        side[step, :count] = normal * state["width"][:, None] / 2
        # Dead vessels walk on with the others, since columns stay in place; where they end stays,
        # too
        last[:count][state["alive"]] = step + 1
        _walk(rng, state, fovea, unrest)
        state["alive"] &= state["width"] > THINNEST
        state["alive"] &= ~_strayed(state, fovea)
        # A little beyond the border, so that no vessel ends in view because the field does
        state["alive"] &= camera.sees(state["place"], margin=-0.3)
        if not state["alive"].any():
            break
        born = _branch(rng, state, fovea, fertility, MOST_VESSELS - count)
        first[count : count + born] = step + 1
        last[count : count + born] = step + 1
    count = len(state["place"])
    return Vessels(middle[:, :count], side[:, :count], first[:count], last[:count], state["kind"])


def _walk(rng: np.random.Generator, state: dict, fovea: np.ndarray, unrest: float) -> None:
    """Moves every vessel one step on, in place."""
    count = len(state["place"])
    # Remembered from step to step: bends, where independent numbers would jitter
    state["wiggle"] = 0.8 * state["wiggle"] + rng.normal(0.0, unrest, count)
    aim = _guide(state, fovea)
    pull = np.where(state["child"], 0.09, np.where(state["role"] == TEMPORAL, 0.3, 0.12))
    heading = state["heading"] + pull * _turn(aim - state["heading"]) + state["wiggle"]
    state["heading"] = heading
    state["place"] = state["place"] + STEP * np.stack([np.cos(heading), np.sin(heading)], -1)
    state["width"] = state["width"] * np.where(state["child"], 0.975, 0.987)
    state["age"] = state["age"] + 1


def _strayed(state: dict[str, np.ndarray], fovea: np.ndarray) -> np.ndarray:
    """Vessels that came to the avascular zone, and small ones that turn away from the macula."""
    off = fovea - state["place"]
    away = np.hypot(*off.T)
    aside = np.cos(state["heading"] - np.arctan2(off[:, 1], off[:, 0])) < 0.15
    small = (state["side"] > 0) | (state["role"] == TWIG)
    return (away < AVASCULAR) | (small & aside & (away < 1.2))


def _branch(rng, state: dict, fovea: np.ndarray, fertility: float, room: int) -> int:
    """Lets some vessels branch, in place; returns how many were born."""
    chance = rng.random(len(state["place"]))
    # Some steps apart, wide enough for a thinner child, and off the disc (radius 0.5)
    ready = state["alive"] & (state["age"] > 6) & (state["width"] > 1.4 * THINNEST)
    ready &= np.hypot(*state["place"].T) > 0.6
    parents = np.flatnonzero(ready & (chance < fertility))[:room]
    if not len(parents):
        return 0
    # A fork has two arms of nearly one width, both turned; a twig leaves its parent nearly as it
    # was
    forks = rng.random(len(parents)) < 0.35
    way = np.where(rng.random(len(parents)) < 0.5, -1.0, 1.0)
    angle = way * np.where(
        forks, rng.uniform(0.4, 0.7, len(parents)), rng.uniform(0.7, 1.3, len(parents))
    )
    share = np.where(
        forks, rng.uniform(0.65, 0.85, len(parents)), rng.uniform(0.35, 0.6, len(parents))
    )
    heading = state["heading"][parents] + angle
    place = state["place"][parents]
    # Children that head for the fovea are drawn to it from then on, the others away from it.
    inward = np.cos(heading - np.arctan2(*(fovea - place).T[::-1])) > 0.2
    new = {
        "place": place,
        "heading": heading,
        "width": np.minimum(state["width"][parents] * share, 0.055),
        "kind": state["kind"][parents],
        "role": state["role"][parents],
        "bend": state["bend"][parents],
        "side": np.where(inward, 1.0, -1.0),
        "child": np.ones(len(parents), bool),
        "wiggle": np.zeros(len(parents)),
        "age": np.zeros(len(parents), int),
        "alive": np.ones(len(parents), bool),
    }
    # The parent turns the other way, and its branches begin at a new distance
    state["heading"][parents] -= np.where(forks, 0.5, 0.1) * angle
    state["width"][parents] *= np.where(forks, 0.88, 0.96)
    state["age"][parents] = 0
    for name, values in new.items():
        state[name] = np.concatenate([state[name], values])
    return len(parents)
