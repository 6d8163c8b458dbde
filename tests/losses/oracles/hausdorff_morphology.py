"""Hausdorff losses by erosion and by disks from their equations, NumPy float64, image by image."""

import itertools

import numpy as np

from tests.losses.cases import Case

from .pixel import shares, softmax


def _planes(logits, labels, include_background):
    """For each image the list of `(probability, target)` of the classes that count."""
    *spatial, channels = logits.shape[1:]
    first = 0 if include_background and channels > 1 else 1
    images = []
    for z, y in zip(logits, labels, strict=True):
        p, t = softmax(z)[0], shares(y, channels)
        images.append(
            [(p[:, k].reshape(spatial), t[:, k].reshape(spatial)) for k in range(p.shape[1])]
        )
        images[-1] = images[-1][first:]
    return images


def _mean_at(image, index, offsets):
    """Mean over a window, pixel by pixel, 0 outside the image."""
    total = 0.0
    for offset in offsets:
        place = tuple(i + o for i, o in zip(index, offset, strict=True))
        if all(0 <= i < n for i, n in zip(place, image.shape, strict=True)):
            total += image[place]
    return total / len(offsets)


def _filtered(image, offsets):
    out = np.zeros(image.shape)
    for index in np.ndindex(image.shape):
        out[index] = _mean_at(image, index, offsets)
    return out


def _offsets(radius, axes, norm):
    box = itertools.product(range(-radius, radius + 1), repeat=axes)
    return [o for o in box if sum(abs(i) ** norm for i in o) <= radius**norm]


def hausdorff_er(logits, labels, erosions=10, alpha=2.0, reading="paper", include_background=False):
    values = []
    for planes in _planes(logits, labels, include_background):
        each = []
        for p, t in planes:
            error, total = (p - t) ** 2, 0.0
            for k in range(1, erosions + 1):
                error = _filtered(error, _offsets(1, error.ndim, 1))
                if reading == "paper":
                    error = np.where(error >= 0.5, error, 0)
                else:
                    error = np.maximum(error - 0.5, 0)
                    if np.ptp(error) > 0:
                        error = (error - error.min()) / np.ptp(error)
                total += k**alpha * error.mean()
            each.append(total)
        values.append(np.mean(each))
    return np.array(values)


def hausdorff_cv(logits, labels, radii=(3, 6, 9, 12, 15, 18), alpha=2.0, include_background=False):
    def keep(x):
        return np.where(x >= 0.5, x, 0)

    values = []
    for planes in _planes(logits, labels, include_background):
        each = []
        for q, p in planes:
            total = 0.0
            for radius in radii:
                window = _offsets(radius, q.ndim, 2)
                inside_q = _filtered((q > 0.5).astype(float), window)
                inside_p = _filtered((p > 0.5).astype(float), window)
                weights = q * (keep(1 - inside_p) + keep(inside_q))
                weights += p * (keep(inside_p) + keep(1 - inside_q))
                total += radius**alpha * np.mean(weights * (p - q) ** 2)
            each.append(total)
        values.append(np.mean(each))
    return np.array(values)


ORACLES = {"hausdorff_cv": hausdorff_cv, "hausdorff_er": hausdorff_er}
SHAPES = ((4, 6, 5, 3), (8, 8, 1))
CASES = [
    # A threshold on the error: a rounded logit can move a pixel across it.
    Case("hausdorff_er", {"erosions": 3}, half=0.1),
    Case("hausdorff_er", {"erosions": 2, "alpha": 1.0, "include_background": True}, shapes=SHAPES),
    Case("hausdorff_er", {"erosions": 3, "reading": "repo"}, shapes=((8, 8, 3), *SHAPES)),
    Case("hausdorff_cv", {"radii": (1, 3)}, half=0.05),
    Case("hausdorff_cv", {"radii": (2,), "include_background": True}, shapes=SHAPES),
    Case("hausdorff_cv", {"radii": (1, 2), "alpha": 0.5}, shapes=SHAPES),
]
