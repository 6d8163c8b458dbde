"""An experiment: a checked config turned into what it names, once.

`build` reads and checks the config, and builds task, data set, model, losses, optimiser and both
steps shape-only, so that a mistake surfaces before data or device time. What is built is handed on:
nobody else reads names out of the config.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax.errors import FlaxError
from ml_collections import ConfigDict

from segjax.checks import nearest
from segjax.config import lookup
from segjax.config.durations import Clock, steps
from segjax.config.validation import check_fields, check_strengths
from segjax.data.dataset import Dataset
from segjax.errors import UserError
from segjax.optim import loss_weights
from segjax.optim import transformation as optim
from segjax.optim.loss_weights import Weights
from segjax.tasks.base import Task
from segjax.tasks.binding import Term, bind
from segjax.tasks.metric_checks import check_metrics
from segjax.train import hyperparameters, models, parallel, step
from segjax.train import state as states

# What building with wrong options raises while shapes are traced.
MISFITS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, FlaxError)
# No training reaches it, so a duration that is not set is no case of its own
NEVER = 10**12  # steps
# Stands for the size of a training set that is not at hand, while a config is only looked at.
PLACEHOLDER = 1000


@dataclass(frozen=True)
class Parts:
    """What a config names, as far as it needs neither a device nor the length of the training."""

    config: ConfigDict
    task: Task
    data: Dataset
    model: Any
    terms: tuple[Term, ...]


@dataclass(frozen=True)
class Experiment:
    """A config turned into the things it names, with all durations in steps.

    Attributes:
        config: as it was read.
        task, data, model, terms: what it names; the model as it is called on one device.
        weights: the schedules among the weights of terms.
        transformation, schedule: the optimiser and its learning rate.
        clock: what turns durations into steps, with the number of training examples.
        total_steps: the length of the training at most.
        evaluate_every, checkpoint_every, log_every: in steps.
        patience: steps without a better validation that end the training; None never.
    """

    config: ConfigDict
    task: Task
    data: Dataset
    model: Any
    terms: tuple[Term, ...]
    weights: Weights
    transformation: optax.GradientTransformation
    schedule: optax.Schedule
    clock: Clock
    total_steps: int
    evaluate_every: int
    checkpoint_every: int
    log_every: int
    patience: int | None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of what the model sees."""
        return (*self.config.data.image_size, self.task.channels)

    @property
    def augment(self) -> dict[str, float] | None:
        """The strengths of augmentations; None where all are 0."""
        strengths = {name: float(v) for name, v in self.config.data.augment.items()}
        return strengths if any(strengths.values()) else None

    def initial_state(self) -> states.State:
        """The state at step 0."""
        params, collections = models.initial(self.model, self.image_shape, self.config.seed)
        return states.create(params, collections, self.transformation, self.weights.initial())

    def shapes(self) -> states.State:
        """Shapes and types of a state, computed without a device."""
        return self._shapes

    # Asked for several times at the start of a run, where tracing it takes a second
    @cached_property
    def _shapes(self) -> states.State:
        return jax.eval_shape(self.initial_state)

    @property
    def parameters(self) -> int:
        """How many there are."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.shapes().params))

    def with_hyperparameters(self, values: Mapping[str, Any]) -> "Experiment":
        """The experiment with other values at some paths of its config, which may be traced."""
        if not values:
            return self
        config = hyperparameters.replaced(self.config, values)
        weight = hyperparameters.weights_of_terms(values)
        return dataclasses.replace(
            self,
            config=config,
            terms=tuple(
                dataclasses.replace(term, weight=weight.get(term.name, term.weight))
                for term in self.terms
            ),
            weights=loss_weights.make(config.loss, self.clock),
            transformation=optim.transformation(config, self.total_steps),
            schedule=optim.schedule(config, self.total_steps),
        )

    def train_step(self, axis_name: str | None) -> Callable:
        """The training step with the hyperparameters of its state, not yet compiled."""
        model = models.over_axis(self.model, axis_name)

        def train(state: states.State, arrays: Mapping, batch: Mapping):
            # Inside the traced step: the values are arrays of the state there, and one program
            # serves them all. Of a single run there are none, and its numbers are constants.
            own = self.with_hyperparameters(state.hyperparameters)
            made = step.make_train_step(
                model,
                own.task,
                own.terms,
                own.weights,
                own.transformation,
                seed=own.config.seed,
                augment=self.augment,
                axis_name=axis_name,
            )
            return made(state, arrays, batch)

        return train

    def evaluation_step(self, axis_name: str | None) -> Callable:
        """The evaluation step with the hyperparameters of its state, not yet compiled."""
        model = models.over_axis(self.model, axis_name)

        def evaluate(state: states.State, arrays: Mapping, batch: Mapping):
            own = self.with_hyperparameters(state.hyperparameters)
            parts = model, own.task, own.terms, own.weights
            made = step.make_evaluation_step(*parts, axis_name=axis_name)
            return made(state, arrays, batch)

        return evaluate


def name_parts(config: ConfigDict, *, trained: bool = False) -> Parts:
    """Finds what a config names; UserError for what is wrong in its fields, names and options.

    Args:
        config: a whole one.
        trained: whether it is of a trained work folder, whose data may be elsewhere (`Dataset`).
    """
    check_fields(config)
    task, data = make_task(config), Dataset(config.data, trained=trained)
    if data.is_known:
        task.check_features(data.features, f"config.data.name={config.data.name!r}")
    check_strengths(config.data.augment, task.augmentations())
    return Parts(config, task, data, models.make_model(config), bind(config.loss, task.offers))


def make_task(config: ConfigDict) -> Task:
    """The task that `config.task` names."""
    target = lookup.find("tasks", config.task, "config.task")
    if inspect.isabstract(target):
        lacking = ", ".join(sorted(target.__abstractmethods__))
        raise UserError(f"config.task={config.task!r}: lacks {lacking} (segjax/tasks/base.py)")
    options = dict(config.task_options)
    lookup.check_options(target, options, "config.task_options")
    # Supplied, so that no option of the task can contradict `data.image_size`
    if "image_size" in inspect.signature(target).parameters:
        options["image_size"] = config.data.image_size
    task = target(**options)
    check_metrics(task, f"config.task={config.task!r}")
    return task


def build(
    config: ConfigDict, *, devices: int, examples: int | None = None, parts: Parts | None = None
) -> Experiment:
    """The experiment of a config; UserError for whatever is wrong in it.

    Args:
        config: a whole one.
        devices: how many a batch has to be shared out to.
        examples: how many make an epoch of the training; None counts them in the data set.
        parts: what `name_parts` gave, where it was called already.
    """
    parts = parts or name_parts(config)
    for key in ("data", "evaluate"):
        parallel.check_batch(config[key].batch_size, f"config.{key}.batch_size", devices)
    if examples is None:
        examples = epoch_examples(parts)
    made = with_durations(parts, examples)
    _check_steps(made)
    return made


def check(config: ConfigDict) -> Experiment:
    """What `segjax train` refuses before it reads data, though these may not be there yet."""
    parts = name_parts(config)
    known = parts.data.is_prepared or parts.data.is_generated
    examples = epoch_examples(parts) if known else PLACEHOLDER
    # One device divides every batch: on how many `train` will run is not known here
    return build(config, devices=1, examples=examples, parts=parts)


def epoch_examples(parts: Parts) -> int:
    """How many examples make an epoch of the training."""
    count, size = parts.data.count("train"), parts.config.data.batch_size
    return parts.task.epoch_examples(count, size)


def with_durations(parts: Parts, examples: int) -> Experiment:
    """The experiment for a training set of `examples`, before its steps have been traced."""
    config = parts.config
    clock = make_clock(config, examples)

    def every(section: str) -> int:
        return steps(config[section], f"config.{section}", "every", clock) or NEVER

    return Experiment(
        config=config,
        task=parts.task,
        data=parts.data,
        model=parts.model,
        terms=parts.terms,
        weights=loss_weights.make(config.loss, clock),
        transformation=optim.transformation(config, clock.total_steps),
        schedule=optim.schedule(config, clock.total_steps),
        clock=clock,
        total_steps=clock.total_steps,
        evaluate_every=every("evaluate"),
        checkpoint_every=every("checkpoint"),
        log_every=every("log"),
        patience=steps(config.train, "config.train", "patience", clock),
    )


def make_clock(config: ConfigDict, examples: int) -> Clock:
    """What turns durations into steps, with the length of the training."""
    clock = Clock(examples, config.data.batch_size)
    total = steps(config.train, "config.train", "", clock)
    if total is None:
        raise UserError(
            "config.train.steps: no length of training is set (steps, epochs, examples)"
        )
    return dataclasses.replace(clock, total_steps=total)


def _check_steps(made: Experiment) -> None:
    """Traces both steps without computing; UserError for what does not fit together."""
    # Two images: one value in all and one value an image have different shapes then
    fields = made.task.blank(made.config.data.image_size, 2)
    try:
        began = made.shapes()
        values = _trace(made, began, fields)
    except MISFITS as error:
        raise _culprit(made, fields, error) from error
    models.check_axis(made.model, began.collections, made.config.parallel)
    if (best := made.config.evaluate.best) not in values:
        # Not of every validation, whose columns are those that the step computes
        late = " but in the final table" if best in {m.name for m in made.task.metrics} else ""
        raise UserError(
            f"config.evaluate.best={best!r}: evaluation gives no such value{late}"
            f"{nearest(best, values)} It gives: {', '.join(values)}"
        )


def _trace(made: Experiment, began: states.State, fields: Mapping) -> list[str]:
    """Traces both steps; the names of the values that a validation gives."""
    task = made.task
    asked = False
    weight = jax.ShapeDtypeStruct((2,), jnp.float32)
    batch = {**fields, "weight": weight, "slot": jax.ShapeDtypeStruct((2,), jnp.int32)}

    def losses() -> list[str]:
        nonlocal asked
        asked = True
        evaluate = made.evaluation_step(None)
        # Without the optimiser, as evaluators call it
        sums, (scores, _) = jax.eval_shape(evaluate, began.without_optimizer, {}, batch)
        if set(scores) != set(task.scored):
            raise UserError(
                f"config.task={made.config.task!r}: `scores` gives {', '.join(sorted(scores))}; "
                f"`scored` says {', '.join(sorted(task.scored))}"
            )
        for name, leaf in scores.items():
            if leaf.shape != (2,):
                raise UserError(
                    f"config.task={made.config.task!r}: `scores` gives {name!r} of shape "
                    f"{list(leaf.shape)} for 2 cases; it takes one value a case"
                )
        return list(sums)

    # Under no axis, for one exists only inside pmap
    state, _ = jax.eval_shape(made.train_step(None), began, {}, batch)
    models.check_collections(began.collections, state.collections, made.model)
    values = list(task.validation_values(losses))
    if not asked:  # what evaluation asks of the model, where a task does not evaluate by the step
        jax.eval_shape(partial(_outputs, made.model, task), began.variables, fields)
    return values


def _culprit(made: Experiment, fields: Mapping, error: Exception) -> UserError:
    """What in a config keeps its steps from being traced: the model, a term, or how they meet."""
    config, task = made.config, made.task
    now = jax.ShapeDtypeStruct((), jnp.int32)
    try:
        jax.eval_shape(made.schedule, now)
    except MISFITS as misfit:
        return UserError(f"config.schedule: {_written(config.schedule)} does not work: {misfit}")
    try:
        jax.eval_shape(made.weights.at, now, made.weights.initial())
    except MISFITS as misfit:
        names = ", ".join(f"config.loss.{name}.weight" for name in made.weights.scheduled)
        return UserError(f"{names}: does not work: {misfit}")
    try:
        variables = made.shapes().variables
        outputs = jax.eval_shape(partial(_outputs, made.model, task), variables, fields)
        named = jax.eval_shape(partial(_named, task, made.terms), outputs, fields)
    except MISFITS as misfit:
        written, shape = _written(config.model), made.image_shape
        return UserError(f"config.model: {written} does not work on {shape} images: {misfit}")
    if lacking := [name for name in task.offers if name not in named]:
        return UserError(
            f"config.task={config.task!r}: `bind` does not give {', '.join(lacking)}, which "
            "`offers` names"
        )
    for term in made.terms:
        try:
            jax.eval_shape(term, named)
        except MISFITS as misfit:
            written = _written(config.loss[term.name])
            return UserError(f"config.loss.{term.name}: {written} does not work: {misfit}")
    # Augmentations name the wrong option in backticks, which tells it from other misfits
    if name := next((n for n in config.data.augment if f"`{n}`" in str(error)), None):
        return UserError(f"config.data.augment.{name}: {error}")
    return UserError(f"config: model, losses and task do not fit together: {error}")


def _outputs(model: Any, task: Task, variables: Mapping, fields: Mapping) -> Mapping:
    """What the model returns of a batch."""
    outputs = task.evaluated(partial(model.apply, variables, train=False), fields)
    models.check_outputs(outputs)
    return outputs


def _named(task: Task, terms: tuple[Term, ...], outputs: Mapping, fields: Mapping) -> Mapping:
    """The named arrays that losses take, at the finest resolution."""
    return step.with_outputs([(1.0, task.bind(outputs, fields))], outputs, terms)[0][1]


def _written(section: ConfigDict) -> str:
    """`name (option=value, …)`."""
    options = ", ".join(f"{k}={v!r}" for k, v in section.items() if k not in ("name", "weight"))
    return f"{section.name} ({options})"
