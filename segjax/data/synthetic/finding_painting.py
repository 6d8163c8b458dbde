"""The colours of the eight findings and of what resembles them, on a synthetic retina."""

import cv2
import numpy as np

from segjax.data.synthetic.finding_shapes import FINDINGS, Signs
from segjax.data.synthetic.fundus_anatomy import stream
from segjax.data.synthetic.fundus_imaging import BLOOD, Grid, clouds, rise

# How far each layer is blurred, eye units; the masks are sharp
FUZZ = {
    "haemorrhage": 0.012,
    "cotton_wool_patch": 0.06,
    "drusen": 0.016,
    "macular_hole": 0.03,
    "membrane": 0.09,
    "rnfl_defect": 0.025,
    "fibres": 0.012,
    "folds": 0.008,
    "shadows": 0.012,
    "naevus": 0.05,
    "reflexes": 0.03,
}


class _Retina:
    """A picture `[h, w, 3]` in the making; a layer without coverage costs nothing."""

    def __init__(self, image: np.ndarray):
        self.image = image

    def cover(self, layer: np.ndarray | None, strength: float, colour) -> None:
        """Blends in a colour, as deep as layer and strength say."""
        if layer is not None:
            share = (layer * np.float32(strength))[..., None]
            self.image = self.image + share * (np.array(colour, np.float32) - self.image)

    def absorb(self, layer: np.ndarray | None, strength: float, colour) -> None:
        """Takes light away, more of the channels in which the absorption is larger."""
        if layer is not None:
            depth = (layer * np.float32(strength))[..., None]
            self.image = self.image * np.exp(-depth * np.array(colour, np.float32))

    def shine(self, layer: np.ndarray | None, strength: float, colour) -> None:
        """Adds reflected light."""
        if layer is not None:
            glow = (layer * np.float32(strength))[..., None]
            self.image = self.image + glow * np.array(colour, np.float32)


def blurred(layers: dict[str, np.ndarray], pixels: float) -> dict[str, np.ndarray]:
    """The layers, as fuzzy as each is; `pixels` is an eye unit."""
    return {
        name: cv2.GaussianBlur(layer, (0, 0), max(FUZZ[name] * pixels, 0.1))
        if name in FUZZ
        else layer
        for name, layer in layers.items()
    }


def paint_findings(
    seed: int, retina: np.ndarray, grid: Grid, signs: Signs, layers: dict[str, np.ndarray]
) -> np.ndarray:
    """The retina `[h, w, 3]` with findings, from the deepest layer to the one on top.

    `layers` holds coverage in [0, 1], `[h, w]`, of the lesions and details of `signs` by name,
    those that are present, and of `vessels`.
    """
    rng = stream(seed, "signs")
    # Drawn at once: what one eye shows leaves the strengths of the others' layers as they are
    strength = {name: rng.uniform() for name in (*FINDINGS, "fibres", "naevus", "pigment")}
    glitter = clouds(rng, 9, len(grid.x)) + np.float32(0.6) * clouds(rng, 26, len(grid.x))
    picture, get = _Retina(retina), layers.get

    def between(name: str, low: float, high: float) -> float:
        return low + (high - low) * strength[name]

    under = 1 - np.float32(0.85) * layers["vessels"]
    _deep(picture, layers, under, between)
    _nerve_fibres(picture, grid, signs, layers, between)
    wool = get("cotton_wool_patch")
    picture.cover(wool, between("cotton_wool_patch", 0.5, 0.8), (0.98, 0.9, 0.74))
    picture.absorb(get("haemorrhage"), between("haemorrhage", 0.65, 1.1), BLOOD)
    picture.absorb(get("microaneurysm"), between("microaneurysm", 0.6, 1.0), BLOOD)
    picture.absorb(get("pigment"), between("pigment", 0.5, 0.9), (0.8, 0.95, 0.75))
    picture.cover(get("hard_exudate"), between("hard_exudate", 0.75, 0.97), (1.0, 0.88, 0.36))
    _hole(picture, layers, between)
    picture.shine(get("reflexes"), 0.16, (0.75, 0.85, 0.8))
    _sheet(picture, layers, glitter, between)
    return picture.image


def _deep(picture: _Retina, layers: dict, under: np.ndarray, between) -> None:
    """What lies below the retina, and so below its vessels."""
    naevus, drusen = layers.get("naevus"), layers.get("drusen")
    if naevus is not None:
        picture.absorb(naevus * under, between("naevus", 0.35, 0.7), (0.78, 0.82, 0.5))
    if drusen is not None:
        picture.cover(drusen * under, between("drusen", 0.4, 0.68), (0.98, 0.84, 0.5))


def _nerve_fibres(picture: _Retina, grid: Grid, signs: Signs, layers: dict, between) -> None:
    """The sheen of healthy fibres, and the dark wedge where a bundle of them is lost."""
    away = np.hypot(grid.eye[..., 0], grid.eye[..., 1])
    fade = np.exp(-np.maximum(away - np.float32(0.5), 0) / np.float32(1.3))
    fibres, defect = layers["fibres"] * fade, layers.get("rnfl_defect")
    if defect is not None:
        fibres = fibres * (1 - np.float32(0.9) * defect)
        # Less dark far from the disc, where healthy fibres are thin too, and without an edge there
        end = np.hypot(*signs.lesions["rnfl_defect"].shapes[0].T).max()
        deep = defect * (1 - np.float32(0.8) * rise(away, 0.9, end))
        picture.absorb(deep, between("rnfl_defect", 0.26, 0.48), (0.55, 1.0, 0.85))
    picture.shine(fibres, between("fibres", 0.015, 0.1), (0.7, 0.75, 0.6))


def _hole(picture: _Retina, layers: dict, between) -> None:
    """A red disc with yellow deposits in a pale cuff of fluid."""
    cuff, hole = layers.get("macular_hole"), layers.get("hole")
    picture.cover(cuff, between("macular_hole", 0.3, 0.5), (0.78, 0.62, 0.45))
    picture.absorb(hole, between("macular_hole", 0.7, 1.0), (0.3, 1.1, 0.95))
    picture.cover(layers.get("deposits"), 0.6, (0.95, 0.8, 0.4))


def _sheet(picture: _Retina, layers: dict, glitter: np.ndarray, between) -> None:
    """A grey-white sheet that glistens, with its folds."""
    sheet = layers.get("membrane")
    if sheet is None:
        return
    # Uneven: parts of the sheet reflect, others let the retina through
    sheen = sheet * np.clip(np.float32(0.75) + np.float32(0.3) * glitter, 0.2, 1.4)
    picture.cover(sheen, between("membrane", 0.28, 0.5), (0.76, 0.7, 0.6))
    picture.absorb(layers["shadows"] * sheet, 0.3, (0.6, 1.0, 1.0))
    picture.shine(layers["folds"] * sheet, 0.2, (0.9, 0.95, 0.85))
