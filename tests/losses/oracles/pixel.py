"""The losses of single pixels from their equations, in NumPy float64, one image at a time."""

import math

import numpy as np

from tests.losses.cases import Case


def softmax(logits):
    """Probabilities `[n, c]` with at least two columns, and their logarithms."""
    z = np.asarray(logits, np.float64).reshape(-1, logits.shape[-1])
    if z.shape[1] == 1:
        z = np.concatenate([np.zeros_like(z), z], axis=1)
    logs = z - z.max(1, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(1, keepdims=True))
    return np.exp(logs), logs


def shares(labels, classes):
    """Target shares `[n, c]` with at least two columns."""
    if np.issubdtype(labels.dtype, np.floating):
        t = labels.reshape(-1, labels.shape[-1])
        return np.concatenate([1 - t, t], axis=1) if t.shape[1] == 1 else t
    return (labels.reshape(-1, 1) == np.arange(max(2, classes))).astype(float)


def cross_entropy(
    logits, labels, class_weights=None, label_smoothing=0.0, normalize="weights", weights=None
):
    values = []
    for b, (z, y) in enumerate(zip(logits, labels, strict=True)):
        _, logs = softmax(z)
        t = shares(y, z.shape[-1])
        v = np.ones(t.shape[1]) if class_weights is None else np.array(class_weights)
        w = np.ones(len(t)) if weights is None else weights[b].ravel()
        # As PyTorch: the divisor knows nothing of the smoothing, and pixels of no class are out.
        known = w * t.sum(axis=1).astype(bool)
        smooth = (1 - label_smoothing) * t + label_smoothing / t.shape[1]
        divisor = (w[:, None] * v * t).sum() if normalize == "weights" else len(t)
        values.append(-(known[:, None] * v * smooth * logs).sum() / divisor)
    return np.array(values)


def region_wise_cross_entropy(logits, labels, maps):
    values = []
    for z, y, m in zip(logits, labels, maps, strict=True):
        _, logs = softmax(z)
        t = shares(y, z.shape[-1])
        m = np.abs(m.reshape(-1, m.shape[-1]))
        values.append(-(m * t * logs).sum(1).mean())
    return np.array(values)


def focal(logits, labels, gamma=2.0, alpha=None, one_vs_rest=False):
    values = []
    for z, y in zip(logits, labels, strict=True):
        t = shares(y, z.shape[-1])
        if one_vs_rest and z.shape[-1] > 1:
            values.append(
                sum(
                    focal(z[None, ..., k : k + 1], t[None, :, k : k + 1], gamma, alpha)[0]
                    for k in range(z.shape[-1])
                )
            )
            continue
        p, logs = softmax(z)
        if alpha is None:
            a = np.ones(t.shape[1])
        elif np.ndim(alpha):
            a = np.array(alpha)
        else:
            a = np.array([1 - alpha] + [alpha] * (t.shape[1] - 1))
        values.append((-a * t * (1 - p) ** gamma * logs).sum(1).mean())
    return np.array(values)


def top_k_cross_entropy(logits, labels, fraction=0.1, over="image"):
    each = []
    for z, y in zip(logits, labels, strict=True):
        _, logs = softmax(z)
        each.append(-(shares(y, z.shape[-1]) * logs).sum(1))
    each = [np.concatenate(each)] if over == "batch" else each
    hardest = [np.sort(e)[::-1][: math.ceil(round(fraction * len(e), 6))] for e in each]
    return np.array([h.mean() for h in hardest])


ORACLES = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "region_wise_cross_entropy": region_wise_cross_entropy,
    "top_k_cross_entropy": top_k_cross_entropy,
}
SHAPES = ((8, 8, 3), (4, 6, 5, 2), (6, 7, 1))
CASES = [
    Case("cross_entropy", shapes=SHAPES),
    Case("cross_entropy", {"class_weights": (0.2, 3.0, 1.5), "label_smoothing": 0.1}),
    Case("cross_entropy", {"class_weights": (0.2, 3.0, 1.5), "normalize": "pixels"}),
    Case("cross_entropy", {"label_smoothing": 0.3}, shapes=SHAPES),
    Case("focal", shapes=SHAPES),
    Case("focal", {"gamma": 0.5, "alpha": 0.25}, shapes=SHAPES),
    Case("focal", {"gamma": 0.0, "alpha": (0.1, 0.5, 2.0)}),
    Case("focal", {"gamma": 3.0, "alpha": 0.25, "one_vs_rest": True}, shapes=SHAPES),
    Case("region_wise_cross_entropy", shapes=((8, 8, 3), (4, 6, 5, 2))),
    Case("top_k_cross_entropy", {"fraction": 0.5}, shapes=SHAPES),
    Case("top_k_cross_entropy"),
    Case("top_k_cross_entropy", {"fraction": 1.0, "over": "batch"}),
]
