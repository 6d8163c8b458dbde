"""Losses that pool a batch: the real rows of all devices, and nothing else."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from segjax import losses
from segjax.config import lookup
from segjax.config.validation import PARALLEL
from segjax.errors import UserError
from segjax.optim.loss_weights import Weights
from segjax.tasks import binding
from segjax.tasks.deep_supervision import scales
from segjax.tasks.sums import reading
from segjax.train import parallel, step
from segjax.train import state as states

pytestmark = pytest.mark.usefixtures("command_settings")

BATCH, SIZE, RATE = 16, 8, 0.1
POOLED = ("dice", "generalized_dice", "lovasz_softmax", "top_k_cross_entropy")
LEFT_OUT = 5  # rows of padding


class Mixing(nn.Module):
    """Logits of three classes from three channels, at two resolutions."""

    @nn.compact
    def __call__(self, image, *, train):
        head = nn.Conv(3, (1, 1))
        return {"logits": head(image), "deep_logits": (head(image[:, 1::2, 1::2]),)}


class Task:
    """The least of a task: fields as they are, a region that counts on some images."""

    inputs = staticmethod(lambda fields: fields["image"])
    augmented = staticmethod(lambda keys, fields, strengths: fields)
    evaluated = staticmethod(lambda apply_fn, fields: apply_fn(fields["image"]))
    predict = staticmethod(lambda outputs: {})
    scores = staticmethod(lambda predictions, fields: {})

    @staticmethod
    def bind(outputs, fields):
        return {"logits": outputs["logits"], "labels": fields["labels"], "where": fields["where"]}

    def scales(self, outputs, fields):
        return scales(self.bind(outputs, fields), (*outputs["deep_logits"], outputs["logits"]))


def pooled_terms(*names):
    return [binding.make_term(getattr(losses, name), over="batch") for name in names]


def make_batch():
    rng = np.random.default_rng(7)
    shape = (BATCH, SIZE, SIZE)
    return {
        "image": rng.normal(size=(*shape, 3)).astype(np.float32),
        "labels": rng.integers(0, 3, shape).astype(np.int32),
        "where": rng.random(shape) < 0.9,
        "slot": np.arange(BATCH, dtype=np.int32),
        "weight": (np.arange(BATCH) < BATCH - LEFT_OUT).astype(np.float32),
    }


def begin():
    model, sgd = Mixing(), optax.sgd(RATE)
    start = jax.jit(partial(model.init, train=False))
    variables = start(jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 3)))
    return model, sgd, states.create(variables["params"], {}, sgd)


def evaluated(kind, terms, batch):
    """(sum, count) by name, on eight devices."""
    devices = parallel.make(kind)
    model, _, state = begin()
    made = step.make_evaluation_step(model, Task(), terms, Weights(), axis_name=devices.axis_name)
    compiled = devices.compile_evaluate(made)
    state = devices.replicate(jax.device_get(state.without_optimizer))
    sums, _ = compiled(state, {}, devices.place(batch))
    return jax.tree.map(reading, sums)


def trained(kind, terms, batch):
    """Parameters after a step of gradient descent on eight devices, and the sums."""
    devices = parallel.make(kind)
    model, sgd, state = begin()
    options = {"seed": 0, "augment": None, "axis_name": devices.axis_name}
    made = step.make_train_step(model, Task(), terms, Weights(), sgd, **options)
    compiled = devices.compile_train(made)
    state, sums = compiled(devices.replicate(jax.device_get(state)), {}, devices.place(batch))
    return jax.device_get(state.params), jax.tree.map(reading, sums)


@pytest.mark.parametrize("kind", PARALLEL)
def test_a_pooled_loss_takes_the_real_rows_of_all_devices(kind):
    batch, (model, _, state) = make_batch(), begin()
    real = jax.tree.map(lambda rows: rows[: BATCH - LEFT_OUT], batch)
    terms = pooled_terms(*POOLED)

    @jax.jit
    def alone(variables):
        outputs = model.apply(variables, real["image"], train=False)
        fields = Task.bind(outputs, real)
        return outputs["logits"], {term.name: term(fields)[0] for term in terms}

    logits, wanted = alone(state.variables)
    sums = evaluated(kind, terms, batch)
    for name in POOLED:
        total, count = sums[f"loss/{name}"]
        assert count == BATCH - LEFT_OUT
        assert total / count == pytest.approx(float(wanted[name]), rel=1e-5), name
    # By hand: 1 - (2 I + s) / (P + T + s), the mean over classes.
    scores = np.exp(np.asarray(logits, np.float64))
    counted = real["where"][..., None]
    p = scores / scores.sum(-1, keepdims=True) * counted
    t = (real["labels"][..., None] == np.arange(3)) * counted
    over = lambda x: x.sum(axis=(0, 1, 2))  # noqa: E731
    dice = 1 - (2 * over(p * t) + 1e-5) / (over(p) + over(t) + 1e-5)
    assert sums["loss/dice"][0] / (BATCH - LEFT_OUT) == pytest.approx(dice.mean(), rel=1e-5)


@pytest.mark.parametrize("kind", PARALLEL)
def test_the_gradient_of_a_pooled_loss_is_that_of_the_whole_batch(kind):
    terms = [*pooled_terms("dice", "top_k_cross_entropy"), binding.make_term(losses.cross_entropy)]
    batch, (model, _, state) = make_batch(), begin()
    real = jax.tree.map(lambda rows: rows[: BATCH - LEFT_OUT], batch)

    @jax.jit
    @jax.value_and_grad
    def whole(params):
        outputs = model.apply({"params": params}, real["image"], train=False)
        values = binding.combine_scales(terms, Task().scales(outputs, real))
        return jnp.mean(values["loss"])

    params, sums = trained(kind, terms, batch)
    loss, gradient = whole(state.params)
    wanted = jax.tree.map(lambda p, g: p - RATE * g, state.params, gradient)
    for got, right in zip(jax.tree.leaves(params), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-6)
    assert sums["loss"][0] / sums["loss"][1] == pytest.approx(float(loss), rel=1e-5)


def blind(logits, labels, *, over="image"):
    return jnp.mean(logits, keepdims=True)[0, 0, 0]


def test_a_pooled_loss_that_cannot_leave_padding_out_is_refused():
    term = lookup.spec("losses", f"{__name__}:blind")
    term.weight = 1.0
    section = ConfigDict({"blind": term}, type_safe=False)
    binding.bind(section, ("logits", "labels"))
    section.blind.over = "batch"
    with pytest.raises(UserError, match=r"config\.loss\.blind\.over='batch': .*`where`"):
        binding.bind(section, ("logits", "labels"))
