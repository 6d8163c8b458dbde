import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import metrics

# Compiled whole: operation by operation takes longer to compile.
OPTIONS = ("num_classes", "include_background")
dice = jax.jit(metrics.dice, static_argnames=OPTIONS)
jaccard = jax.jit(metrics.jaccard, static_argnames=OPTIONS)
overlap_counts = jax.jit(metrics.overlap_counts, static_argnames=OPTIONS)


def class_maps(shape=(3, 6, 7), classes=4, seed=0):
    generator = np.random.default_rng(seed)
    predicted = generator.integers(0, classes, shape)
    return predicted, np.where(generator.random(shape) < 0.5, predicted, np.roll(predicted, 1, 0))


def counted(predicted, labels, classes, first, score, where=None):
    """The score of the pixel sets, one image and class at a time."""
    where = np.ones(labels.shape, bool) if where is None else where
    values = np.zeros((len(labels), classes - first))
    for b in range(len(labels)):
        for k in range(first, classes):
            p = {tuple(i) for i in np.argwhere((predicted[b] == k) & where[b])}
            t = {tuple(i) for i in np.argwhere((labels[b] == k) & where[b])}
            values[b, k - first] = score(p, t) if p or t else 1
    return values


def dice_of_sets(p, t):
    return 2 * len(p & t) / (len(p) + len(t))


def jaccard_of_sets(p, t):
    return len(p & t) / len(p | t)


PAIRS = [(dice, dice_of_sets), (jaccard, jaccard_of_sets)]


@pytest.mark.parametrize("metric, of_sets", PAIRS)
@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("shape", [(3, 6, 7), (2, 3, 4, 5)])
def test_it_is_what_counting_pixels_gives(metric, of_sets, background, shape):
    predicted, labels = class_maps(shape)
    got = metric(predicted, labels, num_classes=4, include_background=background)
    wanted = counted(predicted, labels, 4, 0 if background else 1, of_sets)
    assert got.dtype == jnp.float32 and got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    assert 0 < np.min(wanted) and np.max(wanted) < 1


def test_a_class_index_beyond_32_bits_is_of_no_class():
    predicted, labels = class_maps()
    strange = labels.astype(np.int64)
    strange[:, 0], labels[:, 0] = 2**32, 255
    for maps in ((predicted, strange), (predicted, strange.astype(np.uint64))):
        got = metrics.overlap_counts(*maps, num_classes=4, include_background=True)
        wanted = overlap_counts(predicted, labels, num_classes=4, include_background=True)
        np.testing.assert_array_equal(got, wanted)


def test_counts_that_are_nan_are_no_perfect_score():
    counts = np.array([[1, 1, np.nan, 0], [np.nan, 0, 0, 0], [0, 0, 0, 5], [1, 1, 0, 0]])
    for kind in (counts, jnp.asarray(counts)):
        np.testing.assert_allclose(metrics.dice_from_counts(kind), [np.nan, np.nan, 1, 2 / 3])
        np.testing.assert_allclose(metrics.jaccard_from_counts(kind), [np.nan, np.nan, 1, 1 / 2])


def test_a_worked_example():
    predicted, labels = np.array([[[1, 1, 1, 0]]]), np.array([[[0, 1, 1, 1]]])
    np.testing.assert_allclose(dice(predicted, labels), [[2 / 3]], rtol=1e-6)
    np.testing.assert_allclose(jaccard(predicted, labels), [[1 / 2]], rtol=1e-6)
    counts = overlap_counts(predicted, labels, include_background=True)
    np.testing.assert_array_equal(counts, [[[0, 1, 1, 2], [2, 1, 1, 0]]])


@pytest.mark.parametrize("metric", [dice, jaccard])
def test_absent_classes(metric):
    labels = np.zeros((4, 2, 3), np.int32)
    labels[2:, 0] = 1
    predicted = np.zeros_like(labels)
    predicted[1::2, 0] = 1
    np.testing.assert_array_equal(metric(predicted, labels)[:, 0], [1, 0, 0, 1])
    counts = overlap_counts(predicted, labels)
    np.testing.assert_array_equal(counts[..., :3].sum(-1)[:, 0] > 0, [False, True, True, True])
    # A class that no image shows at all.
    assert metric(predicted, labels, num_classes=3)[3, 1] == 1
    assert metric(np.zeros((2, 0, 3), int), np.zeros((2, 0, 3), int)).tolist() == [[1], [1]]


@pytest.mark.parametrize("metric, of_sets", PAIRS)
def test_where_leaves_pixels_out_whatever_they_hold(metric, of_sets):
    predicted, labels = class_maps()
    where = np.random.default_rng(1).random(labels.shape) < 0.6
    labels = np.where(where, labels, 255)
    got = metric(predicted, labels, num_classes=4, where=where)
    np.testing.assert_allclose(got, counted(predicted, labels, 4, 1, of_sets, where), rtol=1e-6)
    without = metric(predicted, labels, num_classes=4)
    assert np.all(without < got), "predicted where no class is labelled: false positives"


def test_counts_of_batches_add_up_to_those_of_the_set():
    predicted, labels = class_maps((5, 6, 7))
    parts = [
        np.asarray(overlap_counts(predicted[s], labels[s], num_classes=4), np.int64)
        for s in (slice(0, 2), slice(2, 5))
    ]
    pooled = sum(part.sum(0) for part in parts)
    flat = (np.moveaxis(a, 0, 1).reshape(1, 6, -1) for a in (predicted, labels))
    wanted = overlap_counts(*flat, num_classes=4)[0]
    np.testing.assert_array_equal(pooled, wanted)
    assert np.all(pooled.sum(-1) == labels.size)
    score = metrics.dice_from_counts(pooled)
    assert isinstance(score, np.ndarray) and score.dtype == np.float64
    np.testing.assert_allclose(score, metrics.dice_from_counts(wanted), rtol=1e-6)
    per_image = dice(predicted, labels, num_classes=4).mean(0)
    assert np.abs(score - np.asarray(per_image)).max() > 1e-3, "pooling weighs pixels alike"
    np.testing.assert_allclose(metrics.jaccard_from_counts(pooled), score / (2 - score), rtol=1e-12)


def test_sums_beyond_int32_stay_exact_on_the_host():
    counts = np.array([3 * 2**40, 2**40, 2**40, 0])
    assert metrics.dice_from_counts(counts) == 0.75
    assert metrics.jaccard_from_counts(counts) == 0.6


def test_it_runs_compiled_and_takes_booleans():
    predicted, labels = class_maps(classes=2)
    wanted = metrics.dice(predicted, labels)
    got = dice(predicted.astype(bool), labels.astype(np.uint8))
    np.testing.assert_array_equal(got, wanted)
    one_by_one = jax.vmap(lambda p, t: dice(p[None], t[None])[0])(predicted, labels)
    np.testing.assert_array_equal(one_by_one, wanted)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("metric", [metrics.dice, metrics.jaccard, metrics.overlap_counts])
def test_errors_are_static(metric, wrap):
    good = np.zeros((2, 3, 4), np.int32)
    with pytest.raises(TypeError, match="`predicted`"):
        wrap(metric)(good.astype(np.float32), good)
    with pytest.raises(TypeError, match="`labels`"):
        wrap(metric)(good, good.astype(np.float32))
    with pytest.raises(ValueError, match="`labels`"):
        wrap(metric)(good, good[:, :2])
    with pytest.raises(ValueError, match="`predicted`"):
        wrap(metric)(good[0, 0], good[0, 0])
    with pytest.raises(TypeError, match="`where`"):
        wrap(lambda p, t: metric(p, t, where=good))(good, good)
    with pytest.raises(ValueError, match="`where`"):
        wrap(lambda p, t: metric(p, t, where=good[:1] > 0))(good, good)
    with pytest.raises(ValueError, match="`num_classes`"):
        wrap(lambda p, t: metric(p, t, num_classes=1))(good, good)
    with pytest.raises(ValueError, match="`counts`"):
        wrap(metrics.dice_from_counts)(good[..., :3])
    with pytest.raises(ValueError, match="`counts`"):
        wrap(metrics.jaccard_from_counts)(good[..., :3])
