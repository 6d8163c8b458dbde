import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops import crop_center, pad_to_multiple, upsample_nearest


@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 4, 5, 3), (1, 2, 3, 4, 2)])
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_upsample_matches_the_index_rule(shape, factor):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    want = x
    for axis in range(1, len(shape) - 1):
        want = np.take(want, np.arange(want.shape[axis] * factor) // factor, axis=axis)
    np.testing.assert_array_equal(upsample_nearest(jnp.asarray(x), factor=factor), want)


def test_upsample_gradient_sums_the_copies():
    x = jax.random.normal(jax.random.key(0), (1, 3, 4, 2))
    weight = jax.random.normal(jax.random.key(1), (1, 6, 8, 2))
    grad = jax.grad(lambda x: jnp.sum(upsample_nearest(x) * weight))(x)
    want = np.asarray(weight, np.float64).reshape(1, 3, 2, 4, 2, 2).sum((2, 4))
    np.testing.assert_allclose(grad, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("height", range(1, 18))
def test_pad_and_crop(height):
    x = jax.random.normal(jax.random.key(height), (2, height, 9, 3))
    padded = pad_to_multiple(x, multiple=8)
    assert padded.shape == (2, -(-height // 8) * 8, 16, 3)
    np.testing.assert_array_equal(crop_center(padded, shape=(height, 9)), x)
    np.testing.assert_allclose(np.sum(np.abs(padded)), np.sum(np.abs(x)), rtol=1e-5)
    before = (padded.shape[1] - height) // 2
    assert not np.asarray(padded[:, :before]).any()


def test_multiples_come_back_untouched():
    x = jnp.ones((1, 16, 8, 2))
    assert pad_to_multiple(x, multiple=8) is x


def test_wrong_input():
    x = jnp.ones((1, 4, 4, 1))
    with pytest.raises(ValueError, match="`factor`"):
        upsample_nearest(x, factor=0)
    with pytest.raises(ValueError, match="`multiple`"):
        pad_to_multiple(x, multiple=0)
    with pytest.raises(ValueError, match=r"`shape` takes sizes up to \(4, 4\), got \(5, 4\)"):
        crop_center(x, shape=(5, 4))
    with pytest.raises(ValueError, match="`shape`"):
        crop_center(x, shape=(4,))
    with pytest.raises(ValueError, match="spatial axis"):
        upsample_nearest(jnp.ones((4, 4)))
