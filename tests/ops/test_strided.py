import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.test_util import check_grads

from segjax.ops.strided import conv, transposed_conv

CASES = [  # Sizes, window, strides.
    ((8, 6), (3, 3), (2, 2)),
    ((7, 9), (3, 3), (2, 2)),
    ((9, 6), (3, 3), (2, 1)),
    ((8, 7), (1, 3), (1, 2)),
    ((8, 7), (1, 1), (2, 2)),
    ((9, 8), (5, 3), (2, 3)),
    ((9, 4), (3, 3), (4, 4)),
    ((1, 2), (3, 3), (2, 2)),
    ((6, 5), (3, 3), (1, 1)),
    ((5, 6, 7), (3, 3, 3), (1, 1, 1)),
    ((5, 6, 7), (3, 3, 3), (2, 2, 2)),
    ((4, 6, 7), (1, 3, 3), (1, 2, 2)),
    ((4, 6, 5), (1, 3, 3), (2, 1, 2)),
    ((4, 3, 3), (3, 1, 1), (2, 1, 1)),
    ((6, 3, 3), (1, 1, 1), (2, 2, 2)),
]


def arrays(sizes, window, strides, dtype=np.float32):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, *sizes, 3)), rng.normal(size=(*window, 3, 4))
    y_bar = rng.normal(size=(2, *(-(-n // s) for n, s in zip(sizes, strides, strict=True)), 4))
    return [jnp.asarray(np.asarray(a, dtype)) for a in (x, kernel, y_bar)]


def plain(x, kernel, strides):
    padding = [(side // 2, side // 2) for side in kernel.shape[:-2]]
    names = ("NHWC", "HWIO", "NHWC") if x.ndim == 4 else ("NDHWC", "DHWIO", "NDHWC")
    return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=names)


def by_loops(x, kernel, strides):
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    window = kernel.shape[:-2]
    padded = np.pad(x, [(0, 0), *((k // 2, k // 2) for k in window), (0, 0)])
    sizes = [-(-n // s) for n, s in zip(x.shape[1:-1], strides, strict=True)]
    y = np.zeros((x.shape[0], *sizes, kernel.shape[-1]))
    for at in np.ndindex(*sizes):
        for u in np.ndindex(*window):
            pixel = tuple(s * r + v for s, r, v in zip(strides, at, u, strict=True))
            y[:, *at] += padded[:, *pixel] @ kernel[u]
    return y


@pytest.mark.parametrize("case", CASES)
def test_value_by_loops(case):
    x, kernel, _ = arrays(*case)
    got = conv(x, kernel, strides=case[2])
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, by_loops(x, kernel, case[2]), atol=1e-4)


@pytest.mark.parametrize(
    ("case", "loop"), [(case, False) for case in CASES] + [(CASES[n], True) for n in (0, 1, 5, 10)]
)
def test_gradients_equal_those_of_lax(case, loop):
    args, strides = arrays(*case), case[2]

    def gradients(function, x, kernel, y_bar):
        return jax.vjp(function, x, kernel)[1](y_bar)

    want = gradients(lambda x, k: plain(x, k, strides), *args)
    ours = lambda *a: gradients(lambda x, k: conv(x, k, strides=strides), *a)  # noqa: E731
    if loop:
        got = jax.jit(lambda *a: lax.map(lambda b: ours(*b), a))(*(a[None] for a in args))
        got = [g[0] for g in got]
    else:
        got = jax.jit(ours)(*args)
    for g, w in zip(got, want, strict=True):
        assert g.dtype == jnp.float32
        np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-5 * float(jnp.abs(w).max()))


@pytest.mark.parametrize("case", [CASES[0], CASES[2], CASES[10]])
def test_gradients_by_differences_in_float64(case):
    with jax.enable_x64(True):
        x, kernel, _ = arrays(*case, np.float64)
        run = jax.jit(lambda x, kernel: jnp.sin(conv(x, kernel, strides=case[2])))
        check_grads(run, (x, kernel), order=1, modes=["rev"], atol=1e-6, rtol=1e-6)
        up = jnp.moveaxis(kernel, -1, -2)
        run = jax.jit(lambda x, kernel: jnp.sin(transposed_conv(x, kernel)))
        check_grads(run, (x, jnp.moveaxis(up, -1, -2)), order=1, modes=["rev"])


@pytest.mark.parametrize("case", [CASES[1], CASES[10]])
def test_second_derivatives(case):
    x, kernel, y_bar = arrays(*case)

    def curvature(function):
        gradient = jax.grad(lambda kernel: jnp.sum(jnp.tanh(function(x, kernel)) * y_bar))
        return jax.jit(lambda k: jax.jvp(gradient, (k,), (k,))[1])(kernel)

    got = curvature(lambda x, k: conv(x, k, strides=case[2]))
    want = curvature(lambda x, k: plain(x, k, case[2]))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3)


def weight_gradient(x, kernel, strides):
    return jax.grad(lambda k: jnp.mean(conv(x, k, strides=strides) ** 2))(kernel)


@pytest.mark.parametrize("strides", [(2, 2), (1, 2, 2), (2, 2, 2)])
def test_batch_sharded_over_eight_devices_gathers_nothing(strides):
    rank = len(strides)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(8, *(8,) * rank, 3)).astype(np.float32))
    kernel = jnp.asarray(rng.normal(size=(*(3,) * rank, 3, 4)).astype(np.float32))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec
    split = jax.device_put(x, jax.sharding.NamedSharding(mesh, spec("data")))
    whole = jax.device_put(kernel, jax.sharding.NamedSharding(mesh, spec()))
    run = jax.jit(
        lambda x, k: jax.grad(
            lambda x, k: jnp.mean(conv(x, k, strides=strides) ** 2), argnums=(0, 1)
        )(x, k)
    )
    compiled = run.lower(split, whole).compile()
    for got, want in zip(compiled(split, whole), run(x, kernel), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
    for collective in ("all-gather", "all-to-all", "collective-permute"):
        assert collective not in compiled.as_text()


@pytest.mark.parametrize("axes", [(0, 0), (None, 0), (0, None)])
def test_vmap(axes):
    x, kernel, _ = arrays(*CASES[0])
    pairs = [
        a if axis is None else jnp.stack([a, 2 * a])
        for a, axis in zip((x, kernel), axes, strict=True)
    ]
    got = jax.vmap(lambda x, k: weight_gradient(x, k, (2, 2)), axes)(*pairs)
    last = (a if axis is None else a[1] for a, axis in zip(pairs, axes, strict=True))
    np.testing.assert_allclose(got[1], weight_gradient(*last, (2, 2)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision(dtype):
    x, kernel, y_bar = arrays(*CASES[0])
    want = jax.vjp(lambda x, k: plain(x, k, (2, 2)), x, kernel)[1](y_bar)
    half = (a.astype(dtype) for a in (x, kernel))
    y, pull = jax.vjp(lambda x, k: conv(x, k, strides=(2, 2)), *half)
    assert y.dtype == dtype
    for g, w in zip(pull(y_bar.astype(dtype)), want, strict=True):
        assert g.dtype == dtype
        error = np.abs(np.asarray(g, np.float32) - w).max()
        assert error < 0.02 * float(jnp.abs(w).max())


def test_other_platforms_keep_the_gradients_of_lax():
    x, kernel, _ = arrays(*CASES[0])
    traced = jax.jit(lambda x, k: weight_gradient(x, k, (2, 2))).trace(x, kernel)
    texts = {
        platform: traced.lower(lowering_platforms=(platform,)).as_text()
        for platform in ("cpu", "cuda", "tpu")
    }
    # Our own form puts the images last, as channels; the transpose of lax only renames the axes.
    assert "stablehlo.transpose" in texts["cpu"]
    assert "stablehlo.transpose" not in texts["cuda"]
    assert "stablehlo.transpose" not in texts["tpu"]


@pytest.mark.parametrize("window", [(2, 2), (1, 2), (3, 2), (2, 2, 2), (1, 2, 2)])
def test_transposed_by_loops(window):
    rng = np.random.default_rng(0)
    sizes = (3, 4, 2)[: len(window)]
    x, kernel = rng.normal(size=(2, *sizes, 3)), rng.normal(size=(*window, 3, 5))
    want = np.zeros((2, *(n * k for n, k in zip(sizes, window, strict=True)), 5))
    for at, u in itertools.product(np.ndindex(*sizes), np.ndindex(*window)):
        pixel = tuple(k * r + v for k, r, v in zip(window, at, u, strict=True))
        want[:, *pixel] += x[:, *at] @ kernel[u]
    got = transposed_conv(*(jnp.asarray(a.astype(np.float32)) for a in (x, kernel)))
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_wrong_input():
    x, kernel = jnp.zeros((1, 4, 4, 2)), jnp.zeros((3, 3, 2, 1))
    with pytest.raises(ValueError, match="`x` takes 4 or 5 axes"):
        conv(x[0], kernel, strides=(2, 2))
    with pytest.raises(ValueError, match="`kernel` takes 5 axes"):
        conv(x[None], kernel, strides=(2, 2, 2))
    with pytest.raises(ValueError, match="`strides` takes 2 positive integers"):
        conv(x, kernel, strides=(2, 0))
    with pytest.raises(ValueError, match="odd window"):
        conv(x, kernel[:2], strides=(2, 2))
    with pytest.raises(ValueError, match="2 input channels"):
        conv(x, jnp.zeros((3, 3, 3, 1)), strides=(2, 2))
    with pytest.raises(TypeError, match="bfloat16"):
        conv(x.astype(jnp.bfloat16), kernel, strides=(2, 2))
    with pytest.raises(ValueError, match="2 input channels"):
        transposed_conv(x, jnp.zeros((2, 2, 3, 1)))
    with pytest.raises(ValueError, match="`kernel` takes 4 axes"):
        transposed_conv(x, jnp.zeros((2, 2, 2, 2, 1)))
    with pytest.raises(TypeError, match="bfloat16"):
        transposed_conv(x.astype(jnp.bfloat16), kernel)
