import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.test_util import check_grads

from segjax import losses

from .oracles import ORACLES

MSCE = losses.multiscale_softmax_cross_entropy
MSE = losses.coordinate_mean_squared_error
BOTH = pytest.mark.parametrize("loss", [MSCE, MSE], ids=["msce", "mse"])


def compiled(loss, **options):
    """One compilation instead of one per operation: the tests of eager mode are few and small."""
    return jax.jit(functools.partial(loss, **options))


def batch(shape=(4, 8, 16), seed=0):
    generator = np.random.default_rng(seed)
    heatmap = generator.standard_normal(shape).astype(np.float32)
    points = generator.uniform(0, [shape[2], shape[1]], (shape[0], 2)).astype(np.float32)
    return heatmap, points


@pytest.mark.parametrize("pool", ["max", "average"])
@pytest.mark.parametrize("reduce", ["sum", "mean"])
@pytest.mark.parametrize("scales", [None, 1, 2])
def test_msce_equals_its_equation(pool, reduce, scales):
    heatmap, points = batch()
    options = {"pool": pool, "reduce": reduce, "scales": scales}
    wanted = ORACLES["multiscale_softmax_cross_entropy"](heatmap, points, **options)
    got = compiled(MSCE, **options)(heatmap, points)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_msce_weights_its_scales():
    heatmap, points = batch()
    weights = (0.5, 0.0, 3.0)
    wanted = ORACLES["multiscale_softmax_cross_entropy"](heatmap, points, scale_weights=weights)
    np.testing.assert_allclose(
        compiled(MSCE, scale_weights=weights)(heatmap, points), wanted, rtol=1e-5
    )
    only_first = compiled(MSCE, scale_weights=(1, 0, 0))(heatmap, points)
    np.testing.assert_allclose(only_first, compiled(MSCE, scales=1)(heatmap, points), rtol=1e-6)


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_mse_equals_its_equation(reduce):
    heatmap, points = batch()
    wanted = ORACLES["coordinate_mean_squared_error"](heatmap, points, reduce=reduce)
    got = compiled(MSE, reduce=reduce)(heatmap, points)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=1e-7)


def test_msce_has_the_stored_check_values():
    heatmap = np.random.default_rng(6).standard_normal((1, 8, 8)).astype(np.float32)
    point = np.array([[5.5, 3.5]], np.float32)
    for pool, reduce, wanted in (
        ("max", "sum", [9.08435547, 12.07053087, 14.0252323]),
        ("average", "mean", [4.47428666, 7.27849634, 8.57279934]),
    ):
        for scales in (1, 2, 3):
            loss = compiled(MSCE, scales=scales, pool=pool, reduce=reduce)
            np.testing.assert_allclose(loss(heatmap, point), wanted[scales - 1 : scales], rtol=1e-6)


def peak(positions, size=16, gap=20.0):
    heatmap = np.full((len(positions), size, size), -gap, np.float32)
    for row, position in enumerate(positions):
        heatmap[row, position, position] = 0
    return heatmap


def test_mse_grows_with_the_distance():
    point = np.full((16, 2), 5.5, np.float32)
    values = np.asarray(MSE(peak(range(16)), point))
    np.testing.assert_allclose(values, ((np.arange(16) - 5) / 16) ** 2, atol=1e-6)
    assert values[5] < 1e-9
    assert np.all(np.diff(values[5:]) > 0) and np.all(np.diff(values[:6]) < 0)


@pytest.mark.parametrize("scales", [1, 2, 4])
def test_msce_is_a_staircase_of_dyadic_blocks(scales):
    target = 5
    point = np.full((16, 2), target + 0.5, np.float32)
    values = np.asarray(compiled(MSCE, scales=scales)(peak(range(16)), point))
    missed = np.array([sum(j >> m != target >> m for m in range(scales)) for j in range(16)])
    assert len(set(missed)) == scales + 1
    np.testing.assert_allclose(values, missed * 2 * 20.0, atol=1e-3)


def test_the_class_is_the_pixel_that_holds_the_point():
    heatmap, _ = batch((1, 8, 8))
    loss = compiled(MSCE)
    at = lambda x, y: float(loss(heatmap, np.array([[x, y]], np.float32))[0])  # noqa: E731
    assert at(3.0, 2.0) == at(3.99, 2.99)
    assert at(3.0, 2.0) != at(4.0, 2.0) and at(3.0, 2.0) != at(2.0, 3.0)
    assert at(-5.0, 8.0) == at(0.5, 7.5)
    assert MSE(heatmap, np.array([[3.0, 2]], np.float32)) != MSE(
        heatmap, np.array([[3.9, 2]], np.float32)
    )


@BOTH
def test_a_nan_point_is_no_column(loss):
    heatmap, points = batch()
    points[1, 0], points[2, 1] = np.nan, np.nan
    values = np.asarray(compiled(loss)(heatmap, points))
    np.testing.assert_array_equal(np.isnan(values), [False, True, True, False])
    clean = compiled(loss)(*batch())
    np.testing.assert_allclose(values[[0, 3]], np.asarray(clean)[[0, 3]], rtol=1e-6)


@pytest.mark.parametrize("reduce", ["sum", "mean"])
@BOTH
def test_gradients_equal_finite_differences(loss, reduce):
    with jax.enable_x64(True):
        heatmap = jnp.asarray(np.random.default_rng(1).standard_normal((2, 4, 8)))
        points = jnp.array([[1.3, 2.2], [6.9, 0.1]])
        assert loss(heatmap, points).dtype == jnp.float64
        total = jax.jit(lambda h: loss(h, points, reduce=reduce).sum())
        check_grads(total, (heatmap,), 1, ["rev"])


def test_msce_gradient_is_softmax_minus_one_hot():
    heatmap, points = batch((1, 4, 8))
    got = jax.jit(jax.grad(lambda h: MSCE(h, points, scales=1)[0]))(heatmap)[0]
    softmax = lambda s: np.exp(s) / np.exp(s).sum()  # noqa: E731
    columns, rows = softmax(heatmap[0].sum(0)), softmax(heatmap[0].sum(1))
    columns[int(points[0, 0])] -= 1
    rows[int(points[0, 1])] -= 1
    np.testing.assert_allclose(got, columns[None, :] + rows[:, None], atol=1e-5)


@BOTH
def test_jit_and_eight_devices_give_the_same(loss):
    heatmap, points = batch((16, 8, 16))
    eager = loss(heatmap, points)
    np.testing.assert_allclose(jax.jit(loss)(heatmap, points), eager, rtol=1e-6, atol=1e-8)
    devices = jax.devices()
    assert len(devices) == 8
    spread = NamedSharding(Mesh(np.array(devices), ("b",)), PartitionSpec("b"))
    step = jax.jit(jax.value_and_grad(lambda h, p: loss(h, p).sum()))
    one = step(heatmap, points)
    many = step(jax.device_put(heatmap, spread), jax.device_put(points, spread))
    np.testing.assert_allclose(many[0], one[0], rtol=1e-6)
    np.testing.assert_allclose(many[1], one[1], rtol=1e-5, atol=1e-7)


@BOTH
def test_images_do_not_see_each_other(loss):
    heatmap, points = batch()
    loss = jax.jit(loss)
    order = np.array([2, 0, 3, 1])
    values = np.asarray(loss(heatmap, points))
    np.testing.assert_allclose(loss(heatmap[order], points[order]), values[order], rtol=1e-6)
    mapped = jax.vmap(lambda h, p: loss(h[None], p[None])[0])(heatmap, points)
    np.testing.assert_allclose(mapped, values, rtol=1e-6)
    np.testing.assert_allclose(loss(heatmap[1:2], points[1:2]), values[1:2], rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@BOTH
def test_half_precision_logits_are_summed_in_float32(loss, dtype):
    heatmap, points = batch((4, 32, 32))
    low = jnp.asarray(heatmap, dtype)
    loss = jax.jit(loss)
    got = loss(low, points)
    assert got.dtype == jnp.float32
    # Against the same rounded logits the value is exact; against the unrounded ones it is near.
    np.testing.assert_allclose(got, loss(low.astype(jnp.float32), points), rtol=1e-6)
    np.testing.assert_allclose(got, loss(heatmap, points), rtol=0.02, atol=2e-3)
    gradient = jax.jit(jax.grad(lambda h: loss(h, points).sum()))(low)
    assert gradient.dtype == dtype and np.all(np.isfinite(gradient.astype(jnp.float32)))


@pytest.mark.parametrize("reduce", ["sum", "mean"])
@BOTH
def test_saturated_logits_are_finite(loss, reduce):
    points = np.array([[1.0, 15.0], [8.0, 2.0]], np.float32)
    step = jax.jit(jax.value_and_grad(lambda h: loss(h, points, reduce=reduce).sum()))
    heatmaps = {
        "positive": np.full((2, 16, 16), 1e4),
        "negative": np.full((2, 16, 16), -1e4),
        "mixed": 1e4 * np.sign(np.random.default_rng(0).standard_normal((2, 16, 16))),
        "equal": np.zeros((2, 16, 16)),
        "peak": peak([3, 15], 16, 1e4),
    }
    for name, heatmap in heatmaps.items():
        value, gradient = step(jnp.asarray(heatmap, jnp.float32))
        assert np.isfinite(value) and np.all(np.isfinite(gradient)), name


def test_an_equal_map_costs_what_the_docstring_says():
    points = np.array([[3.0, 6.0]], np.float32)
    msce, mse = compiled(MSCE), compiled(MSE)
    for value in (-1e4, 0.0, 1e4):
        heatmap = np.full((1, 8, 8), value, np.float32)
        wanted = 2 * np.log(8 * 4 * 2)
        np.testing.assert_allclose(msce(heatmap, points), [wanted], rtol=1e-6)
        wanted = ((4 - 3) ** 2 + (4 - 6) ** 2) / 8**2 / 2
        np.testing.assert_allclose(mse(heatmap, points), [wanted], rtol=1e-5)


def test_every_option_changes_the_value():
    heatmap, points = batch()
    plain = compiled(MSCE)(heatmap, points)
    for options in (
        {"scales": 2},
        {"pool": "average"},
        {"reduce": "mean"},
        {"scale_weights": (1, 1, 2)},
    ):
        changed = compiled(MSCE, **options)(heatmap, points)
        assert np.all(np.abs(changed - plain) > 1e-3), options
    changed = MSE(heatmap, points, reduce="mean")
    assert np.all(np.abs(changed - MSE(heatmap, points)) > 1e-5)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize(
    "loss, change, error, message",
    [
        (MSCE, {"heatmap": np.zeros((8, 8), np.float32)}, ValueError, "`heatmap`"),
        (MSCE, {"heatmap": np.zeros((2, 8, 8), np.int32)}, TypeError, "`heatmap`"),
        (MSCE, {"points": np.zeros((3, 2), np.float32)}, ValueError, "`points`"),
        (MSCE, {"points": np.zeros((2, 3), np.float32)}, ValueError, "`points`"),
        (MSCE, {"scales": 0}, ValueError, "`scales`"),
        (MSCE, {"scales": 5}, ValueError, "`scales`"),
        (MSCE, {"pool": "min"}, ValueError, "`pool`"),
        (MSCE, {"reduce": "max"}, ValueError, "`reduce`"),
        (MSCE, {"scale_weights": (1.0, 1.0)}, ValueError, "`scale_weights`"),
        (MSCE, {"scale_weights": (1.0, 1.0, -1.0)}, ValueError, "`scale_weights`"),
        (MSCE, {"scale_weights": (1.0, np.nan, 1.0)}, ValueError, "`scale_weights`"),
        (MSE, {"heatmap": np.zeros((2, 8, 8, 1), np.float32)}, ValueError, "`heatmap`"),
        (MSE, {"heatmap": np.zeros((2, 8, 8), np.int32)}, TypeError, "`heatmap`"),
        (MSE, {"points": np.zeros((2,), np.float32)}, ValueError, "`points`"),
        (MSE, {"reduce": "max"}, ValueError, "`reduce`"),
    ],
)
def test_errors_are_static(wrap, loss, change, error, message):
    arrays = {"heatmap": np.zeros((2, 8, 8), np.float32), "points": np.ones((2, 2), np.float32)}
    options = {name: value for name, value in change.items() if name not in arrays}
    arrays |= {name: value for name, value in change.items() if name in arrays}
    with pytest.raises(error, match=message):
        wrap(lambda h, p: loss(h, p, **options))(arrays["heatmap"], arrays["points"])
