"""Soft clDice from its equations, in NumPy float64, one image at a time."""

import itertools

import numpy as np

from tests.losses.cases import Case

from .hausdorff_morphology import _planes


def _extreme(image, offsets, pick):
    out = np.empty(image.shape)
    for index in np.ndindex(image.shape):
        places = (tuple(i + o for i, o in zip(index, off, strict=True)) for off in offsets)
        inside = [
            image[p] for p in places if all(0 <= i < n for i, n in zip(p, image.shape, strict=True))
        ]
        out[index] = pick(inside)
    return out


def soft_erode(image):
    box = itertools.product((-1, 0, 1), repeat=image.ndim)
    return _extreme(image, [o for o in box if np.abs(o).sum() <= 1], min)


def soft_dilate(image):
    return _extreme(image, list(itertools.product((-1, 0, 1), repeat=image.ndim)), max)


def soft_skeleton(image, iterations):
    """The recursion as published."""
    skeleton = np.maximum(image - soft_dilate(soft_erode(image)), 0)
    for _ in range(iterations):
        image = soft_erode(image)
        ridge = np.maximum(image - soft_dilate(soft_erode(image)), 0)
        skeleton = skeleton + np.maximum(ridge - skeleton * ridge, 0)
    return skeleton


def soft_cl_dice(logits, labels, iterations=10, smooth=1.0, include_background=False):
    values = []
    for planes in _planes(logits, labels, include_background):
        each = []
        for p, t in planes:
            of_p, of_t = soft_skeleton(p, iterations), soft_skeleton(t, iterations)
            precision = ((of_p * t).sum() + smooth) / (of_p.sum() + smooth)
            recall = ((of_t * p).sum() + smooth) / (of_t.sum() + smooth)
            each.append(1 - 2 * precision * recall / (precision + recall))
        values.append(np.mean(each))
    return np.array(values)


ORACLES = {"soft_cl_dice": soft_cl_dice}
CASES = [
    # A thick block moved by a pixel keeps its centre line: ordered on tubes, in its own file.
    Case("soft_cl_dice", {"iterations": 3}, ordered=False),
    Case(
        "soft_cl_dice",
        {"iterations": 2, "smooth": 0.1, "include_background": True},
        shapes=((4, 6, 5, 3), (8, 8, 1), (12, 3)),
    ),
    Case("soft_cl_dice", {"iterations": 0}),
]
