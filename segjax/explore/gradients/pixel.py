"""Gradients of the losses that judge each pixel for itself."""

from collections.abc import Sequence

import numpy as np

from segjax.explore.gradients import planes
from segjax.explore.gradients.planes import Optional


def cross_entropy(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    class_weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
    normalize: str = "weights",
    weights: Optional = None,
    where: Optional = None,
) -> np.ndarray:
    """dL/dz_ij = w_i (p_ij sum_k v_k t'_ik - v_j t'_ij) / D: softmax minus one-hot, t' smoothed.

    D = sum_i w_i sum_k v_k t_ik, t before smoothing, or the number of pixels.

    Source: L = -sum_i w_i sum_k v_k t_ik log p_ik / D with dlog p_k / dz_j = [j = k] - p_j.
    """
    p, t, count = _head(logits, labels, where)
    v = np.ones(p.shape[-1]) if class_weights is None else np.asarray(class_weights, np.float64)
    w = count if weights is None else count * np.where(count > 0, np.asarray(weights)[..., None], 0)
    smoothed = (1 - label_smoothing) * t + label_smoothing / p.shape[-1]
    if normalize == "pixels":
        divisor = planes.number_of_pixels(planes.counted(p, where))
    else:
        divisor = planes.over_image(w * v * t)
    return planes.divide(planes.through_weighted_logs(p, w * v * smoothed, logits), divisor)


def region_wise_cross_entropy(
    logits: np.ndarray, labels: np.ndarray, maps: np.ndarray, *, where: Optional = None
) -> np.ndarray:
    """dL/dz_ij = (p_ij sum_k |Z_ik| t_ik - |Z_ij| t_ij) / N.

    Source: cross entropy's, with the size of the map as the weight of class and pixel.
    """
    p, t, count = _head(logits, labels, where)
    size = np.abs(np.where(count > 0, np.asarray(maps, np.float64), 0))
    a = size * t * count
    return planes.through_weighted_logs(p, a, logits) / planes.number_of_pixels(count)


def focal(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    gamma: float = 2.0,
    alpha: float | Sequence[float] | None = None,
    one_vs_rest: bool = False,
    where: Optional = None,
) -> np.ndarray:
    """dL/dz_j = (h_j - p_j sum_k h_k) / N, h_k = p_k times the derivative of each term by p_k.

    h_k = a_k t_k [gamma p_k q_k^(gamma - 1) log p_k - q_k^gamma], q = 1 - p. With `one_vs_rest`
    each channel is the second of two classes (1 - p, p), p its sigmoid.

    Source: Lin et al. (2017), Focal Loss for Dense Object Detection, appendix B, for any number of
    classes.
    """
    z = np.asarray(logits, np.float64)
    where = planes.known(z, where, labels)
    count = planes.counted(z, where)
    t = planes.targets(labels, z)
    if one_vs_rest and z.shape[-1] > 1:
        channels = [
            _focal(z[..., k : k + 1], np.stack([1 - t[..., k], t[..., k]], -1), gamma, alpha, where)
            for k in range(z.shape[-1])
        ]
        gradient = np.concatenate(channels, axis=-1)
    else:
        gradient = _focal(z, t, gamma, alpha, where)
    return np.where(count > 0, gradient, 0) / planes.number_of_pixels(count)


def top_k_cross_entropy(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    fraction: float = 0.1,
    over: str = "image",
    where: Optional = None,
) -> np.ndarray:
    """dL/dz_ij = s_i (p_ij sum_k t_ik - t_ij) / K; s_i = 1 for the K largest losses, else 0.

    Pixels equal to the K-th largest have the places left at that value in equal shares.

    Source: cross entropy's, of the chosen pixels; the choice is constant almost everywhere.
    """
    p, t, count = _head(logits, labels, where)
    where = planes.known(logits, where, labels)
    values = -np.sum(t * planes.log_softmax(logits, where), axis=-1) * count[..., 0]
    rows = 1 if over == "batch" else len(values)
    shares = []
    for row, counts in zip(values.reshape(rows, -1), count.reshape(rows, -1), strict=True):
        # 0.07 x 100 is 7.000000000000001 in floats: rounding must not add a pixel
        k = max(1, int(np.ceil(fraction * counts.sum() - 1e-9)))
        edge = np.sort(row)[-k]
        above, equal = row > edge, row == edge
        # The places that those above leave are dealt to the pixels at the edge in equal parts
        shares.append((above + equal * (k - above.sum()) / equal.sum()) / k)
    a = np.reshape(shares, values.shape)[..., None] * count * t
    return planes.through_weighted_logs(p, a, logits)


def _head(logits, labels, where):
    logits = np.asarray(logits, np.float64)
    t = planes.targets(labels, logits)
    where = planes.known(logits, where, labels)
    count = planes.counted(logits, where)
    return planes.softmax(logits, where), np.where(count > 0, t, 0), count


def _focal(z, t, gamma, alpha, where):
    p, log = planes.softmax(z, where), planes.log_softmax(z, where)
    if alpha is None:
        a = np.ones(p.shape[-1])
    elif np.ndim(alpha) == 0:
        # A single alpha is that of the classes, the background has the rest
        a = np.r_[1 - alpha, np.full(p.shape[-1] - 1, alpha)]
    else:
        a = np.asarray(alpha, np.float64)
    # The others' sum: 1 - p would lose its digits where p is near 1.
    q = np.stack([np.delete(p, k, -1).sum(axis=-1) for k in range(p.shape[-1])], axis=-1)
    some = q > 0
    lower = np.where(some, np.where(some, q, 1) ** (gamma - 1), 0) if gamma else 0
    # dq/dp is -1: the second term is -q^gamma, the derivative of the logarithm times p being 1
    h = a * t * (gamma * p * lower * log - q**gamma)
    return planes.of_channels(h - p * h.sum(axis=-1, keepdims=True), z)
