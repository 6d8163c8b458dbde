"""What the closed forms share: probabilities and targets in float64, and the softmax's chain rule.

NumPy, classes last, and nothing of the losses' own code, so that a slip there shows.
"""

import numpy as np
from scipy.special import log_softmax as _log_softmax
from scipy.special import softmax as _softmax

Optional = np.ndarray | None


def class_logits(logits: np.ndarray, where: Optional = None) -> np.ndarray:
    """Logits of at least two classes: one channel is the second of two, the first being 0."""
    z = np.asarray(logits, np.float64)
    if where is not None:
        # What does not count may be nan, which a product with 0 would keep
        z = np.where(np.asarray(where)[..., None], z, 0)
    return z if z.shape[-1] > 1 else np.concatenate([np.zeros_like(z), z], axis=-1)


def softmax(logits: np.ndarray, where: Optional = None) -> np.ndarray:
    """p_k = exp z_k / sum_j exp z_j."""
    return _softmax(class_logits(logits, where), axis=-1)


def log_softmax(logits: np.ndarray, where: Optional = None) -> np.ndarray:
    """log p_k."""
    return _log_softmax(class_logits(logits, where), axis=-1)


def targets(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """t_k: 1 where the label is k, or float labels as they are; at least two classes."""
    labels = np.asarray(labels)
    if np.issubdtype(labels.dtype, np.floating):
        t = labels.astype(np.float64)
        return t if t.shape[-1] > 1 else np.concatenate([1 - t, t], axis=-1)
    return (labels[..., None] == np.arange(max(2, logits.shape[-1]))).astype(np.float64)


def known(logits: np.ndarray, where: Optional, labels: np.ndarray) -> Optional:
    """`where` without the pixels whose class index is outside [0, c); None if all count."""
    labels = np.asarray(labels)
    if np.issubdtype(labels.dtype, np.floating):
        return where
    inside = (labels >= 0) & (labels < max(2, logits.shape[-1]))
    return inside if where is None else inside & np.asarray(where)


def counted(logits: np.ndarray, where: Optional) -> np.ndarray:
    """1 where a pixel counts, else 0: `[b, *s, 1]`."""
    if where is None:
        return np.ones((*logits.shape[:-1], 1))
    return np.asarray(where)[..., None].astype(np.float64)


def over_image(x: np.ndarray, *, keep: int = 0) -> np.ndarray:
    """Sum over all axes but the first and the `keep` last, which stay for broadcasting."""
    return x.sum(axis=tuple(range(1, x.ndim - keep)), keepdims=True)


def number_of_pixels(count: np.ndarray) -> np.ndarray:
    """N of each image, at least 1, `[b, 1, ..., 1]`."""
    return np.maximum(over_image(count), 1)


def through_softmax(p: np.ndarray, g: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """dL/dz from g = dL/dp: p_j (g_j - sum_k p_k g_k), in the channels of `logits`.

    Source: equation (2) of Valverde and Tohka, where g is the region-wise map.
    """
    return of_channels(p * (g - (p * g).sum(axis=-1, keepdims=True)), logits)


def through_weighted_logs(p: np.ndarray, a: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """dL/dz of L = -sum_k a_k log p_k: p_j sum_k a_k - a_j."""
    return of_channels(p * a.sum(axis=-1, keepdims=True) - a, logits)


def of_channels(gradient: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Of two classes that stand for one channel, the second: the first one's logit is fixed."""
    return gradient[..., 1:] if logits.shape[-1] == 1 else gradient


def chosen(logits: np.ndarray, include_background: bool) -> np.ndarray:
    """1 for a class that a per-class loss counts, else 0: `[k]`, at least two classes."""
    mask = np.ones(max(2, logits.shape[-1]))
    mask[0] = float(include_background and logits.shape[-1] > 1)
    return mask


def divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, and 0 where b is 0."""
    a, b = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64))
    return np.divide(a, b, out=np.zeros(a.shape), where=b != 0)
