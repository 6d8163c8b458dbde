"""Largest connected components of predicted volumes."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from segjax.types import Array, Int


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
        # As 0 and 1, of which this gives one box around everything: labelling costs by the voxel
        boxes = ndimage.find_objects(one.astype(np.uint8))
        if boxes:
            kept[boxes[0]][_smaller(one[boxes[0]])] = 0
    return kept


def _smaller(one: np.ndarray) -> np.ndarray:
    """True in every component that is smaller than the largest."""
    parts, count = ndimage.label(one)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    small = sizes < sizes[1:].max()
    # Part 0 is what lies around the class, and must keep the labels of other classes
    small[0] = False
    return small[parts]
