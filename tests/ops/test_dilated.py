import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from segjax.ops.convolution import conv2d, dilated_conv2d
from tests.ops.test_convolution import weight_gradient

CASES = [  # Image, kernel, rate.
    ((2, 9, 7, 3), (3, 3, 3, 4), 2),
    ((1, 8, 6, 2), (3, 3, 2, 5), 4),
    ((2, 7, 8, 3), (5, 3, 3, 2), 2),
    ((2, 6, 9, 3), (1, 3, 3, 2), 3),
    ((1, 5, 6, 2), (1, 1, 2, 3), 4),
    ((2, 9, 8, 3), (3, 3, 3, 2), 1),
    ((2, 8, 8, 2), (3, 3, 2, 2), 8),  # The rate is the size: only the middle counts.
    ((2, 3, 2, 2), (3, 3, 2, 3), 8),
    ((1, 1, 1, 2), (5, 5, 2, 3), 2),
    ((1, 20, 3, 2), (3, 3, 2, 3), 8),
    ((8, 32, 32, 32), (3, 3, 32, 32), 4),  # Four blocks of rows.
]
FEW = [CASES[0], CASES[2], CASES[7], CASES[10]]


def plain(x, kernel, rate):
    padding = [(rate * (side // 2),) * 2 for side in kernel.shape[:2]]
    names = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, (1, 1), padding, rhs_dilation=(rate, rate), dimension_numbers=names
    )


def arrays(x_shape, kernel_shape, dtype=np.float32):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=x_shape), rng.normal(size=kernel_shape)
    y_bar = rng.normal(size=(*x_shape[:3], kernel_shape[3]))
    return [jnp.asarray(np.asarray(a, dtype)) for a in (x, kernel, y_bar)]


def by_loops(x, kernel, rate):
    """Every pixel and every place of the window, left out where it lies outside the image."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    (_, h, w, _), (tall, wide) = x.shape, kernel.shape[:2]
    y = np.zeros((*x.shape[:3], kernel.shape[3]))
    for r, s, u, v in np.ndindex(h, w, tall, wide):
        row, column = r + rate * (u - tall // 2), s + rate * (v - wide // 2)
        if 0 <= row < h and 0 <= column < w:
            y[:, r, s] += x[:, row, column] @ kernel[u, v]
    return y


@pytest.mark.parametrize("case", CASES)
def test_value_by_loops(case):
    x, kernel, _ = arrays(*case[:2])
    got = dilated_conv2d(x, kernel, rate=case[2])
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, by_loops(x, kernel, case[2]), atol=2e-4)


def test_rate_one_is_the_ordinary_convolution():
    x, kernel, _ = arrays((2, 9, 7, 3), (3, 3, 3, 4))
    np.testing.assert_array_equal(dilated_conv2d(x, kernel, rate=1), conv2d(x, kernel))


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_the_transposes_in_float64(case):
    with jax.enable_x64(True):
        x, kernel, y_bar = arrays(*case[:2], np.float64)
        rate = case[2]
        x_bar = jax.linear_transpose(lambda x: plain(x, kernel, rate), x)(y_bar)[0]
        kernel_bar = jax.linear_transpose(lambda k: plain(x, k, rate), kernel)(y_bar)[0]
        got = jax.jit(
            lambda x, k, y_bar: jax.vjp(lambda x, k: dilated_conv2d(x, k, rate=rate), x, k)[1](
                y_bar
            )
        )(x, kernel, y_bar)
        for g, w in zip(got, (x_bar, kernel_bar), strict=True):
            assert g.dtype == jnp.float64
            np.testing.assert_allclose(g, w, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("case", FEW)
def test_gradients_inside_a_loop(case):
    args, rate = arrays(*case[:2]), case[2]

    def gradients(function, x, kernel, y_bar):
        return jax.vjp(function, x, kernel)[1](y_bar)

    want = gradients(lambda x, k: plain(x, k, rate), *args)
    ours = lambda a: gradients(lambda x, k: dilated_conv2d(x, k, rate=rate), *a)  # noqa: E731
    got = jax.jit(lambda *a: lax.map(ours, a))(*(a[None] for a in args))
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g[0], w, rtol=1e-5, atol=1e-5 * float(jnp.abs(w).max()))


def test_second_derivatives():
    x, kernel, y_bar = arrays((1, 6, 5, 2), (3, 3, 2, 2))

    def curvature(convolve):
        gradient = jax.grad(lambda k: jnp.sum(jnp.tanh(convolve(x, k, rate=2)) * y_bar))
        return jax.jvp(gradient, (kernel,), (kernel,))[1]

    np.testing.assert_allclose(curvature(dilated_conv2d), curvature(plain), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision(dtype):
    x, kernel, y_bar = arrays((2, 8, 6, 3), (3, 3, 3, 4))
    run = lambda convolve, *a: jax.vjp(lambda x, k: convolve(x, k, rate=2), *a)  # noqa: E731
    want = run(plain, x, kernel)[1](y_bar)
    got = run(dilated_conv2d, x.astype(dtype), kernel.astype(dtype))[1](y_bar.astype(dtype))
    for g, w in zip(got, want, strict=True):
        assert g.dtype == dtype
        np.testing.assert_allclose(
            np.asarray(g, np.float32), w, rtol=0.02, atol=0.02 * float(jnp.abs(w).max())
        )


@pytest.mark.parametrize("axes", [(0, 0), (None, 0), (0, None)])
def test_vmap(axes):
    pair = arrays((2, 8, 6, 3), (3, 3, 3, 4))[:2]
    stacked = [a if n is None else jnp.stack([a, 2 * a]) for a, n in zip(pair, axes, strict=True)]
    got = jax.vmap(weight_gradient(lambda x, k: dilated_conv2d(x, k, rate=2)), axes)(*stacked)
    second = [a if n is None else a[1] for a, n in zip(stacked, axes, strict=True)]
    want = weight_gradient(lambda x, k: plain(x, k, 2))(*second)
    np.testing.assert_allclose(got[1], want, rtol=1e-4, atol=1e-5)


def test_other_platforms_keep_the_gradient_of_lax():
    x, kernel, _ = arrays(*CASES[10][:2])
    traced = jax.jit(weight_gradient(lambda x, k: dilated_conv2d(x, k, rate=4))).trace(x, kernel)
    for platform, loops in (("cuda", False), ("tpu", False), ("cpu", True)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert ("stablehlo.while" in text) == loops, platform


def test_wrong_input():
    x, kernel = jnp.zeros((1, 4, 4, 2)), jnp.zeros((3, 3, 2, 1))
    with pytest.raises(ValueError, match="`x` takes 4 axes"):
        dilated_conv2d(x[0], kernel, rate=2)
    with pytest.raises(ValueError, match="odd window"):
        dilated_conv2d(x, kernel[:2], rate=2)
    with pytest.raises(ValueError, match="2 input channels"):
        dilated_conv2d(x, jnp.zeros((3, 3, 3, 1)), rate=2)
    with pytest.raises(TypeError, match="bfloat16"):
        dilated_conv2d(x.astype(jnp.bfloat16), kernel, rate=2)
    for rate in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="`rate` takes .*1"):
            dilated_conv2d(x, kernel, rate=rate)
