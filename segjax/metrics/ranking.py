"""How well scores rank positives above negatives: exact curves, and counts that merge."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from segjax.metrics.masks import binary
from segjax.ops import checks
from segjax.ops.classes import as_int32, check_where
from segjax.types import Array, Bool, Float, Int

RULES = ("step", "trapezoid")


def roc_auc(
    scores: Float[Array, "*n"],
    labels: Bool[Array, "*n"],
    *,
    weights: Float[Array, "*n"] | None = None,
    where: Bool[Array, "*n"] | None = None,
) -> float:
    """Area under the receiver operating characteristic curve; 1 is perfect, 0.5 is chance.

    The chance that a positive scores above a negative. Blind to prevalence: with few positives a
    high area may still hide a useless precision.

    AUC = sum_(i positive, j negative) w_i w_j ([s_i > s_j] + [s_i = s_j] / 2)
    / (sum_i w_i sum_j w_j)

    Source: Mann and Whitney (1947); Hanley and McNeil (1982).
    Departures: none. Ties count half, which is the trapezoidal area.

    Args:
        scores: of all cases pooled, any shape; only their order matters.
        labels: bool, or 0 and 1, of the same shape.
        weights: >= 0, of the same shape; None is all 1.
        where: True counts; other entries may hold anything.

    Returns: one number.
    Empty cases: no positive or no negative (by weight) gives nan: the area is not defined.
    Raises: ValueError on shapes that differ, nan scores, negative weights or labels other than 0
        and 1; TypeError on float labels.
    Cost: host, NumPy; O(n log n).
    """
    _, tp, fp = _curve(scores, labels, weights, where)
    if not (tp[-1] > 0 and fp[-1] > 0):
        return float("nan")
    # Trapezoids: a positive and a negative of equal score count one half.
    return float(np.sum(np.diff(fp) * (tp[1:] + tp[:-1])) / (2 * tp[-1] * fp[-1]))


def average_precision(
    scores: Float[Array, "*n"],
    labels: Bool[Array, "*n"],
    *,
    weights: Float[Array, "*n"] | None = None,
    where: Bool[Array, "*n"] | None = None,
) -> float:
    """Area under the precision-recall curve, in steps; 1 is perfect, the prevalence is chance.

    AP = sum_k (R_k - R_(k-1)) P_k over the distinct scores in falling order, P_k and R_k the
    precision and recall of `score >= s_k`, R_0 = 0.

    Source: Zhu (2004); as in scikit-learn's `average_precision_score`.
    Departures: none. Equal scores are one step. Steps avoid the optimism of straight lines between
    the points of this curve (Davis and Goadrich, 2006). The IDRiD challenge takes coarse
    thresholds instead: `average_precision_from_counts`.

    Args:
        scores: of all cases or pixels pooled, any shape; only their order matters.
        labels: bool, or 0 and 1, of the same shape.
        weights: >= 0, of the same shape; None is all 1.
        where: True counts; other entries may hold anything.

    Returns: one number.
    Empty cases: no positive (by weight) gives nan; no negative 1.
    Raises: ValueError on shapes that differ, nan scores, negative weights or labels other than 0
        and 1; TypeError on float labels.
    Cost: host, NumPy; O(n log n) and 8 bytes times several n. Pixels of many images are better
        counted by `threshold_counts`.
    """
    _, tp, fp = _curve(scores, labels, weights, where)
    if not tp[-1] > 0:
        return float("nan")
    found = tp[1:] + fp[1:]
    # Scores above all others may have weight 0; their step in recall is 0 too.
    precision = tp[1:] / np.where(found > 0, found, 1)
    return float(np.sum(np.diff(tp) * precision) / tp[-1])


def sensitivity_specificity(
    scores: Float[Array, "*n"],
    labels: Bool[Array, "*n"],
    *,
    weights: Float[Array, "*n"] | None = None,
    where: Bool[Array, "*n"] | None = None,
) -> tuple[float, float, float]:
    """Sensitivity, specificity and threshold where their harmonic mean is best; higher is better.

    h(t) = 2 se(t) sp(t) / (se(t) + sp(t)), `score >= t` being positive, t each distinct score.

    The threshold is chosen on the cases that it is judged on, which flatters; choose it on a
    validation set to report a test set without that.

    Source: Son et al., Classification of Findings with Localized Lesions in Fundoscopic Images
    using a Regionally Guided CNN, Table 1.
    Departures: none. The paper is silent on ties: the highest of the best thresholds, the one that
    calls the fewest cases positive.

    Args:
        scores: of all cases, any shape.
        labels: bool, or 0 and 1, of the same shape.
        weights: >= 0, of the same shape; None is all 1.
        where: True counts; other entries may hold anything.

    Returns: (sensitivity, specificity, threshold). All scores equal: (1, 0, that score).
    Empty cases: no positive or no negative (by weight) gives nan three times.
    Raises: ValueError on shapes that differ, nan scores, negative weights or labels other than 0
        and 1; TypeError on float labels.
    Cost: host, NumPy; O(n log n).
    """
    thresholds, tp, fp = _curve(scores, labels, weights, where)
    if not (tp[-1] > 0 and fp[-1] > 0):
        return (float("nan"),) * 3
    # Without the threshold above all scores, at which nothing is positive
    sensitivity, specificity = tp[1:] / tp[-1], 1 - fp[1:] / fp[-1]
    total = sensitivity + specificity
    harmonic = sensitivity * specificity / np.where(total > 0, total, 1)
    # Equal means may differ in their last digits.
    # Thresholds fall, and argmax takes the first, so the highest.
    best = int(np.argmax(harmonic >= harmonic.max() * (1 - 1e-12)))
    return float(sensitivity[best]), float(specificity[best]), float(thresholds[best])


def threshold_counts(
    scores: Float[Array, "b *s"],
    labels: Bool[Array, "b *s"],
    *,
    thresholds: int | Sequence[float] = 33,
    where: Bool[Array, "b *s"] | None = None,
) -> Int[Array, "b k 4"]:
    """Right and wrong pixels at each threshold: sums that merge over images and devices.

    The last axis holds tp, fp, fn, tn of `score >= threshold`. Added over a set they give its
    precision-recall curve (`average_precision_from_counts`, `precision_recall_from_counts`) and F1
    (`dice_from_counts`) without keeping or sorting pixels.

    Source: Porwal et al. (2020), IDRiD: Diabetic Retinopathy - Segmentation and Grading Challenge,
    section 6: 33 thresholds 0, 1/32, ..., 1, in grey levels 0, 8, ..., 256.
    Departures: none known; whether a score equal to the threshold is positive is not said, here it
    is. Grey levels g enter as g / 256.

    Args:
        scores: probabilities; nan is below every threshold.
        labels: bool or integer; above 0 is positive.
        thresholds: a number k >= 2 of evenly spaced ones from 0 to 1, or the values, rising.
        where: True counts; other pixels may hold anything.

    Returns: `[b, k, 4]` int32, thresholds rising. Over many images add them as int64 or float64 on
        the host.
    Empty cases: nothing that counts gives zeros.
    Raises: ValueError on a wrong rank, shape or thresholds; TypeError on integer scores, float
        labels, or a `where` that is not boolean.
    Cost: O(k n) time, O(n) memory.
    """
    scores = jnp.asarray(scores)
    labels = labels if isinstance(labels, jax.Array) else np.asarray(labels)
    checks.check_rank("scores", scores, 1, 2, 3, 4)
    checks.check_floating("scores", scores)
    checks.check_shape("labels", labels, tuple(scores.shape))
    if not (labels.dtype == bool or jnp.issubdtype(labels.dtype, jnp.integer)):
        raise TypeError(f"`labels` takes booleans or integers, got {labels.dtype}")
    positive = as_int32(labels) > 0
    negative = ~positive
    if where is not None:
        counts = jnp.asarray(where)
        check_where(counts, tuple(scores.shape))
        positive, negative = positive & counts, negative & counts
    # Scores of half precision in float32: thresholds in half precision would not be those given.
    if scores.dtype != jnp.float64:
        scores = scores.astype(jnp.float32)
    pixels = tuple(range(1, scores.ndim))

    def count(chosen: Array) -> Array:
        return jnp.sum(chosen, axis=pixels, dtype=jnp.int32)

    def above(threshold: Array) -> tuple[Array, Array]:
        found = scores >= threshold
        return count(found & positive), count(found & negative)

    # One threshold after the other, so that memory is that of one comparison
    tp, fp = jax.lax.map(above, jnp.asarray(_thresholds(thresholds), scores.dtype))
    tp, fp = tp.T, fp.T
    return jnp.stack([tp, fp, count(positive)[:, None] - tp, count(negative)[:, None] - fp], -1)


def precision_recall_from_counts(
    counts: Int[Array, "*n 4"],
) -> tuple[Float[np.ndarray, "*n"], Float[np.ndarray, "*n"]]:
    """Precision tp / (tp + fp) and recall tp / (tp + fn) of counts; 1 is best.

    Source: the definitions. Departures: none.

    Args:
        counts: (tp, fp, fn, tn) on the last axis, added over images.

    Returns: (precision, recall), each `[*n]` float64.
    Empty cases: precision nan where nothing is predicted, recall nan where nothing is positive.
    Raises: ValueError unless the last axis has length 4.
    Cost: host, NumPy; O(n).
    """
    counts = np.asarray(counts)
    checks.check_shape("counts", counts, (*counts.shape[:-1], 4))
    tp, fp, fn = (counts[..., k].astype(np.float64) for k in range(3))
    with np.errstate(invalid="ignore"):
        return tp / (tp + fp), tp / (tp + fn)


def average_precision_from_counts(
    counts: Int[Array, "*n k 4"], *, rule: str = "step"
) -> Float[np.ndarray, "*n"]:
    """Area under the precision-recall curve of counts at rising thresholds; 1 is perfect.

    step: sum_k (R_k - R_(k+1)) P_k, R = 0 beyond the last threshold. With a threshold at every
    score it is `average_precision`; coarse ones fall below it where precision falls with recall.
    trapezoid: P_k replaced by (P_k + P_(k+1)) / 2, straight lines between the points.

    Source: Porwal et al. (2020), IDRiD challenge, section 6, at 33 thresholds, pixels of the test
    set pooled, each lesion by itself.
    Departures: the challenge does not say how it joins the points; the trapezoid is the likely
    reading, the steps are the default. From the highest threshold at which anything is predicted
    the curve runs level to recall 0.

    Args:
        counts: from `threshold_counts`, added over the images, thresholds rising.
        rule: 'step' or 'trapezoid'.

    Returns: `[*n]` float64. What lies beyond the recall of the lowest threshold does not count.
    Empty cases: nothing positive gives nan; nothing predicted at any threshold 0.
    Raises: ValueError on a wrong shape or option, on counts that are nan or below 0, or that rise
        with the threshold.
    Cost: host, NumPy; O(k).
    """
    checks.check_option("rule", rule, RULES)
    counts = np.asarray(counts, np.float64)  # differences of unsigned integers wrap round
    if counts.ndim < 2 or counts.shape[-1] != 4 or not counts.shape[-2]:
        raise ValueError(f"`counts` takes shape [..., thresholds, 4], got {counts.shape}")
    if not np.all(counts >= 0):
        raise ValueError(f"`counts` takes numbers >= 0, got {counts[~(counts >= 0)][0]}")
    if np.any(np.diff(counts[..., :2], axis=-2) > 0):
        raise ValueError("`counts` takes rising thresholds, got counts that rise with them")
    precision, recall = precision_recall_from_counts(counts)
    # Where nothing is predicted any more, recall is 0 and precision stays what it last was.
    empty = np.isnan(precision)
    last = np.maximum(0, np.sum(~empty, axis=-1, keepdims=True) - 1)
    level = np.take_along_axis(np.nan_to_num(precision), last, axis=-1)
    precision = np.where(empty, level, precision)
    heights = precision
    if rule == "trapezoid":
        heights = (precision + np.concatenate([precision[..., 1:], level], axis=-1)) / 2
    # Recall falls as thresholds rise, to 0 beyond the last.
    steps = -np.diff(recall, axis=-1, append=0)
    return np.sum(steps * heights, axis=-1)


def _thresholds(thresholds: int | Sequence[float]) -> np.ndarray:
    if np.ndim(thresholds) == 0:
        return np.linspace(0, 1, checks.check_integer("thresholds", thresholds, least=2))
    values = np.asarray(thresholds, np.float64)
    rising = values.ndim == 1 and values.size and np.all(np.diff(values) > 0)
    if not rising or np.isnan(values).any():
        raise ValueError(f"`thresholds` takes a number of them or rising values, got {thresholds}")
    return values


def _curve(
    scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None, where: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct scores, falling, and the weight of positives and negatives at or above each.

    The two sums start with a 0 more, for a threshold above all scores.
    """
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels)
    checks.check_shape("labels", labels, scores.shape)
    weights = np.ones(scores.shape) if weights is None else np.asarray(weights, np.float64)
    checks.check_shape("weights", weights, scores.shape)
    if where is None:
        scores, labels, weights = scores.ravel(), labels.ravel(), weights.ravel()
    else:
        where = np.asarray(where)
        check_where(where, scores.shape)
        scores, labels, weights = scores[where], labels[where], weights[where]
    if np.isnan(scores).any():
        raise ValueError("`scores` takes numbers, got nan")
    if not np.all((weights >= 0) & np.isfinite(weights)):
        raise ValueError("`weights` takes finite numbers >= 0")
    labels = binary("labels", labels)
    order = np.argsort(-scores, kind="stable")
    scores, positive = scores[order], np.where(labels[order], weights[order], 0)
    # No threshold lies between equal scores: only the last of them is a point of the curve.
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], scores.size > 0))
    tp = np.append(0.0, np.cumsum(positive)[last])
    fp = np.append(0.0, np.cumsum(weights[order] - positive)[last])
    return scores[last], tp, fp
