"""The losses of overlap from their equations, in NumPy float64, one image at a time."""

import numpy as np

from tests.losses.cases import Case

from .pixel import shares, softmax


def _images(logits, labels, include_background, over, keep_binary_background=False):
    """`(p, t)` of the chosen classes, each `[n, k]`, for each image or for the whole batch."""
    pairs = [(softmax(z)[0], shares(y, z.shape[-1])) for z, y in zip(logits, labels, strict=True)]
    if over == "batch":
        pairs = [tuple(np.concatenate(side) for side in zip(*pairs, strict=True))]
    keep = include_background and (logits.shape[-1] > 1 or keep_binary_background)
    return [(p, t) if keep else (p[:, 1:], t[:, 1:]) for p, t in pairs]


def dice(logits, labels, smooth=1e-5, squared=False, include_background=True, over="image"):
    values = []
    for p, t in _images(logits, labels, include_background, over):
        power = 2 if squared else 1
        size = (p**power).sum(0) + (t**power).sum(0)
        values.append(np.mean(1 - (2 * (p * t).sum(0) + smooth) / (size + smooth)))
    return np.array(values)


def jaccard(logits, labels, smooth=1e-5, squared=False, include_background=True, over="image"):
    values = []
    for p, t in _images(logits, labels, include_background, over):
        power = 2 if squared else 1
        both = (p * t).sum(0)
        union = (p**power).sum(0) + (t**power).sum(0) - both
        values.append(np.mean(1 - (both + smooth) / (union + smooth)))
    return np.array(values)


def _indices(p, t, alpha, beta, smooth):
    true = (p * t).sum(0)
    false_positive, false_negative = (p * (1 - t)).sum(0), ((1 - p) * t).sum(0)
    return (true + smooth) / (true + alpha * false_positive + beta * false_negative + smooth)


def tversky(
    logits, labels, alpha=0.5, beta=0.5, smooth=1e-5, include_background=True, over="image"
):
    images = _images(logits, labels, include_background, over)
    return np.array([np.mean(1 - _indices(p, t, alpha, beta, smooth)) for p, t in images])


def focal_tversky(
    logits,
    labels,
    alpha=0.3,
    beta=0.7,
    gamma=0.75,
    smooth=1e-5,
    power_of="class",
    include_background=True,
    over="image",
):
    values = []
    for p, t in _images(logits, labels, include_background, over):
        each = 1 - _indices(p, t, alpha, beta, smooth)
        mean_first = power_of == "mean"
        values.append(each.mean() ** gamma if mean_first else np.mean(each**gamma))
    return np.array(values)


def generalized_dice(
    logits, labels, weighting="square", smooth=1e-5, include_background=True, over="image"
):
    values = []
    for p, t in _images(logits, labels, include_background, over, keep_binary_background=True):
        volume = t.sum(0)
        power = {"square": 2.0, "simple": 1.0, "uniform": 0.0}[weighting]
        w = volume**-power
        w = w / w.max()
        both, size = (w * (p * t).sum(0)).sum(), (w * (p.sum(0) + volume)).sum()
        values.append(1 - (2 * both + smooth) / (size + smooth))
    return np.array(values)


def lovasz_softmax(
    logits, labels, classes_counted="present", include_background=True, over="image", route="auto"
):
    del route  # the same value by each
    values = []
    for p, t in _images(logits, labels, include_background, over):
        each = []
        for k in range(p.shape[1]):
            if t[:, k].any() or classes_counted == "all":
                each.append(_lovasz_extension(np.abs(t[:, k] - p[:, k]), t[:, k] > 0))
        values.append(np.mean(each))
    return np.array(values)


def _lovasz_extension(errors, foreground):
    """The integral over thresholds u of the Jaccard loss of the pixels whose error exceeds u."""
    edges = np.concatenate([[0.0], np.unique(errors)])
    total = 0.0
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        wrong = errors > low
        union = foreground.sum() + (wrong & ~foreground).sum()
        total += (high - low) * (wrong.sum() / union)
    return total


ORACLES = {
    "dice": dice,
    "focal_tversky": focal_tversky,
    "generalized_dice": generalized_dice,
    "jaccard": jaccard,
    "lovasz_softmax": lovasz_softmax,
    "tversky": tversky,
}
SHAPES = ((8, 8, 3), (4, 6, 5, 2), (6, 7, 1))
CASES = [
    Case("dice", shapes=SHAPES),
    Case("dice", {"squared": True, "smooth": 1.0, "include_background": False}, shapes=SHAPES),
    Case("dice", {"over": "batch"}),
    Case("jaccard", shapes=SHAPES),
    Case("jaccard", {"squared": True, "include_background": False}),
    Case("tversky", {"alpha": 0.3, "beta": 0.7}, shapes=SHAPES),
    Case("tversky", {"smooth": 1.0, "over": "batch", "include_background": False}),
    Case("focal_tversky", shapes=SHAPES),
    Case("focal_tversky", {"gamma": 1.5, "power_of": "mean"}),
    Case("generalized_dice", shapes=SHAPES),
    Case("generalized_dice", {"weighting": "simple", "include_background": False}, shapes=SHAPES),
    Case("generalized_dice", {"weighting": "uniform", "over": "batch"}),
    Case("lovasz_softmax", {"route": "host"}, shapes=SHAPES),
    Case("lovasz_softmax", {"route": "device"}, shapes=SHAPES),
    Case("lovasz_softmax", {"classes_counted": "all", "include_background": False}),
    Case("lovasz_softmax", {"over": "batch", "route": "host"}),
]
