"""Erosion, dilation and the soft skeleton: values, shared gradients, memory, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import ops
from tests.losses.oracles import centerline

RNG = np.random.default_rng(0)
SHAPES = [(2, 9), (2, 7, 9), (2, 5, 6, 7)]
skeleton = jax.jit(functools.partial(ops.soft_skeleton, iterations=3))


def probabilities(shape):
    return RNG.uniform(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_values_are_those_of_plain_loops(shape):
    x = probabilities(shape)
    for ours, plain in [
        (ops.soft_erode, centerline.soft_erode),
        (ops.soft_dilate, centerline.soft_dilate),
        (ops.soft_open, lambda i: centerline.soft_dilate(centerline.soft_erode(i))),
    ]:
        np.testing.assert_array_equal(jax.jit(ours)(x), np.stack([plain(image) for image in x]))
    for iterations in (0, 1, 4):
        got = jax.jit(functools.partial(ops.soft_skeleton, iterations=iterations))(x)
        wanted = np.stack([centerline.soft_skeleton(i.astype(float), iterations) for i in x])
        np.testing.assert_allclose(got, wanted, atol=1e-6)
        assert wanted.max() > 0.3


def test_known_skeletons():
    image = np.zeros((1, 7, 11), np.float32)
    image[0, 2:5, 1:10] = 1  # a bar three wide: its centre line, a pixel shorter at each end
    wanted = np.zeros_like(image)
    wanted[0, 3, 2:9] = 1
    np.testing.assert_array_equal(skeleton(image), wanted)
    line = np.eye(8, dtype=np.float32)[None]
    np.testing.assert_array_equal(skeleton(line), line)
    for constant in (0.0, 0.4, 1.0):
        assert not np.any(skeleton(np.full((1, 6, 6), constant, np.float32)))


def test_iterations_beyond_the_radius_change_nothing():
    image = np.zeros((1, 12, 12), np.float32)
    image[0, 2:9, 3:10] = 1
    few, enough, many = (np.asarray(ops.soft_skeleton(image, iterations=k)) for k in (1, 3, 20))
    assert few.sum() < enough.sum()
    np.testing.assert_array_equal(enough, many)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("op", [ops.soft_erode, ops.soft_dilate, ops.soft_open, skeleton])
def test_gradients_equal_finite_differences(op, shape):
    with jax.enable_x64(True):
        x, weights, direction = (RNG.uniform(size=shape) for _ in range(3))
        total = jax.jit(lambda x: jnp.sum(weights * op(x)))
        gradient = jax.jit(jax.grad(total))(x)
        wanted = (total(x + 1e-7 * direction) - total(x - 1e-7 * direction)) / 2e-7
        np.testing.assert_allclose(np.vdot(gradient, direction), wanted, rtol=1e-6)


def unrolled(x, iterations):
    """The published recursion by the differentiable operations, for its gradient."""
    total = jax.nn.relu(x - ops.soft_open(x))
    for _ in range(iterations):
        x = ops.soft_erode(x)
        ridge = jax.nn.relu(x - ops.soft_open(x))
        total = total + jax.nn.relu(ridge - total * ridge)
    return total


@pytest.mark.parametrize("iterations", [0, 1, 3, 6, 11])
def test_the_walk_backwards_visits_every_erosion(iterations):
    """Smooth images whose ridges lie at all depths, so that each erosion has a gradient."""
    x = np.asarray(ops.gaussian_filter(probabilities((2, 34, 33)), sigma=2.0))
    x = ((x - x.min()) / np.ptp(x)).astype(np.float32)
    weights = RNG.normal(size=x.shape).astype(np.float32)
    got, wanted = (
        jax.jit(jax.grad(lambda x, f=f: jnp.sum(weights * f(x))))(x)
        for f in (
            functools.partial(ops.soft_skeleton, iterations=iterations),
            functools.partial(unrolled, iterations=iterations),
        )
    )
    np.testing.assert_allclose(got, wanted, atol=1e-5)
    assert np.abs(wanted).max() > 0.1


def test_equal_extremes_share_the_gradient():
    flat = jnp.ones((1, 5, 5))
    middle = jnp.zeros((1, 5, 5)).at[0, 2, 2].set(1.0)
    for op, box in ((ops.soft_erode, centerline.soft_erode), (ops.soft_dilate, None)):
        gradient = jax.grad(lambda x, op=op: jnp.sum(middle * op(x)))(flat)
        reached = np.zeros((5, 5))
        reached[1:4, 1:4] = 1
        if box is not None:
            reached[[1, 1, 3, 3], [1, 3, 1, 3]] = 0
        np.testing.assert_allclose(gradient[0], reached / reached.sum(), rtol=1e-6)


def test_a_ridge_of_exactly_one_has_a_gradient_and_saturated_images_are_finite():
    line = jnp.zeros((1, 5, 9)).at[0, 2].set(1.0)
    gradient = jax.grad(lambda x: jnp.sum(skeleton(x)))(line)
    assert np.all(np.isfinite(gradient)) and np.all(np.asarray(gradient)[0, 2] == 1)


def test_where_equals_cropping():
    x = probabilities((2, 8, 9))
    where = np.zeros(x.shape, bool)
    where[:, 1:7, 2:8] = True
    total = jax.jit(jax.grad(lambda x, w: jnp.sum(skeleton(x, where=w) ** 2)))
    outside = np.where(where, x, np.nan)
    got, gradient = skeleton(outside, where=where), total(outside, where)
    inner = x[:, 1:7, 2:8]
    np.testing.assert_allclose(got[:, 1:7, 2:8], skeleton(inner), atol=1e-6)
    np.testing.assert_allclose(
        gradient[:, 1:7, 2:8], total(inner, np.ones(inner.shape, bool)), atol=1e-6
    )
    assert np.all(got[~where] == 0) and np.all(gradient[~where] == 0)


def test_it_can_be_mapped_and_its_gradient_differentiated_forward():
    x = probabilities((3, 2, 8, 8))
    each = np.stack([skeleton(one) for one in x])
    np.testing.assert_allclose(jax.vmap(skeleton)(x), each, atol=1e-6)
    slope = jax.jit(jax.grad(lambda x: jnp.sum(skeleton(x) ** 2)))
    with jax.enable_x64(True):
        x, direction = x[0].astype(np.float64), RNG.normal(size=x[0].shape)
        got = jax.jit(lambda x, v: jax.jvp(slope, (x,), (v,))[1])(x, direction)
        step = (slope(x + 1e-7 * direction) - slope(x - 1e-7 * direction)) / 2e-7
        np.testing.assert_allclose(got, step, atol=1e-5)
        assert np.abs(step).max() > 0.1


def test_half_precision_is_computed_in_single():
    x = jnp.asarray(probabilities((1, 8, 8)), jnp.bfloat16)
    got = skeleton(x)
    assert got.dtype == jnp.bfloat16 and ops.soft_dilate(x).dtype == jnp.bfloat16
    np.testing.assert_array_equal(got, skeleton(x.astype(jnp.float32)).astype(jnp.bfloat16))


def test_fifty_iterations_take_at_most_twice_the_memory_of_one():
    def memory(iterations):
        total = lambda x: jnp.sum(ops.soft_skeleton(x, iterations=iterations) ** 2)  # noqa: E731
        image = jax.ShapeDtypeStruct((2, 128, 128), jnp.float32)
        compiled = jax.jit(jax.value_and_grad(total)).lower(image).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert memory(50) <= 2 * memory(1)


@pytest.mark.parametrize("op", [ops.soft_erode, ops.soft_dilate, ops.soft_open, skeleton])
def test_errors_are_static(op):
    with pytest.raises(ValueError, match=r"`x` takes 2 or 3 or 4 axes, got shape \(8,\)"):
        jax.jit(op)(jnp.zeros(8))
    with pytest.raises(TypeError, match="`x` takes floating-point values, got int32"):
        op(jnp.zeros((1, 8, 8), jnp.int32))


@pytest.mark.parametrize("iterations", [-1, 1.5, True])
def test_iterations_are_counted(iterations):
    with pytest.raises(ValueError, match="`iterations` takes a whole number of at least 0"):
        ops.soft_skeleton(jnp.zeros((1, 8, 8)), iterations=iterations)


def test_where_is_checked():
    with pytest.raises(TypeError, match="`where` takes booleans"):
        skeleton(jnp.zeros((1, 8, 8)), where=jnp.zeros((1, 8, 8)))
    with pytest.raises(ValueError, match="`where` takes shape"):
        skeleton(jnp.zeros((1, 8, 8)), where=jnp.zeros((1, 8, 7), bool))
