"""Synthetic colour fundus photographs with every structure's mask, point and grade.

For trying a pipeline, a loss or an installation without a download: nothing measured on them
says anything about patients.
"""

import cv2
import numpy as np

from segjax import checks
from segjax.data.synthetic.fundus_anatomy import (
    ARTERY,
    VEIN,
    Anatomy,
    Camera,
    Vessels,
    grow_vessels,
    sample_anatomy,
    sample_camera,
)
from segjax.data.synthetic.fundus_imaging import Grid, paint_retina, photograph
from segjax.data.synthetic.fundus_lesions import KINDS, Lesions, sample_lesions

SMALLEST = 32
CANVAS = 512  # shapes are filled on a canvas of about this size, or twice the image's, if larger
FRACTION = 16  # cv2 takes vertices in sixteenths of a pixel (shift 4)
MASKS = ("field_of_view", "optic_disc", "optic_cup", "vessels", *KINDS)


class Canvas:
    """Fills polygons given in eye units, several times finer than the image's pixels."""

    def __init__(self, camera: Camera, size: int):
        self.camera, self.size = camera, size
        # A whole number, so that area averages take whole blocks of pixels
        self.finer = max(2, -(-CANVAS // size))

    def vertices(self, points: np.ndarray) -> np.ndarray:
        """Eye units to cv2's fixed-point coordinates, in which pixel centres are whole numbers."""
        place = self.camera.project(points) * (self.size * self.finer) - 0.5
        return np.rint(place * FRACTION).astype(np.int32)

    def coverage(self, polygons: list[np.ndarray]) -> np.ndarray:
        """The share of every pixel that polygons of `vertices` cover, `[h, w]` float32."""
        fine = np.zeros((self.size * self.finer,) * 2, np.uint8)
        for polygon in polygons:
            cv2.fillPoly(fine, [polygon], 255, cv2.LINE_AA, 4)
        small = cv2.resize(fine, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return small.astype(np.float32) / np.float32(255)


def vessel_layers(canvas: Canvas, vessels: Vessels) -> dict[str, np.ndarray]:
    # A vessel is a ribbon: down its right edge and back up its left one
    right = canvas.vertices(vessels.middle + vessels.side)
    left = canvas.vertices(vessels.middle - vessels.side)
    bright = canvas.vertices(vessels.middle + 0.3 * vessels.side)
    dim = canvas.vertices(vessels.middle - 0.3 * vessels.side)
    ribbons: dict[int, list] = {ARTERY: [], VEIN: []}
    reflexes = []
    for i, (a, b) in enumerate(zip(vessels.first, vessels.last, strict=True)):
        # A single vertex has no area
        if b - a < 2:
            continue
        ribbons[int(vessels.kind[i])].append(np.concatenate([right[a:b, i], left[a:b, i][::-1]]))
        # Half the width where it begins: only wide vessels have a light reflex
        if np.hypot(*vessels.side[a, i]) > 0.024:
            reflexes.append(np.concatenate([bright[a:b, i], dim[a:b, i][::-1]]))
    return {
        "arteries": canvas.coverage(ribbons[ARTERY]),
        "veins": canvas.coverage(ribbons[VEIN]),
        "reflex": canvas.coverage(reflexes),
    }


def lesion_layer(canvas: Canvas, lesions: Lesions) -> np.ndarray:
    """Coverage by lesions; those smaller than a pixel are drawn as large as one."""
    # A circle of 0.6 pixels' radius has the area of about one pixel; here in eye units
    least = 0.6 / (canvas.camera.scale * canvas.size)
    polygons = [
        canvas.vertices(centre + (shape - centre) * max(1.0, least / radius))
        for shape, centre, radius in zip(
            lesions.shapes, lesions.centres, lesions.radii, strict=True
        )
    ]
    return canvas.coverage(polygons)


def lesion_mask(canvas: Canvas, cover: np.ndarray, lesions: Lesions) -> np.ndarray:
    """Pixels at least half covered, and the pixel in which a lesion's centre lies."""
    mask = cover >= 0.5
    # At every size each lesion is in its mask, so findings and grade hold at all of them.
    x, y = np.floor(canvas.camera.project(lesions.centres) * canvas.size).astype(int).T
    mask[y, x] = True
    return mask


def field_of_view(grid: Grid, camera: Camera, size: int) -> np.ndarray:
    """The field of view as coverage `[h, w]`."""
    # How far a pixel lies inside the round border and the straight cuts, whichever is nearer; half
    # a pixel either way it is covered in part.
    depth = np.minimum(
        (1 - grid.field) * np.float32(camera.radius),
        np.float32(camera.cut) - np.abs(grid.y - np.float32(camera.centre[1])),
    )
    return np.clip(depth * size + np.float32(0.5), 0, 1)


def _masks(
    grid: Grid, anatomy: Anatomy, seen: np.ndarray, lesion_masks: dict, layers: dict
) -> dict[str, np.ndarray]:
    inside = seen >= 0.5
    masks = {
        "field_of_view": inside,
        "optic_disc": grid.ellipse((0, 0), anatomy.disc_axes) <= 1,
        "optic_cup": grid.ellipse(anatomy.cup_centre, anatomy.cup) <= 1,
        # Below one half: a vessel as thin as a pixel is to stay in one piece.
        "vessels": np.maximum(layers["arteries"], layers["veins"]) >= 0.35,
        **lesion_masks,
    }
    return {name: (masks[name] & inside)[..., None].astype(np.uint8) for name in MASKS}


def generate_fundus(seed: int, size: int) -> dict:
    """A synthetic colour fundus photograph and all that is known about it.

    The eye (anatomy, vessels, lesions, colours, light) depends on `seed` alone; `size` decides how
    finely it is sampled, and the grain of the sensor.

    Source: a phantom of our own. Proportions follow textbook anatomy: the fovea lies about two and
    a half disc diameters temporal to the disc's centre and slightly below it.
    Departures: none.

    Args:
        seed: which eye, a whole number from 0.
        size: height and width in pixels, from 32.

    Returns:
        A dict. `image` uint8 `[size, size, 3]`; `image_id` str; `eye` 'left' or 'right'; `fovea`
        and `disc` float32 `[2]`, (x, y) in continuous pixels (left and top edge 0); the masks
        `field_of_view`, `optic_disc`, `optic_cup`, `vessels`, `microaneurysms`, `haemorrhages`,
        `hard_exudates`, `soft_exudates` uint8 `[size, size, 1]` of 0 and 1 (they may overlap);
        `findings` uint8 `[4]`, whether each of the last four masks holds anything; `grade` int, as
        in `fundus_lesions.grade_of`.

    Empty cases: an eye without lesions has empty masks for them, and grade 0.

    Raises:
        ValueError: `seed` is below 0 or `size` below 32.
    """
    checks.check("seed", seed, checks.whole(least=0))
    checks.check("size", size, checks.whole(least=SMALLEST))
    anatomy = sample_anatomy(seed)
    camera = sample_camera(seed, anatomy)
    vessels = grow_vessels(seed, anatomy, camera)
    lesions, grade = sample_lesions(seed, anatomy, camera, vessels.points())
    canvas, grid = Canvas(camera, size), Grid.of(camera, size)
    seen = field_of_view(grid, camera, size)
    layers = vessel_layers(canvas, vessels)
    lesion_masks = {}
    for kind in KINDS:
        layers[kind] = lesion_layer(canvas, lesions[kind])
        lesion_masks[kind] = lesion_mask(canvas, layers[kind], lesions[kind])
    # The masks are sharp; in the picture blood seeps a little, and cotton wool is all fuzz.
    for kind, fuzz in (("haemorrhages", 0.014), ("soft_exudates", 0.05)):
        layers[kind] = cv2.GaussianBlur(layers[kind], (0, 0), fuzz * camera.scale * size)
    masks = _masks(grid, anatomy, seen, lesion_masks, layers)
    retina = paint_retina(seed, grid, anatomy, layers)
    fovea, disc = camera.project(np.stack([anatomy.fovea, np.zeros(2)])) * size
    return {
        "image": photograph(seed, grid, camera, retina, seen),
        "image_id": f"fundus_{seed:08d}",
        "eye": "left" if camera.left else "right",
        "fovea": fovea.astype(np.float32),
        "disc": disc.astype(np.float32),
        **masks,
        "findings": np.array([masks[kind].any() for kind in KINDS], np.uint8),
        "grade": grade,
    }
