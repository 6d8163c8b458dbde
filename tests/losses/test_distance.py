import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import losses, maps

from .oracles.distance import field

RNG = np.random.default_rng


def smooth_logits(shape, seed=0):
    return RNG(seed).standard_normal(shape).astype(np.float32)


def firm(labels, classes, sharpness=30.0):
    """Logits that say `labels` firmly; one channel for `classes` 1."""
    if classes == 1:
        return np.where(labels[..., None] > 0, sharpness, -sharpness).astype(np.float32)
    return sharpness * np.eye(classes, dtype=np.float32)[labels]


def square(size=8, start=2, stop=5):
    labels = np.zeros((1, size, size), np.int32)
    labels[:, start:stop, start:stop] = 1
    return labels


def test_region_wise_gradient_is_equation_2():
    logits, z = smooth_logits((2, 4, 5, 3)), smooth_logits((2, 4, 5, 3), 1)
    got = jax.grad(lambda x: losses.region_wise(x, z).sum())(logits)
    p = np.asarray(jax.nn.softmax(logits, axis=-1))
    wanted = p * (z - np.sum(p * z, -1, keepdims=True)) / 20
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-7)
    equal = jax.grad(lambda x: losses.region_wise(x, np.full_like(z, 3.0)).sum())(logits)
    np.testing.assert_allclose(equal, 0, atol=1e-7)


def test_check_value_of_the_rectified_square():
    labels = square(4, 1, 3)
    z = maps.rectified(labels, 2)
    even = losses.region_wise(np.zeros((1, 4, 4, 2), np.float32), z, divide_by_classes=True)
    np.testing.assert_allclose(even, 0.03661165, rtol=1e-5)
    perfect = losses.region_wise(firm(labels, 2), z, divide_by_classes=True)
    np.testing.assert_allclose(perfect, -0.4267767, rtol=1e-5)
    np.testing.assert_allclose(losses.region_wise(firm(labels, 2), z), 2 * perfect, rtol=1e-6)


def test_active_contour_map_gives_the_share_of_misplaced_probability():
    labels = RNG(0).integers(0, 3, (2, 6, 7)).astype(np.int32)
    logits = smooth_logits((2, 6, 7, 3))
    p = np.asarray(jax.nn.softmax(logits, axis=-1))
    wanted = np.mean(1 - np.take_along_axis(p, labels[..., None], -1), axis=(1, 2, 3))
    got = losses.region_wise(logits, maps.active_contour(labels, 3))
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_squared_with_the_hausdorff_map_is_the_one_sided_hausdorff_loss():
    labels, logits = square(), smooth_logits((1, 8, 8, 1))
    got = losses.region_wise(logits, maps.hausdorff(labels, 2), power=2)
    wanted = losses.hausdorff_dt(logits, labels, one_sided=True)
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_one_channel_with_two_maps_is_the_two_class_softmax():
    z, logits = smooth_logits((2, 5, 6, 2)), smooth_logits((2, 5, 6, 1), 1)
    both = np.concatenate([np.zeros_like(logits), logits], -1)
    for run in (losses.region_wise, losses.boundary):
        np.testing.assert_allclose(run(logits, z), run(both, z), rtol=1e-5, atol=1e-7)
    foreground = losses.boundary(logits, z[..., 1:])
    np.testing.assert_allclose(foreground, losses.boundary(logits, z), rtol=1e-6)


def test_boundary_over_all_classes_is_region_wise():
    z, logits = smooth_logits((2, 5, 6, 3)), smooth_logits((2, 5, 6, 3), 1)
    got = losses.boundary(logits, z, include_background=True)
    np.testing.assert_allclose(
        got, losses.region_wise(logits, z, divide_by_classes=True), rtol=1e-5
    )


def test_boundary_of_a_square_moved_by_one_column():
    labels = np.zeros((1, 16, 16), np.int32)
    labels[:, 3:13, 3:13] = 1
    phi, moved = maps.boundary(labels, 1), np.roll(labels, 1, axis=2)
    got = losses.boundary(firm(moved, 1), phi, relative=True) * labels.size
    np.testing.assert_allclose(got, 20.0, rtol=1e-4)
    np.testing.assert_allclose(losses.boundary(firm(labels, 1), phi, relative=True), 0, atol=1e-6)
    step = jax.grad(lambda x, r: losses.boundary(x, phi, relative=r).sum(), argnums=0)
    logits = smooth_logits((1, 16, 16, 1))
    np.testing.assert_array_equal(step(logits, True), step(logits, False))


@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("name", ["rectified", "boundary", "signed", "active_contour", "hausdorff"])
def test_wrong_costs_more_than_slightly_wrong_than_perfect(name, absent):
    labels = np.zeros((1, 10, 10), np.int32)
    labels[:, 1:5, 2:6] = 2
    if not absent:
        labels[:, 6:, 3:6] = 1
    z = getattr(maps, name)(labels, 3)
    predictions = (labels, np.roll(labels, 1, axis=1), (labels + 1) % 3)
    for loss, options in (
        (losses.region_wise, {}),
        (losses.boundary, {"include_background": True}),
    ):
        perfect, near, far = (float(loss(firm(p, 3), z, **options)[0]) for p in predictions)
        assert perfect < near < far, (loss.__name__, perfect, near, far)


def test_hausdorff_dt_check_values():
    labels, empty = square(), np.zeros((1, 8, 8), np.int32)
    full = empty + 1
    dt = jax.jit(losses.hausdorff_dt)
    np.testing.assert_allclose(dt(firm(empty, 1), labels), 0.1875, rtol=1e-5)
    np.testing.assert_allclose(dt(firm(labels, 1), empty), 0.1875, rtol=1e-5)
    np.testing.assert_allclose(dt(firm(full, 1), labels), 4.75, rtol=1e-5)
    np.testing.assert_allclose(dt(firm(empty, 1), empty), 0, atol=1e-7)
    np.testing.assert_allclose(dt(firm(full, 1), empty), 0, atol=1e-7)
    np.testing.assert_allclose(dt(firm(labels, 1), labels), 0, atol=1e-7)


def test_empty_weight_keeps_a_gradient_where_there_is_no_boundary():
    empty = np.zeros((1, 8, 8), np.int32)

    def step(weight):
        run = jax.value_and_grad(
            lambda x: losses.hausdorff_dt(x, empty + 1, empty_weight=weight).sum()
        )
        return run(firm(empty, 1, 1.0))

    value, gradient = step(0.0)
    assert value == 0 and np.all(np.asarray(gradient) == 0)
    value, gradient = step(1.0)
    q = 1 / (1 + np.exp(1.0))
    np.testing.assert_allclose(value, 2 * (1 - q) ** 2, rtol=1e-5)
    assert np.all(np.asarray(gradient) < 0)


def test_hausdorff_dt_gradient_holds_the_distances_constant():
    labels, logits = square(), smooth_logits((1, 8, 8, 1))
    got = np.asarray(jax.grad(lambda x: losses.hausdorff_dt(x, labels, alpha=1.5).sum())(logits))
    q = 1 / (1 + np.exp(-logits[0, ..., 0].astype(np.float64)))
    weight = sum(field(m, None, 0, 1.5) for m in (labels[0] > 0, q > 0.5))
    wanted = 2 * (q - labels[0]) * weight / 64 * q * (1 - q)
    np.testing.assert_allclose(got[0, ..., 0], wanted, rtol=1e-4, atol=1e-7)


def test_farther_errors_cost_more():
    labels = np.zeros((1, 20, 20), np.int32)
    labels[:, 4:9, 4:9] = 1
    values = []
    for column in (10, 13, 17):
        predicted = labels.copy()
        predicted[:, 5:7, column : column + 2] = 1
        values.append(float(losses.hausdorff_dt(firm(predicted, 1), labels)[0]))
    assert 0 < values[0] < values[1] < values[2], values


def test_hausdorff_dt_takes_soft_labels_and_one_channel_is_two_classes():
    labels, logits = square(), smooth_logits((1, 8, 8, 1))
    dt = losses.hausdorff_dt
    wanted = dt(logits, labels)
    np.testing.assert_allclose(dt(logits, labels[..., None].astype(np.float32)), wanted, rtol=1e-6)
    both = np.concatenate([np.zeros_like(logits), logits], -1)
    np.testing.assert_allclose(dt(both, labels), wanted, rtol=1e-5)
    soft = np.where(labels[..., None] > 0, 0.8, 0.1).astype(np.float32)
    assert abs(float(dt(logits, soft)[0] - wanted[0])) > 1e-3
    spread = dt(logits, labels, spacing=(2.0, 2.0))
    np.testing.assert_allclose(spread, 4 * wanted, rtol=1e-5)


def test_wrong_input():
    logits, z = smooth_logits((1, 4, 4, 3)), smooth_logits((1, 4, 4, 3))
    labels = np.zeros((1, 4, 4), np.int32)
    for run in (losses.region_wise, losses.boundary):
        with pytest.raises(ValueError, match=r"`maps` takes shape \[1, 4, 4, 3\], got"):
            jax.jit(run)(logits, z[..., :2])
        with pytest.raises(TypeError, match="`maps` takes floating-point values, got int32"):
            run(logits, labels)
        with pytest.raises(TypeError, match="`where` takes booleans"):
            run(logits, z, where=labels)
    with pytest.raises(ValueError, match="`power` takes a number above 0, got 0"):
        losses.region_wise(logits, z, power=0)
    for option in ({"alpha": 0}, {"empty_weight": -1.0}, {"spacing": (1.0,)}):
        with pytest.raises(ValueError, match=f"`{next(iter(option))}` takes"):
            losses.hausdorff_dt(logits, labels, **option)
    with pytest.raises(ValueError, match="`labels` takes shape"):
        losses.hausdorff_dt(logits, labels[:, :3])


@pytest.mark.parametrize("power", [0.5, 1.5, 2])
def test_powers_stay_finite_for_saturated_logits(power):
    logits = jnp.array([[[1e4, -1e4, 0.0]]])
    z = jnp.array([[[1.0, -2.0, 0.5]]])
    value, gradient = jax.value_and_grad(lambda x: losses.region_wise(x, z, power=power).sum())(
        logits
    )
    assert np.isfinite(value) and np.all(np.isfinite(gradient))
