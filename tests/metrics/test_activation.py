import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import metrics


def maps(shape=(4, 5, 6), seed=0):
    generator = np.random.default_rng(seed)
    return generator.random(shape).astype(np.float32), generator.random(shape) < 0.4


def test_a_worked_example():
    activation = np.array([[[0.5, 0.25], [0.25, 1.0]]], np.float32)
    region = np.array([[[1, 0], [0, 1]]], bool)
    np.testing.assert_allclose(metrics.activation_in_region(activation, region), [0.75])


@pytest.mark.parametrize("shape", [(4, 5, 6), (2, 3, 4, 5)])
def test_it_equals_its_definition(shape):
    activation, region = maps(shape)
    exact = activation.astype(np.float64)
    wanted = [a[m].sum() / a.sum() for a, m in zip(exact, region, strict=True)]
    got = jax.jit(metrics.activation_in_region)(activation, region)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    np.testing.assert_allclose(metrics.activation_in_region(activation, region * 1), got)
    np.testing.assert_allclose(metrics.activation_in_region(activation, region * 255), got)
    half = metrics.activation_in_region(activation, region.astype(np.float32) / 2)
    np.testing.assert_allclose(half, got / 2, rtol=1e-6)
    np.testing.assert_allclose(metrics.activation_in_region(activation / 8, region), got, rtol=1e-6)
    rough = metrics.activation_in_region(jnp.asarray(activation, jnp.bfloat16), region)
    assert rough.dtype == jnp.float32
    np.testing.assert_allclose(rough, got, rtol=0.01)


def test_a_nan_that_counts_gives_nan():
    activation, region = maps()
    clean = metrics.activation_in_region(activation, region)
    activation[1, 2, 3] = np.nan
    score = jax.jit(metrics.activation_in_region)
    got = np.asarray(score(activation, region))
    np.testing.assert_array_equal(np.isnan(got), [False, True, False, False])
    np.testing.assert_allclose(got[[0, 2, 3]], clean[np.array([0, 2, 3])])
    shares = region.astype(np.float32)
    shares[2, 0, 0] = np.nan
    assert np.isnan(score(activation, shares)[2])
    where = np.isfinite(activation) & np.isfinite(shares)
    assert np.all(np.isfinite(score(activation, shares, where=where)))


def test_a_region_in_64_bits_does_not_wrap_to_nothing():
    activation, region = maps()
    got = metrics.activation_in_region(activation, region * 2**32)
    np.testing.assert_array_equal(got, metrics.activation_in_region(activation, region))


def test_its_ends():
    activation, region = maps()
    score = metrics.activation_in_region
    np.testing.assert_array_equal(score(activation, np.ones_like(region)), 1)
    np.testing.assert_array_equal(score(activation, np.zeros_like(region)), 0)
    np.testing.assert_array_equal(score(0 * activation, region), 0)
    np.testing.assert_array_equal(score(activation, region, where=np.zeros_like(region)), 0)
    np.testing.assert_allclose(score(activation * region, region), 1)


def test_where_leaves_pixels_out_whatever_they_hold():
    activation, region = maps()
    where = np.random.default_rng(2).random(region.shape) < 0.5
    wanted = metrics.activation_in_region(activation * where, region)
    activation[~where] = np.nan
    got = metrics.activation_in_region(activation, region, where=where)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_errors_are_static(wrap):
    activation, region = maps()
    score = metrics.activation_in_region
    with pytest.raises(TypeError, match="`activation`"):
        wrap(score)(region, region)
    with pytest.raises(ValueError, match="`activation`"):
        wrap(score)(activation[0, 0], region[0, 0])
    with pytest.raises(ValueError, match="`region`"):
        wrap(score)(activation, region[:, :2])
    with pytest.raises(TypeError, match="`where`"):
        wrap(lambda a, m: score(a, m, where=a))(activation, region)
    with pytest.raises(ValueError, match="`where`"):
        wrap(lambda a, m: score(a, m, where=m[:1]))(activation, region)
