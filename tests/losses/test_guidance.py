"""The guidance loss: what it punishes, its forms, its edges."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import losses

LOG_EPSILON = np.log(1e-3)


@functools.cache
def compiled(**options):
    """Values and the gradient of their sum."""

    def run(logits, region):
        value = functools.partial(losses.guidance, region=region, **options)
        return value(logits), jax.grad(lambda z: value(z).sum())(logits)

    return jax.jit(run)


def example(shape=(2, 6, 8), seed=0):
    generator = np.random.default_rng(seed)
    logits = 2 * generator.standard_normal(shape).astype(np.float32)
    region = np.zeros(shape, bool)
    region[:, 1:4, 2:6] = True
    return logits, region


@pytest.mark.parametrize("form", ["log", "shifted", "complement"])
def test_it_counts_the_outside_only_and_less_there_is_better(form):
    logits, region = example()
    value, gradient = compiled(form=form)(logits, region)
    assert np.all(np.asarray(gradient)[region] == 0)
    assert np.all(np.asarray(gradient)[~region] > 0)
    lower = np.where(region, logits, logits - 1)
    assert np.all(compiled(form=form)(lower, region)[0] < value)
    np.testing.assert_array_equal(
        compiled(form=form)(np.where(region, 1e4, logits), region)[0], value
    )


def test_the_gradient_is_bounded_and_ends_at_epsilon():
    logits = np.array([[[-1e4, -8.0, -6.0, 0.0, 1e4]]], np.float32)
    region = np.zeros_like(logits, bool)
    _, gradient = compiled()(logits, region)
    # (1 - a) / N where a > eps = 1e-3, which is log(a / (1 - a)) > -6.907.
    wanted = np.array([0, 0, 1 / (1 + np.exp(-6.0)), 0.5, 0]) / 5
    np.testing.assert_allclose(gradient[0, 0], wanted, rtol=1e-6)
    _, gradient = compiled(epsilon=0.4)(logits, region)
    np.testing.assert_allclose(gradient[0, 0], [0, 0, 0, 0.1, 0], rtol=1e-6)
    _, gradient = compiled(form="complement")(logits, region)
    activations = np.array([0, 1 / (1 + np.exp(8)), 1 / (1 + np.exp(6)), 0.5, 1])
    np.testing.assert_allclose(gradient[0, 0], activations / 5, rtol=1e-5)


def test_the_values_at_the_ends():
    off, on = np.full((1, 4, 4), -1e4, np.float32), np.full((1, 4, 4), 1e4, np.float32)
    region = np.zeros((1, 4, 4), bool)
    region[:, :1] = True
    for form, at_off, at_on in (
        ("log", 0.75 * LOG_EPSILON, 0.0),
        ("shifted", 0.0, -0.75 * LOG_EPSILON),
        ("complement", 0.0, 0.75e4),
    ):
        np.testing.assert_allclose(compiled(form=form)(off, region)[0], [at_off], rtol=1e-6)
        np.testing.assert_allclose(compiled(form=form)(on, region)[0], [at_on], rtol=1e-6)


def test_a_shift_changes_no_gradient():
    logits, region = example()
    plain, shifted = compiled()(logits, region), compiled(form="shifted")(logits, region)
    np.testing.assert_array_equal(plain[1], shifted[1])
    outside = 1 - region.mean(axis=(1, 2))
    np.testing.assert_allclose(shifted[0] - plain[0], -LOG_EPSILON * outside, rtol=1e-5)


@pytest.mark.parametrize("form", ["log", "shifted", "complement"])
def test_a_region_that_covers_all_costs_nothing(form):
    logits, region = example()
    value, gradient = compiled(form=form)(logits, np.ones_like(region))
    assert np.all(np.asarray(value) == 0) and np.all(np.asarray(gradient) == 0)
    nothing = losses.guidance(logits, region, form=form, where=np.zeros_like(region))
    assert np.all(np.asarray(nothing) == 0)


def test_an_integer_region_is_allowed_where_it_is_not_0():
    logits, region = example()
    np.testing.assert_array_equal(
        compiled()(logits, region.astype(np.uint8) * 255)[0], compiled()(logits, region)[0]
    )


def test_errors_are_static():
    logits, region = example()
    for error, match, call in (
        (
            ValueError,
            "`activation_logits` takes 3 or 4",
            lambda: losses.guidance(logits[0], region),
        ),
        (TypeError, "`activation_logits` takes fl", lambda: losses.guidance(region, region)),
        (ValueError, "`region` takes shape", lambda: losses.guidance(logits, region[:, 1:])),
        (TypeError, "`region` takes booleans", lambda: losses.guidance(logits, logits)),
        (TypeError, "`where` takes", lambda: losses.guidance(logits, region, where=logits)),
        (ValueError, "`where` takes", lambda: losses.guidance(logits, region, where=region[1:])),
        (ValueError, "`form` takes one of", lambda: losses.guidance(logits, region, form="ln")),
        (ValueError, "`epsilon` takes", lambda: losses.guidance(logits, region, epsilon=0.0)),
        (ValueError, "`epsilon` takes", lambda: losses.guidance(logits, region, epsilon=1.0)),
    ):
        with pytest.raises(error, match=match):
            call()
    with pytest.raises(ValueError, match="`region` takes shape"):
        jax.eval_shape(losses.guidance, jnp.asarray(logits), jnp.asarray(region[..., None]))
