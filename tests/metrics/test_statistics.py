"""Statistics of tables: each from its definition, over leading axes, where it is not defined."""

import itertools

import numpy as np
import pytest

from segjax import metrics
from segjax.metrics import statistics

RNG = np.random.default_rng(0)
NAN = np.nan


def one_by_one(statistic, *columns):
    """The statistic of every row of the leading axes by itself."""
    lead = columns[0].shape[:-1]
    values = [float(statistic(*(x[place] for x in columns))) for place in np.ndindex(*lead)]
    return np.reshape(values, lead)


# --- mean, R-AED, not finite ----------------------------------------------------------------------


def test_mean_leaves_out_what_is_not_finite():
    column = np.array([[1.0, NAN, 3.0, np.inf], [NAN, NAN, -np.inf, NAN]])
    np.testing.assert_array_equal(statistics.mean(column), [2.0, NAN])
    assert statistics.mean(np.array([1, 2, 4], np.int8)) == pytest.approx(7 / 3)
    assert np.isnan(statistics.mean(np.array([NAN])))


def test_mean_of_several_columns_is_that_of_their_means():
    """Not of all values: a column with fewer finite ones counts as much."""
    one, two = np.array([1.0, NAN, 3.0]), np.array([10.0, NAN, NAN])
    assert statistics.mean(one, two) == 6.0
    assert np.isnan(statistics.mean(one, np.full(3, NAN)))
    tables = RNG.normal(size=(2, 4, 3, 5))
    got = statistics.mean(*tables)
    assert got.shape == (4, 3)
    np.testing.assert_allclose(got, tables.mean(axis=(0, 3)))


def test_mean_is_in_float64():
    column = np.full(1000, 0.1, np.float32)
    assert statistics.mean(column) == pytest.approx(float(np.float32(0.1)), rel=1e-15)


def test_r_aed():
    distance = np.array([0.1, 0.3, NAN])
    assert statistics.r_aed(distance) == pytest.approx(1 / 0.3)
    assert statistics.r_aed(np.zeros(3)) == pytest.approx(10)
    assert np.isnan(statistics.r_aed(np.full(2, NAN)))
    table = RNG.random((2, 3, 4))
    np.testing.assert_allclose(statistics.r_aed(table), 1 / (table.mean(axis=-1) + 0.1))
    # The metric of points: the same number.
    true, predicted = RNG.random((2, 6, 2))
    apart = np.linalg.norm(true - predicted, axis=-1)
    assert statistics.r_aed(apart) == pytest.approx(float(metrics.r_aed(predicted, true)), rel=1e-5)


def test_not_finite():
    table = np.array([[1.0, NAN, np.inf], [0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(statistics.not_finite(table), [2.0, 0.0])


# --- AUROC ----------------------------------------------------------------------------------------


def test_roc_auc_counts_pairs():
    score = np.array([0.1, 0.4, 0.4, 0.8, 0.4, 0.9])
    label = np.array([0, 0, 1, 1, 1, 0])
    pairs = itertools.product(score[label == 1], score[label == 0])
    wanted = np.mean([(p > n) + (p == n) / 2 for p, n in pairs])
    assert statistics.roc_auc(score, label) == pytest.approx(wanted)
    assert statistics.roc_auc(label, label) == 1.0
    assert statistics.roc_auc(-label, label) == 0.0
    assert statistics.roc_auc(np.ones(6), label) == 0.5


def test_roc_auc_is_the_metric_also_with_ties_and_over_leading_axes():
    score = RNG.integers(0, 6, (3, 4, 25)) / 5
    label = RNG.integers(0, 2, (3, 4, 25))
    got = statistics.roc_auc(score, label)
    assert got.shape == (3, 4) and got.dtype == np.float64
    np.testing.assert_allclose(got, one_by_one(metrics.roc_auc, score, label), rtol=1e-12)
    np.testing.assert_allclose(got, statistics.roc_auc(score**3, label), rtol=1e-12)  # by rank


def test_roc_auc_is_not_defined_without_both_kinds():
    score = RNG.random((3, 5))
    label = np.array([[0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 1, 0, 0, 0]])
    got = statistics.roc_auc(score, label)
    assert np.isnan(got[:2]).all() and np.isfinite(got[2])
    assert np.isnan(metrics.roc_auc(score[0], label[0]))


def test_roc_auc_of_a_score_that_is_nan_is_nan():
    assert np.isnan(statistics.roc_auc(np.array([0.1, NAN, 0.3]), np.array([0, 1, 1])))


def test_roc_auc_of_a_label_that_is_nan_is_nan():
    score, label = np.array([0.9, 0.8, 0.7, 0.1]), np.array([NAN, 1, 0, 0])
    assert np.isnan(statistics.roc_auc(score, label))
    assert statistics.roc_auc(score[1:], label[1:]) == 1.0


@pytest.mark.parametrize(
    "statistic", [statistics.pooled_average_precision, statistics.froc, statistics.froc_camelyon]
)
def test_counts_that_are_nan_or_odd(statistic):
    positives, hits, false = counts(6, lead=(2,))
    known = statistic(positives, *hits, *false)
    hits = [column.astype(float) for column in hits]
    hits[1][0, 3] = NAN
    got = statistic(positives, *hits, *false)
    assert np.isnan(got[0]) and got[1] == known[1]
    with pytest.raises(ValueError, match="as many true as false positives, got 9"):
        statistic(positives, *hits, *false[:-1])


# --- pooled AUC-PR --------------------------------------------------------------------------------


def counts(cases, thresholds=5, lead=()):
    """Positives, and true and false positives at rising thresholds, by case."""
    score = RNG.random((*lead, cases, 40))
    positive = RNG.random(score.shape) < 0.3
    edges = np.linspace(0, 1, thresholds)
    found = [score >= edge for edge in edges]
    hits = [(f & positive).sum(axis=-1) for f in found]
    false = [(f & ~positive).sum(axis=-1) for f in found]
    return positive.sum(axis=-1), hits, false


def test_pooled_average_precision_is_that_of_the_counts_added_up():
    positives, hits, false = counts(6)
    tp, fp = np.array([h.sum() for h in hits]), np.array([f.sum() for f in false])
    table = np.stack([tp, fp, positives.sum() - tp, np.zeros(5, int)], axis=-1)
    wanted = metrics.average_precision_from_counts(table, rule="trapezoid")
    got = statistics.pooled_average_precision(positives, *hits, *false)
    assert got == pytest.approx(float(wanted)) and 0 < got < 1
    # By hand: straight lines between the points, level from the last one to recall 0.
    kept = tp + fp > 0
    recall, precision = tp[kept] / positives.sum(), tp[kept] / (tp + fp)[kept]
    recall, precision = np.append(recall, 0), np.append(precision, precision[-1])
    heights = (precision[1:] + precision[:-1]) / 2
    assert got == pytest.approx(-np.sum(np.diff(recall) * heights))


def test_pooled_average_precision_over_leading_axes():
    positives, hits, false = counts(6, lead=(2, 3))
    got = statistics.pooled_average_precision(positives, *hits, *false)
    assert got.shape == (2, 3)
    wanted = one_by_one(statistics.pooled_average_precision, positives, *hits, *false)
    np.testing.assert_allclose(got, wanted)


def test_pooled_average_precision_without_positives_or_predictions():
    nothing = np.zeros(4)
    assert np.isnan(
        statistics.pooled_average_precision(nothing, nothing, nothing, nothing, nothing)
    )
    positives = np.array([3.0, 0, 1, 0])
    assert statistics.pooled_average_precision(positives, *[nothing] * 4) == 0
    # Perfect: all are found, and nothing else, at both thresholds.
    perfect = statistics.pooled_average_precision(positives, positives, positives, nothing, nothing)
    assert perfect == 1


# --- pooled AUC-PR at eleven thresholds -----------------------------------------------------------


def test_eleven_thresholds_by_hand():
    """Two cases with four positives; found and false at 0, 0.1, …, 1."""
    positives = np.array([3, 1])
    tp = np.array([[3, 1]] * 2 + [[2, 0]] * 4 + [[1, 0]] * 2 + [[0, 0]] * 3)
    fp = np.array([[7, 9]] + [[1, 3]] * 1 + [[1, 1]] * 4 + [[0, 0]] * 2 + [[0, 1]] + [[0, 0]] * 2)
    # Recall and precision: (1, 1/5), (1, 1/2), (1/2, 1/2), (1/4, 1), (0, 0), and (0, 1) where
    # nothing is predicted.
    wanted = 1 / 2 * 1 / 2 + 1 / 4 * 3 / 4 + 1 / 4 * 1 / 2
    got = statistics.pooled_average_precision_eleven(positives, *tp, *fp)
    assert got == pytest.approx(wanted)
    # Without the false positive at 0.8 precision is 1 from there on.
    fp[8] = 0
    got = statistics.pooled_average_precision_eleven(positives, *tp, *fp)
    assert got == pytest.approx(wanted + 1 / 8)
    # The challenge's rule, on the same thresholds, goes on level instead.
    fp[0], tp[6:], fp[6:] = 2, 0, 0
    eleven = statistics.pooled_average_precision_eleven(positives, *tp, *fp)
    level = statistics.pooled_average_precision(positives, *tp, *fp)
    assert eleven - level == pytest.approx(1 / 2 * (3 / 4 - 1 / 2))


def test_eleven_thresholds_over_leading_axes_and_where_not_defined():
    positives, hits, false = counts(6, thresholds=11, lead=(2, 3))
    eleven = statistics.pooled_average_precision_eleven
    got = eleven(positives, *hits, *false)
    assert got.shape == (2, 3) and np.all((0 < got) & (got < 1))
    np.testing.assert_allclose(got, one_by_one(eleven, positives, *hits, *false))
    hits = [column.astype(float) for column in hits]
    hits[3][1, 2, 0] = NAN
    again = eleven(positives, *hits, *false)
    assert np.isnan(again[1, 2]) and np.sum(np.isnan(again)) == 1
    nothing = [np.zeros(4)] * 22
    assert np.isnan(eleven(np.zeros(4), *nothing))
    # Nothing is predicted at any threshold: recall stays 0.
    assert eleven(np.ones(4), *nothing) == 0
    for wrong in (21, 20, 66, 0):
        with pytest.raises(ValueError, match="takes 11 true and 11 false positives"):
            eleven(np.ones(4), *[np.zeros(4)] * wrong)


def test_eleven_and_the_challenge_are_the_conventions_of_histograms():
    score, positive = RNG.random((5, 300)).astype(np.float32), RNG.random((5, 300)) < 0.2
    pooled = metrics.score_histogram(score, positive)
    for statistic, convention, number in (
        (statistics.pooled_average_precision_eleven, "eleven", 11),
        (statistics.pooled_average_precision, "challenge33", 33),
    ):
        found = [score >= np.float32(t) for t in np.linspace(0, 1, number)]
        tp, fp = ([(f & kind).sum(-1) for f in found] for kind in (positive, ~positive))
        wanted = metrics.average_precision_from_histogram(pooled, convention=convention)
        assert statistic(positive.sum(-1), *tp, *fp) == pytest.approx(float(wanted))


# --- precision, recall, F1 ------------------------------------------------------------------------

RATES = [statistics.pooled_precision, statistics.pooled_recall, statistics.pooled_f1]


def test_rates_are_those_of_the_sums():
    positives, true, false = np.array([10, 0, 2]), np.array([6, 0, 0]), np.array([1, 3, 0])
    precision, recall, f1 = (rate(positives, true, false) for rate in RATES)
    assert (precision, recall) == (6 / 10, 6 / 12)
    assert f1 == pytest.approx(2 * precision * recall / (precision + recall))


@pytest.mark.parametrize("rate", RATES)
def test_rates_over_leading_axes(rate):
    positives, (true, *_), (false, *_) = counts(5, thresholds=2, lead=(2, 3))
    true = RNG.integers(0, positives + 1)
    got = rate(positives, true, false)
    assert got.shape == (2, 3) and np.all((0 < got) & (got < 1))
    np.testing.assert_allclose(got, one_by_one(rate, positives, true, false), rtol=1e-14)
    for place in range(3):  # also in the column that a rate does not use
        columns = [column.astype(float) for column in (positives, true, false)]
        columns[place][1, 2, 0] = NAN
        again = rate(*columns)
        assert np.isnan(again[1, 2]) and np.sum(np.isnan(again)) == 1


def test_rates_at_the_edges():
    none, some = np.zeros(3), np.array([0.0, 2.0, 1.0])
    # Positives, and nothing predicted: only precision is not defined.
    np.testing.assert_array_equal([rate(some, none, none) for rate in RATES], [NAN, 0, 0])
    # No positives: false positives give precision 0, recall and F1 are not defined.
    np.testing.assert_array_equal([rate(none, none, some) for rate in RATES], [0, NAN, NAN])
    np.testing.assert_array_equal([rate(none, none, none) for rate in RATES], [NAN] * 3)
    np.testing.assert_array_equal([rate(some, some, none) for rate in RATES], [1, 1, 1])
    np.testing.assert_array_equal([rate(some, none, some) for rate in RATES], [0, 0, 0])


# --- FROC -----------------------------------------------------------------------------------------


def test_froc_by_hand():
    """Two cases with four lesions; three thresholds, with 12, 2 and 1 false positives in all."""
    positives = np.array([3, 1])
    hits = np.array([[3, 1], [2, 1], [1, 0]])  # by threshold, by case
    false = np.array([[8, 4], [2, 0], [1, 0]])
    # (0, 0), (0.5, 1/4), (1, 3/4), (6, 1) in false positives a case and sensitivity.
    wanted = [
        1 / 16,  # 1/8 of the way: 0.125 / 0.5 of 1/4
        2 / 16,
        1 / 4,
        3 / 4,
        3 / 4 + 1 / 4 * 1 / 5,
        3 / 4 + 1 / 4 * 3 / 5,
        1,  # beyond 6 it stays
    ]
    assert statistics.FROC_RATES == (0.125, 0.25, 0.5, 1, 2, 4, 8)
    assert statistics.froc(positives, *hits, *false) == pytest.approx(np.mean(wanted))
    # Camelyon16 begins at 1/4.
    assert statistics.CAMELYON_RATES == (0.25, 0.5, 1, 2, 4, 8)
    camelyon = statistics.froc_camelyon(positives, *hits, *false)
    assert camelyon == pytest.approx(np.mean(wanted[1:])) and camelyon > np.mean(wanted)
    # Two healthy cases with no false positive halve the rates: (1/4, 1/4), (1/2, 3/4), (3, 1).
    more = [np.append(column, [0, 0]) for column in (positives, *hits, *false)]
    halved = [1 / 4, 3 / 4, 3 / 4 + 1 / 4 * 1 / 5, 3 / 4 + 1 / 4 * 3 / 5, 1, 1]
    assert statistics.froc_camelyon(*more) == pytest.approx(np.mean(halved))
    assert statistics.froc(*more) == pytest.approx(np.mean([1 / 8, *halved]))


FROCS = pytest.mark.parametrize("froc", [statistics.froc, statistics.froc_camelyon])


@FROCS
def test_froc_of_a_perfect_and_of_a_blind_network(froc):
    positives, nothing = np.array([3.0, 1.0]), np.zeros(2)
    assert froc(positives, nothing, nothing, nothing, nothing) == 0
    found = froc(positives, positives, positives, nothing, nothing)
    assert found == 1  # no false positive at any threshold
    assert np.isnan(froc(nothing, nothing, nothing))


@FROCS
def test_froc_over_leading_axes(froc):
    positives, hits, false = counts(5, lead=(2, 3))
    positives[0, 1] = 0
    hits = [np.where(positives > 0, h, 0) for h in hits]
    got = froc(positives, *hits, *false)
    assert got.shape == (2, 3) and np.isnan(got[0, 1])
    wanted = one_by_one(froc, positives, *hits, *false)
    np.testing.assert_allclose(got, wanted)
    assert np.sum(np.isnan(got)) == 1 and np.nanmin(got) >= 0 and np.nanmax(got) <= 1
