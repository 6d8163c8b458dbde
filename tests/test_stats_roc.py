"""DeLong's interval and test: a double loop, a published example, the bootstrap, and ties."""

import math

import numpy as np
import pytest

from segjax import metrics, stats

# DeLong et al. (1988): 43 women with ovarian cancer and an intestinal obstruction on whom all three
# measurements were known: albumin, total protein, the K-G score, and whether surgery was no use.
# The data, and the areas, intervals and p-values below, as in SAS/STAT, PROC LOGISTIC, example 8.
OVARIAN = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0
1.6 5.6 5 1  3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1
4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1
3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1
3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1
3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
3.6 6.6 5 1
"""
ALBUMIN, PROTEIN, SCORE, POOR = np.array(OVARIAN.split(), float).reshape(-1, 4).T
ALL = {"albumin": ALBUMIN, "protein": PROTEIN, "score": -SCORE}


def cases(seed, positives, negatives, models=1, ties=False):
    """Scores [models, cases] that are correlated and better than chance, and the labels."""
    generator = np.random.default_rng(seed)
    labels = np.repeat([True, False], [positives, negatives])
    shared = generator.standard_normal(labels.size) + labels
    scores = shared + 0.7 * generator.standard_normal((models, labels.size))
    order = generator.permutation(labels.size)
    scores = np.round(2 * scores) if ties else scores
    return scores[:, order], labels[order]


def loops(scores, labels):
    """(area, V10, V01) by the definition, one pair of cases after the other."""
    x, y = scores[labels == 1], scores[labels == 0]
    psi = np.array([[float(a > b) + 0.5 * (a == b) for b in y] for a in x])
    return psi.mean(), psi.mean(axis=1), psi.mean(axis=0)


def variance(a, b):
    """Of an area, from its components."""
    return a.var(ddof=1) / a.size + b.var(ddof=1) / b.size


def naive_test(a, b, labels):
    (area, v10, v01), (other, w10, w01) = loops(a, labels), loops(b, labels)
    z = (area - other) / math.sqrt(variance(v10 - w10, v01 - w01))
    return math.erfc(abs(z) / math.sqrt(2))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("sizes", [(2, 2), (3, 9), (40, 25)])
def test_against_the_double_loop(sizes, ties):
    for seed in range(4):
        (a, b), labels = cases(seed, *sizes, models=2, ties=ties)
        area, v10, v01 = loops(a, labels)
        reach = 1.6448536269514722 * math.sqrt(variance(v10, v01))
        wanted = max(0, area - reach), min(1, area + reach)
        assert stats.delong_interval(a, labels, confidence=0.9) == pytest.approx(wanted, abs=1e-12)
        if variance(v10 - loops(b, labels)[1], v01 - loops(b, labels)[2]) > 1e-12:
            assert stats.delong_test(a, b, labels) == pytest.approx(naive_test(a, b, labels))


@pytest.mark.parametrize(
    "name, interval",
    [("albumin", (0.5549, 0.9182)), ("score", (0.5243, 0.9273)), ("protein", (0.4518, 0.8439))],
)
def test_published_intervals(name, interval):
    assert stats.delong_interval(ALL[name], POOR) == pytest.approx(interval, abs=6e-5)


@pytest.mark.parametrize("name, p", [("albumin", 0.9102), ("protein", 0.4561)])
def test_published_tests(name, p):
    assert stats.delong_test(ALL[name], ALL["score"], POOR) == pytest.approx(p, abs=6e-5)
    assert stats.delong_test(ALL["score"], ALL[name], POOR) == pytest.approx(p, abs=6e-5)


def test_the_interval_lies_about_the_area_of_the_metrics():
    (scores,), labels = cases(5, 30, 50, ties=True)
    low, high = stats.delong_interval(scores, labels.astype(int))
    assert (low + high) / 2 == pytest.approx(metrics.roc_auc(scores, labels))
    narrow = stats.delong_interval(scores, labels, confidence=0.5)
    assert low < narrow[0] < narrow[1] < high
    # Only the order of the scores matters, and turned labels turn the area
    assert stats.delong_interval(np.exp(scores), labels) == pytest.approx((low, high))
    assert stats.delong_interval(scores, ~labels) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize("ties", [False, True])
def test_the_interval_is_that_of_the_bootstrap(ties):
    (scores,), labels = cases(7, 150, 200, ties=ties)
    generator = np.random.default_rng(0)
    x, y = scores[labels], scores[~labels]
    areas = []
    for _ in range(1000):
        drawn = [np.sort(generator.choice(group, group.size)) for group in (x, y)]
        passed = np.searchsorted(drawn[1], drawn[0], "left")
        passed = passed + np.searchsorted(drawn[1], drawn[0], "right")
        areas.append(passed.mean() / (2 * y.size))
    wanted = np.quantile(areas, [0.025, 0.975])
    np.testing.assert_allclose(stats.delong_interval(scores, labels), wanted, atol=0.008)
    assert wanted[1] - wanted[0] > 0.08


def test_the_interval_covers_the_true_area():
    generator = np.random.default_rng(1)
    labels = np.repeat([1, 0], [40, 60])
    # Two normal scores one standard deviation apart
    true = 0.5 * math.erfc(-1 / 2)
    covered = 0
    for _ in range(1000):
        low, high = stats.delong_interval(generator.standard_normal(100) + labels, labels)
        covered += low <= true <= high
    assert 920 <= covered <= 975


def test_p_values_of_equal_models_are_uniform():
    generator = np.random.default_rng(2)
    labels = np.repeat([1, 0], [50, 50])
    shared = generator.standard_normal((600, 100)) + labels
    noise = 0.5 * generator.standard_normal((2, 600, 100))
    pairs = (shared + noise).swapaxes(0, 1)
    p = np.array([stats.delong_test(a, b, labels) for a, b in pairs])
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(p < 0.5) == pytest.approx(0.5, abs=0.06)


def test_a_better_model_is_found_and_correlation_helps():
    (a, _), labels = cases(3, 200, 200, models=2)
    generator = np.random.default_rng(0)
    worse = a + 0.8 * generator.standard_normal(a.size)
    paired = stats.delong_test(a, worse, labels)
    assert paired < 0.05
    # Without the covariance the difference would drown
    areas = [loops(x, labels) for x in (a, worse)]
    apart = sum(variance(v10, v01) for _, v10, v01 in areas)
    z = (areas[0][0] - areas[1][0]) / math.sqrt(apart)
    assert paired < math.erfc(z / math.sqrt(2))
    assert stats.delong_test(worse, a, labels) == paired


def test_without_variance():
    labels = [0, 0, 1, 1, 1]
    perfect, same = [1, 2, 3, 4, 5], [2, 2, 2, 2, 2]
    assert stats.delong_interval(perfect, labels) == (1, 1)
    assert stats.delong_interval([-x for x in perfect], labels) == (0, 0)
    assert stats.delong_interval(same, labels) == (0.5, 0.5)
    assert stats.delong_test(perfect, perfect, labels) == 1
    assert stats.delong_test(perfect, [1, 1, 9, 8, 7], labels) == 1
    assert math.isnan(stats.delong_test(perfect, same, labels))
    # Equal scores of an area that is no short binary number
    (scores,), labels = cases(0, 7, 13)
    assert stats.delong_test(scores, 3 * scores, labels) == 1
    # The cases of each class exchanged: the areas are equal, and the variance is not 0
    assert stats.delong_test([1, 3, 2, 4], [3, 1, 4, 2], [0, 0, 1, 1]) == 1
    # Every component falls by one half: no variance, and another area
    assert math.isnan(stats.delong_test([1, 3, 2, 4], [2, 4, 1, 3], [0, 0, 1, 1]))


def test_the_interval_is_clipped():
    scores, labels = [1, 2, 3, 4, 5, 6], [0, 0, 1, 0, 1, 1]
    low, high = stats.delong_interval(scores, labels)
    assert 0 < low < 8 / 9 and high == 1
    assert stats.delong_interval(scores, [1, 1, 0, 1, 0, 0])[0] == 0


def test_many_cases_take_no_square_memory():
    (a, b), labels = cases(0, 100_000, 100_000, models=2)
    low, high = stats.delong_interval(a, labels)
    assert 0 < high - low < 0.01
    assert 0 <= stats.delong_test(a, b, labels) <= 1


@pytest.mark.parametrize(
    "scores, labels, words",
    [
        ([1, 2, 3], [1, 1, 1], "two negative cases, got 0"),
        ([1, 2, 3], [0, 0, 0], "two positive cases, got 0"),
        ([1, 2, 3], [0, 0, 1], "two positive cases, got 1"),
        ([], [], "`labels` takes at least two positive"),
        ([1, 2, 3], [0, 1, 0, 1], "takes one score per label, 4, got shape"),
        ([1, 2, np.nan, 4], [0, 1, 0, 1], "takes finite scores, got nan"),
        ([1, 2, np.inf, 4], [0, 1, 0, 1], "takes finite scores, got inf"),
        ([1, 2, 3, 4], [0, 1, 2, 1], "`labels` takes 0 and 1"),
        ([1, 2, 3, 4], [[0, 1], [0, 1]], "`labels` takes one label per case"),
    ],
)
def test_refusals(scores, labels, words):
    with pytest.raises(ValueError, match=words):
        stats.delong_interval(scores, labels)
    with pytest.raises(ValueError, match=words):
        stats.delong_test(scores, scores, labels)
    if len(np.shape(labels)) == 1 and set(np.ravel(labels)) == {0, 1} and len(labels) == 4:
        with pytest.raises(ValueError, match=f"`b` {words}"):
            stats.delong_test([1, 2, 3, 4], scores, labels)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_a_confidence_out_of_range(confidence):
    with pytest.raises(ValueError, match="`confidence` takes"):
        stats.delong_interval([1, 2, 3, 4], [0, 1, 0, 1], confidence=confidence)
