"""What is written of a photograph: its map, a mask, an overlay, and a table of lesions."""

import pathlib
from collections.abc import Iterable, Sequence

import numpy as np

from segjax import files
from segjax.data import names as naming
from segjax.data.images import read_mask
from segjax.data.png import write_png
from segjax.errors import UserError
from segjax.metrics import match_lesions
from segjax.tasks.lesions.overlay import overlay

FOLDERS = ("probabilities", "masks", "overlays")
TABLES = "lesions"
COLUMNS = ("lesions", "lesion_share", "largest_probability", "threshold")
EXPLAINED = {
    "lesions": "regions above the threshold",
    "lesion_share": "of the photograph",
    "largest_probability": "of a pixel",
    "threshold": "from which on a pixel is a lesion",
}
# The centre and the area in pixels of the photograph, and the largest probability
LESION_COLUMNS = ("lesion_x", "lesion_y", "lesion_area", "lesion_probability")
LEVELS = 65535  # of a 16-bit picture


def outputs(name: str) -> list[str]:
    """The names of what is written of a photograph, by that of its pictures."""
    return [f"{folder}/{name}.png" for folder in FOLDERS] + [f"{TABLES}/{name}.csv"]


def write(
    folder: pathlib.Path,
    name: str,
    image: np.ndarray,
    probability: np.ndarray,
    threshold: float,
    true: np.ndarray | None = None,
) -> list[float]:
    """Writes probabilities/, masks/, overlays/NAME.png and lesions/NAME.csv.

    Args:
        folder: of the outputs.
        name: of the pictures.
        image: `[h, w, 3]` uint8, as it is stored.
        probability: `[h, w]` in [0, 1], of the same size.
        threshold: from which on a pixel is a lesion.
        true: `[h, w]` bool, annotated lesions, where they are known.

    Returns: the row of the table of photographs (`COLUMNS`).
    """
    mask = probability >= threshold
    write_png(folder / FOLDERS[0] / f"{name}.png", as_levels(probability))
    write_png(folder / FOLDERS[1] / f"{name}.png", mask.astype(np.uint8) * 255)
    write_png(folder / FOLDERS[2] / f"{name}.png", overlay(image, mask, true))
    found = match_lesions(probability, np.zeros(mask.shape, bool), least=threshold).candidates
    rows = np.array([[c.x, c.y, c.area, c.score] for c in found], float).reshape(-1, 4)
    numbers = [f"{number:04d}" for number in range(1, len(rows) + 1)]
    path = folder / TABLES / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_table(path, LESION_COLUMNS, numbers, rows, first="lesion")
    return [float(len(rows)), float(mask.mean()), float(probability.max()), float(threshold)]


def as_levels(probability: np.ndarray) -> np.ndarray:
    """A map in 16 bits: the probability is value / 65535."""
    return np.rint(np.clip(probability, 0, 1) * LEVELS).astype(np.uint16)


def find_truth(
    folder: pathlib.Path | None,
    paths: Sequence[pathlib.Path],
    photographs: Iterable[pathlib.Path] = (),
) -> pathlib.Path | None:
    """The mask of a photograph in a folder of masks: named as it is, or with `_` and more behind.

    Args:
        folder: of masks; None for none.
        paths: of the photograph.
        photographs: all that there are: eye_2_MA.png is the mask of eye_2.png where that is one of
            them, and not of eye.png.

    Returns: its path; None where there is none.
    Raises: UserError where several fit.
    """
    if folder is None:
        return None
    stem = naming.key(paths[0].stem)
    longer = {key for path in photographs if (key := naming.key(path.stem)).startswith(f"{stem}_")}
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in naming.PICTURES
        and not path.name.startswith(".")
        and _belongs(naming.key(path.stem), stem)
        and not any(_belongs(naming.key(path.stem), other) for other in longer)
    ]
    exact = [path for path in found if naming.key(path.stem) == stem]
    found = exact or found
    if len(found) > 1:
        raise UserError(
            f"--truth {folder}: {found[0].name} and {found[1].name} may both be the mask of "
            f"{paths[0].name}; keep the masks of one lesion in the folder"
        )
    return found[0] if found else None


def _belongs(mask: str, photograph: str) -> bool:
    return mask == photograph or mask.startswith(f"{photograph}_")


def read_truth(path: pathlib.Path | None, size: Sequence[int]) -> np.ndarray | None:
    """A mask as bool `[h, w]`; UserError unless it has the size of its photograph."""
    if path is None:
        return None
    mask = read_mask(path) > 0
    if mask.shape != tuple(size[:2]):
        raise UserError(
            f"{path}: a mask of {mask.shape[1]}x{mask.shape[0]} pixels, an image of "
            f"{size[1]}x{size[0]}"
        )
    return mask
