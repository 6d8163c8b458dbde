"""What every loss owes: its equation, an order, exact gradients, and sense at the edges."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from segjax import losses, maps
from segjax.explore import inputs
from segjax.tasks.binding import array_parameters

from .oracles import CASES, ORACLES

FIRST = {case.loss: case for case in reversed(CASES)}
EVERY = pytest.mark.parametrize("case", FIRST.values(), ids=str)
# What a loss differentiates with respect to: its first array, or all of a triplet's.
LEAVES = {"triplet": (0, 1, 2)}


def bound(case):
    return functools.partial(getattr(losses, case.loss), **case.options)


def leaves(case):
    return LEAVES.get(case.loss, (0,))


def arrays(case, situation="random", *, batch=2, shape=None, dtype=np.float32, seed=0):
    """The loss's arguments as a tuple."""
    *spatial, channels = shape or case.shapes[0]
    made = inputs.arguments(
        array_parameters(getattr(losses, case.loss)),
        situation,
        batch=batch,
        spatial=tuple(spatial),
        channels=channels,
        seed=seed,
    )
    return tuple(a.astype(dtype) if a.dtype == np.float64 else a for a in made.values())


@functools.cache
def compiled(name):
    """One compilation for most of the tests: values `[8]` and the gradient of their sum."""
    case = FIRST[name]

    def total(*arguments):
        values = bound(case)(*arguments)
        return values.sum(), values

    step = jax.value_and_grad(total, leaves(case), has_aux=True)

    def run(*arguments):
        (_, values), gradients = step(*arguments)
        return values, gradients

    return jax.jit(run)


def test_every_loss_has_a_case():
    assert sorted(FIRST) == sorted(losses.__all__)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_equals_its_equation(case):
    for shape in case.shapes:
        arguments = arrays(case, shape=shape, dtype=np.float64)
        wanted = ORACLES[case.loss](*arguments, **case.options)
        single = arrays(case, shape=shape)
        got = jax.jit(bound(case))(*single)
        assert got.dtype == jnp.float32 and got.shape == wanted.shape
        assert np.all(np.abs(wanted) > 1e-6), "an oracle value of 0 shows nothing"
        np.testing.assert_allclose(got, wanted, rtol=case.tolerance, atol=1e-6, err_msg=str(shape))


@EVERY
def test_jit_eager_and_eight_devices_agree_and_images_do_not_see_each_other(case):
    arguments = arrays(case, batch=8)
    values, gradients = compiled(case.loss)(*arguments)
    np.testing.assert_allclose(bound(case)(*arguments), values, rtol=1e-5, atol=1e-6)
    spread = NamedSharding(Mesh(np.array(jax.devices()), ("b",)), PartitionSpec("b"))
    many = compiled(case.loss)(*(jax.device_put(a, spread) for a in arguments))
    np.testing.assert_allclose(many[0], values, rtol=1e-5, atol=1e-6)
    for one, other in zip(gradients, many[1], strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-6)
    order = np.random.default_rng(0).permutation(8)
    permuted = compiled(case.loss)(*(a[order] for a in arguments))
    np.testing.assert_allclose(permuted[0], np.asarray(values)[order], rtol=1e-5, atol=1e-6)


@EVERY
def test_gradients_equal_finite_differences(case):
    with jax.enable_x64(True):
        arguments = arrays(case, dtype=np.float64)
        total = jax.jit(lambda *a: bound(case)(*a).sum())
        gradients = jax.jit(jax.grad(lambda *a: bound(case)(*a).sum(), leaves(case)))(*arguments)
        rng = np.random.default_rng(1)
        for index, gradient in zip(leaves(case), gradients, strict=True):
            assert np.abs(gradient).max() > 0
            for _ in range(3):
                direction = rng.standard_normal(gradient.shape)
                ends = [
                    total(
                        *arguments[:index],
                        arguments[index] + s * direction,
                        *arguments[index + 1 :],
                    )
                    for s in (1e-5, -1e-5)
                ]
                wanted = (ends[0] - ends[1]) / 2e-5
                np.testing.assert_allclose(
                    np.vdot(gradient, direction), wanted, rtol=1e-5, atol=1e-7
                )


@EVERY
@pytest.mark.parametrize("channels", [3, 1])
def test_values_and_gradients_are_finite_at_the_edges(case, channels):
    *spatial, usual = case.shapes[0]
    if "labels" not in array_parameters(getattr(losses, case.loss)) and channels != usual:
        pytest.skip("has no classes")
    for situation in inputs.SITUATIONS:
        for saturated in (False, True):
            arguments = arrays(case, situation, batch=8, shape=(*spatial, channels))
            if saturated:
                extreme = arrays(case, "saturated", batch=8, shape=(*spatial, channels))
                arguments = tuple(
                    e if index in leaves(case) else a
                    for index, (a, e) in enumerate(zip(arguments, extreme, strict=True))
                )
            values, gradients = compiled(case.loss)(*arguments)
            assert np.all(np.isfinite(values)), (situation, saturated)
            assert all(np.all(np.isfinite(g)) for g in gradients), (situation, saturated)


def prediction(labels, classes, sharpness=8.0):
    """Logits that say `labels` firmly."""
    if classes == 1:
        return np.where(labels[..., None] > 0, sharpness, -sharpness).astype(np.float32)
    return sharpness * np.eye(classes, dtype=np.float32)[labels] - sharpness / 2


@EVERY
@pytest.mark.parametrize("absent", [False, True])
def test_wrong_costs_more_than_slightly_wrong_than_perfect(case, absent):
    parameters = array_parameters(getattr(losses, case.loss))
    if not case.ordered or parameters[0] != "logits":
        pytest.skip("its own file orders it")
    *spatial, classes = case.shapes[0]
    labels = np.zeros((8, *spatial), np.int32)
    labels[:, 1:5, 2:6] = max(2, classes) - 1
    if not absent and classes > 2:
        labels[:, 6:, 3:6] = 1
    slightly = np.roll(labels, 1, axis=1)
    wrong = (labels + 1) % max(2, classes)
    truth = {"labels": labels, "maps": maps.rectified(labels, classes)}
    truth = [truth[name] for name in parameters[1:]]
    perfect, near, far = (
        np.asarray(compiled(case.loss)(prediction(p, classes), *truth)[0])
        for p in (labels, slightly, wrong)
    )
    assert np.all(perfect < near) and np.all(near < far), (perfect[0], near[0], far[0])


@EVERY
def test_where_equals_cropping(case):
    loss = getattr(losses, case.loss)
    if "where" not in inspect.signature(loss).parameters:
        pytest.skip("has no `where`")
    arguments = arrays(case)
    pixels = arguments[0].shape[: len(case.shapes[0])]
    where = np.zeros(pixels, bool)
    where[:, 1:7, 2:] = True
    inside = (slice(None), slice(1, 7), slice(2, None))
    wanted = jax.jit(bound(case))(*(np.ascontiguousarray(a[inside]) for a in arguments))
    outside = tuple(
        np.where(where.reshape(where.shape + (1,) * (a.ndim - where.ndim)), a, np.nan)
        if a.dtype == np.float32
        else np.where(where, a, 99)
        for a in arguments
    )
    step = jax.jit(jax.value_and_grad(lambda *a: bound(case)(*a, where=where).sum()))
    value, gradient = step(*outside)
    np.testing.assert_allclose(value, wanted.sum(), rtol=1e-5, atol=1e-6)
    gradient = np.asarray(gradient)
    assert np.all(gradient[~where] == 0) and np.all(np.isfinite(gradient))
    none = jax.jit(bound(case))(*arguments, where=np.zeros_like(where))
    assert np.all(np.isfinite(none))


@EVERY
def test_half_precision_stays_within_its_bound(case):
    arguments = arrays(case, batch=8)
    values, _ = compiled(case.loss)(*arguments)
    low = tuple(
        jnp.asarray(a, jnp.bfloat16) if i in leaves(case) else a for i, a in enumerate(arguments)
    )
    got, gradients = compiled(case.loss)(*low)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, values, rtol=case.half, atol=case.half * np.abs(values).mean())
    for gradient in gradients:
        assert gradient.dtype == jnp.bfloat16
        assert np.all(np.isfinite(gradient.astype(jnp.float32)))
