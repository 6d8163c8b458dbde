import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import metrics

CURVES = [metrics.roc_auc, metrics.average_precision, metrics.sensitivity_specificity]


def cases(number=40, levels=8, seed=0):
    """Scores with ties, labels that follow them loosely, weights with zeros among them."""
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, levels, number) / levels
    labels = generator.random(number) < 0.2 + 0.5 * scores
    weights = np.maximum(0, generator.random(number) - 0.2)
    return scores, labels, weights


def auc_by_pairs(scores, labels, weights):
    won = total = 0.0
    for i, j in itertools.product(np.flatnonzero(labels), np.flatnonzero(~labels)):
        total += weights[i] * weights[j]
        won += weights[i] * weights[j] * ((scores[i] > scores[j]) + (scores[i] == scores[j]) / 2)
    return won / total


def confusion(scores, labels, weights, threshold):
    called = scores >= threshold
    return [
        weights[called & labels].sum(),
        weights[called & ~labels].sum(),
        weights[~called & labels].sum(),
        weights[~called & ~labels].sum(),
    ]


def ap_by_definition(scores, labels, weights):
    total, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        tp, fp, fn, _ = confusion(scores, labels, weights, threshold)
        if tp + fp:
            total += (tp / (tp + fn) - before) * tp / (tp + fp)
            before = tp / (tp + fn)
    return total


def operating_point(scores, labels, weights):
    best = (-1.0,)
    for threshold in sorted(set(scores), reverse=True):
        tp, fp, fn, tn = confusion(scores, labels, weights, threshold)
        se, sp = tp / (tp + fn), tn / (tn + fp)
        harmonic = 2 * se * sp / (se + sp)
        if harmonic > best[0] + 1e-9:
            best = (harmonic, se, sp, threshold)
    return best[1:]


ORACLES = list(zip(CURVES, [auc_by_pairs, ap_by_definition, operating_point], strict=True))


@pytest.mark.parametrize("metric, oracle", ORACLES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed, levels", [(0, 8), (1, 3), (2, 10**6)])
def test_it_equals_its_definition_with_and_without_ties(metric, oracle, weighted, seed, levels):
    scores, labels, weights = cases(seed=seed, levels=levels)
    got = metric(scores, labels, weights=weights if weighted else None)
    wanted = oracle(scores, labels, weights if weighted else np.ones_like(weights))
    assert got == pytest.approx(wanted, rel=1e-12)
    # Only order counts, and neither the shape nor the order of the cases does.
    again = metric(
        np.exp(3 * scores[::-1]).reshape(8, 5),
        labels[::-1].reshape(8, 5) * 1,
        weights=weights[::-1].reshape(8, 5) if weighted else None,
    )
    np.testing.assert_allclose(np.ravel(again)[:2], np.ravel(got)[:2], rtol=1e-12)


def test_a_worked_example():
    scores, labels = np.array([0.9, 0.8, 0.8, 0.4, 0.1]), np.array([1, 1, 0, 0, 1], bool)
    # Of the 6 pairs of a positive and a negative: 0.9 wins 2, 0.8 wins 1 and ties 1, 0.1 loses 2.
    assert metrics.roc_auc(scores, labels) == pytest.approx(3.5 / 6)
    # Recall 1/3 at precision 1, then 2/3 at 2/3 (both 0.8 at once), then 1 at 3/5.
    assert metrics.average_precision(scores, labels) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    # At 0.9: 1/3 and 1, h = 1/2. At 0.8: 2/3 and 1/2, h = 4/7.
    point = metrics.sensitivity_specificity(scores, labels)
    assert point == pytest.approx((2 / 3, 1 / 2, 0.8))


def test_best_and_worst():
    labels = np.array([0, 0, 1, 1, 1], bool)
    rising = np.arange(5.0)
    assert metrics.roc_auc(rising, labels) == metrics.average_precision(rising, labels) == 1
    assert metrics.sensitivity_specificity(rising, labels) == (1, 1, 2)
    assert metrics.roc_auc(-rising, labels) == 0
    assert metrics.roc_auc(0 * rising, labels) == 0.5
    assert metrics.average_precision(0 * rising, labels) == pytest.approx(0.6)
    assert metrics.sensitivity_specificity(0 * rising, labels) == (1, 0, 0)
    assert metrics.roc_auc(np.array([-np.inf, 0, np.inf]), labels[1:4]) == 1


def test_ties_of_the_harmonic_mean_go_to_the_highest_threshold():
    # At 3: sensitivity 1/2, specificity 1; at 1: the reverse.
    scores, labels = np.array([3.0, 2, 1, 0]), np.array([1, 0, 1, 0], bool)
    assert metrics.sensitivity_specificity(scores, labels) == (0.5, 1, 3)


@pytest.mark.parametrize("metric", CURVES)
def test_a_weight_counts_a_case_as_often_and_where_leaves_it_out(metric):
    scores, labels, weights = cases()
    times = (4 * weights).astype(int)
    got = metric(scores, labels, weights=times)
    assert got == pytest.approx(metric(np.repeat(scores, times), np.repeat(labels, times)))
    where = times > 1
    wanted = metric(scores[where], labels[where])
    dirty = np.where(where, labels, 9)
    garbage, none = np.where(where, scores, np.nan), np.where(where, 1, -1.0)
    assert metric(garbage, dirty, where=where, weights=none) == wanted


@pytest.mark.parametrize("metric", CURVES)
def test_without_positives_or_negatives_nothing_is_defined(metric):
    scores = np.arange(3.0)
    assert np.all(np.isnan(metric(scores, np.zeros(3, bool))))
    assert np.all(np.isnan(metric(scores[:0], np.zeros(0, bool))))
    assert np.all(np.isnan(metric(scores, scores > 1, weights=(scores <= 1) * 1.0)))
    only_positives = metric(scores, np.ones(3, bool))
    if metric is metrics.average_precision:
        assert only_positives == 1
    else:
        assert np.all(np.isnan(only_positives))


@pytest.mark.parametrize("metric", CURVES)
def test_it_takes_jax_arrays_of_any_precision(metric):
    scores, labels, _ = cases()
    got = metric(jnp.asarray(scores, jnp.bfloat16), jnp.asarray(labels))
    assert got == pytest.approx(metric(scores, labels))  # eighths are exact in bfloat16


@pytest.mark.parametrize("metric", CURVES)
def test_errors_name_the_argument(metric):
    scores, labels, weights = cases()
    with pytest.raises(ValueError, match="`labels`"):
        metric(scores, labels[1:])
    with pytest.raises(ValueError, match="`labels`"):
        metric(scores, labels * 2)
    with pytest.raises(TypeError, match="`labels`"):
        metric(scores, labels * 1.0)
    with pytest.raises(ValueError, match="`weights`"):
        metric(scores, labels, weights=weights[1:])
    with pytest.raises(ValueError, match="`weights`"):
        metric(scores, labels, weights=weights - 1)
    with pytest.raises(ValueError, match="`scores`"):
        metric(scores * np.nan, labels)
    with pytest.raises(TypeError, match="`where`"):
        metric(scores, labels, where=weights)
    with pytest.raises(ValueError, match="`where`"):
        metric(scores, labels, where=labels[1:])


def images(shape=(4, 9, 10), seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.random(shape) < 0.2
    scores = np.clip(0.6 * generator.random(shape) + 0.4 * labels, 0, 1)
    return scores.astype(np.float32), labels


@pytest.mark.parametrize("shape", [(4, 9, 10), (2, 3, 4, 5), (30,)])
@pytest.mark.parametrize("thresholds", [33, 2, (0.1, 0.5, 0.51)])
def test_counts_equal_counting(shape, thresholds):
    scores, labels = images(shape)
    where = np.random.default_rng(1).random(shape) < 0.7
    got = jax.jit(lambda s, t, w: metrics.threshold_counts(s, t, thresholds=thresholds, where=w))(
        np.where(where, scores, np.nan), labels, where
    )
    values = np.linspace(0, 1, thresholds) if isinstance(thresholds, int) else thresholds
    wanted = [
        [confusion(s.ravel(), m.ravel(), w.ravel() * 1, np.float32(t)) for t in values]
        for s, m, w in zip(scores, labels, where, strict=True)
    ]
    assert got.dtype == jnp.int32
    np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(got.sum(-1)[:, 0], where.reshape(shape[0], -1).sum(-1))


def test_the_challenge_has_33_thresholds_in_steps_of_eight_grey_levels():
    grey = np.arange(256).reshape(1, -1)
    counts = metrics.threshold_counts((grey / 256).astype(np.float32), np.ones_like(grey))
    wanted = [np.count_nonzero(grey >= level) for level in range(0, 257, 8)]
    assert len(wanted) == 33
    np.testing.assert_array_equal(counts[0, :, 0], wanted)


def test_a_score_equal_to_the_threshold_is_positive():
    counts = metrics.threshold_counts(np.array([[0.5, 1.0]], np.float32), np.array([[1, 1]]))
    np.testing.assert_array_equal(counts[0, [16, 17, 32], 0], [2, 1, 1])


def test_counts_of_batches_give_the_curve_of_the_set():
    scores, labels = images()
    whole = metrics.threshold_counts(scores.reshape(1, -1), labels.reshape(1, -1))[0]
    parts = [
        np.asarray(metrics.threshold_counts(scores[s], labels[s]), np.int64).sum(0)
        for s in (slice(0, 1), slice(1, 4))
    ]
    np.testing.assert_array_equal(sum(parts), whole)
    curve = metrics.average_precision_from_counts(sum(parts))
    mean = np.mean([metrics.average_precision_from_counts(p) for p in parts])
    assert curve == metrics.average_precision_from_counts(whole) and abs(curve - mean) > 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_a_threshold_at_every_score_gives_the_exact_average_precision(seed):
    scores, labels = images(seed=seed)
    scores = np.round(scores * 50) / np.float32(50)
    counts = metrics.threshold_counts(scores, labels, thresholds=np.unique(scores)).sum(0)
    exact = metrics.average_precision(scores, labels)
    np.testing.assert_allclose(metrics.average_precision_from_counts(counts), exact, rtol=1e-12)
    # The ends of a trapezoid are the steps before and after: it lies between the two sums.
    fine, coarse = (
        metrics.average_precision_from_counts(
            metrics.threshold_counts(scores, labels, thresholds=number).sum(0)
        )
        for number in (513, 5)
    )
    assert fine == pytest.approx(exact, abs=0.01) and coarse < exact - 0.01


def test_areas_of_a_small_curve_by_hand():
    # Thresholds t0 < t1 < t2 < t3: recall 1, 1/2, 1/4, 0 and precision 1/4, 1/2, 1/3, none.
    counts = np.array([[4, 12, 0, 0], [2, 2, 2, 10], [1, 2, 3, 10], [0, 0, 4, 12]])
    precision, recall = metrics.precision_recall_from_counts(counts)
    np.testing.assert_array_equal(precision, [1 / 4, 1 / 2, 1 / 3, np.nan])
    np.testing.assert_array_equal(recall, [1, 1 / 2, 1 / 4, 0])
    step = 1 / 2 * 1 / 4 + 1 / 4 * 1 / 2 + 1 / 4 * 1 / 3
    trapezoid = 1 / 2 * 3 / 8 + 1 / 4 * 5 / 12 + 1 / 4 * 1 / 3
    for rule, area in (("step", step), ("trapezoid", trapezoid)):
        assert metrics.average_precision_from_counts(counts, rule=rule) == pytest.approx(area)
        # Without the empty last threshold the curve runs level from the last point as well.
        assert metrics.average_precision_from_counts(counts[:3], rule=rule) == pytest.approx(area)
        both = metrics.average_precision_from_counts(np.stack([counts, counts]), rule=rule)
        np.testing.assert_allclose(both, [area, area])
    np.testing.assert_allclose(metrics.dice_from_counts(counts), [0.4, 0.5, 2 / 7, 0])


def test_degenerate_counts():
    nothing_found = np.array([[0, 0, 3, 5]] * 4)
    nothing_there = np.array([[0, 5, 0, 0], [0, 2, 0, 3]])
    for rule in ("step", "trapezoid"):
        assert metrics.average_precision_from_counts(nothing_found, rule=rule) == 0
        assert np.isnan(metrics.average_precision_from_counts(nothing_there, rule=rule))
    scores, labels = images()
    counts = metrics.threshold_counts(scores, labels, where=np.zeros_like(labels))
    assert not counts.any()
    saturated = metrics.threshold_counts(labels.astype(np.float32), labels).sum(0)
    np.testing.assert_allclose(metrics.average_precision_from_counts(saturated), 1)


@pytest.mark.parametrize("rule", ["step", "trapezoid"])
@pytest.mark.parametrize("dtype", "int32 uint32 int64 uint64 float32".split())
def test_areas_take_counts_of_any_kind(rule, dtype):
    scores, labels = images()
    counts = np.asarray(metrics.threshold_counts(scores, labels)).sum(0)
    wanted = metrics.average_precision_from_counts(counts.astype(float), rule=rule)
    got = metrics.average_precision_from_counts(counts.astype(dtype), rule=rule)
    assert 0 < wanted < 1 and got == wanted


def test_labels_in_64_bits_do_not_wrap_to_negative():
    scores, labels = images()
    got = metrics.threshold_counts(scores, labels * np.int64(2**32))
    np.testing.assert_array_equal(got, metrics.threshold_counts(scores, labels))


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_errors_of_the_counts_are_static(wrap):
    scores, labels = images()
    count = metrics.threshold_counts
    with pytest.raises(TypeError, match="`scores`"):
        wrap(count)(labels, labels)
    with pytest.raises(TypeError, match="`labels`"):
        wrap(count)(scores, scores)
    with pytest.raises(ValueError, match="`labels`"):
        wrap(count)(scores, labels[:1])
    for thresholds in (1, (), (0.5, 0.5), (0.5, 0.1), ((0.1, 0.2),)):
        with pytest.raises(ValueError, match="`thresholds`"):
            wrap(lambda s, t, v=thresholds: count(s, t, thresholds=v))(scores, labels)
    with pytest.raises(TypeError, match="`where`"):
        wrap(lambda s, t: count(s, t, where=s))(scores, labels)


def test_errors_of_the_areas():
    good = np.zeros((33, 4), int)
    for bad in (good[:, :3], good[0], good[:0]):
        with pytest.raises(ValueError, match="`counts`"):
            metrics.average_precision_from_counts(bad)
    with pytest.raises(ValueError, match="`counts`"):
        metrics.precision_recall_from_counts(good[:, :3])
    with pytest.raises(ValueError, match="`rule`"):
        metrics.average_precision_from_counts(good, rule="smooth")
    rising = good.copy()
    rising[5, 0] = 1
    with pytest.raises(ValueError, match="rising"):
        metrics.average_precision_from_counts(rising)
    for wrong in (np.nan, -1):
        broken = good.astype(float)
        broken[32, 0] = wrong
        with pytest.raises(ValueError, match="`counts` takes numbers >= 0"):
            metrics.average_precision_from_counts(broken)
