import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from segjax.config import lookup
from segjax.errors import UserError
from segjax.optim import optimizers, schedules
from segjax.optim import transformation as optim

TOTAL = 1000


@pytest.fixture(autouse=True)
def promotion_as_optax_wants_it():
    """Adam's bias correction and the cosine multiply floats by whole numbers."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def config(optimizer="sgd", schedule="constant", clip_norm=None, rate=0.01, **options):
    return ConfigDict(
        {
            "optimizer": lookup.spec("optimizers", optimizer, learning_rate=rate),
            "schedule": lookup.spec("schedules", schedule, **options),
            "train": {"clip_norm": clip_norm},
        }
    )


def rates(schedule, steps):
    return np.array([float(schedule(step)) for step in steps])


STEPS = np.array([0, 1, 7, 399, 400, 401, 500, 800, 999, 1000])


@pytest.mark.parametrize("staircase", [False, True])
def test_exponential_decay_of_the_paper(staircase):
    made = optim.schedule(config(schedule="exponential_decay", staircase=staircase), TOTAL)
    exponent = STEPS // 400 if staircase else STEPS / 400
    np.testing.assert_allclose(rates(made, STEPS), 0.01 * 0.9**exponent, rtol=1e-5)


@pytest.mark.parametrize("end_fraction", [0.0, 0.1])
def test_cosine_decay(end_fraction):
    made = schedules.cosine_decay(0.02, TOTAL, end_fraction=end_fraction)
    fall = 0.5 * (1 + np.cos(np.pi * STEPS / TOTAL))
    expected = 0.02 * ((1 - end_fraction) * fall + end_fraction)
    np.testing.assert_allclose(rates(made, STEPS), expected, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("power", [0.9, 1.0, 2.0])
def test_polynomial_decay(power):
    made = schedules.polynomial_decay(0.02, TOTAL, power=power)
    expected = 0.02 * (1 - STEPS / TOTAL) ** power
    np.testing.assert_allclose(rates(made, STEPS), expected, rtol=1e-4, atol=1e-8)


def test_constant():
    np.testing.assert_allclose(rates(schedules.constant(0.3, TOTAL), STEPS), 0.3, rtol=1e-6)


@pytest.mark.parametrize("name", ["constant", "cosine_decay", "polynomial_decay"])
def test_warm_up_rises_linearly_and_the_rest_is_fitted_into_what_remains(name):
    function = lookup.find("schedules", name)
    warm = function(0.5, TOTAL, warmup_percent=10.0)
    np.testing.assert_allclose(
        rates(warm, range(0, 100, 9)), 0.5 * np.arange(0, 100, 9) / 100, rtol=1e-5
    )
    rest = function(0.5, TOTAL - 100)
    np.testing.assert_allclose(
        rates(warm, STEPS[5:]), rates(rest, STEPS[5:] - 100), rtol=1e-5, atol=1e-8
    )


@pytest.mark.parametrize("name", schedules.__all__)
def test_a_schedule_is_finite_and_not_negative_for_the_shortest_training(name):
    made = lookup.find("schedules", name)(0.1, 1)
    values = rates(made, range(4))
    assert np.isfinite(values).all() and (values >= 0).all()


def params():
    return {"kernel": jnp.array([[1.0, -2.0], [3.0, 4.0]]), "bias": jnp.array([5.0, -6.0])}


def step_of(transformation, grads):
    updates, _ = transformation.update(grads, transformation.init(params()), params())
    return jax.tree.map(np.asarray, updates)


def test_sgd_goes_against_the_gradient():
    grads = {"kernel": jnp.ones((2, 2)), "bias": jnp.array([2.0, -3.0])}
    made = optim.transformation(config(rate=0.1), TOTAL)
    updates = step_of(made, grads)
    np.testing.assert_allclose(updates["kernel"], -0.1, rtol=1e-6)
    np.testing.assert_allclose(updates["bias"], [-0.2, 0.3], rtol=1e-6)


def test_the_rate_follows_the_schedule_step_by_step():
    made = optim.transformation(config(schedule="exponential_decay", decay_steps=2), TOTAL)
    state, grads, moved = made.init(params()), jax.tree.map(jnp.ones_like, params()), []
    for _ in range(5):
        updates, state = made.update(grads, state, params())
        moved.append(float(updates["bias"][0]))
    np.testing.assert_allclose(moved, -0.01 * 0.9 ** (np.arange(5) / 2), rtol=1e-5)


@pytest.mark.parametrize("norm", [1, 0.5, 100.0])
def test_clipping_by_global_norm(norm):
    grads = {"kernel": jnp.full((2, 2), 3.0), "bias": jnp.array([0.0, 8.0])}
    length = 10.0  # sqrt(4 * 9 + 64)
    updates = step_of(optim.transformation(config(rate=1.0, clip_norm=norm), TOTAL), grads)
    expected = -min(1.0, norm / length) * np.array([0.0, 8.0])
    np.testing.assert_allclose(updates["bias"], expected, rtol=1e-5)
    moved = np.concatenate([np.ravel(leaf) for leaf in updates.values()])
    np.testing.assert_allclose(np.linalg.norm(moved), min(norm, length), rtol=1e-5)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "lion"])
def test_weight_decay_leaves_vectors_alone(name):
    function = lookup.find("optimizers", name)
    grads = jax.tree.map(jnp.zeros_like, params())
    updates = step_of(function(learning_rate=0.1, weight_decay=0.01), grads)
    np.testing.assert_array_equal(updates["bias"], 0.0)
    assert (np.sign(updates["kernel"]) == -np.sign(params()["kernel"])).all()
    if name in ("sgd", "adamw", "lion"):
        np.testing.assert_allclose(updates["kernel"], -0.001 * params()["kernel"], rtol=1e-5)


@pytest.mark.parametrize("name", optimizers.__all__)
def test_every_optimizer_takes_a_step_downhill(name):
    made = lookup.find("optimizers", name)(learning_rate=1e-2)
    grads = {"kernel": jnp.array([[1.0, -1.0], [2.0, -0.5]]), "bias": jnp.array([1.0, -1.0])}
    updates = step_of(made, grads)
    assert (np.sign(updates["kernel"]) == -np.sign(grads["kernel"])).all()


@pytest.mark.parametrize("value", [0, -0.1, True, "fast", None, float("nan"), float("inf")])
def test_a_learning_rate_is_a_finite_number_above_0(value):
    made = config()
    made.optimizer = ConfigDict(made.optimizer.to_dict() | {"learning_rate": value})
    with pytest.raises(UserError, match=r"config\.optimizer\.learning_rate="):
        optim.transformation(made, TOTAL)


@pytest.mark.parametrize("value", [0, -1, True, "tight", float("nan")])
def test_a_clipping_norm_is_a_number_above_0(value):
    with pytest.raises(UserError, match=r"config\.train\.clip_norm="):
        optim.transformation(config(clip_norm=value), TOTAL)


@pytest.mark.parametrize("value", [-0.1, "much", None, float("nan")])
@pytest.mark.parametrize("path", ["optimizer.momentum", "schedule.decay_steps"])
def test_options_are_no_negative_numbers(path, value):
    made = config(schedule="exponential_decay")
    section, key = path.split(".")
    made[section] = ConfigDict(made[section].to_dict() | {key: value})
    with pytest.raises(UserError, match=f"config.{path}="):
        optim.transformation(made, TOTAL)


def test_steps_to_decay_over_are_at_least_one():
    with pytest.raises(UserError, match=r"config\.schedule\.decay_steps=0"):
        optim.transformation(config(schedule="exponential_decay", decay_steps=0), TOTAL)


def test_a_warm_up_is_at_most_the_whole_training():
    with pytest.raises(UserError, match=r"config\.schedule\.warmup_percent=150"):
        optim.transformation(config(schedule="cosine_decay", warmup_percent=150.0), TOTAL)
