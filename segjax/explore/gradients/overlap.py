"""Gradients of the losses of overlap, through the sums they are made of.

I_k = sum_i p_ik t_ik, P_k = sum_i p_ik, T_k = sum_i t_ik over an image or the batch. A loss f(I, P)
has dL/dp_ik = f_I t_ik + f_P (2 p_ik for sums of squares); the softmax's chain rule does the rest.
"""

import numpy as np

from segjax.explore.gradients import planes
from segjax.explore.gradients.planes import Optional, divide


def dice(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    smooth: float = 1e-5,
    squared: bool = False,
    include_background: bool = True,
    over: str = "image",
    where: Optional = None,
) -> np.ndarray:
    """dL/dp_ik = [(2 I + s) / D^2 - 2 t_ik / D] / K, D = P + T + s; P's derivative 1, or 2 p_ik.

    Source: Milletari, Navab, Ahmadi (2016), V-Net, section 3, with the smoothing.
    """
    head = _Sums(logits, labels, squared, include_background, over, where)
    i, p, t = head.sums
    d = p + t + smooth
    # f = 1 - (2 I + s) / D: its derivatives by I and by P
    return head.gradient(divide(-2, d), divide(2 * i + smooth, d**2), mean=True)


def jaccard(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    smooth: float = 1e-5,
    squared: bool = False,
    include_background: bool = True,
    over: str = "image",
    where: Optional = None,
) -> np.ndarray:
    """dL/dp_ik = [(I + s) / U^2 (1 - t_ik) - t_ik / U] / K, U = P + T - I + s.

    Source: Rahman and Wang (2016), Optimizing Intersection-Over-Union, with the smoothing.
    """
    head = _Sums(logits, labels, squared, include_background, over, where)
    i, p, t = head.sums
    u = p + t - i + smooth
    # U falls by one when I rises by one
    return head.gradient(divide(-u - i - smooth, u**2), divide(i + smooth, u**2), mean=True)


def tversky(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    alpha: float = 0.5,
    beta: float = 0.5,
    smooth: float = 1e-5,
    include_background: bool = True,
    over: str = "image",
    where: Optional = None,
) -> np.ndarray:
    """dL/dp_ik = [(I + s) (alpha + (1 - alpha - beta) t_ik) / D^2 - t_ik / D] / K.

    D = I + alpha (P - I) + beta (T - I) + s.

    Source: Salehi, Erdogmus, Gholipour (2017), section 2.1, with the smoothing.
    """
    head = _Sums(logits, labels, False, include_background, over, where)
    _, by_i, by_p = _tversky(head.sums, alpha, beta, smooth)
    return head.gradient(by_i, by_p, mean=True)


def focal_tversky(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    gamma: float = 0.75,
    smooth: float = 1e-5,
    power_of: str = "class",
    include_background: bool = True,
    over: str = "image",
    where: Optional = None,
) -> np.ndarray:
    """Tversky's times gamma u^(gamma - 1), u = 1 - TI of the class, or its mean over the classes.

    Below u = 1e-6 and for gamma < 1 the loss is a line to 0, whose slope is 1e-6^(gamma - 1).

    Source: Abraham and Khan (2019), equation (5), by the chain rule.
    """
    head = _Sums(logits, labels, False, include_background, over, where)
    u, by_i, by_p = _tversky(head.sums, alpha, beta, smooth)
    if power_of == "mean":
        u = (u * head.chosen).sum(axis=-1, keepdims=True) / head.chosen.sum()
    # For gamma < 1 the slope of the power is infinite at 0
    straight = gamma < 1 and u <= 1e-6
    base = np.maximum(u, 1e-6 if gamma < 1 else 0)
    factor = np.where(straight, 1e-6 ** (gamma - 1), gamma * base ** (gamma - 1))
    return head.gradient(factor * by_i, factor * by_p, mean=True)


def generalized_dice(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    weighting: str = "square",
    smooth: float = 1e-5,
    include_background: bool = True,
    over: str = "image",
    where: Optional = None,
) -> np.ndarray:
    """dL/dp_ik = w_k [(2 sum_l w_l I_l + s) / V^2 - 2 t_ik / V], V = sum_l w_l (P_l + T_l) + s.

    w_k = (T_least / T_k)^2, ^1 or 1; T_least the smallest class present, and 1 for an absent one.

    Source: Sudre et al. (2017), section 2.1, the gradient for any number of classes.
    """
    head = _Sums(logits, labels, False, include_background, over, where, both=include_background)
    i, p, t = head.sums
    # The weights of the loss are divided by the largest, which is that of the smallest class
    least = np.where((t > 0) & (head.chosen > 0), t, np.inf).min(axis=-1, keepdims=True)
    power = {"square": 2, "simple": 1, "uniform": 0}[weighting]
    w = np.where(t > 0, least / np.where(t > 0, t, 1), 1) ** power
    w = np.where(head.chosen > 0, w, 0)
    overlap = 2 * (w * i).sum(axis=-1, keepdims=True) + smooth
    v = (w * (p + t)).sum(axis=-1, keepdims=True) + smooth
    return head.gradient(divide(-2 * w, v), divide(w * overlap, v**2), mean=False)


def lovasz_softmax(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    classes_counted: str = "present",
    include_background: bool = True,
    over: str = "image",
    route: str = "auto",
    where: Optional = None,
) -> np.ndarray:
    """dL/dp_ik = -+ [J_j - J_(j-1)] / K where t is 1 or 0; j the place of pixel i among the errors.

    J_j is the Jaccard loss of the j largest errors; pixels of one error and one label share the
    steps of their places, foreground coming first. `route` has no part in it.

    Source: Berman, Triki, Blaschko (2018), The Lovász-Softmax loss, algorithm 1.
    """
    head = _Sums(logits, labels, False, include_background, over, where)
    pixels = head.p.shape[-1]
    # [rows, pixels, classes]: a row is an image, or the whole batch
    p, t = ((x * head.count).reshape(head.rows, -1, pixels) for x in (head.p, head.t))
    g, chosen = np.zeros_like(p), np.flatnonzero(head.chosen)
    for row in range(len(p)):
        kept = [k for k in chosen if classes_counted == "all" or t[row, :, k].any()]
        for k in kept:
            steps = _jaccard_steps(np.abs(t[row, :, k] - p[row, :, k]), t[row, :, k] > 0)
            g[row, :, k] = np.where(t[row, :, k] > 0, -steps, steps) / len(kept)
    return planes.through_softmax(head.p, g.reshape(head.p.shape) * head.count, logits)


def _jaccard_steps(errors: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    # lexsort sorts by its last key first: falling errors, foreground first among equal ones
    order = np.lexsort((~foreground, -errors))
    hit = foreground[order].cumsum()
    missed = (~foreground)[order].cumsum()
    # Of the j largest errors taken as wrong: what is left of the foreground, over the union
    jaccard_loss = 1 - (foreground.sum() - hit) / (foreground.sum() + missed)
    steps = np.empty_like(errors)
    steps[order] = np.diff(jaccard_loss, prepend=0)
    # Pixels of one group could change places without changing the loss: each takes the mean step
    _, group = np.unique(np.stack([errors, foreground]), axis=1, return_inverse=True)
    return (np.bincount(group, steps) / np.bincount(group))[group]


def _tversky(sums, alpha, beta, smooth):
    """1 - TI of each class, and its derivatives by I and P."""
    i, p, t = sums
    d = i + alpha * (p - i) + beta * (t - i) + smooth
    # D has the derivatives 1 - alpha - beta by I and alpha by P
    by_i = divide((i + smooth) * (1 - alpha - beta) - d, d**2)
    return 1 - divide(i + smooth, d), by_i, divide((i + smooth) * alpha, d**2)


class _Sums:
    """I, P and T of each class, and the way back from their derivatives to the logits."""

    def __init__(self, logits, labels, squared, include_background, over, where, both=False):
        self.logits = np.asarray(logits, np.float64)
        where = planes.known(self.logits, where, labels)
        self.count = planes.counted(self.logits, where)
        self.p = planes.softmax(self.logits, where)
        self.t = np.where(self.count > 0, planes.targets(labels, self.logits), 0)
        self.squared, self.rows = squared, 1 if over == "batch" else len(self.p)
        self.chosen = planes.chosen(self.logits, include_background)
        # Generalised dice weighs the background of a single channel as well
        if both:
            self.chosen = np.ones_like(self.chosen)
        power = 2 if squared else 1
        self.sums = tuple(
            self._total(x * self.count) for x in (self.p * self.t, self.p**power, self.t**power)
        )

    def _total(self, x):
        total = planes.over_image(x, keep=1)
        return total if self.rows > 1 or len(x) == 1 else total.sum(axis=0, keepdims=True)

    def gradient(self, by_i: np.ndarray, by_p: np.ndarray, *, mean: bool) -> np.ndarray:
        """dL/dz from the derivatives of each class's term by I and P."""
        share = self.chosen / (self.chosen.sum() if mean else 1)
        g = share * (by_i * self.t + by_p * (2 * self.p if self.squared else 1)) * self.count
        return planes.through_softmax(self.p, g, self.logits)
