"""What `idrid/lesions` is made of: photographs of part A with masks, healthy ones of part B.

Lesions are where the masks of part A say; that there is none is known of photographs that are
graded 0. Part B, from which those of part A were chosen, may show one photograph under two names.
"""

import pathlib
import sys
from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from segjax.data import images
from segjax.data.features import EncodedImage
from segjax.data.sets.idrid_findings import THUMBNAIL, UNLIKE, thumbnail
from segjax.errors import UserError

HEALTHY = "healthy"  # the split, and the field


def features(kinds: Iterable[str]) -> dict[str, tfds.features.FeatureConnector]:
    """The fields beside the photograph and its name."""
    masks = {kind: EncodedImage(shape=(None, None, 1)) for kind in kinds}
    return {**masks, HEALTHY: tfds.features.Tensor(shape=(), dtype=np.uint8)}


def of_masks(kinds: Iterable[str], masks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The fields of a photograph of part A."""
    return {**{kind: masks[kind] for kind in kinds}, HEALTHY: np.uint8(0)}


def of_healthy(kinds: Iterable[str], size: tuple[int, int]) -> dict[str, np.ndarray]:
    """The fields of a healthy photograph of `size` (width, height)."""
    width, height = size
    masks = {kind: np.zeros((height, width, 1), np.uint8) for kind in kinds}
    return {**masks, HEALTHY: np.uint8(1)}


def is_read(name: str) -> bool:
    """Whether the records depend on a file of parts A and B, by its path in them.

    They do on all photographs of part B's training set, for its table may grade each of them 0.
    """
    part, _, inside = name.partition("/")
    if part.startswith("A."):
        return "/5. Optic Disc/" not in inside
    return "b. Testing Set/" not in inside and "Testing Labels" not in inside


def different(
    marked: Mapping[str, Mapping[str, pathlib.Path]], healthy: Mapping[str, pathlib.Path]
) -> dict[str, pathlib.Path]:
    """The healthy photographs; of several that show the same the first alone.

    Says on standard error which files show the same, those of part A included.

    Args:
        marked: photographs of part A, by split and name.
        healthy: those of part B that are graded 0, by name.

    Raises: UserError where two have one name, or show one photograph and are of both kinds.
    Cost: reads every photograph once, and compares the thumbnails of all pairs.
    """
    every = [(split, path) for split in marked for path in marked[split].values()]
    every += [(HEALTHY, path) for path in healthy.values()]
    _check_names([path for _, path in every])
    bar = {"desc": "comparing photographs", "disable": not sys.stderr.isatty(), "leave": False}
    taken: list[tuple[str, pathlib.Path]] = []
    thumbnails = np.zeros((len(every), THUMBNAIL[0] * THUMBNAIL[1]), np.float32)
    for split, path in tqdm(every, **bar):
        one = thumbnails[len(taken)] = thumbnail(images.read_image(path)).ravel()
        difference = np.abs(thumbnails[: len(taken)] - one).mean(axis=1)
        same = [taken[k] for k in np.flatnonzero(difference <= UNLIKE)]
        if same:
            _check_and_say(split, path, *same[0])
        if not same or split != HEALTHY:
            taken.append((split, path))
    there = {path for _, path in taken}
    return {name: path for name, path in healthy.items() if path in there}


def _check_names(paths: Iterable[pathlib.Path]) -> None:
    """UserError where two photographs have one name, by which they would be confused."""
    found: dict[str, pathlib.Path] = {}
    for path in paths:
        name = path.stem.lower()
        if name in found:
            raise UserError(f"{found[name]} and {path}: two photographs have one name")
        found[name] = path


def _check_and_say(split: str, path: pathlib.Path, earlier: str, other: pathlib.Path) -> None:
    """Says that a photograph shows what an earlier one does; UserError where that contradicts."""
    if (split == HEALTHY) != (earlier == HEALTHY):
        raise UserError(
            f"{other} and {path}: show one photograph, which stands in part A for its lesions and "
            "is graded 0 in part B; take one of them out, with its masks or its row"
        )
    said = "only the former is taken" if split == HEALTHY else "both are taken"
    if split != earlier:
        said += f", one for the split {earlier}, one for {split}"
    print(f"segjax: {other} and {path}: show one photograph; {said}", file=sys.stderr)
