"""Statistics of a table of cases: one number from some of its columns.

A statistic takes columns `[..., n]`, the cases along the last axis, and gives `[...]`, so that the
resamples of a bootstrap or a permutation test go through side by side. `tasks/metric.py` gives them
names and units; training, tables, intervals and tests all call the same function.
"""

from collections.abc import Callable

import numpy as np

from segjax.metrics.localization import r_aed_from_mean_distance
from segjax.metrics.precision_recall import TENTHS, average_precision_of_eleven
from segjax.metrics.ranking import average_precision_from_counts
from segjax.types import Array, Float

Statistic = Callable[..., np.ndarray]
# False positives an image at which the challenges on microaneurysms and nodules read sensitivity.
FROC_RATES = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
# And those of Camelyon16, which MONAI takes too
CAMELYON_RATES = (1 / 4, 1 / 2, 1, 2, 4, 8)


def mean(*columns: Float[Array, "*s n"]) -> Float[np.ndarray, "*s"]:
    """The mean over the cases whose value is finite, and over the columns if there are several.

    Args:
        columns: values of the cases.

    Returns: means in float64.
    Empty cases: nan where no case has a finite value.
    """
    return np.mean([_finite_mean(np.asarray(column, np.float64)) for column in columns], axis=0)


def r_aed(distance: Float[Array, "*s n"]) -> Float[np.ndarray, "*s"]:
    """R-AED of normalised distances: 1 / (their mean + 0.1).

    Source: Wu et al., Multiscale Softmax Cross Entropy for Fovea Localization, section 2.1.

    Args:
        distance: of each case, in normalised coordinates.

    Returns: values in [0, 10].
    Empty cases: nan where no case has a finite distance.
    """
    return r_aed_from_mean_distance(mean(distance))


def not_finite(column: Float[Array, "*s n"]) -> Float[np.ndarray, "*s"]:
    """How many cases have no finite value, as a Hausdorff distance to nothing has none."""
    return np.sum(~np.isfinite(np.asarray(column, np.float64)), axis=-1).astype(np.float64)


def roc_auc(score: Float[Array, "*s n"], label: Float[Array, "*s n"]) -> Float[np.ndarray, "*s"]:
    """Area under the receiver operating characteristic curve over cases.

    AUC = (sum of the ranks of the positives - P (P + 1) / 2) / (P N), ties with their mean rank.

    Source: Mann and Whitney (1947); equal to `metrics.roc_auc`.

    Args:
        score: higher for what is positive.
        label: 1 positive, 0 negative.

    Returns: values in [0, 1].
    Empty cases: nan where no case is positive, or none is negative, and where a score or a label
        is nan.
    """
    # Here, for scipy.stats takes a second to import.
    from scipy.stats import rankdata

    score, label = np.asarray(score, np.float64), np.asarray(label, np.float64)
    positive = label > 0.5
    known = ~(np.isnan(score).any(axis=-1) | np.isnan(label).any(axis=-1))
    ranks = rankdata(score, axis=-1)
    count = positive.sum(axis=-1)
    others = positive.shape[-1] - count
    above = np.where(positive, ranks, 0).sum(axis=-1) - count * (count + 1) / 2
    defined = known & (count > 0) & (others > 0)
    return np.where(defined, above / np.where(defined, count * others, 1), np.nan)


def pooled_average_precision(
    positives: Float[Array, "*s n"], *counts: Float[Array, "*s n"]
) -> Float[np.ndarray, "*s"]:
    """Area under the precision-recall curve of the pixels of all cases pooled.

    Source: Porwal et al. (2020), IDRiD challenge, section 6; see `average_precision_from_counts`.

    Args:
        positives: number of positive pixels of each case.
        counts: true positives at each threshold, rising, then false positives at each.

    Returns: values in [0, 1], by the trapezoidal rule.
    Empty cases: nan where nothing is positive, and where a count is nan.
    Raises: ValueError on an odd number of `counts`.
    """
    table, unknown = _table(positives, counts)
    return np.where(unknown, np.nan, average_precision_from_counts(table, rule="trapezoid"))


def pooled_average_precision_eleven(
    positives: Float[Array, "*s n"], *counts: Float[Array, "*s n"]
) -> Float[np.ndarray, "*s"]:
    """The pooled area at eleven thresholds, with precision 1 where nothing is predicted.

    Another quantity than the IDRiD challenge's (`pooled_average_precision`), beside which it must
    not stand: a map that is 0 everywhere has (1 + prevalence) / 2.

    Source: the published code of M2MRF (Liu et al. 2023); see 'eleven' of
    `average_precision_from_histogram`, with its departures.

    Args:
        positives: number of positive pixels of each case.
        counts: true positives at the thresholds 0, 0.1, …, 1, then false positives at each.

    Returns: values in [0, 1], by the trapezoidal rule.
    Empty cases: nan where nothing is positive, and where a count is nan.
    Raises: ValueError unless there are 22 `counts`.
    """
    if len(counts) != 2 * len(TENTHS):
        raise ValueError(f"`counts` takes 11 true and 11 false positives, got {len(counts)}")
    table, unknown = _table(positives, counts)
    return np.where(unknown, np.nan, average_precision_of_eleven(table))


def pooled_precision(
    positives: Float[Array, "*s n"], true: Float[Array, "*s n"], false: Float[Array, "*s n"]
) -> Float[np.ndarray, "*s"]:
    """Precision of the pixels of all cases pooled: sum tp / (sum tp + sum fp).

    Args:
        positives: number of positive pixels of each case; not used, so that precision, recall and
            F1 take the same columns.
        true: true positives of each case.
        false: false positives of each case.

    Returns: values in [0, 1].
    Empty cases: nan where nothing is predicted, and where a count is nan.
    """
    _, tp, fp = _sums(positives, true, false)
    return _share(tp, tp + fp)


def pooled_recall(
    positives: Float[Array, "*s n"], true: Float[Array, "*s n"], false: Float[Array, "*s n"]
) -> Float[np.ndarray, "*s"]:
    """Recall of the pixels of all cases pooled: sum tp / sum positives.

    Args:
        positives: number of positive pixels of each case.
        true: true positives of each case.
        false: false positives of each case; not used (see `pooled_precision`).

    Returns: values in [0, 1].
    Empty cases: nan where nothing is positive, and where a count is nan; 0 where there are
        positives and nothing is predicted.
    """
    total, tp, _ = _sums(positives, true, false)
    return _share(tp, total)


def pooled_f1(
    positives: Float[Array, "*s n"], true: Float[Array, "*s n"], false: Float[Array, "*s n"]
) -> Float[np.ndarray, "*s"]:
    """F1 of the pixels of all cases pooled: 2 sum tp / (sum positives + sum tp + sum fp).

    Args:
        positives: number of positive pixels of each case.
        true: true positives of each case.
        false: false positives of each case.

    Returns: values in [0, 1].
    Empty cases: nan where nothing is positive, as recall is not defined then, and where a count is
        nan; 0 where there are positives and nothing is predicted.
    """
    total, tp, fp = _sums(positives, true, false)
    return _share(2 * tp, np.where(total <= 0, 0, total + tp + fp))


def froc(positives: Float[Array, "*s n"], *counts: Float[Array, "*s n"]) -> Float[np.ndarray, "*s"]:
    """Mean sensitivity at 1/8, 1/4, …, 8 false positives a case (free-response ROC).

    Source: Niemeijer et al. (2010), Retinopathy Online Challenge.
    Departures: sensitivities between two thresholds lie on a straight line, which begins at (0, 0);
        beyond the most false positives that any threshold gives, sensitivity stays what it is.

    Args:
        positives: number of lesions of each case; healthy cases count, with 0.
        counts: lesions found at each threshold, rising, then false positives at each.

    Returns: values in [0, 1].
    Empty cases: nan where there is no lesion, and where a count is nan.
    Raises: ValueError on an odd number of `counts`.
    """
    return _froc(FROC_RATES, positives, counts)


def froc_camelyon(
    positives: Float[Array, "*s n"], *counts: Float[Array, "*s n"]
) -> Float[np.ndarray, "*s"]:
    """Mean sensitivity at 1/4, 1/2, 1, 2, 4, 8 false positives a case: `froc` without 1/8.

    Never below `froc` of the same counts, so the two must not stand beside each other.

    Source: Ehteshami Bejnordi et al. (2017), Camelyon16; MONAI's `compute_froc_score`.
    Departures: as `froc`; MONAI leaves out the lowest score as a threshold.

    Args:
        positives: number of lesions of each case; healthy cases count, with 0.
        counts: lesions found at each threshold, rising, then false positives at each.

    Returns: values in [0, 1].
    Empty cases: nan where there is no lesion, and where a count is nan.
    Raises: ValueError on an odd number of `counts`.
    """
    return _froc(CAMELYON_RATES, positives, counts)


def _froc(rates: tuple[float, ...], positives: np.ndarray, counts: tuple) -> np.ndarray:
    """Mean sensitivity at these numbers of false positives a case."""
    total, found, false = _pooled(positives, counts)
    cases = np.asarray(positives).shape[-1]
    values = np.full(total.shape, np.nan)
    unknown = np.isnan(found).any(axis=-1) | np.isnan(false).any(axis=-1)
    # `np.interp` takes one curve at a time.
    for place in np.ndindex(*total.shape):
        if total[place] > 0 and not unknown[place]:
            # Thresholds rise, so false positives fall; `np.interp` takes rising ones.
            per_case = np.append(0.0, false[place][::-1] / cases)
            hits = np.append(0.0, found[place][::-1] / total[place])
            values[place] = np.mean(np.interp(rates, per_case, hits))
    return values


def _pooled(positives: np.ndarray, counts: tuple) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums over the cases: positives, and true and false positives by threshold."""
    if len(counts) % 2 or not counts:
        raise ValueError(f"`counts` takes as many true as false positives, got {len(counts)}")
    sums = [np.asarray(column, np.float64).sum(axis=-1) for column in counts]
    half = len(sums) // 2
    total = np.asarray(positives, np.float64).sum(axis=-1)
    return total, np.stack(sums[:half], axis=-1), np.stack(sums[half:], axis=-1)


def _table(positives: np.ndarray, counts: tuple) -> tuple[np.ndarray, np.ndarray]:
    """tp, fp, fn, tn of the pooled cases by threshold, and where one of them is nan."""
    total, tp, fp = _pooled(positives, counts)
    fn = total[..., None] - tp
    table = np.stack([tp, fp, fn, np.zeros_like(tp)], axis=-1)
    unknown = np.isnan(table).any(axis=(-2, -1))
    return np.where(unknown[..., None, None], 0.0, table), unknown


def _sums(*columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """Sums over the cases; nan in all where one has a nan."""
    sums = np.stack([np.asarray(column, np.float64).sum(axis=-1) for column in columns])
    return tuple(np.where(np.isnan(sums).any(axis=0), np.nan, sums))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole; nan where whole is 0."""
    return np.where(whole <= 0, np.nan, part / np.where(whole <= 0, 1, whole))


def _finite_mean(column: np.ndarray) -> np.ndarray:
    # An infinite value, a distance to nothing, would be the whole mean: `not_finite` counts it.
    finite = np.isfinite(column)
    count = finite.sum(axis=-1)
    total = np.where(finite, column, 0.0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
