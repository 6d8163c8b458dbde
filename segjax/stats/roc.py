"""Intervals and tests of areas under the ROC curve, without resampling (DeLong)."""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from segjax import checks


def delong_interval(
    scores: ArrayLike, labels: ArrayLike, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Confidence interval of the area under the ROC curve, by the variance of DeLong.

    With m positives, n negatives and psi(x, y) = [x > y] + [x = y] / 2:
    V10_i = (1/n) sum_j psi(x_i, y_j), V01_j = (1/m) sum_i psi(x_i, y_j), AUC = mean V10 = mean V01,
    var = s^2(V10) / m + s^2(V01) / n, s^2 the sample variances (divided by m - 1 and n - 1).
    The interval is AUC -+ z sqrt(var), z the normal quantile, clipped to [0, 1].

    Source: DeLong, DeLong and Clarke-Pearson (1988); the components in O(n log n) from ranks,
    after Sun and Xu (2014).
    Departures: clipped to [0, 1], where the normal approximation reaches beyond.

    Args:
        scores: one per case; only their order matters.
        labels: bool, or 0 and 1, one per case; cases are independent. Where some are of one
            patient, `bootstrap_interval` and `crossed_bootstrap_interval` take clusters.
        confidence: level, between 0 and 1.

    Returns: (low, high). Too narrow for areas near 1 and for few cases of a class, where the area
        is far from normal.
    Empty cases: an area of 0 or 1, like scores that are all equal (0.5), has variance 0 and gives
        the degenerate interval (v, v): it says that nothing is known of the spread, not that there
        is none.
    Raises: ValueError on fewer than two positives or two negatives, of which there is no variance,
        on unequal lengths, scores that are not finite, labels other than 0 and 1, or a confidence
        out of range.
    Cost: O(n log n).
    """
    positive = _positive(labels)
    upper, lower = _components(_scores("scores", scores, positive), positive)
    checks.check("confidence", confidence, checks.number(above=0, below=1))
    area = float(np.mean(upper)) / lower.size
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(_variance(upper, lower))
    return max(0.0, area - reach), min(1.0, area + reach)


def delong_test(a: ArrayLike, b: ArrayLike, labels: ArrayLike) -> float:
    """Two-sided p-value of the difference of two areas under the ROC curve on the same cases.

    z = (AUC_a - AUC_b) / sqrt(var), var the variance as in `delong_interval` of the differences
    V10_a - V10_b and V01_a - V01_b, which takes in that the two are correlated;
    p = 2 (1 - Phi(|z|)).

    Source: DeLong, DeLong and Clarke-Pearson (1988), with the contrast (1, -1); components after
    Sun and Xu (2014). Departures: none.

    Args:
        a: one score per case.
        b: those of the same cases by another model.
        labels: bool, or 0 and 1, one per case; cases are independent.

    Returns: p in [0, 1], an approximation for many cases of each class. With few,
        `paired_statistic_test` exchanges the scores of cases, which are of one scale then.
    Empty cases: a variance of 0 gives 1 where the areas are equal, as for equal scores, and nan
        where they differ, as for a perfect model against one whose scores are all equal: the
        approximation says nothing there.
    Raises: ValueError as `delong_interval`.
    Cost: O(n log n).
    """
    positive = _positive(labels)
    pairs = [_components(_scores(name, x, positive), positive) for name, x in (("a", a), ("b", b))]
    upper, lower = (x - y for x, y in zip(*pairs, strict=True))
    # Sums of halves, so that equal areas differ by exactly 0
    difference = abs(float(np.sum(upper))) / (upper.size * lower.size)
    variance = _variance(upper, lower)
    if variance == 0:
        return 1.0 if difference == 0 else math.nan
    return math.erfc(difference / math.sqrt(2 * variance))


def _components(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """n V10 and m V01: for each case, the cases of the other class on its right side; ties half."""
    x, y = scores[positive], scores[~positive]
    upper, lower = np.sort(x), np.sort(y)
    # Twice the negatives below a positive, and twice the positives not above a negative
    below = np.searchsorted(lower, x, "left") + np.searchsorted(lower, x, "right")
    passed = np.searchsorted(upper, y, "left") + np.searchsorted(upper, y, "right")
    return below / 2, x.size - passed / 2


def _variance(upper: np.ndarray, lower: np.ndarray) -> float:
    """s^2(V10) / m + s^2(V01) / n, from `_components` or their differences."""
    m, n = upper.size, lower.size
    # Of the counts, not of the shares, so that equal ones have a variance of exactly 0
    return float(np.var(upper, ddof=1) / n**2 / m + np.var(lower, ddof=1) / m**2 / n)


def _positive(labels: ArrayLike) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(f"`labels` takes one label per case, got shape {labels.shape}")
    if not np.all((labels == 0) | (labels == 1)):
        raise ValueError("`labels` takes 0 and 1, or False and True")
    positive = labels == 1
    count = int(np.count_nonzero(positive))
    for word, cases in (("positive", count), ("negative", labels.size - count)):
        if cases < 2:
            raise ValueError(f"`labels` takes at least two {word} cases, got {cases}")
    return positive


def _scores(name: str, scores: ArrayLike, positive: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    if scores.shape != positive.shape:
        raise ValueError(
            f"`{name}` takes one score per label, {positive.size}, got shape {scores.shape}"
        )
    if not np.all(np.isfinite(scores)):
        raise ValueError(f"`{name}` takes finite scores, got {scores[~np.isfinite(scores)][0]}")
    return scores
