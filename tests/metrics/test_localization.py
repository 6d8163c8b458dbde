import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import metrics


def points(seed, number=7):
    return np.random.default_rng(seed).random((number, 2)).astype(np.float32)


def test_euclidean_distance_equals_its_definition():
    predicted, true = points(0), points(1)
    wanted = np.sqrt(((predicted.astype(np.float64) - true) ** 2).sum(1))
    got = metrics.euclidean_distance(predicted, true)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    np.testing.assert_allclose(metrics.euclidean_distance([[3, 0]], [[0, 4]]), [5.0])
    assert metrics.euclidean_distance(points(0, 0), points(1, 0)).shape == (0,)


def test_r_aed_inverts_the_mean_distance_and_not_each_one():
    true = np.zeros((2, 2), np.float32)
    predicted = np.array([[0.3, 0.4], [0, 0]], np.float32)
    assert float(metrics.r_aed(predicted, true)) == pytest.approx(1 / (0.25 + 0.1), rel=1e-6)
    mean_of_reciprocals = (1 / 0.6 + 10) / 2
    assert abs(float(metrics.r_aed(predicted, true)) - mean_of_reciprocals) > 1


def test_r_aed_is_ten_at_best_and_falls_with_the_distance():
    true = points(0)
    scores = [float(metrics.r_aed(true + shift, true)) for shift in (0, 0.01, 0.1, 1)]
    assert scores[0] == pytest.approx(10, rel=1e-6)
    assert scores == sorted(scores, reverse=True)


def test_where_equals_cropping_and_ignores_what_does_not_count():
    predicted, true = points(0), points(1)
    counts = np.array([1, 0, 1, 1, 0, 0, 1], bool)
    predicted[1], true[4] = np.nan, np.inf
    got = jax.jit(lambda p, t, w: metrics.r_aed(p, t, where=w))(predicted, true, counts)
    np.testing.assert_allclose(got, metrics.r_aed(predicted[counts], true[counts]), rtol=1e-6)


def test_an_empty_set_scores_zero():
    assert float(metrics.r_aed(points(0, 0), points(1, 0))) == 0
    nothing = np.zeros(7, bool)
    assert float(metrics.r_aed(points(0), points(1), where=nothing)) == 0


def test_sums_of_batches_give_the_same_score_as_the_whole_set():
    predicted, true = points(0), points(1)
    parts = [metrics.euclidean_distance(predicted[s], true[s]) for s in np.split(np.arange(7), [4])]
    total = sum(float(part.sum()) for part in parts)
    score = metrics.r_aed_from_mean_distance(total / 7)
    assert score == pytest.approx(float(metrics.r_aed(predicted, true)), rel=1e-6)
    assert metrics.r_aed_from_mean_distance(0.0) == 10
    np.testing.assert_allclose(metrics.r_aed_from_mean_distance(np.array([0.1, 0.4])), [5, 2])


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_errors_are_static(wrap):
    with pytest.raises(ValueError, match="`predicted`"):
        wrap(metrics.r_aed)(np.zeros((3, 3), np.float32), points(0, 3))
    with pytest.raises(ValueError, match="`true`"):
        wrap(metrics.euclidean_distance)(points(0, 3), points(0, 4))
    with pytest.raises(ValueError, match="`where`"):
        wrap(lambda p, t: metrics.r_aed(p, t, where=np.ones(4, bool)))(points(0, 3), points(1, 3))
