"""Binary masks as the host metrics take them: checked, boolean, one image at a time."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from segjax.ops import checks


def binary_masks(name: str, mask: ArrayLike) -> np.ndarray:
    """`mask` as booleans `[b, h, w]` or `[b, d, h, w]`; ValueError or TypeError if it is not one.

    A class map with more than two classes is refused: one of its classes is meant, not all.
    """
    mask = np.asarray(mask)
    checks.check_rank(name, mask, 3, 4)
    return binary(name, mask)


def binary(name: str, values: ArrayLike) -> np.ndarray:
    """`values` as booleans; TypeError unless bool or integer, ValueError unless all are 0 or 1."""
    values = np.asarray(values)
    if values.dtype == bool:
        return values
    if not np.issubdtype(values.dtype, np.integer):
        raise TypeError(f"`{name}` takes booleans or integers 0 and 1, got {values.dtype}")
    if values.size and (values.min() < 0 or values.max() > 1):
        raise ValueError(
            f"`{name}` takes 0 and 1, got values from {values.min()} to {values.max()}; "
            "compare with the class that is meant: labels == k"
        )
    return values.astype(bool)


def mask_pairs(pred: ArrayLike, label: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true masks, checked, of one shape."""
    pred, label = binary_masks("pred", pred), binary_masks("label", label)
    checks.check_shape("label", label, pred.shape)
    return pred, label


def cropped_pairs(pred: np.ndarray, label: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each image's two masks, cut to the box that holds both; all of it where both are empty."""
    for one, other in zip(pred, label, strict=True):
        # No object lies outside the box, so distances are the same and cost what the objects do.
        box = bounding_box(one | other)
        yield one[box], other[box]


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """Slices of the smallest box around the True values; the whole array if there are none."""
    if not mask.any():
        return (slice(None),) * mask.ndim
    box = []
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        here = np.flatnonzero(mask.any(axis=others))
        box.append(slice(int(here[0]), int(here[-1]) + 1))
    return tuple(box)
