"""Weights of loss terms over a training: the published schedules, and what a run remembers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from segjax import losses
from segjax.config import lookup
from segjax.config.durations import Clock
from segjax.config.validation import PARALLEL
from segjax.errors import UserError
from segjax.explore import inputs
from segjax.optim import loss_weights
from segjax.optim.loss_weights import Times, Weights
from segjax.tasks.binding import combine, make_term
from segjax.tasks.sums import reading
from segjax.train import experiment, parallel
from segjax.train import state as states
from segjax.train.checkpoint import Checkpoints
from segjax.train.loop_state import LoopState

TINY = "tests.train.tiny:Tiny"


def times(examples=330, batch=8, total=1000):
    return Times(Clock(examples, batch, total))


def values(weight, steps):
    at = jax.jit(jax.vmap(lambda number: weight.at(number, {})))
    return np.asarray(at(jnp.asarray(steps, jnp.int32)))


# The first step of epoch e: the smallest whole number not below e * 330 / 8.
EPOCHS = np.arange(130)
STARTS = -(-EPOCHS * 330 // 8)


def test_gradual_is_the_papers_line_by_epoch():
    wanted = np.maximum((100 - EPOCHS) / 100, 0.01)
    weight = loss_weights.gradual(times())
    np.testing.assert_allclose(values(weight, STARTS), wanted, atol=1e-6)
    np.testing.assert_allclose(values(weight, STARTS[1:] - 1), wanted[:-1], atol=1e-6)
    partner = loss_weights.gradual(times(), rising=True)
    np.testing.assert_allclose(values(partner, STARTS), 1 - wanted, atol=1e-6)


def test_gradual_by_step_moves_at_every_step_whatever_the_size_of_the_set():
    weight = loss_weights.gradual(times(), every="step", over_epochs=None, over_percent=50)
    steps = np.arange(1000)
    np.testing.assert_allclose(values(weight, steps), np.maximum(1 - steps / 500, 0.01), atol=2e-6)
    other = loss_weights.gradual(times(40), every="step", over_epochs=None, over_steps=500)
    np.testing.assert_allclose(values(other, steps), values(weight, steps), atol=2e-6)


def test_steal_is_the_code_of_the_boundary_loss():
    first = loss_weights.steal(times(), lowest=0.1)
    second = loss_weights.steal(times(), start=0.01, change=0.01)
    falling, rising = 1.0, 0.01  # as the authors' scheduler goes, epoch by epoch
    rows = zip(values(first, STARTS), values(second, STARTS), strict=True)
    for epoch, pair in enumerate(rows):
        np.testing.assert_allclose(pair, [falling, rising], atol=1e-5, err_msg=str(epoch))
        falling, rising = max(0.1, falling - 0.01), rising + 0.01
    capped = loss_weights.steal(times(), start=0.0, change=0.5, highest=1.0)
    np.testing.assert_allclose(values(capped, STARTS[:4]), [0, 0.5, 1, 1])


def test_constant_and_warm_up():
    np.testing.assert_array_equal(values(loss_weights.constant(times(), value=0.25), [0, 9]), 0.25)
    sudden = loss_weights.warm_up(times(), value=0.5, until_percent=1)
    np.testing.assert_array_equal(values(sudden, [0, 9, 10, 999]), [0, 0, 0.5, 0.5])
    options = {"until_percent": None, "until_steps": 10, "rise_steps": 4}
    slow = loss_weights.warm_up(times(), **options)
    np.testing.assert_allclose(values(slow, range(8, 16)), [0, 0, 0.25, 0.5, 0.75, 1, 1, 1])


def test_rebalance_is_the_quotient_of_the_means_of_the_epoch_before():
    weight = loss_weights.rebalance(times(24, 8, 50), against="far", first=2.0)
    weights = Weights({"near": weight})
    rng = np.random.default_rng(0)
    near, far = rng.uniform(0.1, 1, 9), rng.uniform(5, 50, 9)
    memory, seen = weights.initial(), []
    for number in range(9):
        seen.append(float(weights.at(jnp.int32(number), memory)["near"]))
        sums = {"loss/near": (near[number] * 8, 8), "loss/far": (far[number] * 8, 8)}
        memory = weights.update(memory, jnp.int32(number), sums)
    ratios = far.reshape(3, 3).mean(1) / near.reshape(3, 3).mean(1)
    np.testing.assert_allclose(seen, [2, 2, 2, *[ratios[0]] * 3, *[ratios[1]] * 3], rtol=1e-5)


def test_rebalance_takes_sizes_and_survives_a_loss_of_zero():
    weights = Weights({"a": loss_weights.rebalance(times(8, 8), against="b")})
    memory = weights.initial()
    for pair, wanted in (((2.0, -6.0), 3.0), ((0.0, 5.0), 3.0), ((5.0, 0.0), 3.0)):
        sums = {"loss/a": (pair[0], 8), "loss/b": (pair[1], 8)}
        memory = weights.update(memory, jnp.int32(0), sums)
        assert float(weights.at(jnp.int32(1), memory)["a"]) == pytest.approx(wanted)


def section(**weight):
    plain = ConfigDict({"name": "cross_entropy", "weight": 1.0})
    return ConfigDict({"dice": {"name": "dice", "weight": weight}, "cross_entropy": plain})


@pytest.mark.parametrize(
    "weight, names",
    [
        ({"name": "gradul"}, ["weight.name='gradul'", "did you mean 'gradual'?", "warm_up"]),
        ({"name": "gradual", "flor": 1}, ["weight.flor", "did you mean 'floor'?"]),
        ({"name": "gradual", "floor": -1}, ["weight.floor=-1"]),
        ({"name": "gradual", "floor": "low"}, ["weight.floor='low'"]),
        ({"name": "gradual", "every": "day"}, ["weight.every='day'", "epoch, step"]),
        ({"name": "gradual", "over_epochs": 0}, ["weight.over_epochs=0", "above 0"]),
        ({"name": "gradual", "over_epochs": None}, ["weight.over_steps", "no length"]),
        ({"name": "gradual", "over_steps": 3}, ["over_steps and", "over_epochs", "both set"]),
        ({"name": "steal", "change": "fast"}, ["weight.change='fast'"]),
        ({"name": "steal", "highest": -1}, ["weight.highest=-1"]),
        ({"name": "constant", "value": float("inf")}, ["weight.value=inf"]),
        ({"name": "rebalance"}, ["weight.against", "needs this option"]),
        ({"name": "rebalance", "against": "cross_entrop"}, ["did you mean 'cross_entropy'?"]),
        ({"name": "rebalance", "against": "dice"}, ["weight.against='dice'"]),
        ({"name": "rebalance", "against": "cross_entropy", "every_epochs": None}, ["no period"]),
    ],
)
def test_a_wrong_schedule_is_named(weight, names):
    with pytest.raises(UserError) as caught:
        loss_weights.make(section(**weight), Clock(24, 8, 100))
    assert str(caught.value).startswith("config.loss.dice.weight")
    for name in names:
        assert name in str(caught.value)


def test_spec_writes_a_schedule_out_and_a_given_duration_replaces_the_default():
    weight = lookup.spec("weights", "gradual", over_percent=40)
    assert weight.over_epochs is None and weight.over_percent == 40 and weight.floor == 0.01
    made = loss_weights.make(section(**weight), Clock(24, 8, 100))
    assert list(made.scheduled) == ["dice"] and made.initial() == {}
    assert values(made.scheduled["dice"], [36])[0] == pytest.approx(0.1, abs=1e-6)


def test_combine_is_the_weighted_sum_each_term_apart_and_weights_get_no_gradient():
    arrays = inputs.arguments(("logits", "labels"), batch=3)
    fields = {"logits": jnp.asarray(arrays["logits"], jnp.float32), "labels": arrays["labels"]}
    terms = (
        make_term(losses.dice, weight=0.25, squared=True),
        make_term(losses.cross_entropy, name="pixels"),
    )
    got = combine(terms, fields, {"pixels": jnp.float32(3.0)})
    dice, pixels = losses.dice(**fields, squared=True), losses.cross_entropy(**fields)
    np.testing.assert_allclose(got["loss"], 0.25 * dice + 3 * pixels, rtol=1e-6)
    np.testing.assert_array_equal(got["loss/dice"], dice)
    np.testing.assert_array_equal(got["loss/pixels"], pixels)
    total = lambda weight: combine(terms, fields, {"pixels": weight})["loss"].sum()  # noqa: E731
    assert jax.grad(total)(jnp.float32(3.0)) == 0
    assert list(combine(terms[:1], fields)) == ["loss"]


def test_combine_passes_where_to_the_losses_that_take_it():
    arrays = inputs.arguments(("logits", "labels"))
    where = np.zeros(arrays["labels"].shape, bool)
    where[:, :4] = True
    fields = {"logits": jnp.asarray(arrays["logits"], jnp.float32), "labels": arrays["labels"]}
    got = combine((make_term(losses.dice),), {**fields, "where": where})["loss"]
    np.testing.assert_array_equal(got, losses.dice(**fields, where=where))
    assert np.all(got != losses.dice(**fields))


def outside(logits, labels):
    """A loss without `where`."""
    return losses.dice(logits, labels)


def test_a_loss_without_where_is_called_without():
    arrays = inputs.arguments(("logits", "labels"))
    fields = {"logits": jnp.asarray(arrays["logits"], jnp.float32), "labels": arrays["labels"]}
    got = combine((make_term(outside),), {**fields, "where": fields["labels"] > 0})["loss"]
    np.testing.assert_array_equal(got, losses.dice(**fields))


# --- In a run. ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(data_dir):
    """Dice rebalanced against cross entropy, a falling focal loss; epochs of three steps."""
    from experiments.segmentation import common
    from segjax.recipes.training import quick_optimizer

    config = common.segmentation(
        "synthetic_fundus/48px_24_10_8", "cross_entropy+dice+focal", "disc", 16, (4,)
    )
    config.loss.dice.weight = lookup.spec("weights", "rebalance", against="cross_entropy")
    config.loss.focal.weight = lookup.spec("weights", "gradual", over_epochs=4)
    config.model = lookup.spec("models", TINY)
    config.data.data_dir, config.seed = str(data_dir), 3
    quick_optimizer(config, steps=12, learning_rate=1e-2)
    return experiment.build(config, examples=24, devices=1)


@functools.cache
def batches():
    rng = np.random.default_rng(0)
    return [
        {
            "image": rng.integers(0, 255, (8, 16, 16, 3)).astype(np.uint8),
            "labels": rng.integers(0, 2, (8, 16, 16)).astype(np.uint8),
            "slot": np.arange(8, dtype=np.int32),
            "weight": np.ones(8, np.float32),
        }
        for _ in range(8)
    ]


def advance(made, devices, state, numbers):
    """The state after some batches, and each step's values."""
    compiled = devices.compile_train(made.train_step(devices.axis_name))
    rows = []
    for number in numbers:
        state, sums = compiled(state, {}, devices.place(batches()[number]))
        pairs = {name: [reading(part) for part in pair] for name, pair in sums.items()}
        rows.append({name: value / count for name, (value, count) in pairs.items()})
    return state, rows


@pytest.mark.usefixtures("command_settings")
@pytest.mark.parametrize("kind", PARALLEL)
def test_a_run_logs_weights_and_terms_and_goes_on_bitwise_from_a_checkpoint(made, kind, tmp_path):
    devices = parallel.make(kind)
    new = lambda: devices.replicate(jax.device_get(made.initial_state()))  # noqa: E731
    whole, rows = advance(made, devices, new(), range(8))
    for row in rows:
        weights = {"cross_entropy": 1.0, "dice": row["weight/dice"], "focal": row["weight/focal"]}
        total = sum(weight * row[f"loss/{name}"] for name, weight in weights.items())
        assert row["loss"] == pytest.approx(total, rel=1e-5)
    mean = lambda name, epoch: np.mean([row[name] for row in rows[3 * epoch : 3 * epoch + 3]])  # noqa: E731
    ratios = [mean("loss/cross_entropy", e) / mean("loss/dice", e) for e in (0, 1)]
    wanted = [1, 1, 1, *[ratios[0]] * 3, *[ratios[1]] * 2]
    np.testing.assert_allclose([row["weight/dice"] for row in rows], wanted, rtol=1e-5)
    falling = [1, 1, 1, 0.75, 0.75, 0.75, 0.5, 0.5]
    np.testing.assert_allclose([row["weight/focal"] for row in rows], falling, rtol=1e-6)

    stopped, _ = advance(made, devices, new(), range(5))  # in the middle of an epoch
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save("latest", 5, stopped, LoopState())
        checkpoints.wait()
        restored, _ = checkpoints.restore("latest", new())
    assert float(restored.loss_weights["dice"]["own"]) > 0
    resumed, again = advance(made, devices, devices.replicate(jax.device_get(restored)), (5, 6, 7))
    assert again == rows[5:]
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(resumed), jax.device_get(whole))


@pytest.mark.usefixtures("command_settings")
def test_evaluation_takes_the_weights_of_its_step(made):
    evaluate = jax.jit(made.evaluation_step(None))
    state = made.initial_state()
    memory = {"dice": {"weight": jnp.float32(7), "own": jnp.float32(1), "other": jnp.float32(1)}}
    later = state.replace(step=jnp.int32(9), loss_weights=memory)
    for moment, dice, focal in ((state, 1.0, 1.0), (later, 7.0, 0.25)):
        sums, _ = evaluate(moment.without_optimizer, {}, batches()[0])
        means = {name: float(total / count) for name, (total, count) in sums.items()}
        wanted = means["loss/cross_entropy"] + dice * means["loss/dice"]
        assert means["loss"] == pytest.approx(wanted + focal * means["loss/focal"], rel=1e-5)


@pytest.mark.usefixtures("command_settings")
def test_a_step_that_is_not_finite_leaves_the_memory_as_it_was(made):
    run = jax.jit(made.train_step(None))
    state, _ = run(made.initial_state(), {}, batches()[0])
    broken = state.replace(params=jax.tree.map(lambda p: p * jnp.nan, state.params))
    after, _ = run(broken, {}, batches()[1])
    assert after.halted and int(after.step) == 1
    jax.tree.map(np.testing.assert_array_equal, after.loss_weights, state.loss_weights)


def test_checkpoints_of_runs_that_remember_nothing_have_no_such_field(tmp_path):
    state = states.create({"kernel": jnp.ones(3)}, {}, optax.sgd(0.1))
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save("latest", 1, state, LoopState())
        checkpoints.wait()
        restored, _ = checkpoints.restore("latest", state)
    (metadata,) = tmp_path.rglob("_METADATA")
    assert "halted" in metadata.read_text() and "loss_weights" not in metadata.read_text()
    assert restored.loss_weights == {} and isinstance(restored, states.State)
