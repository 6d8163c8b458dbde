import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops import (
    crop_center,
    pad_to_multiple,
    upsample_linear_asymmetric,
    upsample_nearest,
)


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


def linear_by_loops(x, factor):
    """Pixel j of the result lies at j / factor of x, which goes on as its last pixel."""
    x = np.asarray(x, np.float64)
    for axis in range(1, x.ndim - 1):
        size = x.shape[axis]
        rows = []
        for j in range(size * factor):
            i, share = j // factor, j % factor / factor
            first, second = (np.take(x, min(n, size - 1), axis) for n in (i, i + 1))
            rows.append((1 - share) * first + share * second)
        x = np.stack(rows, axis)
    return x


@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 4, 5, 3), (1, 2, 3, 4, 2), (2, 1, 3, 1)])
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_linear_upsampling_equals_loops(shape, factor):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    got = upsample_linear_asymmetric(jnp.asarray(x), factor=factor)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, linear_by_loops(x, factor), rtol=1e-6, atol=1e-6)


def test_linear_upsampling_keeps_pixels_and_takes_means_between():
    x = jnp.asarray([[[0.0], [4.0], [2.0]]])
    np.testing.assert_array_equal(upsample_linear_asymmetric(x)[0, :, 0], [0, 2, 4, 3, 2, 2])


@pytest.mark.parametrize("factor", [2, 3])
def test_linear_upsampling_has_the_gradient_of_its_matrix(factor):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 3, 2)).astype(np.float32))
    y_bar = np.random.default_rng(1).normal(size=(2, 4 * factor, 3 * factor, 2))
    run = lambda x: upsample_linear_asymmetric(x, factor=factor)  # noqa: E731
    got = jax.jit(lambda x, y_bar: jax.vjp(run, x)[1](y_bar)[0])(x, y_bar.astype(np.float32))
    # Row by row of the identity: the matrix along each axis, from the loops
    rows, columns = (linear_by_loops(np.eye(n)[..., None], factor)[..., 0] for n in (4, 3))
    want = np.einsum("ij,kl,bjlc->bikc", rows, columns, y_bar)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    indices = str(jax.make_jaxpr(jax.grad(lambda x: jnp.sum(run(x))))(x))
    assert "gather" not in indices
    assert "scatter" not in indices


def test_linear_upsampling_in_half_precision_and_of_infinity():
    x = jnp.full((1, 3, 3, 1), 1.5, jnp.bfloat16)
    for factor in (2, 3):
        y = upsample_linear_asymmetric(x, factor=factor)
        assert y.dtype == jnp.bfloat16
        np.testing.assert_array_equal(np.asarray(y, np.float32), 1.5)
    # A pixel is not touched by the one that follows.
    y = upsample_linear_asymmetric(jnp.asarray([[[1.0], [jnp.inf]]]))
    np.testing.assert_array_equal(y[0, :3, 0], [1, np.inf, np.inf])


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
    with pytest.raises(ValueError, match="`factor`"):
        upsample_linear_asymmetric(x, factor=0)
    with pytest.raises(ValueError, match="spatial axis"):
        upsample_linear_asymmetric(jnp.ones((4, 4)))
    with pytest.raises(ValueError, match="`multiple`"):
        pad_to_multiple(x, multiple=0)
    with pytest.raises(ValueError, match=r"`shape` takes sizes up to \(4, 4\), got \(5, 4\)"):
        crop_center(x, shape=(5, 4))
    with pytest.raises(ValueError, match="`shape`"):
        crop_center(x, shape=(4,))
    with pytest.raises(ValueError, match="spatial axis"):
        upsample_nearest(jnp.ones((4, 4)))
