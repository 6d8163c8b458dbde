"""Largest connected components of predicted volumes, and whether keeping only them helps."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from segjax.types import Array, Int


class Postprocessing(NamedTuple):
    """What `choose_postprocessing` chose.

    foreground: keep the largest component of all foreground classes together.
    classes: after that, keep the largest component of each of these classes.
    """

    foreground: bool
    classes: tuple[int, ...]

    def apply(self, labels: Int[Array, "d h w"]) -> Int[Array, "d h w"]:
        """The labels with everything chosen removed."""
        if self.foreground:
            labels = keep_largest(labels)
        return keep_largest(labels, self.classes)


def keep_largest(
    labels: Int[Array, "d h w"], classes: Sequence[int] | None = None
) -> Int[Array, "d h w"]:
    """Sets all but the largest connected component to background.

    Source: nnU-Net: voxels are connected across faces, and size is the number of voxels.
    Departures: none; equally large components all stay, as there.

    Args:
        labels: class of each voxel, 0 the background; any rank.
        classes: the classes to do this to, one by one; None takes all foreground as one.

    Returns: a new array of the labels' dtype.
    Empty cases: a class that is absent, or no classes, change nothing.
    Raises: TypeError on labels that are not integers.
    Cost: host, one labelling for each class, within the box around it.
    """
    labels = np.asarray(labels)
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"`labels` takes integers, got {labels.dtype}")
    kept = labels.copy()
    for one in (labels != 0,) if classes is None else (labels == c for c in classes):
        boxes = ndimage.find_objects(one.astype(np.uint8))
        if boxes:
            kept[boxes[0]][_smaller(one[boxes[0]])] = 0
    return kept


def choose_postprocessing(
    predicted: Iterable[Int[Array, "d h w"]],
    true: Iterable[Int[Array, "d h w"]],
    num_classes: int,
) -> Postprocessing:
    """Which largest components to keep, judged by the Dice of cases with known labels.

    First all foreground together: kept if the mean Dice over classes rises and that of no class
    falls. Then, on what this left, each class alone: kept if its Dice rises.

    Source: nnU-Net, on the predictions of its cross-validation. Departures: none.

    Args:
        predicted: predicted labels of each case, one array a case; read once, one by one.
        true: true labels of the same cases.
        num_classes: classes, the background 0 among them.

    Returns: what to apply; a class's Dice is its mean over the cases that show it in the prediction
        or in the truth, and classes seen nowhere are left out.
    Empty cases: no cases, or no foreground: nothing is applied. With one foreground class, the
        second step would repeat the first and is left out.
    Raises: ValueError on unequal numbers of cases, unequal shapes, labels out of range and a wrong
        number of classes.
    Cost: host, 2 num_classes labellings a case.
    """
    if num_classes < 2:
        raise ValueError(f"`num_classes` takes at least 2, got {num_classes}")
    classes = tuple(range(1, num_classes))
    # For each case: as predicted, with the foreground's largest, and each of them class by class.
    rows = [
        [
            _dice(labels, truth, num_classes)
            for source in (found, keep_largest(found))
            for labels in (source, keep_largest(source, classes))
        ]
        for found, truth in zip(predicted, true, strict=True)
    ]
    if not rows:
        return Postprocessing(False, ())
    raw, raw_each, merged, merged_each = _means(np.array(rows))
    # With no class worse, one that is better is the same as a better mean.
    foreground = bool(np.any(merged > raw) and not np.any(merged < raw))
    before, after = (merged, merged_each) if foreground else (raw, raw_each)
    alone = tuple(c for c, better in zip(classes, after > before, strict=True) if better)
    return Postprocessing(foreground, alone if len(classes) > 1 else ())


def _smaller(one: np.ndarray) -> np.ndarray:
    """True in every component that is smaller than the largest."""
    parts, count = ndimage.label(one)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    small = sizes < sizes[1:].max()
    small[0] = False
    return small[parts]


def _dice(found: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
    """Dice of each foreground class, NaN where a class is in neither."""
    if found.shape != truth.shape:
        raise ValueError(f"`true` takes shape {found.shape} as predicted, got {truth.shape}")
    for name, labels in (("predicted", found), ("true", truth)):
        if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
            raise ValueError(
                f"`{name}` takes labels from 0 to {num_classes - 1}, got {labels.min()} to "
                f"{labels.max()}"
            )
    pairs = truth.astype(np.int64).ravel() * num_classes + found.ravel()
    table = np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
    both, shown = np.diag(table)[1:], (table.sum(0) + table.sum(1))[1:]
    return np.where(shown > 0, 2 * both / np.maximum(shown, 1), np.nan)


def _means(scores: np.ndarray) -> np.ndarray:
    """Means over cases where there is a score; NaN where there is none."""
    there = ~np.isnan(scores)
    total = np.where(there, scores, 0).sum(0)
    return np.where(there.any(0), total / np.maximum(there.sum(0), 1), np.nan)
