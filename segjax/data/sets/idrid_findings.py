"""What `idrid/findings` is made of: photographs of parts A and B with points and marked regions.

Part A has masks of lesions and of the disc, and no points: the disc's centre and diameter are those
of its mask, the fovea is what a trained run predicts. Photographs of part B that are graded 0 are
healthy; part C, whose numbers are those of part B, has their points.
"""

import json
import pathlib
import sys
from collections.abc import Mapping

import cv2
import numpy as np
import tensorflow_datasets as tfds

from segjax.data import images
from segjax.data.regions import REGIONS, Marked, marked, region_map
from segjax.errors import UserError

# The findings, and the masks of part A that show them.
FINDINGS = {
    "microaneurysm": "microaneurysms",
    "haemorrhage": "haemorrhages",
    "hard_exudate": "hard_exudates",
    "cotton_wool_patch": "soft_exudates",  # another name of the same
}
POINTS = "points.json"  # note of the predictions, beside the records
# Thumbnails of one photograph differ by a tenth of a grey level; those of two by four.
THUMBNAIL, UNLIKE = (96, 64), 2.0
TOLERANCE = 0.1  # of D: how far from the marked regions a lesion may lie unnoticed
USUAL = (1.8, 4.0)  # how far the fovea lies from the disc's centre, in diameters of the disc


def features() -> dict[str, tfds.features.FeatureConnector]:
    """The fields beside the photograph and its name."""
    point = tfds.features.Tensor(shape=(2,), dtype=np.float32)
    fields = {
        "fovea": point,
        "disc": point,
        "disc_diameter": tfds.features.Tensor(shape=(), dtype=np.float32),
        "points_from": tfds.features.Text(),
    }
    for finding in FINDINGS:
        fields[f"{finding}_label"] = tfds.features.Tensor(shape=(), dtype=np.int8)
        fields[f"{finding}_regions"] = tfds.features.Tensor(shape=(len(REGIONS),), dtype=np.uint8)
    return fields


def note(fovea: Mapping[str, tuple[float, float]]) -> str:
    """The predicted points as text, to a tenth of a pixel."""
    points = {name: [round(float(v), 1) for v in point] for name, point in sorted(fovea.items())}
    return json.dumps({"fovea": points}, indent=1) + "\n"


def check_fovea(
    fovea: Mapping[str, tuple[float, float]] | None, found: Mapping[str, pathlib.Path]
) -> Mapping[str, tuple[float, float]]:
    """The predictions; UserError unless there is one for each photograph of part A."""
    if fovea is None:
        raise UserError(
            "idrid/findings: --fovea RUN is needed, the work folder of a training that finds the "
            "fovea (experiments/fovea/idrid.py), for the photographs of part A have no points"
        )
    for path in found.values():
        if path.stem not in fovea:
            raise UserError(f"{path}: no predicted fovea")
    return fovea


def same_photographs(
    grading: Mapping[str, pathlib.Path], localization: Mapping[str, pathlib.Path]
) -> dict[str, float]:
    """How much larger each photograph of part B is than that of part C with its number.

    Raises: UserError where part C lacks one, or its content is another.
    """
    scales = {}
    for name, path in grading.items():
        if (other := localization.get(name)) is None:
            raise UserError(
                f"{path}: part C has no photograph of this number, which has its points"
            )
        one, two = images.read_image(path), images.read_image(other)
        difference = np.mean(np.abs(thumbnail(one) - thumbnail(two)))
        if difference > UNLIKE:
            raise UserError(
                f"{path} and {other}: have one number and show two photographs (thumbnails differ "
                f"by {difference:.1f} grey levels); the points of part C are not those of part B"
            )
        scales[name] = one.shape[1] / two.shape[1]
    return scales


def thumbnail(image: np.ndarray) -> np.ndarray:
    """A photograph in grey, so small that copies of different sizes look alike."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float64)


def of_masks(
    name: str, masks: Mapping[str, np.ndarray], fovea: tuple[float, float]
) -> dict[str, np.ndarray | str]:
    """The fields of a photograph of part A: `masks` `[h, w, 1]` of the lesions and the disc.

    Says on standard error which masks lie further than the tolerance from the marked regions.
    """
    if not masks["optic_disc"].any():
        raise UserError(f"{name}_OD.tif: the mask of the optic disc is empty; its centre is needed")
    disc, diameter = centre_and_diameter(masks["optic_disc"][..., 0] > 0)
    fovea = np.array(fovea, np.float64)
    height, width = masks["optic_disc"].shape[:2]
    try:
        regions = region_map(disc, fovea, height, width)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error
    found: dict[str, np.ndarray | str] = {
        "fovea": fovea.astype(np.float32),
        "disc": disc.astype(np.float32),
        "disc_diameter": np.float32(diameter),
        "points_from": "mask of the disc, predicted fovea",
    }
    distance = float(np.hypot(*(fovea - disc)))
    if not USUAL[0] <= distance / diameter <= USUAL[1]:
        print(
            f"segjax: {name}: the predicted fovea lies {distance / diameter:.1f} diameters of the "
            f"disc from its centre, which is seldom outside {USUAL[0]:g} to {USUAL[1]:g}: look at "
            "it with `segjax data show idrid/findings`",
            file=sys.stderr,
        )
    for finding, mask in FINDINGS.items():
        held = marked(masks[mask], regions, distance=distance, tolerance=TOLERANCE)
        _report(name, mask, held)
        found[f"{finding}_label"] = np.int8(bool(held.names))
        found[f"{finding}_regions"] = np.array([r in held.names for r in REGIONS], np.uint8)
    return found


def centre_and_diameter(mask: np.ndarray) -> tuple[np.ndarray, float]:
    """(x, y) of a mask's centroid in continuous pixels, the diameter of a circle of its area."""
    rows, columns = np.nonzero(mask)
    centre = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
    return centre, float(2 * np.sqrt(len(rows) / np.pi))


def _report(name: str, mask: str, held: Marked) -> None:
    if held.share_outside > 0:
        print(
            f"segjax: {name}: {held.share_outside:.1%} of {mask} lie further than {TOLERANCE} D "
            f"from their regions, up to {held.farthest:.2f} D",
            file=sys.stderr,
        )


def of_healthy(fovea: np.ndarray, disc: np.ndarray, scale: float) -> dict[str, np.ndarray | str]:
    """The fields of a photograph of part B: points of part C, at its size, and no finding."""
    found: dict[str, np.ndarray | str] = {
        "fovea": np.asarray(fovea, np.float32) * np.float32(scale),
        "disc": np.asarray(disc, np.float32) * np.float32(scale),
        "disc_diameter": np.float32(np.nan),
        "points_from": "table of part C",
    }
    for finding in FINDINGS:
        found[f"{finding}_label"] = np.int8(0)
        found[f"{finding}_regions"] = np.zeros(len(REGIONS), np.uint8)
    return found
