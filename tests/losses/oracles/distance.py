"""The losses of maps and of distance fields from their equations, in NumPy float64."""

import numpy as np
from scipy import ndimage

from tests.losses.cases import Case

from .pixel import shares, softmax


def both_classes(logits, maps):
    """`(p, Z)` of one image, each `[n, k]`; a lone map of the foreground has a background of 0."""
    p, z = softmax(logits)[0], np.asarray(maps, np.float64).reshape(-1, maps.shape[-1])
    return (p, z) if z.shape[-1] > 1 else (p, np.concatenate([0 * z, z], axis=-1))


def region_wise(logits, maps, power=1, divide_by_classes=False):
    values = []
    for image, costs in zip(logits, maps, strict=True):
        p, z = both_classes(image, costs)
        value = np.sum(p**power * z) / len(p)
        values.append(value / maps.shape[-1] if divide_by_classes else value)
    return np.array(values)


def boundary(logits, maps, include_background=False, relative=False):
    values = []
    for image, costs in zip(logits, maps, strict=True):
        p, phi = both_classes(image, costs)
        first = 0 if include_background and logits.shape[-1] > 1 else 1
        p, phi = p[:, first:], phi[:, first:]
        perfect = np.mean(np.minimum(phi, 0)) if relative else 0
        values.append(np.mean(p * phi) - perfect)
    return np.array(values)


def field(mask, spacing, empty_weight, alpha):
    """Distance to the other side of the mask's boundary to the power alpha."""
    if mask.all() or not mask.any():
        return np.full(mask.shape, float(empty_weight))
    edt = ndimage.distance_transform_edt
    return (edt(mask, sampling=spacing) + edt(~mask, sampling=spacing)) ** alpha


def hausdorff_dt(
    logits,
    labels,
    alpha=2.0,
    one_sided=False,
    include_background=False,
    empty_weight=0.0,
    spacing=None,
):
    values = []
    for image, truth in zip(logits, labels, strict=True):
        q, p = softmax(image)[0], shares(truth, image.shape[-1])
        classes, total = range(q.shape[-1]), 0.0
        if not include_background or image.shape[-1] == 1:
            classes = classes[1:]
        for k in classes:
            sides = [p[:, k]] if one_sided else [p[:, k], q[:, k]]
            fields = [
                field(side.reshape(image.shape[:-1]) > 0.5, spacing, empty_weight, alpha).ravel()
                for side in sides
            ]
            total += np.mean((p[:, k] - q[:, k]) ** 2 * sum(fields))
        values.append(total / len(classes))
    return np.array(values)


ORACLES = {"boundary": boundary, "hausdorff_dt": hausdorff_dt, "region_wise": region_wise}
CASES = [
    Case("region_wise", shapes=((8, 8, 3), (8, 8, 1), (4, 6, 5, 3))),
    Case("region_wise", {"power": 2, "divide_by_classes": True}, shapes=((8, 8, 3), (8, 8, 1))),
    Case("region_wise", {"power": 1.5}),
    Case("boundary", shapes=((8, 8, 3), (8, 8, 1), (4, 6, 5, 3))),
    Case("boundary", {"include_background": True, "relative": True}),
    Case("hausdorff_dt", shapes=((8, 8, 3), (8, 8, 1), (4, 6, 5, 3)), half=0.05),
    Case("hausdorff_dt", {"alpha": 1.5, "include_background": True, "spacing": (2.0, 0.5)}),
    Case("hausdorff_dt", {"one_sided": True, "alpha": 1.0}, shapes=((8, 8, 3), (4, 6, 5, 1))),
]
