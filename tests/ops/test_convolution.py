import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from segjax.ops.convolution import conv2d

SHAPES = [
    ((2, 9, 7, 3), (3, 3, 3, 4)),
    ((1, 6, 8, 2), (1, 1, 2, 5)),
    ((3, 8, 6, 4), (5, 3, 4, 2)),
    ((2, 1, 2, 3), (3, 3, 3, 2)),
    ((8, 16, 16, 32), (3, 3, 32, 16)),
    ((8, 32, 32, 32), (3, 3, 32, 32)),  # Four blocks of rows.
    ((16, 13, 40, 32), (5, 3, 32, 32)),  # Thirteen of one row.
]


def plain(x, kernel):
    padding = [(side // 2, side // 2) for side in kernel.shape[:2]]
    names = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=names)


def arrays(x_shape, kernel_shape, dtype=np.float32):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=x_shape), rng.normal(size=kernel_shape)
    y_bar = rng.normal(size=(*x_shape[:3], kernel_shape[3]))
    return [np.asarray(a, dtype) for a in (x, kernel, y_bar)]


@pytest.mark.parametrize("shapes", SHAPES)
def test_value_by_loops(shapes):
    x, kernel, _ = arrays(*shapes)
    rows, columns = kernel.shape[:2]
    padded = np.pad(x.astype(np.float64), [(0, 0), (rows // 2,) * 2, (columns // 2,) * 2, (0, 0)])
    want = np.zeros((*x.shape[:3], kernel.shape[3]))
    for u in range(rows):
        for v in range(columns):
            want += padded[:, u : u + x.shape[1], v : v + x.shape[2]] @ kernel[u, v].astype(float)
    np.testing.assert_allclose(conv2d(jnp.asarray(x), jnp.asarray(kernel)), want, atol=2e-4)


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("loop", [False, True])
def test_gradients_equal_those_of_lax(shapes, loop):
    x, kernel, y_bar = (jnp.asarray(a) for a in arrays(*shapes))

    def gradients(conv, x, kernel, y_bar):
        return jax.vjp(conv, x, kernel)[1](y_bar)

    want = jax.jit(gradients, static_argnums=0)(plain, x, kernel, y_bar)
    if loop:
        got = jax.jit(lambda *a: lax.map(lambda b: gradients(conv2d, *b), a))(
            x[None], kernel[None], y_bar[None]
        )
        got = [g[0] for g in got]
    else:
        got = jax.jit(gradients, static_argnums=0)(conv2d, x, kernel, y_bar)
    for g, w in zip(got, want, strict=True):
        assert g.dtype == jnp.float32
        np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-5 * float(jnp.abs(w).max()))


def test_finite_differences_in_float64():
    with jax.enable_x64(True):
        x, kernel, y_bar = (jnp.asarray(a) for a in arrays((2, 4, 5, 2), (3, 3, 2, 3), np.float64))
        loss = jax.jit(lambda x, kernel: jnp.sum(jnp.sin(conv2d(x, kernel)) * y_bar))
        grads = jax.grad(loss, (0, 1))(x, kernel)
        rng = np.random.default_rng(1)
        for argument in (0, 1):
            step = rng.normal(size=(x, kernel)[argument].shape)
            moved = [list((x, kernel)), list((x, kernel))]
            moved[0][argument] = moved[0][argument] + 1e-6 * step
            moved[1][argument] = moved[1][argument] - 1e-6 * step
            slope = (loss(*moved[0]) - loss(*moved[1])) / 2e-6
            np.testing.assert_allclose(np.sum(grads[argument] * step), slope, rtol=1e-7)


def test_second_derivatives():
    x, kernel, y_bar = (jnp.asarray(a) for a in arrays((1, 4, 4, 2), (3, 3, 2, 2)))

    def curvature(conv):
        gradient = jax.grad(lambda kernel: jnp.sum(jnp.tanh(conv(x, kernel)) * y_bar))
        return jax.jvp(gradient, (kernel,), (kernel,))[1]

    np.testing.assert_allclose(curvature(conv2d), curvature(plain), rtol=1e-4, atol=1e-4)


def weight_gradient(conv):
    return lambda x, kernel: jax.grad(lambda k: jnp.mean(conv(x, k) ** 2))(kernel)


def test_batch_sharded_over_eight_devices_gathers_nothing():
    x, kernel, _ = (jnp.asarray(a) for a in arrays((8, 64, 32, 16), (3, 3, 16, 16)))
    auto = (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((8,), ("data",), axis_types=auto)
    spec = jax.sharding.PartitionSpec
    split = jax.device_put(x, jax.sharding.NamedSharding(mesh, spec("data")))
    whole = jax.device_put(kernel, jax.sharding.NamedSharding(mesh, spec()))
    compiled = jax.jit(weight_gradient(conv2d)).lower(split, whole).compile()
    want = jax.jit(weight_gradient(plain))(x, kernel)
    np.testing.assert_allclose(compiled(split, whole), want, rtol=1e-4, atol=1e-6)
    assert "all-gather" not in compiled.as_text()


@pytest.mark.parametrize("axes", [(0, 0), (None, 0), (0, None)])
def test_vmap(axes):
    x, kernel, _ = (jnp.asarray(a) for a in arrays((2, 8, 6, 3), (3, 3, 3, 4)))
    pairs = [
        a if axis is None else jnp.stack([a, 2 * a])
        for a, axis in zip((x, kernel), axes, strict=True)
    ]
    got = jax.vmap(weight_gradient(conv2d), axes)(*pairs)
    want = weight_gradient(plain)(
        *(a if n is None else a[1] for a, n in zip(pairs, axes, strict=True))
    )
    np.testing.assert_allclose(got[1], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision(dtype):
    x, kernel, y_bar = (jnp.asarray(a) for a in arrays((2, 8, 6, 3), (3, 3, 3, 4)))
    want = jax.vjp(plain, x, kernel)[1](y_bar)
    got = jax.vjp(conv2d, x.astype(dtype), kernel.astype(dtype))[1](y_bar.astype(dtype))
    for g, w in zip(got, want, strict=True):
        assert g.dtype == dtype
        np.testing.assert_allclose(
            np.asarray(g, np.float32), w, rtol=0.02, atol=0.02 * float(jnp.abs(w).max())
        )


def test_other_platforms_keep_the_gradient_of_lax():
    x, kernel, _ = (jnp.asarray(a) for a in arrays((8, 32, 32, 32), (3, 3, 32, 32)))
    traced = jax.jit(weight_gradient(conv2d)).trace(x, kernel)
    for platform, loops in (("cuda", False), ("tpu", False), ("cpu", True)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert ("stablehlo.while" in text) == loops, platform


def test_several_processes_have_no_loop(monkeypatch):
    x, kernel = jnp.ones((2, 64, 64, 64)), jnp.ones((3, 3, 64, 64))

    def traced():
        def loss(kernel):
            return jnp.sum(conv2d(x, kernel))

        return str(jax.make_jaxpr(jax.grad(loss))(kernel))

    assert "scan[" in traced() or "while[" in traced()
    jax.clear_caches()
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert "scan[" not in traced() and "while[" not in traced()
    jax.clear_caches()


def test_wrong_input():
    x, kernel = jnp.zeros((1, 4, 4, 2)), jnp.zeros((3, 3, 2, 1))
    with pytest.raises(ValueError, match="`x` takes 4 axes"):
        conv2d(x[0], kernel)
    with pytest.raises(ValueError, match="odd window"):
        conv2d(x, kernel[:2])
    with pytest.raises(ValueError, match="2 input channels"):
        conv2d(x, jnp.zeros((3, 3, 3, 1)))
    with pytest.raises(TypeError, match="bfloat16"):
        conv2d(x.astype(jnp.bfloat16), kernel)
