"""The training and evaluation steps: pure functions that return (sum, count) pairs."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import optax

from segjax.data.pipeline import gather
from segjax.optim.loss_weights import Weights
from segjax.tasks.binding import Term, combine, combine_scales
from segjax.train.state import State

Sums = dict[str, tuple[jax.Array, jax.Array]]


def over_devices(tree, axis_name: str | None):
    """Sums over devices; under jit on a mesh the sums are global already."""
    return jax.lax.psum(tree, axis_name) if axis_name else tree


def weighted_sums(values: Mapping[str, jax.Array], weight: jax.Array) -> Sums:
    """(sum, count) of each value; rows of weight 0 are padding and never count.

    A value that is one for the whole batch counts as often as there are rows in it.
    """
    return {
        name: (jnp.sum(jnp.where(weight > 0, value * weight, 0.0)), jnp.sum(weight))
        for name, value in values.items()
    }


def whole_batch(fields: Mapping, *, weight: jax.Array, axis_name: str | None) -> dict:
    """What a loss that pools the batch takes: the rows of all devices, without the padding.

    Rows of weight 0 are left out by `where`. Under pmap every device computes the pooled value from
    the gathered rows; the gradient goes back to the device of each row.
    """
    fields = dict(fields)
    if axis_name:
        fields, weight = jax.lax.all_gather((fields, weight), axis_name, tiled=True)
    pixels = fields["logits"].shape[:-1]
    real = (weight > 0).reshape(-1, *(1,) * (len(pixels) - 1))
    return fields | {"where": jnp.broadcast_to(real, pixels) & fields.get("where", True)}


def make_train_step(
    model,
    task,
    terms: Sequence[Term],
    weights: Weights,
    transformation: optax.GradientTransformation,
    *,
    seed: int,
    augment: Mapping[str, float] | None,
    axis_name: str | None,
) -> Callable:
    """`step(state, arrays, batch) -> (state, sums)`.

    The gradient is that of the mean loss over the whole batch of all devices. Random numbers
    depend on (seed, step, place in the batch) only, so they are the same on any number of devices.
    Scheduled weights come with the sums as `weight/TERM`.
    """

    def forward(params, batch_stats, fields, weight, scheduled):
        outputs, changed = model.apply(
            {"params": params, "batch_stats": batch_stats},
            task.inputs(fields),
            train=True,
            mutable=["batch_stats"],
        )
        pool = partial(whole_batch, weight=weight, axis_name=axis_name)
        values = combine_scales(terms, task.scales(outputs, fields), scheduled, pool)
        sums = weighted_sums(values, weight)
        return sums["loss"][0], (sums, changed.get("batch_stats", {}))

    def step(state: State, arrays: Mapping, batch: Mapping) -> tuple[State, Sums]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, batch["slot"])
        fields = task.augmented(keys, gather(arrays, batch), augment or {})
        scheduled = weights.at(state.step, state.loss_weights)
        gradient = jax.grad(forward, has_aux=True)
        grads, (sums, batch_stats) = gradient(
            state.params, state.batch_stats, fields, batch["weight"], scheduled
        )
        grads, sums = over_devices((grads, sums), axis_name)
        grads = jax.tree.map(lambda g: g / sums["loss"][1], grads)
        norm = optax.tree.norm(grads)
        memory = weights.update(state.loss_weights, state.step, sums)
        changed = {"batch_stats": batch_stats, "loss_weights": memory}
        new_state = _advance(state, transformation, grads, changed, sums["loss"][0] + norm)
        single = {"gradient_norm": norm} | {f"weight/{k}": v for k, v in scheduled.items()}
        return new_state, sums | {name: (value, jnp.ones(())) for name, value in single.items()}

    return step


def _advance(state: State, transformation, grads, changed: Mapping, witness: jax.Array) -> State:
    """The next state, or the old one, halted, from the first step whose witness is not finite."""
    updates, optimizer = transformation.update(grads, state.optimizer, state.params)
    params = optax.apply_updates(state.params, updates)
    good = jnp.isfinite(witness) & ~state.halted
    new = state.replace(step=state.step + 1, params=params, optimizer=optimizer, **changed)
    kept = jax.tree.map(lambda n, o: jnp.where(good, n, o), new, state)
    return kept.replace(halted=~good)


def make_evaluation_step(
    model, task, terms: Sequence[Term], weights: Weights, *, axis_name: str | None
) -> Callable:
    """`step(state, arrays, batch) -> (sums, predictions per image)`.

    The `loss` takes the weights that the next update would take: under a schedule it is another
    quantity at every step.
    """

    def step(state: State, arrays: Mapping, batch: Mapping):
        fields = gather(arrays, batch)
        outputs = model.apply(state.variables, task.inputs(fields), train=False)
        predictions = task.predict(outputs)
        scheduled = weights.at(state.step, state.loss_weights)
        pool = partial(whole_batch, weight=batch["weight"], axis_name=axis_name)
        values = combine(terms, task.bind(outputs, fields), scheduled, pool)
        values |= task.metrics(predictions, fields)
        sums = over_devices(weighted_sums(values, batch["weight"]), axis_name)
        return sums, predictions

    return step
