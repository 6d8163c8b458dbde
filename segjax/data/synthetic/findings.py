"""Synthetic fundus photographs with eight findings: labels, masks and the regions they lie in.

For trying the classification of findings and its guidance by regions without a download: nothing
measured on them says anything about patients.
"""

import numpy as np

from segjax import checks
from segjax.data.regions import REGIONS, marked, region_map
from segjax.data.synthetic.finding_painting import blurred, paint_findings
from segjax.data.synthetic.finding_shapes import FINDINGS, Signs, puckered, sample_signs
from segjax.data.synthetic.fundus import (
    SMALLEST,
    Canvas,
    field_of_view,
    lesion_layer,
    lesion_mask,
    vessel_layers,
)
from segjax.data.synthetic.fundus_anatomy import (
    Anatomy,
    Camera,
    grow_vessels,
    sample_anatomy,
    sample_camera,
)
from segjax.data.synthetic.fundus_imaging import Grid, paint_retina, photograph
from segjax.data.synthetic.fundus_lesions import KINDS

# Pixels at which regions are read off the masks, for images of any size
REFERENCE = 256


class _View:
    """One eye sampled at one size: coverage and masks of its findings."""

    def __init__(self, camera: Camera, anatomy: Anatomy, signs: Signs, size: int):
        self.canvas, self.grid = Canvas(camera, size), Grid.of(camera, size)
        self.seen = field_of_view(self.grid, camera, size)
        found = {name: one for name, one in signs.lesions.items() if len(one.centres)}
        self.layers = {name: lesion_layer(self.canvas, one) for name, one in found.items()}
        inside = self.seen >= 0.5
        self.masks = {name: np.zeros((size, size), bool) for name in FINDINGS}
        for name, one in found.items():
            self.masks[name] = lesion_mask(self.canvas, self.layers[name], one) & inside
        # A defect of the nerve fibre layer begins at the disc's margin
        self.masks["rnfl_defect"] &= self.grid.ellipse((0, 0), anatomy.disc_axes) > 1


def _regions(view: _View, disc: np.ndarray, fovea: np.ndarray) -> np.ndarray:
    """The regions marked for each finding, `[findings, regions]` of 0 and 1; points in pixels."""
    size, distance = len(view.seen), float(np.hypot(*(fovea - disc)))
    where = region_map(disc, fovea, size, size)
    names = [marked(view.masks[name], where, distance=distance).names for name in FINDINGS]
    return np.array([[region in found for region in REGIONS] for found in names], np.uint8)


def generate_findings(seed: int, size: int) -> dict:
    """A synthetic colour fundus photograph with any of eight findings.

    The eye (anatomy, vessels, findings, colours, light) depends on `seed` alone, and so do labels
    and regions; `size` decides how finely it is sampled, and the grain of the sensor. Anatomy,
    vessels and light are those of `fundus.generate_fundus` with the same seed.

    Source: a phantom of our own, after textbook descriptions; nerve fibres after Jansonius et al.
    (`nerve_fibres.fibre`), regions after Son et al. 2018 (`segjax.data.regions`).
    Departures: none.

    Args:
        seed: which eye, a whole number from 0.
        size: height and width in pixels, from 32.

    Returns:
        A dict. `image` uint8 `[size, size, 3]`; `image_id` str; `eye` 'left' or 'right'; `fovea`
        and `disc` float32 `[2]`, (x, y) in continuous pixels (left and top edge 0); the masks
        `field_of_view` and one for each of `FINDINGS`, uint8 `[size, size, 1]` of 0 and 1 (they may
        overlap); of each finding F `F_label` int8, 1 where it is present, and `F_regions` uint8
        `[8]`, whether it marks each region, in the order of `REGIONS`.

    Empty cases: a finding that is absent has an empty mask and no regions.

    Raises:
        ValueError: `seed` is below 0 or `size` below 32.
    """
    checks.check("seed", seed, checks.whole(least=0))
    checks.check("size", size, checks.whole(least=SMALLEST))
    anatomy = sample_anatomy(seed)
    camera = sample_camera(seed, anatomy)
    vessels = grow_vessels(seed, anatomy, camera)
    signs = sample_signs(seed, anatomy, camera, vessels.points())
    view = _View(camera, anatomy, signs, size)
    # Regions are counted at one size: at each image's own, those that a lesion only just touches
    # would come and go.
    same = view if size == REFERENCE else _View(camera, anatomy, signs, REFERENCE)
    disc, fovea = camera.project(np.stack([np.zeros(2), anatomy.fovea]))
    regions = _regions(same, disc * REFERENCE, fovea * REFERENCE)
    retina = _retina(seed, view, anatomy, camera, signs, vessels)
    masks = {"field_of_view": view.seen >= 0.5, **view.masks}
    return {
        "image": photograph(seed, view.grid, camera, retina, view.seen),
        "image_id": f"findings_{seed:08d}",
        "eye": "left" if camera.left else "right",
        "fovea": (fovea * size).astype(np.float32),
        "disc": (disc * size).astype(np.float32),
        **{name: mask[..., None].astype(np.uint8) for name, mask in masks.items()},
        **{f"{name}_label": np.int8(same.masks[name].any()) for name in FINDINGS},
        **{f"{name}_regions": regions[i] for i, name in enumerate(FINDINGS)},
    }


def _retina(seed: int, view: _View, anatomy, camera, signs: Signs, vessels) -> np.ndarray:
    """The painted retina `[h, w, 3]`, in even light."""
    canvas = view.canvas
    tree = vessel_layers(canvas, puckered(vessels, signs.lesions["membrane"]))
    # The four lesions of `generate_fundus` stay away: findings have shapes and colours of their own
    empty = np.zeros_like(view.seen)
    retina = paint_retina(seed, view.grid, anatomy, tree | dict.fromkeys(KINDS, empty))
    details = {
        name: canvas.coverage(_outlines(canvas, polygons))
        for name, polygons in signs.details.items()
        if polygons
    }
    layers = blurred(view.layers | details, camera.scale * canvas.size)
    layers["vessels"] = np.maximum(tree["arteries"], tree["veins"])
    return paint_findings(seed, retina, view.grid, signs, layers)


def _outlines(canvas: Canvas, polygons: list[np.ndarray]) -> list[np.ndarray]:
    """`Canvas.vertices` of many polygons at once."""
    ends = np.cumsum([len(polygon) for polygon in polygons])[:-1]
    return np.split(canvas.vertices(np.concatenate(polygons)), ends)
