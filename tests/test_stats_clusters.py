"""Intervals and tests of cases that belong together, as those of one patient."""

import itertools

import numpy as np
import pytest
import scipy.stats

from segjax import stats
from segjax.metrics import statistics

PATIENTS = np.array(["b", "a", "b", "c", "a", "b", "d", "d", "e", "e"])


def test_clusters_of_one_case_each_change_nothing():
    generator = np.random.default_rng(3)
    a, b, own = generator.random(30), generator.random(30), np.arange(30)[::-1]
    columns = generator.random((2, 30))
    assert stats.paired_permutation_test(a, b) == stats.paired_permutation_test(a, b, clusters=own)
    plain = stats.bootstrap_interval(a)
    assert stats.bootstrap_interval(a, clusters=own) == pytest.approx(plain, rel=1e-12)
    plain = stats.crossed_bootstrap_interval(columns, resamples=500)
    found = stats.crossed_bootstrap_interval(columns, resamples=500, clusters=own)
    assert found == pytest.approx(plain, rel=1e-12)
    left, right = [columns], [generator.random((2, 30))]
    mean = statistics.mean
    plain = stats.paired_statistic_test(left, right, mean, resamples=500)
    assert plain == stats.paired_statistic_test(left, right, mean, resamples=500, clusters=own)


def test_the_cases_of_a_cluster_change_sign_together():
    generator = np.random.default_rng(4)
    a, b = generator.random(10), generator.random(10)
    names = sorted({*PATIENTS})
    means = []
    for signs in itertools.product((1, -1), repeat=len(names)):
        sign = np.array([signs[names.index(name)] for name in PATIENTS])
        means.append(abs(np.mean(sign * (a - b))))
    wanted = np.mean(np.array(means) >= means[0] - 1e-12)
    assert stats.paired_permutation_test(a, b, clusters=PATIENTS) == pytest.approx(wanted)
    found = stats.paired_statistic_test(
        [a[None]], [b[None]], statistics.mean, clusters=PATIENTS
    )  # fmt: skip
    assert found == pytest.approx(wanted)
    assert wanted != stats.paired_permutation_test(a, b)


def test_whole_clusters_are_drawn():
    """BCa as SciPy gives it of a statistic of numbers of clusters; percentile by hand."""
    values = np.random.default_rng(5).random(10) + (PATIENTS == "b")
    names = ["b", "a", "c", "d", "e"]  # as they come
    members = [np.flatnonzero(PATIENTS == name) for name in names]

    # Sums and counts, for of two sums that differ in the last bit SciPy calls one the smaller
    sums = np.array([values[some].sum() for some in members])
    sizes = np.array([len(some) for some in members])

    def mean_of(numbers, axis=-1):
        drawn = numbers.astype(int)
        return sums[drawn].sum(axis) / sizes[drawn].sum(axis)

    wanted = scipy.stats.bootstrap(
        (np.arange(5),), mean_of, n_resamples=2000, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    found = stats.bootstrap_interval(values, resamples=2000, clusters=PATIENTS)
    assert found == pytest.approx((wanted.low, wanted.high), rel=1e-9)

    counts = np.random.default_rng(0).multinomial(5, np.full(5, 0.2), 2000)
    numbers = np.stack([np.repeat(np.arange(5), row) for row in counts])
    low, high = np.quantile(mean_of(numbers), [0.025, 0.975])
    found = stats.crossed_bootstrap_interval(values[None], resamples=2000, clusters=PATIENTS)
    assert found == pytest.approx((low, high))


def test_one_cluster_has_a_degenerate_interval_and_p_of_one():
    values = np.array([0.1, 0.5, 0.6])
    same = ["a"] * 3
    assert stats.bootstrap_interval(values, clusters=same) == pytest.approx((0.4, 0.4))
    assert stats.crossed_bootstrap_interval(values[None], clusters=same) == pytest.approx(
        (0.4, 0.4)
    )
    assert stats.paired_permutation_test(values, 0 * values, clusters=same) == 1


def test_correlated_cases_are_not_taken_for_independent_ones():
    """Without a difference, p falls below 0.05 about as often, though patients have six cases."""
    generator = np.random.default_rng(6)
    patients, small, wrong = np.repeat(np.arange(12), 6), 0, 0
    for _ in range(200):
        a = np.repeat(generator.normal(size=12), 6) + 0.1 * generator.normal(size=72)
        b = np.zeros(72)
        small += stats.paired_permutation_test(a, b, resamples=400, clusters=patients) < 0.05
        wrong += stats.paired_permutation_test(a, b, resamples=400) < 0.05
    assert small <= 22 and wrong >= 60


@pytest.mark.parametrize("clusters", [["a"], [["a", "b", "c"]], 3])
def test_clusters_that_do_not_fit_are_refused(clusters):
    values = np.array([0.1, 0.5, 0.6])
    calls = (
        lambda: stats.paired_permutation_test(values, values, clusters=clusters),
        lambda: stats.bootstrap_interval(values, clusters=clusters),
        lambda: stats.crossed_bootstrap_interval(values[None], clusters=clusters),
        lambda: stats.paired_statistic_test(
            [values[None]], [values[None]], statistics.mean, clusters=clusters
        ),
    )
    for call in calls:
        with pytest.raises(ValueError, match="`clusters` takes one entry per case, 3"):
            call()
    with pytest.raises(ValueError, match="takes the mean"):
        stats.bootstrap_interval(values, clusters=[1, 1, 2], statistic=np.median)
