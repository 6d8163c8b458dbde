import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops import average_pool, max_pool, strided_max_pool


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


@pytest.mark.parametrize("shape", [(2, 12, 3), (2, 12, 24, 3), (1, 12, 12, 24, 2)])
@pytest.mark.parametrize("window", [1, 2, 3, 4, 12])
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


@pytest.mark.parametrize("window", [4, 8])
def test_equal_maxima_of_larger_windows_share_the_gradient_alike(window):
    grad = jax.grad(lambda x: jnp.sum(max_pool(x, window=window)))(jnp.ones((1, 8, 8, 1)))
    np.testing.assert_array_equal(grad, np.full((1, 8, 8, 1), 1 / window**2))


def strided_by_loops(x, window, stride, padding):
    """The maximum and where it lies, as [b, *t, c] and one list of sources per pixel."""
    spatial = x.shape[1:-1]
    sizes = [(n + 2 * padding - window) // stride + 1 for n in spatial]
    y, places = np.zeros((x.shape[0], *sizes, x.shape[-1])), np.zeros(x.shape)
    for at in np.ndindex(*sizes):
        cut = tuple(
            slice(max(0, stride * i - padding), min(n, stride * i - padding + window))
            for i, n in zip(at, spatial, strict=True)
        )
        block = x[(slice(None), *cut)]
        axes = tuple(range(1, x.ndim - 1))
        y[(slice(None), *at)] = block.max(axes)
        places[(slice(None), *cut)] += block == block.max(axes, keepdims=True)
    return y, places


@pytest.mark.parametrize(
    "shape", [(2, 9, 3), (2, 8, 7, 3), (2, 129, 3, 1), (1, 5, 4, 6, 2), (1, 2, 2, 2)]
)
@pytest.mark.parametrize(
    ("window", "stride", "padding"), [(3, 2, 1), (3, 1, 1), (2, 2, 0), (2, 1, 1), (1, 3, 0)]
)
def test_strided_pool_equals_loops(shape, window, stride, padding):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    want, places = strided_by_loops(x, window, stride, padding)
    run = lambda x: strided_max_pool(x, window=window, stride=stride, padding=padding)  # noqa: E731
    got, pull = jax.vjp(run, jnp.asarray(x))
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(pull(jnp.ones_like(got))[0], places)


def test_strided_pool_of_whole_cells_is_the_pool():
    x = jax.random.normal(jax.random.key(0), (1, 6, 9, 2))
    got = strided_max_pool(x, window=3, stride=3)
    np.testing.assert_array_equal(got, max_pool(x, window=3))


def test_padding_never_wins():
    for dtype in (jnp.float32, jnp.bfloat16):
        x = jnp.full((1, 3, 3, 1), -1e30, dtype)
        got = strided_max_pool(x, window=3, stride=2, padding=1)
        assert got.dtype == dtype
        np.testing.assert_array_equal(np.asarray(got == x[0, 0, 0, 0]), True)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"window": 0}, "`window` takes .*1.*, got 0"),
        ({"stride": 0}, "`stride` takes .*1.*, got 0"),
        ({"padding": -1}, "`padding` takes .*0.*, got -1"),
        ({"padding": 2}, "`padding` takes half the window 3 at most, got 2"),
        ({"window": 5}, r"`x` takes spatial sizes of at least 5, got shape \(1, 4, 4, 2\)"),
        ({"window": 7, "padding": 1}, "`x` takes spatial sizes of at least 5"),
    ],
)
def test_wrong_options_of_the_strided_pool(options, match):
    with pytest.raises(ValueError, match=match):
        strided_max_pool(jnp.zeros((1, 4, 4, 2)), **({"window": 3, "stride": 2} | options))
    with pytest.raises(ValueError, match="spatial axis"):
        strided_max_pool(jnp.zeros((4, 4)), window=3, stride=2)


@pytest.mark.parametrize("pool", [max_pool, average_pool])
def test_wrong_input(pool):
    with pytest.raises(ValueError, match=r"`x` .*divisible by window 2.*\(1, 4, 5, 2\)"):
        pool(jnp.zeros((1, 4, 5, 2)))
    with pytest.raises(ValueError, match="`window`"):
        pool(jnp.zeros((1, 4, 4, 2)), window=0)
    with pytest.raises(ValueError, match="spatial axis"):
        jax.jit(pool)(jnp.zeros((4, 4)))
