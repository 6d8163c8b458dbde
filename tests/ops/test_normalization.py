import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from segjax.ops.normalization import instance_norm


def oracle(x, scale, bias):
    x = np.asarray(x, np.float64)
    y = np.zeros(x.shape)
    for b in range(x.shape[0]):
        for c in range(x.shape[-1]):
            pixels = x[b, ..., c]
            y[b, ..., c] = (pixels - pixels.mean()) / np.sqrt(pixels.var() + 1e-5)
            y[b, ..., c] = y[b, ..., c] * float(scale[c]) + float(bias[c])
    return y


def arrays(shape, dtype=np.float32):
    rng = np.random.default_rng(0)
    sizes = (shape, shape[-1:], shape[-1:])
    return [jnp.asarray(rng.normal(size=size).astype(dtype)) for size in sizes]


@pytest.mark.parametrize("shape", [(2, 7, 3), (3, 5, 4, 2), (2, 3, 4, 2, 3)])
def test_value(shape):
    x, scale, bias = arrays(shape)
    np.testing.assert_allclose(instance_norm(x, scale, bias), oracle(x, scale, bias), atol=1e-5)


def test_mean_far_above_the_spread():
    x, scale, bias = arrays((2, 96, 96, 2))
    x = x + 10_000
    np.testing.assert_allclose(instance_norm(x, scale, bias), oracle(x, scale, bias), atol=2e-3)


def test_gradients_by_differences_in_float64():
    with jax.enable_x64(True):
        args = arrays((2, 3, 4, 2), np.float64)
        run = jax.jit(lambda *a: jnp.sin(instance_norm(*a)))
        assert run(*args).dtype == jnp.float64
        check_grads(run, args, order=1, modes=["rev"], atol=1e-6, rtol=1e-6)


def test_second_derivatives():
    def by_autodiff(x, scale, bias):
        mean = jnp.mean(x, (1, 2), keepdims=True)
        var = jnp.mean((x - mean) ** 2, (1, 2), keepdims=True)
        return (x - mean) / jnp.sqrt(var + 1e-5) * scale.reshape(1, 1, 1, -1) + bias.reshape(
            1, 1, 1, -1
        )

    args = arrays((2, 3, 4, 2))
    got, want = (
        jax.jvp(jax.grad(lambda x: jnp.sum(jnp.sin(norm(x, *args[1:])))), args[:1], args[:1])[1]  # noqa: B023
        for norm in (instance_norm, by_autodiff)
    )
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 96, 96, 2), (1, 1, 1, 2)])
@pytest.mark.parametrize("level", [0.0, 0.1, 12_345.6])
def test_constant_gives_the_bias_and_gradient_zero(shape, level):
    _, scale, bias = arrays(shape)
    x = jnp.full(shape, level, jnp.float32)
    y, pull = jax.vjp(instance_norm, x, scale, bias)
    np.testing.assert_array_equal(y, np.broadcast_to(bias, shape))
    x_bar, scale_bar, bias_bar = pull(jnp.ones_like(y))
    np.testing.assert_array_equal(x_bar, 0)
    np.testing.assert_array_equal(scale_bar, 0)
    np.testing.assert_allclose(bias_bar, np.prod(shape[:-1]), rtol=1e-6)


def test_half_precision_comes_back_as_float32():
    x, scale, bias = arrays((2, 5, 4, 2))
    y, pull = jax.vjp(instance_norm, x.astype(jnp.bfloat16), scale, bias)
    assert y.dtype == jnp.float32
    assert [g.dtype for g in pull(y)] == [jnp.bfloat16, jnp.float32, jnp.float32]
    np.testing.assert_allclose(y, oracle(x.astype(jnp.bfloat16), scale, bias), atol=1e-5)


def test_wrong_input():
    x, scale, bias = arrays((2, 5, 4, 2))
    with pytest.raises(ValueError, match="spatial axis"):
        instance_norm(x[0, 0], scale, bias)
    with pytest.raises(ValueError, match="`scale`"):
        instance_norm(x, scale[:1], bias)
    with pytest.raises(ValueError, match="`bias`"):
        instance_norm(x, scale, bias[:1])
