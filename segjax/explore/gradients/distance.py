"""Gradients of the losses that weigh pixels by maps or by distances."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import distance_transform_edt

from segjax.explore.gradients import planes
from segjax.explore.gradients.planes import Optional


def region_wise(
    logits: np.ndarray,
    maps: np.ndarray,
    *,
    power: float = 1,
    divide_by_classes: bool = False,
    where: Optional = None,
) -> np.ndarray:
    """dL/dz_ij = p_ij (Z_ij - sum_k p_ik Z_ik) / N; with a power a, a p_ik^(a - 1) Z_ik for Z_ik.

    Source: Valverde and Tohka, Region-wise Loss for Biomedical Image Segmentation, equation (2).
    """
    logits = np.asarray(logits, np.float64)
    p, cost, count = planes.softmax(logits, where), *_maps(logits, maps, where)
    if power != 1:
        # The inner `where` keeps 0 out of a negative power, whose infinity the outer one would drop
        # only after a warning.
        cost = power * np.where(p > 0, np.where(p > 0, p, 1) ** (power - 1), 0) * cost
    divisor = planes.number_of_pixels(count) * (maps.shape[-1] if divide_by_classes else 1)
    return planes.through_softmax(p, cost, logits) / divisor


def boundary(
    logits: np.ndarray,
    maps: np.ndarray,
    *,
    include_background: bool = False,
    relative: bool = False,
    where: Optional = None,
) -> np.ndarray:
    """dL/dz_ij = p_ij (phi_ij - sum_k p_ik phi_ik) / (|K| N), phi 0 for a class that is not in K.

    Source: Kervadec et al. (2019), Boundary loss, where dL/dp = phi; equation (2) of Valverde and
    Tohka. `relative` subtracts a constant.
    """
    logits = np.asarray(logits, np.float64)
    p, cost, count = planes.softmax(logits, where), *_maps(logits, maps, where)
    chosen = planes.chosen(logits, include_background)
    divisor = planes.number_of_pixels(count) * max(1, chosen.sum())
    return planes.through_softmax(p, cost * chosen, logits) / divisor


def hausdorff_dt(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    alpha: float = 2.0,
    one_sided: bool = False,
    include_background: bool = False,
    empty_weight: float = 0.0,
    spacing: Sequence[float] | None = None,
) -> np.ndarray:
    """dL/dq_ik = 2 (q_ik - p_ik) (d_p^alpha + d_q^alpha)_ik / (|K| N), q the softmax, p the label.

    The distances are constants, although d_q follows the prediction: that is the loss's definition.

    Source: Karimi and Salcudean (2019), the loss by distance transforms.
    """
    logits = np.asarray(logits, np.float64)
    where = planes.known(logits, None, labels)
    count = planes.counted(logits, where)[..., 0]
    q, p = planes.softmax(logits, where), planes.targets(labels, logits)
    chosen = planes.chosen(logits, include_background)
    g = np.zeros_like(q)
    for k in np.flatnonzero(chosen):
        field = _field(p[..., k] > 0.5, alpha, empty_weight, spacing)
        if not one_sided:
            mask = (q[..., k] > 0.5) & (count > 0)
            field = field + _field(mask, alpha, empty_weight, spacing)
        g[..., k] = 2 * (q[..., k] - p[..., k]) * field * count
    divisor = planes.number_of_pixels(count)[..., None] * max(1, chosen.sum())
    return planes.through_softmax(q, g, logits) / divisor


def _maps(logits, maps, where):
    """Maps of at least two classes, the background's 0 if left out, and the pixels that count."""
    count = planes.counted(logits, where)
    cost = np.where(count > 0, np.asarray(maps, np.float64), 0)
    if cost.shape[-1] == 1:
        cost = np.concatenate([np.zeros_like(cost), cost], axis=-1)
    return cost, count


def _field(masks, alpha, empty_weight, spacing):
    """Each pixel's distance to the nearest one across the boundary, to the power alpha."""
    fields = np.full(masks.shape, float(empty_weight))
    for field, mask in zip(fields, masks, strict=True):
        # An empty or full mask has no boundary; SciPy measures a full one to a point outside the
        # image.
        if mask.any() and not mask.all():
            inside, outside = (distance_transform_edt(m, sampling=spacing) for m in (mask, ~mask))
            field[:] = (inside + outside) ** alpha
    return fields
