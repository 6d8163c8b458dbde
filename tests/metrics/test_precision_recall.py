"""Histograms of scores: counts by definition, and three conventions of the area below the curve."""

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from segjax import metrics
from segjax.metrics import precision_recall
from segjax.metrics.precision_recall import BINS, CONVENTIONS, GREY_LEVELS, TENTHS

NAN = np.nan


def images(shape=(3, 40, 50), seed=0, dtype=np.float32):
    """Scores that follow rare labels loosely, with exact zeros and ones among them."""
    generator = np.random.default_rng(seed)
    labels = generator.random(shape) < 0.1
    scores = np.clip(generator.normal(0.3 + 0.4 * labels, 0.25), 0, 1)
    return scores.astype(dtype), labels


def grey(shape=(4000,), seed=0):
    """Scores that are grey levels k / 256: no bin has two different ones."""
    scores, labels = images(shape, seed)
    return np.round(scores * 256) / np.float32(256), labels


def sorted_area(scores, labels):
    """Steps of the precision-recall curve at every distinct score, pixels sorted, in float64."""
    order = np.argsort(-scores.ravel(), kind="stable")
    scores, labels = scores.ravel()[order], labels.ravel()[order]
    recall, before, area = np.cumsum(labels) / labels.sum(), 0.0, 0.0
    for k in range(scores.size):
        if k + 1 == scores.size or scores[k + 1] != scores[k]:
            area += (recall[k] - before) * recall[k] * labels.sum() / (k + 1)
            before = recall[k]
    return area


def coarse_area(scores, labels, thresholds, last):
    """Trapezoids from the lowest threshold on. Where nothing is found precision is `last`, or with
    None that of the point before; the curve ends there at recall 0."""
    points, before = [], last
    for threshold in thresholds:
        found = scores >= np.float32(threshold)
        precision = np.mean(labels[found]) if found.any() else before
        points.append((np.sum(labels & found) / labels.sum(), precision))
        before = precision if last is None else last
    points.append((0.0, before))
    pairs = zip(points, points[1:], strict=False)
    return sum((r - s) * (p + q) / 2 for (r, p), (s, q) in pairs)


def challenge(scores, labels):
    return coarse_area(scores, labels, [level / 256 for level in range(0, 257, 8)], None)


def eleven(scores, labels):
    return coarse_area(scores, labels, [k / 10 for k in range(11)], 1.0)


ORACLES = dict(zip(CONVENTIONS, (sorted_area, challenge, eleven), strict=True))


def area(scores, labels, convention):
    histogram = metrics.score_histogram(np.asarray(scores, np.float32), np.asarray(labels, bool))
    return float(metrics.average_precision_from_histogram(histogram, convention=convention))


# --- the histogram --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
def test_it_counts_pixels_by_the_floor_of_their_score(dtype):
    scores, labels = images()
    scores = (np.round(scores * 2**16) / 2**16).astype(dtype)  # products that need no rounding
    got = metrics.score_histogram(scores, labels)
    wanted = np.zeros((81921, 2), int)
    for score, label in zip(scores.ravel().tolist(), labels.ravel().tolist(), strict=True):
        wanted[int(score * 81920), int(label)] += 1
    assert got.dtype == np.int64 and got.shape == (BINS + 1, 2)
    np.testing.assert_array_equal(got, wanted)
    assert got[BINS].sum() == np.sum(scores == 1) > 0


def test_rounding_moves_a_score_by_less_than_a_hundredth_of_a_bin():
    scores = images((20_000,))[0]
    got = metrics.score_histogram(scores, scores < 0)[:, 0]
    above = np.cumsum(got[::-1])[::-1]
    product = np.sort(scores.astype(np.float64) * 81920)
    edges = np.arange(81921)
    fewest, most = (scores.size - np.searchsorted(product, edges - t) for t in (0, 0.01))
    assert np.all((fewest <= above) & (above <= most)) and above[0] == scores.size


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_grey_levels_and_tenths_begin_a_bin(dtype):
    for edges, width in ((np.arange(257) / 256, 320), (np.arange(11) / 10, 8192)):
        edges = edges.astype(dtype)
        got = metrics.score_histogram(edges, np.ones(edges.shape, bool))[:, 1]
        np.testing.assert_array_equal(np.flatnonzero(got), width * np.arange(edges.size))
    # The largest number below a grey level lies in the bin before.
    below = np.nextafter((np.arange(1, 257) / 256).astype(dtype), dtype(0))
    got = metrics.score_histogram(below, np.ones(256, bool))[:, 1]
    np.testing.assert_array_equal(np.flatnonzero(got), 320 * np.arange(1, 257) - 1)


def test_halves_and_chunks_add_up(monkeypatch):
    scores, labels = images()
    whole = metrics.score_histogram(scores, labels)
    parts = [metrics.score_histogram(scores[s], labels[s]) for s in (slice(0, 1), slice(1, 3))]
    np.testing.assert_array_equal(sum(parts), whole)
    monkeypatch.setattr(precision_recall, "CHUNK", 7)
    np.testing.assert_array_equal(metrics.score_histogram(scores, labels), whole)


def test_where_leaves_pixels_out_whatever_they_hold(monkeypatch):
    monkeypatch.setattr(precision_recall, "CHUNK", 1000)
    scores, labels = images()
    where = np.random.default_rng(1).random(scores.shape) < 0.6
    where[0] = False
    wanted = metrics.score_histogram(scores[where], labels[where])
    dirty, garbage = np.where(where, labels, 9), np.where(where, scores, np.float32(NAN))
    np.testing.assert_array_equal(metrics.score_histogram(garbage, dirty, where=where), wanted)
    assert not metrics.score_histogram(garbage, dirty, where=where & False).any()
    assert not metrics.score_histogram(scores[:0], labels[:0]).any()


def test_it_takes_jax_arrays_integers_and_single_numbers():
    scores, labels = images()
    wanted = metrics.score_histogram(scores, labels)
    got = metrics.score_histogram(jnp.asarray(scores), jnp.asarray(labels))
    np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(metrics.score_histogram(scores, labels.astype(np.uint8)), wanted)
    assert metrics.score_histogram(np.float32(0.5), np.bool_(True))[BINS // 2, 1] == 1


def test_errors_of_the_histogram_name_the_argument():
    scores, labels = images()
    for wrong in (NAN, -0.001, 1.001, np.inf, -np.inf):
        bad = scores.copy()
        bad[1, 2, 3] = wrong
        with pytest.raises(ValueError, match=r"`scores` takes probabilities in \[0, 1\], got"):
            metrics.score_histogram(bad, labels)
    with pytest.raises(TypeError, match="`scores`"):
        metrics.score_histogram(labels, labels)
    with pytest.raises(ValueError, match="`labels`"):
        metrics.score_histogram(scores, labels[1:])
    with pytest.raises(ValueError, match="`labels`"):
        metrics.score_histogram(scores, labels * 255)
    with pytest.raises(TypeError, match="`labels`"):
        metrics.score_histogram(scores, scores)
    with pytest.raises(TypeError, match="`labels`"):
        metrics.score_histogram(scores, scores, where=labels & False)
    with pytest.raises(TypeError, match="`where`"):
        metrics.score_histogram(scores, labels, where=scores)
    with pytest.raises(ValueError, match="`where`"):
        metrics.score_histogram(scores, labels, where=labels[1:])


# --- counts at thresholds -------------------------------------------------------------------------


@pytest.mark.parametrize("thresholds", [GREY_LEVELS, TENTHS, [0.5], np.float32(TENTHS)])
def test_counts_equal_counting(thresholds):
    scores, labels = images()
    one = [metrics.score_histogram(s, m) for s, m in zip(scores, labels, strict=True)]
    got = metrics.counts_from_histogram(np.stack(one), thresholds)
    wanted = [
        [
            [np.sum(found & m), np.sum(found & ~m), np.sum(~found & m), np.sum(~found & ~m)]
            for found in (s >= np.float32(t) for t in thresholds)
        ]
        for s, m in zip(scores, labels, strict=True)
    ]
    assert got.dtype == np.int64 and got.shape == (3, len(thresholds), 4)
    np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(metrics.counts_from_histogram(sum(one), thresholds), got.sum(0))
    device = metrics.threshold_counts(scores, labels, thresholds=np.float64(thresholds))
    np.testing.assert_array_equal(got, device)


@pytest.mark.parametrize("dtype", "uint8 uint32 uint64 int32 float32".split())
def test_counts_take_histograms_of_any_kind(dtype):
    histogram = metrics.score_histogram(*grey((200,)))
    got = metrics.counts_from_histogram(histogram.astype(dtype), TENTHS)
    assert got.dtype == (np.float64 if dtype == "float32" else np.int64)
    np.testing.assert_array_equal(got, metrics.counts_from_histogram(histogram, TENTHS))


def test_precision_recall_and_f1_at_a_half():
    scores = np.float32([0.9, 0.5, 0.49, 0.6, 0.1])
    histogram = metrics.score_histogram(scores, np.array([1, 1, 1, 0, 0]))
    (counts,) = metrics.counts_from_histogram(histogram, [0.5])
    np.testing.assert_array_equal(counts, [2, 1, 1, 1])
    assert metrics.precision_recall_from_counts(counts) == (2 / 3, 2 / 3)
    assert metrics.dice_from_counts(counts) == pytest.approx(2 / 3)


def test_errors_of_the_counts():
    histogram = metrics.score_histogram(*grey((200,)))
    bad = (
        [0.3 + 1e-6],
        [0.5 + 0.4 / BINS],
        [0.5, 0.5],
        [0.5, 0.25],
        [-0.125],
        [1.125],
        [NAN],
        [],
        0.5,
        [[0.5]],
    )
    for thresholds in bad:
        with pytest.raises(ValueError, match="`thresholds` takes rising multiples of 1/81920"):
            metrics.counts_from_histogram(histogram, thresholds)
    for wrong in (histogram[:-1], histogram[..., :1], histogram[:, 0]):
        with pytest.raises(ValueError, match="`histogram`"):
            metrics.counts_from_histogram(wrong, [0.5])
        with pytest.raises(ValueError, match="`histogram`"):
            metrics.average_precision_from_histogram(wrong)
    for number in (-1.0, NAN):
        broken = histogram.astype(float)
        broken[7, 1] = number
        with pytest.raises(ValueError, match="`histogram` takes numbers >= 0"):
            metrics.counts_from_histogram(broken, [0.5])
        with pytest.raises(ValueError, match="`histogram` takes numbers >= 0"):
            metrics.average_precision_from_histogram(broken)


# --- areas ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("seed", range(3))
def test_areas_equal_their_definitions(convention, seed):
    scores, labels = grey(seed=seed)
    wanted = ORACLES[convention](scores, labels)
    assert area(scores, labels, convention) == pytest.approx(wanted, rel=1e-12)
    assert 0.1 < wanted < 0.9


def test_exact_is_the_average_precision_up_to_the_width_of_a_bin():
    scores, labels = images((100_000,), dtype=np.float64)
    exact = metrics.average_precision(scores, labels)
    got = area(scores.astype(np.float32), labels, "exact")
    # Some pixels share a bin, and so a step.
    assert got == pytest.approx(exact, abs=2e-4) and got != exact
    binned = (np.floor(scores * BINS) / BINS).astype(np.float32)
    got = area(binned, labels, "exact")
    assert got == pytest.approx(metrics.average_precision(binned, labels), rel=1e-12)


def test_the_challenge_is_that_of_its_33_thresholds():
    scores, labels = images()
    counts = np.asarray(metrics.threshold_counts(scores, labels), np.int64).sum(0)
    wanted = metrics.average_precision_from_counts(counts, rule="trapezoid")
    assert area(scores, labels, "challenge33") == pytest.approx(float(wanted), rel=1e-12)


def test_a_worked_example():
    """Positives at 0.97, 0.55 and 0.02, negatives at 0.6, 0.53, 0.52 and 0.01."""
    scores, labels = [0.97, 0.6, 0.55, 0.53, 0.52, 0.02, 0.01], [1, 0, 1, 0, 0, 1, 0]
    # Steps at the three positives: precision 1, 2/3, 3/6.
    assert area(scores, labels, "exact") == pytest.approx((1 + 2 / 3 + 3 / 6) / 3)
    # Thresholds between: 0 | 1/32 ... 16/32 | 17/32 = 0.53125 | 18/32 = 0.5625, 19/32 = 0.59375 |
    # 20/32 ... 31/32 = 0.96875. Recall and precision: (1, 3/7), (2/3, 2/5), (2/3, 2/3),
    # (1/3, 1/2), (1/3, 1), level to 0.
    lines = (3 / 7 + 2 / 5) / 2 + (2 / 3 + 1 / 2) / 2 + 1
    assert area(scores, labels, "challenge33") == pytest.approx(lines / 3)
    # 0 | 0.1 ... 0.5 | 0.6 | 0.7 ... 0.9 | 1: (1, 3/7), (2/3, 2/5), (1/3, 1/2), (1/3, 1), and
    # nothing at 1: (0, 1).
    lines = (3 / 7 + 2 / 5) / 2 + (2 / 5 + 1 / 2) / 2 + 1
    assert area(scores, labels, "eleven") == pytest.approx(lines / 3)


def test_eleven_is_another_quantity_than_the_challenge():
    """A timid network: its best scores are low, and above them precision is taken as 1."""
    labels = np.arange(10) < 2
    scores = np.where(np.arange(10) % 2, 0.33, 0.05)
    # The positives at 0.33 and 0.05, four negatives with each: precision 1/5 at every threshold.
    assert area(scores, labels, "challenge33") == pytest.approx(0.2)
    # (1, 1/5), (1/2, 1/5), and from 0.4 on (0, 1)
    assert area(scores, labels, "eleven") == pytest.approx(0.2 / 2 + 0.6 / 2)


@pytest.mark.parametrize("level", [0.0, 1.0, 0.55])
def test_a_map_that_is_the_same_everywhere(level):
    labels = np.arange(20) < 3
    scores = np.full(20, level)
    for convention in ("exact", "challenge33"):
        assert area(scores, labels, convention) == pytest.approx(0.15)
    assert area(scores, labels, "eleven") == pytest.approx((1 + 0.15) / 2)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_saturated_maps_and_sets_of_one_kind(convention):
    labels = np.arange(20) < 3
    assert area(labels, labels, convention) == pytest.approx(1)
    # Thresholds above 0: no positive is found. From (1, 0.15) a line to (0, 0), or to (0, 1).
    wrong = {"exact": 0.15, "challenge33": 0.075, "eleven": 0.075}[convention]
    assert area(~labels, labels, convention) == pytest.approx(wrong)
    assert area(labels, labels | True, convention) == pytest.approx(1)
    for scores in (labels, labels & False, labels | True, 0.5 * labels):
        assert np.isnan(area(scores, labels & False, convention))
    assert np.isnan(area(labels[:0], labels[:0], convention))


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_an_image_without_lesions_counts_its_false_positives(convention):
    scores, labels = images()
    labels[2] = False
    both = metrics.score_histogram(scores[:2], labels[:2])
    healthy = metrics.score_histogram(scores[2], labels[2])
    one, all_three = (
        metrics.average_precision_from_histogram(h, convention=convention)
        for h in (both, both + healthy)
    )
    assert all_three < one - 0.01
    assert all_three == pytest.approx(area(scores, labels, convention), rel=1e-12)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_areas_over_leading_axes(convention):
    scores, labels = grey((2, 3, 400))
    labels[1, 2] = False
    pairs = list(zip(scores.reshape(6, -1), labels.reshape(6, -1), strict=True))
    table = np.reshape([metrics.score_histogram(*pair) for pair in pairs], (2, 3, BINS + 1, 2))
    got = metrics.average_precision_from_histogram(table, convention=convention)
    assert got.shape == (2, 3) and got.dtype == np.float64
    wanted = np.reshape([area(*pair, convention) for pair in pairs], (2, 3))
    np.testing.assert_array_equal(got, wanted)
    assert np.isnan(got[1, 2]) and np.sum(np.isnan(got)) == 1
    assert metrics.average_precision_from_histogram(table[:, :0]).shape == (2, 0)


def test_errors_of_the_areas():
    with pytest.raises(ValueError, match="`convention`"):
        metrics.average_precision_from_histogram(np.zeros((BINS + 1, 2)), convention="step")
    with pytest.raises(ValueError, match="`counts`"):
        precision_recall.average_precision_of_eleven(np.zeros((10, 4)))


# --- the best threshold ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_best_threshold_is_that_of_the_largest_f1(seed):
    scores, labels = grey(seed=seed)
    values = {
        level: 2 * np.sum(labels & (scores >= level)) / (labels.sum() + np.sum(scores >= level))
        for level in np.unique(scores)
    }
    wanted = max(level for level, f1 in values.items() if f1 == max(values.values()))
    histogram = metrics.score_histogram(scores, labels)
    got = metrics.best_f1_threshold(histogram)
    assert got == wanted and 0 < got < 1
    (counts,) = metrics.counts_from_histogram(histogram, [got])
    assert metrics.dice_from_counts(counts) == max(values.values())


def test_the_best_threshold_by_hand():
    def best(scores, labels):
        return metrics.best_f1_threshold(metrics.score_histogram(np.float32(scores), labels))

    # F1 is 2/3 at 0.75 (1 of 2, none false), 2/3 again at 0.5 (2 of 2, two false).
    labels = np.array([1, 0, 0, 1, 0])
    assert best([0.75, 0.6, 0.6, 0.5, 0.25], labels) == 0.75
    assert best([0.75, 0.6, 0.25, 0.5, 0.25], labels) == 0.5  # 4/5
    assert best(np.zeros(5), labels) == 0
    assert best(np.ones(5), labels) == 1
    assert np.isnan(best(np.ones(5), labels * 0))
    assert np.isnan(best([], labels[:0]))
    with pytest.raises(ValueError, match="`histogram`"):
        metrics.best_f1_threshold(np.zeros((2, BINS + 1, 2)))
    assert isinstance(best(np.ones(5), labels), float)
