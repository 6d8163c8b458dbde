import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops import average_pool, max_pool


def windows(x, window):
    """[b, *s, c] -> [b, *t, c, pixels of the window] by plain loops."""
    spatial = x.shape[1:-1]
    out = np.zeros(
        (x.shape[0], *(s // window for s in spatial), x.shape[-1], window ** len(spatial))
    )
    for index in np.ndindex(out.shape[1:-2]):
        cut = tuple(slice(i * window, (i + 1) * window) for i in index)
        block = x[(slice(None), *cut)].reshape(x.shape[0], -1, x.shape[-1])
        out[(slice(None), *index)] = block.transpose(0, 2, 1)
    return out


@pytest.mark.parametrize("shape", [(2, 6, 3), (2, 6, 12, 3), (1, 6, 6, 12, 2)])
@pytest.mark.parametrize("window", [1, 2, 3])
def test_matches_loops(shape, window):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    want = windows(x.astype(np.float64), window)
    np.testing.assert_array_equal(max_pool(jnp.asarray(x), window=window), want.max(-1))
    np.testing.assert_allclose(
        average_pool(jnp.asarray(x), window=window), want.mean(-1), rtol=1e-6, atol=1e-7
    )


def test_gradient_goes_to_the_maximum():
    x = jax.random.normal(jax.random.key(0), (2, 4, 6, 3))
    grad = jax.grad(lambda x: jnp.sum(max_pool(x) * 3.0))(x)
    largest = np.repeat(np.repeat(max_pool(x), 2, 1), 2, 2) == np.asarray(x)
    np.testing.assert_array_equal(grad, np.where(largest, 3.0, 0.0))


def test_equal_maxima_share_the_gradient():
    grad = jax.grad(lambda x: jnp.sum(max_pool(x)))(jnp.ones((1, 4, 4, 1)))
    np.testing.assert_array_equal(grad, np.full((1, 4, 4, 1), 0.25))


def test_half_precision_mean_is_rounded_once():
    x = jnp.full((1, 32, 32, 1), 1.0, jnp.bfloat16).at[0, 0, 0, 0].set(3.0)
    pooled = average_pool(x, window=32)
    assert pooled.dtype == jnp.bfloat16
    assert float(pooled[0, 0, 0, 0]) == float(jnp.bfloat16(1 + 2 / 1024))


def test_nan_is_returned():
    assert np.isnan(max_pool(jnp.full((1, 2, 2, 1), jnp.nan))).all()


@pytest.mark.parametrize("pool", [max_pool, average_pool])
def test_wrong_input(pool):
    with pytest.raises(ValueError, match=r"`x` .*divisible by window 2.*\(1, 4, 5, 2\)"):
        pool(jnp.zeros((1, 4, 5, 2)))
    with pytest.raises(ValueError, match="`window`"):
        pool(jnp.zeros((1, 4, 4, 2)), window=0)
    with pytest.raises(ValueError, match="spatial axis"):
        jax.jit(pool)(jnp.zeros((4, 4)))
