"""The training and evaluation steps: pure functions that return (sum, count) pairs."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from segjax.checks import nearest
from segjax.errors import UserError
from segjax.optim.loss_weights import Weights
from segjax.tasks.base import Task, taken
from segjax.tasks.binding import Term, combine, combine_scales
from segjax.tasks.sums import Sums, weighted_sums
from segjax.train.models import apply_in_training
from segjax.train.state import State

# What the key of the model is made of, where those of examples take their place in the batch.
MODEL_KEY = 2**32 - 1


def over_devices(tree, axis_name: str | None):
    """Sums over devices; under jit on a mesh the sums are global already."""
    return jax.lax.psum(tree, axis_name) if axis_name else tree


def same_on_all(collections, axis_name: str | None):
    """What a model keeps beside its parameters, as one state: means over the devices of pmap.

    Batch statistics over `axis_name` are equal there already. Whole numbers, such as counters, take
    the largest. Under jit on a mesh the model sees the whole batch.
    """
    if not axis_name:
        return collections

    def one(leaf):
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            return jax.lax.pmean(leaf, axis_name)
        return jax.lax.pmax(leaf.astype(jnp.int32), axis_name).astype(leaf.dtype)

    return jax.tree.map(one, collections)


def whole_batch(fields: Mapping, *, weight: jax.Array, axis_name: str | None) -> dict:
    """What a loss that pools the batch takes: the rows of all devices, without the padding.

    Rows of weight 0 are left out by `where`. Under pmap every device computes the pooled value from
    the gathered rows; the gradient goes back to the device of each row. `where` has the shape of
    the labels: `[b, *s]` beside logits `[b, *s, c]`, `[b]` beside those of whole images, `[b, c]`.
    """
    fields = dict(fields)
    if axis_name:
        # tiled: [b / devices, …] becomes [b, …], without an axis of devices
        fields, weight = jax.lax.all_gather((fields, weight), axis_name, tiled=True)
    pixels = fields["logits"].shape[:-1]
    real = (weight > 0).reshape(-1, *(1,) * (len(pixels) - 1))
    return fields | {"where": jnp.broadcast_to(real, pixels) & fields.get("where", True)}


def make_train_step(
    model: Any,
    task: Task,
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
    of the augmentation depend on (seed, step, place in the batch) only, so they are the same on any
    number of devices; those of a model with dropout on (seed, step), and under pmap on the device.
    Scheduled weights come with the sums as `weight/TERM`.
    """

    def forward(params, collections, fields, weight, scheduled, key):
        outputs, changed = apply_in_training(model, params, collections, task.inputs(fields), key)
        pool = partial(whole_batch, weight=weight, axis_name=axis_name)
        scales = with_outputs(task.scales(outputs, fields), outputs, terms)
        values = combine_scales(terms, scales, scheduled, pool)
        sums = weighted_sums(values, weight)
        # A sum, divided below by the count of all devices: the mean of their means would be another
        # number where their weights differ.
        return sums["loss"][0], (sums, changed)

    def step(state: State, arrays: Mapping, batch: Mapping) -> tuple[State, Sums]:
        # Of (seed, step) alone, so that a resumed run draws what it would have drawn
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, batch["slot"])
        fields = task.augmented(keys, taken(task, arrays, batch), augment or {})
        scheduled = weights.at(state.step, state.loss_weights)
        gradient = jax.grad(forward, has_aux=True)
        grads, (sums, collections) = gradient(
            state.params,
            state.collections,
            fields,
            batch["weight"],
            scheduled,
            _model_key(key, axis_name),
        )
        grads, sums = over_devices((grads, sums), axis_name)
        collections = same_on_all(collections, axis_name)
        # By the count of the whole batch: the gradient of its mean loss
        grads = jax.tree.map(lambda g: g / sums["loss"][1], grads)
        norm = optax.tree.norm(grads)
        memory = weights.update(state.loss_weights, state.step, sums)
        changed = {"collections": collections, "loss_weights": memory}
        # One witness for both: their sum is not finite where loss or gradient is not
        new_state = _advance(state, transformation, grads, changed, sums["loss"][0] + norm)
        single = {"gradient_norm": norm} | {f"weight/{k}": v for k, v in scheduled.items()}
        # Counted once a step: they belong to the update, not to its images
        return new_state, sums | {name: (value, jnp.ones(())) for name, value in single.items()}

    return step


def _model_key(key: jax.Array, axis_name: str | None) -> jax.Array:
    """The key of a step for the model's own random numbers, one for each device under pmap."""
    key = jax.random.fold_in(key, MODEL_KEY)
    return jax.random.fold_in(key, jax.lax.axis_index(axis_name)) if axis_name else key


def with_outputs(
    scales: Sequence[tuple[float, Mapping]], outputs: Mapping, terms: Sequence[Term]
) -> list[tuple[float, Mapping]]:
    """The outputs that terms ask for by name, such as auxiliary logits, beside the finest scale.

    Raises: UserError where neither task nor model gives what a term asks for.
    """
    (share, finest), *coarser = scales
    named = dict(finest)
    for term in terms:
        for parameter, name in term.inputs.items():
            if name not in finest and name not in outputs:
                given = dict.fromkeys([*finest, *outputs])
                raise UserError(
                    f"config.loss.{term.name}.inputs.{parameter}={name!r}: neither task nor model "
                    f"has it{nearest(name, given)} They are: {', '.join(given)}"
                )
            # A field of the task goes before an output of the model of the same name
            if name not in finest:
                named[name] = outputs[name]
    return [(share, named), *coarser]


def _advance(state: State, transformation, grads, changed: Mapping, witness: jax.Array) -> State:
    """The next state, or the old one, halted, from the first step whose witness is not finite."""
    updates, optimizer = transformation.update(grads, state.optimizer, state.params)
    params = optax.apply_updates(state.params, updates)
    # Halted for good: a later batch that is finite would hide the failure
    good = jnp.isfinite(witness) & ~state.halted
    new = state.replace(step=state.step + 1, params=params, optimizer=optimizer, **changed)
    # A select: a cond would become one under vmap, where members of a population halt apart
    kept = jax.tree.map(lambda n, o: jnp.where(good, n, o), new, state)
    return kept.replace(halted=~good)


def make_evaluation_step(
    model: Any, task: Task, terms: Sequence[Term], weights: Weights, *, axis_name: str | None
) -> Callable:
    """`step(state, arrays, batch) -> (sums, (scores, predictions))`.

    Sums are those of the loss and its terms, at full resolution; scores and predictions are rows of
    the batch. The `loss` takes the weights that the next update would take: under a schedule it is
    another quantity at every step.
    """

    def step(state: State, arrays: Mapping, batch: Mapping):
        fields = taken(task, arrays, batch)
        outputs = task.evaluated(partial(model.apply, state.variables, train=False), fields)
        predictions = task.predict(outputs)
        scheduled = weights.at(state.step, state.loss_weights)
        pool = partial(whole_batch, weight=batch["weight"], axis_name=axis_name)
        # One scale: a validation is judged at full resolution
        ((_, named),) = with_outputs([(1.0, task.bind(outputs, fields))], outputs, terms)
        values = combine(terms, named, scheduled, pool)
        sums = over_devices(weighted_sums(values, batch["weight"]), axis_name)
        return sums, (task.scores(predictions, fields), predictions)

    return step
