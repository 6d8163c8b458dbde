"""The colours of the synthetic eye: pigment, blood, light and camera, from layers of coverage."""

import dataclasses

import cv2
import numpy as np

from segjax.data.synthetic.fundus_anatomy import Anatomy, Camera, stream

# How strongly each substance swallows red, green and blue light at full coverage.
BLOOD = np.array([0.42, 1.0, 0.75], np.float32)
PIGMENT = np.array([0.8, 1.0, 0.9], np.float32)


@dataclasses.dataclass(frozen=True)
class Grid:
    """Pixel centres as seen from parts of the eye; every array is `[h, w]` float32.

    Attributes:
        x, y: normalised image coordinates.
        eye: eye units `[h, w, 2]`, the inverse of `Camera.project`.
        field: distance from the field's centre over the field's radius.
    """

    x: np.ndarray
    y: np.ndarray
    eye: np.ndarray
    field: np.ndarray

    @classmethod
    def of(cls, camera: Camera, size: int) -> "Grid":
        line = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
        x, y = np.meshgrid(line, line)
        u = (x - np.float32(camera.centre[0])) / np.float32(camera.scale)
        v = (y - np.float32(camera.centre[1])) / np.float32(camera.scale)
        field = np.hypot(u, v) * np.float32(camera.scale / camera.radius)
        # After `field`, whose distances a mirror does not change
        u = u if camera.left else -u
        cos, sin = np.float32(np.cos(camera.tilt)), np.float32(np.sin(camera.tilt))
        eye = np.stack([cos * u + sin * v, cos * v - sin * u], -1) + camera.gaze.astype(np.float32)
        return cls(x, y, eye, field)

    def bump(self, centre, width: float) -> np.ndarray:
        """A Gaussian hill of height 1 around `centre`, both in eye units."""
        dx, dy = self.eye[..., 0] - np.float32(centre[0]), self.eye[..., 1] - np.float32(centre[1])
        return np.exp((dx * dx + dy * dy) * np.float32(-0.5 / width**2))

    def ellipse(self, centre, axes) -> np.ndarray:
        """Distance from `centre` in units of the half axes: below 1 inside."""
        dx = (self.eye[..., 0] - np.float32(centre[0])) / np.float32(axes[0])
        dy = (self.eye[..., 1] - np.float32(centre[1])) / np.float32(axes[1])
        return np.sqrt(dx * dx + dy * dy)


def rise(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between."""
    part = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    # Without slope at both ends, so that no edge is seen where it begins
    return part * part * (3 - 2 * part)


def clouds(rng: np.random.Generator, cells: int, size: int) -> np.ndarray:
    """Smooth noise of unit variance on `cells` knots a side, the same at every size."""
    # As many numbers at every size, so that what is drawn next stays the same
    knots = rng.standard_normal((cells, cells)).astype(np.float32)
    return cv2.resize(knots, (size, size), interpolation=cv2.INTER_CUBIC)


def _ground_colour(rng: np.random.Generator, grid: Grid, size: int) -> np.ndarray:
    """The retina without vessels: orange of varied depth, mottled, sometimes tessellated."""
    pale = rng.uniform(0.0, 1.0)
    base = (1 - pale) * np.array([0.62, 0.26, 0.1]) + pale * np.array([0.86, 0.49, 0.24])
    base *= np.exp(rng.normal(0.0, [0.06, 0.1, 0.28]))
    mottle = 0.5 * clouds(rng, 5, size) + 0.4 * clouds(rng, 11, size)
    mottle += 0.25 * clouds(rng, 34, size) + 0.22 * clouds(rng, 90, size)
    image = base.astype(np.float32) * np.exp(
        -np.float32(rng.uniform(0.03, 0.09)) * mottle[..., None] * PIGMENT
    )
    ridges = np.abs(clouds(rng, 22, size) + 0.5 * clouds(rng, 40, size))
    streaks = np.exp(-3 * ridges) * rise(grid.field, 0.15, 0.8)
    strength = np.float32(rng.choice([0.0, 0.06, 0.3], p=[0.4, 0.4, 0.2]) * rng.uniform(0.5, 1))
    # Choroidal vessels shine through where pigment is thin: redder and brighter lines.
    tessellation = np.array([0.5, 0.55, 0.1], np.float32) * strength
    return image * (1 + (streaks - np.float32(0.3))[..., None] * tessellation)


def _macula(rng: np.random.Generator, grid: Grid, anatomy: Anatomy, image: np.ndarray):
    """Darkens the macula, and the fovea in its middle."""
    depth = rng.uniform(0.16, 0.5)
    wide = grid.bump(anatomy.fovea, rng.uniform(0.5, 0.85))
    narrow = grid.bump(anatomy.fovea, rng.uniform(0.16, 0.28))
    share = rng.uniform(0.3, 0.6)
    pigment = np.float32(depth * (1 - share)) * wide + np.float32(depth * share) * narrow
    image = image * np.exp(-pigment[..., None] * np.array([0.7, 1.15, 1.0], np.float32))
    # Young eyes show a faint bright ring around the macula, and many a pin-point reflex.
    ring = np.exp(-(((grid.ellipse(anatomy.fovea, (0.75, 0.62)) - 1) / np.float32(0.16)) ** 2))
    sheen = np.float32(rng.choice([0.0, 0.05]) * rng.uniform(0.3, 1))
    spark = np.float32(rng.choice([0.0, 0.25], p=[0.7, 0.3]))
    spot = sheen * ring + spark * grid.bump(anatomy.fovea, 0.035)
    return image + spot[..., None] * np.array([0.7, 0.7, 0.5], np.float32)


def _disc(rng: np.random.Generator, grid: Grid, anatomy: Anatomy, image: np.ndarray):
    """Paints disc and cup, the halo around them and, at times, a pale crescent beside them."""
    # The disc's centre is the origin of eye units
    away = grid.ellipse((0, 0), anatomy.disc_axes)
    halo = np.float32(rng.uniform(0.02, 0.13)) * np.exp(-np.maximum(away - 1, 0) * 1.3)
    image = image * (1 + halo[..., None])
    if rng.random() < 0.3:
        beside = grid.ellipse((rng.uniform(0.06, 0.16), 0.02), 1.07 * anatomy.disc_axes)
        crescent = (1 - rise(beside, 0.93, 1.04))[..., None] * np.float32(rng.uniform(0.15, 0.4))
        image = image + crescent * (np.array([0.95, 0.72, 0.45], np.float32) - image)
    tone = rng.uniform(0.0, 1.0)
    rim = (1 - tone) * np.array([0.93, 0.55, 0.3]) + tone * np.array([1.0, 0.74, 0.48])
    pallor = (0.1 * np.clip(grid.eye[..., 0], -0.5, 0.5))[..., None]
    rim = rim.astype(np.float32) * (1 + pallor)
    soft = rng.uniform(0.07, 0.2)
    cover = (1 - rise(away, 1 - soft, 1 + soft / 2))[..., None] * np.float32(
        rng.uniform(0.72, 0.95)
    )
    image = image + cover * (rim - image)
    inner = grid.ellipse(anatomy.cup_centre, anatomy.cup)
    cup = np.array([1.05, 0.92, 0.7], np.float32) * np.float32(rng.uniform(0.92, 1.06))
    depth = (1 - rise(inner, 0.55, 1.15))[..., None] * np.float32(rng.uniform(0.4, 0.85))
    return image + depth * (cup - image)


def paint_retina(
    seed: int, grid: Grid, anatomy: Anatomy, layers: dict[str, np.ndarray]
) -> np.ndarray:
    """The retina `[h, w, 3]` in even light: ground, macula, disc, vessels and lesions.

    `layers` holds coverage in [0, 1], `[h, w]`: `arteries`, `veins`, `reflex` and the four kinds of
    lesion.
    """
    rng = stream(seed, "light")
    image = _ground_colour(rng, grid, len(grid.x))
    image = _disc(rng, grid, anatomy, _macula(rng, grid, anatomy, image))
    # In the order of painting: vessels run over soft exudates, and hard ones hide vessels
    soft = layers["soft_exudates"][..., None] * np.float32(rng.uniform(0.45, 0.8))
    image = image + soft * (np.array([1.0, 0.86, 0.62], np.float32) - image)
    blood = rng.uniform(0.38, 0.72)
    dark = np.float32(blood) * (
        np.float32(0.72) * layers["arteries"]
        + np.float32(1.0) * layers["veins"]
        - np.float32(rng.uniform(0.1, 0.3)) * layers["reflex"]
    )
    spilt = rng.uniform(0.5, 0.95) * np.maximum(layers["haemorrhages"], layers["microaneurysms"])
    # The darker of the two: blood over a vessel is not twice as dark
    dark = np.maximum(dark, spilt.astype(np.float32))
    # Absorption as Beer and Lambert have it: it multiplies, so no colour falls below 0
    image = image * np.exp(-dark[..., None] * BLOOD)
    hard = layers["hard_exudates"][..., None] * np.float32(rng.uniform(0.65, 0.95))
    return image + hard * (np.array([1.0, 0.88, 0.36], np.float32) - image)


def photograph(seed: int, grid: Grid, camera: Camera, retina: np.ndarray, seen: np.ndarray):
    """Lights the retina unevenly and takes the picture: uint8 `[h, w, 3]`.

    `seen` is the field of view as coverage in [0, 1].
    """
    rng = stream(seed, "sensor")
    size = len(grid.x)
    side = rng.uniform(0.0, 2 * np.pi)
    slope = np.float32(rng.uniform(0.0, 0.3) / camera.radius)
    across = (grid.x - np.float32(camera.centre[0])) * np.float32(np.cos(side))
    across += (grid.y - np.float32(camera.centre[1])) * np.float32(np.sin(side))
    light = 1 - np.float32(rng.uniform(0.1, 0.5)) * grid.field**2 + slope * across
    light *= 1 + np.float32(rng.uniform(0.02, 0.09)) * clouds(rng, 4, size)
    image = retina * np.maximum(light, np.float32(0.1))[..., None]
    haze = np.float32(rng.choice([0.0, 1.0], p=[0.55, 0.45]) * rng.uniform(0.03, 0.3))
    veil = np.array([0.72, 0.5, 0.36], np.float32) * np.float32(rng.uniform(0.7, 1.1))
    image = image + haze * (veil - image)
    if rng.random() < 0.3:
        # Light scattered at the pupil's edge: a pale crescent at one side of the field.
        towards = np.maximum(across / np.maximum(grid.field * np.float32(camera.radius), 1e-6), 0)
        flare = rise(grid.field, 0.72, 1.05) * towards**2 * np.float32(rng.uniform(0.1, 0.4))
        image = image + flare[..., None] * np.array([0.75, 0.6, 0.5], np.float32)
    image = image * np.exp(rng.normal(0.0, [0.05, 0.06, 0.1])).astype(np.float32)
    image = np.maximum(image, 0) ** np.float32(rng.uniform(0.85, 1.2)) * np.float32(
        rng.uniform(0.82, 1.08)
    )
    blur = rng.choice([0.0008, 0.002, 0.004], p=[0.5, 0.35, 0.15]) * size
    image = image * seen[..., None] + np.float32(rng.uniform(0.0, 0.02))
    image = cv2.GaussianBlur(image, (0, 0), max(float(blur), 0.2))
    noise = rng.uniform(0.004, 0.018)
    quality = int(rng.integers(80, 97))
    # Drawn last, for how many numbers it takes depends on the size
    grain = rng.standard_normal(image.shape, np.float32) * np.float32(noise)
    # Noise of the electronics everywhere, and that of photons, which grows with the root of light
    image = image + grain * (np.float32(0.25) + seen[..., None] * np.sqrt(np.clip(image, 0, 1)))
    return _as_jpeg(np.clip(image * 255 + np.float32(0.5), 0, 255).astype(np.uint8), quality)


def _as_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """The picture after a trip through JPEG, which is how real ones come."""
    # OpenCV takes and gives blue, green, red
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"cannot encode an image of shape {image.shape} as JPEG")
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])
