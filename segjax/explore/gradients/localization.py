"""Gradients of the losses of heat maps, activation maps and embedded vectors."""

import numpy as np
from scipy.special import expit, log_expit, softmax

from segjax.explore.gradients.planes import Optional


def multiscale_softmax_cross_entropy(
    heatmap: np.ndarray,
    points: np.ndarray,
    *,
    scales: int | None = None,
    pool: str = "max",
    reduce: str = "sum",
    scale_weights: tuple[float, ...] | None = None,
) -> np.ndarray:
    """sum_m lambda_m U_m [softmax(s_x^m) - e_x + softmax(s_y^m) - e_y], each along its own axis.

    e is the one-hot vector of floor(x / 2^(m-1)); a mean over n pixels divides by n. U_m carries a
    gradient from scale m to the pixels: to the largest of each 2 x 2 block (equal ones in halves,
    rows first), or a quarter to each.

    Source: Wu, Walter, Merhof, equations (1) and (2), by the chain rule.
    """
    level = np.asarray(heatmap, np.float64)
    levels, ways = [level], []
    while scales is None or len(levels) < scales:
        height, width = level.shape[1:]
        if scales is None and (height % 2 or width % 2 or min(height, width) < 4):
            break
        level, way = _halve(level, pool)
        levels.append(level)
        ways.append(way)
    weights = scale_weights or (1.0,) * len(levels)
    gradient = np.zeros_like(levels[-1])
    # From the coarsest scale up: each hands its gradient to the pixels that it was pooled from
    for m in reversed(range(len(levels))):
        gradient = gradient + weights[m] * _axes(levels[m], points, m, reduce, heatmap.shape)
        if m:
            # kron repeats each value over its 2 x 2 block; `ways` holds the share of each pixel in
            # it.
            gradient = np.kron(gradient, np.ones((1, 2, 2))) * ways[m - 1]
    return gradient


def coordinate_mean_squared_error(
    heatmap: np.ndarray, points: np.ndarray, *, reduce: str = "sum"
) -> np.ndarray:
    """sum over the axes of (x^ - x) / w^2 q_j (1 - sigma(s_j)) (j + 0.5 - x^), along its axis each.

    q_j = sigma(s_j) / sum_l sigma(s_l).

    Source: L = [((x^ - x) / w)^2 + ((y^ - y) / h)^2] / 2 with sigma' = sigma (1 - sigma).
    """
    heatmap = np.asarray(heatmap, np.float64)
    gradient = np.zeros_like(heatmap)
    for axis in (0, 1):
        along = 1 + axis  # x sums over rows, y over columns
        s = getattr(np, reduce)(heatmap, axis=along)
        # sigma / sum sigma by logarithms: all sigmas may underflow to 0
        q = softmax(log_expit(s), axis=-1)
        place = np.arange(s.shape[1]) + 0.5
        found = (q * place).sum(axis=-1, keepdims=True)
        # expit(-s) is 1 - sigma(s), without its loss of digits near 1
        slope = q * expit(-s) * (place - found)
        slope = slope * (found - np.asarray(points, np.float64)[:, axis, None]) / s.shape[1] ** 2
        divisor = heatmap.shape[along] if reduce == "mean" else 1
        gradient += np.expand_dims(slope, along) / divisor
    return gradient


def guidance(
    activation_logits: np.ndarray,
    region: np.ndarray,
    *,
    epsilon: float = 1e-3,
    form: str = "log",
    where: Optional = None,
) -> np.ndarray:
    """dL/dz_i = (1 - m_i) (1 - a_i) [a_i > eps] / N; of the complement (1 - m_i) a_i / N.

    Source: Son et al. (2018), equation (2), with a = sigmoid(z).
    """
    a = expit(np.asarray(activation_logits, np.float64))
    outside = ~np.asarray(region, bool)
    count = np.ones(a.shape, bool) if where is None else np.asarray(where, bool)
    slope = a if form == "complement" else (a > epsilon) * expit(-np.asarray(activation_logits))
    pixels = np.maximum(count.reshape(len(a), -1).sum(axis=1), 1)
    return np.where(outside & count, slope, 0) / pixels.reshape(-1, *[1] * (a.ndim - 1))


def triplet(
    anchor: np.ndarray,
    positive: np.ndarray,
    negative: np.ndarray,
    *,
    margin: float = 0.5,
    distance: str = "angular",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For anchor, positive and negative: h [d_u(a, p) - d_u(a, n)], h d_v(a, p), -h d_v(a, n).

    h = 1 where the margin is broken, else 0. d_u of the angle is (cos u^ - v^) / (pi |u| sin), of
    the cosine (cos u^ - v^) / |u|, of the length (u - v) / |u - v|; 0 where the last factor is 0.

    Source: L = [d(a, p) - d(a, n) + margin]_+, by the chain rule.
    """
    a, p, n = (np.asarray(x, np.float64) for x in (anchor, positive, negative))
    near, far = _apart(a, p, distance), _apart(a, n, distance)
    broken = (near - far + margin > 0).astype(np.float64)[:, None]
    to_anchor = _slope(a, p, distance) - _slope(a, n, distance)
    return broken * to_anchor, broken * _slope(p, a, distance), -broken * _slope(n, a, distance)


def _halve(level: np.ndarray, pool: str) -> tuple[np.ndarray, np.ndarray]:
    """The next scale, and the share of its gradient that each pixel takes."""
    if pool != "max":
        batch, height, width = level.shape
        blocks = level.reshape(batch, height // 2, 2, width // 2, 2)
        return blocks.mean(axis=(2, 4)), np.full(level.shape, 0.25)
    rows = np.maximum(level[:, ::2], level[:, 1::2])
    pooled = np.maximum(rows[:, :, ::2], rows[:, :, 1::2])
    # Rows first, as the loss: the share of a pixel in its pair, times that of the pair
    return pooled, _share(level, 1) * np.repeat(_share(rows, 2), 2, axis=1)


def _share(level: np.ndarray, axis: int) -> np.ndarray:
    """1 for the larger of two neighbours along an axis, 1/2 for equal ones, else 0."""
    pairs = np.stack([level.take(range(k, level.shape[axis], 2), axis) for k in (0, 1)], axis + 1)
    best = (pairs == pairs.max(axis=axis + 1, keepdims=True)).astype(np.float64)
    return (best / best.sum(axis=axis + 1, keepdims=True)).reshape(level.shape)


def _axes(level, points, m, reduce, full):
    gradient = np.zeros_like(level)
    for axis in (0, 1):
        along = 1 + axis
        s = getattr(np, reduce)(level, axis=along)
        last = full[2 - axis] - 1
        # A point on the far edge, at x = width, belongs to the last pixel
        index = np.clip(np.floor(points[:, axis]), 0, last).astype(int) // 2**m
        slope = softmax(s, axis=-1)
        slope[np.arange(len(s)), index] -= 1
        divisor = level.shape[along] if reduce == "mean" else 1
        gradient += np.expand_dims(slope, along) / divisor
    return gradient


def _apart(u, v, distance):
    if distance == "euclidean":
        return np.linalg.norm(u - v, axis=-1)
    cosine = (_unit(u) * _unit(v)).sum(axis=-1)
    return 1 - cosine if distance == "cosine" else np.arccos(np.clip(cosine, -1, 1)) / np.pi


def _slope(u, v, distance):
    """The gradient of d(u, v) by u."""
    if distance == "euclidean":
        return _unit(u - v)
    length = np.linalg.norm(u, axis=-1, keepdims=True)
    cosine = (_unit(u) * _unit(v)).sum(axis=-1, keepdims=True)
    across = cosine * _unit(u) - _unit(v)
    across = np.divide(across, length, out=np.zeros_like(across), where=length > 0)
    if distance == "cosine":
        return across
    sine = np.sqrt(np.maximum(1 - cosine**2, 0))
    # Parallel vectors: the angle has a kink there, and the loss takes 0
    return np.divide(across, np.pi * sine, out=np.zeros_like(across), where=sine > 1e-7)


def _unit(x):
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.divide(x, length, out=np.zeros_like(x), where=length > 0)
