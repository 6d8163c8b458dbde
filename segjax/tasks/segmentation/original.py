"""Overlap and areas at the size of the photographs, of predictions made at the working size."""

from collections.abc import Mapping, Sequence

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
    return _scores([(predicted == k, true == k) for k in range(1, classes + 1)], counted)


def _scores(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], counted: np.ndarray
) -> tuple[list[float], list[float]]:
    dices, jaccards = [], []
    for here, there in pairs:
        here, there = here & counted, there & counted
        both, total = np.count_nonzero(here & there), here.sum() + there.sum()
        dices.append(2 * both / total if total else 1.0)
        jaccards.append(both / (total - both) if total else 1.0)
    return dices, jaccards


def columns_of(
    scores: tuple[Sequence[float], Sequence[float]], targets: Sequence[str]
) -> dict[str, float]:
    """The columns of Dice and Jaccard, and their means over the targets."""
    dices, jaccards = scores
    each = {f"dice_{target}": value for target, value in zip(targets, dices, strict=True)}
    return each | {"mean_dice": float(np.mean(dices)), "jaccard": float(np.mean(jaccards))}


def limit(true: np.ndarray, counted: np.ndarray, size: tuple[int, int]) -> float:
    """The highest Dice that any mask of `size`, enlarged, has with an annotation.

    Dice is highest for the pixels of the smaller mask that are annotated by more than some share:
    those of the largest shares, of which each number is tried. 1 where nothing is annotated.

    Args:
        true: bool `[h, w]`, the annotation.
        counted: bool `[h, w]`, the pixels that count.
        size: height and width of the smaller mask.
    """
    if not np.any(true & counted):
        return 1.0
    cells = enlarged(np.arange(size[0] * size[1], dtype=np.int32).reshape(size), true.shape)
    areas = np.bincount(cells[counted], minlength=size[0] * size[1])
    inside = np.bincount(cells[counted & true], minlength=size[0] * size[1])
    order = np.argsort(-inside / np.maximum(areas, 1), kind="stable")
    both, here = np.cumsum(inside[order]), np.cumsum(areas[order])
    return float(np.max(2 * both / (here + inside.sum())))


def row(
    predicted: np.ndarray, stored: Mapping[str, np.ndarray], targets: Sequence[str]
) -> dict[str, float]:
    """The columns of one photograph. What lies on pixels that do not count is in no area.

    Args:
        predicted: class indices `[h, w]` at the working size.
        stored: `labels` and `counted` `[h, w]` at the size of the photograph.
        targets: names of the classes.
    """
    true, counted = stored["labels"], stored["counted"]
    large = enlarged(predicted, true.shape)
    found = columns_of(overlaps(large, true, counted, len(targets)), targets)
    for k, target in enumerate(targets, start=1):
        found |= {
            f"true_area_{target}": float(np.mean((true == k) & counted)),
            f"area_{target}": float(np.mean((large == k) & counted)),
            f"limit_{target}": limit(true == k, counted, predicted.shape),
        }
    return found


def row_of_everything(stored: Mapping[str, np.ndarray], targets: Sequence[str]) -> dict[str, float]:
    """The columns of the baseline, which calls every pixel each class."""
    true, counted = stored["labels"], stored["counted"]
    pairs = [(np.ones_like(counted), true == k) for k in range(1, len(targets) + 1)]
    return columns_of(_scores(pairs, counted), targets)
