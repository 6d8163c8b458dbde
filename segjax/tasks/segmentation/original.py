"""Overlap at the size of the photographs, of predictions made at the working size."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import cv2
import numpy as np


def enlarged(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Class indices `[h, w]` at `size` (height, width): each pixel takes the nearest one's."""
    # EXACT looks at the centre of each pixel, which OpenCV's plain INTER_NEAREST does not
    return cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def overlaps(
    predicted: np.ndarray, true: np.ndarray, counted: np.ndarray, classes: int
) -> tuple[list[float], list[float]]:
    """Dice and Jaccard of the classes 1, 2, … of one image; 1 where both are empty.

    Args:
        predicted, true: class indices `[h, w]`.
        counted: bool `[h, w]`, the pixels that count.
        classes: how many there are, without the background.
    """
    dices, jaccards = [], []
    for k in range(1, classes + 1):
        here, there = (predicted == k) & counted, (true == k) & counted
        both, total = np.count_nonzero(here & there), here.sum() + there.sum()
        dices.append(2 * both / total if total else 1.0)
        jaccards.append(both / (total - both) if total else 1.0)
    return dices, jaccards


def judged(
    predicted: Sequence[np.ndarray],
    examples: Iterable[Mapping],
    labels_of: Callable[[Mapping], tuple[np.ndarray, np.ndarray]],
    targets: Sequence[str],
) -> dict[str, np.ndarray]:
    """The columns of `Segmentation.scores` at the size of each photograph.

    Args:
        predicted: class indices `[h, w]` at the working size, one image each.
        examples: as many of the data set.
        labels_of: class indices of an example and the pixels that count, at its own size.
        targets: names of the classes.
    """
    rows = []
    for labels, example in zip(predicted, examples, strict=True):
        true, counted = labels_of(example)
        dices, jaccards = overlaps(enlarged(labels, true.shape), true, counted, len(targets))
        rows.append([*dices, np.mean(dices), np.mean(jaccards)])
    names = [*(f"dice_{target}" for target in targets), "mean_dice", "jaccard"]
    return dict(zip(names, np.array(rows, np.float64).T, strict=True))
