import itertools
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import scipy.stats

from segjax import stats
from segjax.metrics import statistics


def test_the_exact_permutation_test_counts_every_sign():
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal(8) + 0.5, generator.standard_normal(8)
    difference = a - b
    hits = sum(
        abs(np.dot(signs, difference)) >= abs(difference.sum()) - 1e-12
        for signs in itertools.product((-1, 1), repeat=8)
    )
    assert stats.paired_permutation_test(a, b) == hits / 256
    # SciPy's own, which is exact at this size.
    theirs = scipy.stats.permutation_test(
        (a, b),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    ).pvalue
    assert stats.paired_permutation_test(a, b) == pytest.approx(theirs)


def test_the_exact_test_with_ties_and_extremes():
    assert stats.paired_permutation_test([1, 2, 3], [1, 2, 3]) == 1
    assert stats.paired_permutation_test([2.0], [1.0]) == 1
    ten = np.arange(10.0)
    assert stats.paired_permutation_test(ten + 1, ten) == 2 / 1024
    assert stats.paired_permutation_test([0.1, 0.2, -0.3], [0, 0, 0]) == 1


def test_the_random_test_is_near_the_exact_one_and_never_zero():
    generator = np.random.default_rng(3)
    a = generator.standard_normal(12) + 0.4
    b = np.zeros(12)
    exact = stats.paired_permutation_test(a, b, resamples=2**12)
    random = stats.paired_permutation_test(a, b, resamples=4000)
    assert random != exact and random == pytest.approx(exact, abs=0.02)
    assert random == stats.paired_permutation_test(a, b, resamples=4000)
    assert random != stats.paired_permutation_test(a, b, resamples=4000, seed=1)
    many = np.ones(100)
    assert stats.paired_permutation_test(many, 0 * many, resamples=999) == 1 / 1000


def test_the_exact_permutation_test_needs_no_more_memory_for_more_signs(monkeypatch):
    generator = np.random.default_rng(2)
    a, b = generator.standard_normal((2, 16))
    whole = stats.paired_permutation_test(a, b, resamples=2**16)
    monkeypatch.setattr(stats.resampling, "BLOCK", 2**14)
    tracemalloc.start()
    assert stats.paired_permutation_test(a, b, resamples=2**16) == whole
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 2**14 * 8  # 8 arrays of a block; the signs alone fill 64 blocks
    # All sums, each one of the first half's and one of the second half's.
    difference = a - b
    left, right = (
        np.array([np.dot(s, half) for s in itertools.product((-1, 1), repeat=8)])
        for half in np.split(difference, 2)
    )
    sums = np.abs(left[:, None] + right[None, :])
    assert whole == np.mean(sums >= abs(difference.sum()) - 1e-9)


def test_the_crossed_bootstrap_does_not_depend_on_the_block(monkeypatch):
    values = np.random.default_rng(3).standard_normal((3, 40))
    interval = stats.crossed_bootstrap_interval(values, resamples=500)
    monkeypatch.setattr(stats.resampling, "BLOCK", 40 * 7)
    assert stats.crossed_bootstrap_interval(values, resamples=500) == pytest.approx(interval)


def test_the_test_is_two_sided_and_does_not_depend_on_the_block(monkeypatch):
    generator = np.random.default_rng(1)
    a, b = generator.standard_normal((2, 30))
    value = stats.paired_permutation_test(a, b)
    assert stats.paired_permutation_test(b, a) == pytest.approx(value, abs=1e-12)
    monkeypatch.setattr(stats.resampling, "BLOCK", 30 * 64)
    assert stats.paired_permutation_test(a, b) == pytest.approx(value, abs=0.03)


def test_under_no_difference_small_p_values_are_rare():
    generator = np.random.default_rng(5)
    p_values = [
        stats.paired_permutation_test(generator.standard_normal(8), np.zeros(8)) for _ in range(400)
    ]
    assert np.mean(np.array(p_values) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize(
    "a, b, options",
    [
        ([], [], {}),
        ([1.0], [1.0, 2.0], {}),
        ([np.nan], [1.0], {}),
        ([[1.0]], [[1.0]], {}),
        ([1.0], [2.0], {"resamples": 0}),
    ],
)
def test_the_permutation_test_refuses(a, b, options):
    with pytest.raises(ValueError, match="`"):
        stats.paired_permutation_test(a, b, **options)


def test_the_interval_is_scipys_bca():
    values = np.random.default_rng(2).gamma(1, size=25)
    low, high = stats.bootstrap_interval(values, resamples=2000, seed=4)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=2000, method="BCa", rng=np.random.default_rng(4)
    ).confidence_interval
    assert (low, high) == pytest.approx((theirs.low, theirs.high))
    assert low < values.mean() < high
    wider = stats.bootstrap_interval(values, confidence=0.99, resamples=2000, seed=4)
    assert wider[0] < low and wider[1] > high


def test_the_interval_covers_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    covered = 0
    for seed in range(120):
        low, high = stats.bootstrap_interval(
            generator.standard_normal(30), resamples=500, confidence=0.9, seed=seed
        )
        covered += low <= 0 <= high
    assert 0.8 <= covered / 120 <= 0.97


def test_degenerate_intervals():
    assert stats.bootstrap_interval([3.0]) == (3, 3)
    assert stats.bootstrap_interval([2.0, 2.0, 2.0]) == (2, 2)
    # The median of these hardly varies: BCa is not defined, the percentile interval is.
    values = [0.0] + [1.0] * 30
    assert stats.bootstrap_interval(values, statistic=np.median, resamples=200) == (1, 1)
    low, high = stats.bootstrap_interval([1.0, 2.0])
    assert 1 <= low <= high <= 2


@pytest.mark.parametrize(
    "values, options",
    [
        ([], {}),
        ([1.0, np.inf], {}),
        ([1.0, 2.0], {"confidence": 1.0}),
        ([1.0, 2.0], {"confidence": 0}),
        ([1.0, 2.0], {"resamples": 0}),
    ],
)
def test_the_interval_refuses(values, options):
    with pytest.raises(ValueError, match="`"):
        stats.bootstrap_interval(values, **options)


def test_holm_on_a_worked_example():
    # Ascending 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, made monotone.
    np.testing.assert_allclose(stats.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(stats.holm([0.5, 0.9]), [1, 1])
    np.testing.assert_allclose(stats.holm([0.2]), [0.2])
    assert stats.holm([]).shape == (0,)


def test_holm_rejects_what_the_step_down_procedure_rejects():
    p_values = np.random.default_rng(0).beta(0.3, 2, 12)
    rejected = np.zeros(12, bool)
    for rank, index in enumerate(np.argsort(p_values)):
        if p_values[index] > 0.05 / (12 - rank):
            break
        rejected[index] = True
    assert rejected.any() and not rejected.all()
    np.testing.assert_array_equal(stats.holm(p_values) <= 0.05, rejected)


@pytest.mark.parametrize("p_values", [[-0.1], [1.1], [np.nan], [[0.5]]])
def test_holm_refuses(p_values):
    with pytest.raises(ValueError, match="`p_values`"):
        stats.holm(p_values)


def test_importing_stats_leaves_scipy_alone():
    code = "import sys, segjax.stats; sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_crossed_interval_covers_the_mean_and_reduces_to_its_parts():
    values = np.random.default_rng(0).normal(1.0, 0.2, (3, 80))
    low, high = stats.crossed_bootstrap_interval(values)
    assert low < values.mean() < high
    # Seeds that agree to the last bit leave only the spread of the cases: sd / sqrt(n).
    same = np.repeat(values[:1], 3, axis=0)
    low, high = stats.crossed_bootstrap_interval(same)
    wanted = 2 * 1.96 * same[0].std() / np.sqrt(80)
    assert high - low == pytest.approx(wanted, rel=0.1)
    # Seeds that differ widen it, and a falling statistic turns the ends around.
    apart = values + np.array([[-1.0], [0.0], [1.0]])
    wide = stats.crossed_bootstrap_interval(apart)
    assert wide[1] - wide[0] > 3 * (high - low)
    score = stats.crossed_bootstrap_interval(same, statistic=statistics.r_aed)
    assert score[0] == pytest.approx(1 / (high + 0.1), rel=1e-4)
    assert score[1] == pytest.approx(1 / (low + 0.1), rel=1e-4)
    assert stats.crossed_bootstrap_interval(np.full((2, 5), 3.0)) == (3.0, 3.0)


@pytest.mark.parametrize("values", [np.zeros(3), np.zeros((0, 3)), [[1.0, np.nan]]])
def test_crossed_interval_refuses(values):
    with pytest.raises(ValueError, match=r"columns take finite numbers \[seeds, cases\]"):
        stats.crossed_bootstrap_interval(values)


def test_crossed_interval_of_two_columns():
    """AUROC under each seed, the cases drawn with their labels, as resampling by hand."""
    generator = np.random.default_rng(1)
    label = np.tile(generator.integers(0, 2, 30), (3, 1))
    score = label + generator.normal(0, 1.2, (3, 30))
    low, high = stats.crossed_bootstrap_interval(score, label, statistic=statistics.roc_auc)
    mean = statistics.roc_auc(score, label).mean()
    assert 0.4 < low < mean < high < 1
    drawn = []
    for _ in range(3000):
        cases, seeds = generator.integers(0, 30, 30), generator.integers(0, 3, 3)
        values = statistics.roc_auc(score[:, cases], label[:, cases])
        drawn.append(values[seeds].mean())
    assert (low, high) == pytest.approx(tuple(np.nanquantile(drawn, [0.025, 0.975])), abs=0.015)
    narrow = stats.crossed_bootstrap_interval(
        score, label, statistic=statistics.roc_auc, confidence=0.5, seed=3
    )
    assert low < narrow[0] < narrow[1] < high


def test_crossed_interval_leaves_out_resamples_that_are_not_defined():
    """With one positive among four, a third of the resamples has none."""
    label, score = np.array([[0.0, 0, 0, 1]]), np.array([[0.1, 0.2, 0.9, 0.5]])
    low, high = stats.crossed_bootstrap_interval(score, label, statistic=statistics.roc_auc)
    assert (low, high) == (0.0, 1.0)


def test_crossed_interval_wants_columns_of_one_shape():
    with pytest.raises(ValueError, match="columns take finite numbers"):
        stats.crossed_bootstrap_interval(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="at least one column"):
        stats.crossed_bootstrap_interval()
    with pytest.raises(ValueError, match="`resamples`"):
        stats.crossed_bootstrap_interval(np.zeros((2, 3)), resamples=0)


# --- the paired test of a statistic ---------------------------------------------------------------


def last_mean(column):
    return np.mean(column, axis=-1)


@pytest.mark.parametrize("cases", [1, 8, 12])
@pytest.mark.parametrize("seeds", [1, 3])
def test_exchanged_means_are_the_exact_permutation_test(cases, seeds):
    generator = np.random.default_rng(cases)
    a, b = generator.normal(0.4, 1, (seeds, cases)), generator.normal(0, 1, (seeds, cases))
    wanted = stats.paired_permutation_test(a.mean(axis=0), b.mean(axis=0))
    assert stats.paired_statistic_test([a], [b], last_mean) == wanted
    assert stats.paired_statistic_test([b], [a], statistics.mean) == wanted


def test_exchanged_means_are_the_random_permutation_test_to_the_draw():
    """Both draw signs from the same generator in the same blocks."""
    a, b = np.random.default_rng(4).normal(0.2, 1, (2, 1, 25))
    for seed in (0, 1):
        options = {"resamples": 500, "seed": seed}
        wanted = stats.paired_permutation_test(a[0], b[0], **options)
        assert 1 / 501 < wanted < 1
        assert stats.paired_statistic_test([a], [b], last_mean, **options) == wanted


def test_a_clear_difference_is_rarely_reached_and_none_always():
    generator = np.random.default_rng(0)
    label = np.tile(generator.integers(0, 2, 40), (2, 1))
    good, chance = label + generator.normal(0, 0.5, (2, 40)), generator.normal(0, 1, (2, 40))
    options = {"statistic": statistics.roc_auc, "resamples": 999}
    assert stats.paired_statistic_test([good, label], [chance, label], **options) < 0.01
    assert stats.paired_statistic_test([chance, label], [good, label], **options) < 0.01
    assert stats.paired_statistic_test([good, label], [good, label], **options) == 1
    few = slice(0, 8)
    same = [good[:, few], label[:, few]]
    assert stats.paired_statistic_test(same, same, **options) == 1  # exact


def test_every_column_of_a_case_is_exchanged_under_all_seeds_at_once():
    """All exchanges by hand, of a ratio of two columns."""
    generator = np.random.default_rng(2)
    a, b = generator.random((2, 2, 3, 6)) + 0.5

    def ratio(upper, lower):
        return upper.sum(axis=-1) / lower.sum(axis=-1)

    sizes = []
    for bits in itertools.product((False, True), repeat=6):
        one, two = np.where(bits, b, a), np.where(bits, a, b)
        sizes.append(abs(np.mean(ratio(*one) - ratio(*two))))
    wanted = np.mean(np.array(sizes) >= sizes[0] - 1e-12)
    assert stats.paired_statistic_test([*a], [*b], ratio) == wanted


def test_under_no_difference_small_p_values_of_auroc_are_rare():
    generator = np.random.default_rng(6)
    p_values = []
    for _ in range(150):
        label = np.tile(np.arange(24) % 2, (1, 1))
        a, b = (label + generator.normal(0, 1, (1, 24)) for _ in range(2))
        given = [a, label], [b, label], statistics.roc_auc
        p_values.append(stats.paired_statistic_test(*given, resamples=199))
    assert np.mean(np.array(p_values) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)
    assert np.mean(np.array(p_values) <= 0.5) >= 0.3


def test_an_exchange_that_is_not_defined_counts_as_reaching():
    """Of two cases: exchanging one of them leaves only one kind under each condition."""
    score, first, second = np.array([[0.1, 0.9]]), np.array([[0, 1]]), np.array([[1, 0]])
    given = [score, first], [score, second], statistics.roc_auc
    assert stats.paired_statistic_test(*given) == 1


def test_the_test_of_a_statistic_does_not_depend_on_the_block(monkeypatch):
    a, b = np.random.default_rng(8).normal(0.3, 1, (2, 2, 10))
    whole = stats.paired_statistic_test([a], [b], last_mean)
    monkeypatch.setattr(stats.resampling, "BLOCK", 10 * 7)
    assert stats.paired_statistic_test([a], [b], last_mean) == whole


@pytest.mark.parametrize(
    "a, b, options, message",
    [
        ([], [], {}, "at least one column"),
        ([np.zeros((1, 3))], [np.zeros((1, 4))], {}, "the same shapes"),
        ([np.zeros((1, 3))], [np.zeros((2, 3))], {}, "the same shapes"),
        ([np.zeros((1, 3))] * 2, [np.zeros((1, 3))], {}, "the same shapes"),
        ([np.zeros(3)], [np.zeros(3)], {}, "columns take finite numbers"),
        ([np.full((1, 3), np.nan)], [np.zeros((1, 3))], {}, "columns take finite numbers"),
        ([np.zeros((1, 3))], [np.zeros((1, 3))], {"resamples": 0}, "`resamples`"),
    ],
)
def test_the_test_of_a_statistic_refuses(a, b, options, message):
    with pytest.raises(ValueError, match=message):
        stats.paired_statistic_test(a, b, last_mean, **options)


def test_a_statistic_that_is_not_defined_is_refused():
    one_kind = [np.zeros((1, 3)), np.ones((1, 3))]
    with pytest.raises(ValueError, match="`statistic` is not defined on the cases given"):
        stats.paired_statistic_test(one_kind, one_kind, statistics.roc_auc)
