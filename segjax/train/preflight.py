"""Builds everything shape-only: a mistake in a config surfaces before data or device time."""

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from segjax.checks import nearest
from segjax.config import lookup
from segjax.config.defaults import OPEN, base
from segjax.config.durations import Clock, siblings, steps
from segjax.data import store
from segjax.errors import UserError
from segjax.optim import loss_weights
from segjax.optim import transformation as optim
from segjax.optim.loss_weights import Weights
from segjax.tasks.binding import Term, bind
from segjax.train import parallel, state, step

# What building with wrong options raises while shapes are traced.
MISFITS = (ArithmeticError, LookupError, TypeError, ValueError)
# Stands for the size of a training set that is yet to be prepared, while a config is checked. What
# is computed takes the true number (`restore.examples_of`).
ASSUMED_EXAMPLES = 1000
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


@dataclass(frozen=True)
class Plan:
    """A config turned into the things it names, with all durations in steps."""

    config: ConfigDict
    task: Any
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
    parameters: int

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of what the model sees."""
        return (*self.config.data.image_size, self.task.channels)

    def train_step(self, axis_name: str | None) -> Callable:
        """The training step, not yet compiled."""
        return step.make_train_step(
            self.model,
            self.task,
            self.terms,
            self.weights,
            self.transformation,
            seed=self.config.seed,
            augment=active_augment(self.config),
            axis_name=axis_name,
        )

    def evaluation_step(self, axis_name: str | None) -> Callable:
        """The evaluation step, not yet compiled."""
        parts = self.model, self.task, self.terms, self.weights
        return step.make_evaluation_step(*parts, axis_name=axis_name)


def check_structure(config: ConfigDict, pattern: ConfigDict, path: str = "config") -> None:
    """UserError for the first field that only one of `defaults.base()` and `config` has."""
    for key, default in pattern.items():
        here = f"{path}.{key}"
        if key not in config:
            raise UserError(f"{here}: missing; start the file from defaults.base()")
        value, free = config[key], default is None or siblings(key)
        if isinstance(default, ConfigDict):
            if not isinstance(value, ConfigDict):
                raise UserError(f"{here}={value!r}: takes a section")
            if len(default) and here not in OPEN:
                check_structure(value, default, here)
        elif not free and type(value) is not type(default):
            wanted = type(default).__name__
            raise UserError(f"{here}={value!r}: takes {wanted}, got {type(value).__name__}")
    for key in config:
        if key not in pattern:
            raise UserError(
                f"{path}.{key}: no such key{nearest(key, pattern)} {path} has: {', '.join(pattern)}"
            )


def check_fields(config: ConfigDict) -> None:
    """UserError naming the first field missing, unknown, of a wrong type or out of range."""
    check_structure(config, base())
    for name in ("train", "validation"):
        if name not in config.data.splits:
            raise UserError(
                f"config.data.splits.{name}: missing; it has: {', '.join(config.data.splits)}"
            )
    for name, term in config.loss.items():
        weight = term.get("weight", 1.0) if isinstance(term, ConfigDict) else 1.0
        if isinstance(weight, ConfigDict):
            if "name" not in weight:
                raise UserError(f"config.loss.{name}.weight.name: missing; lookup.spec writes it")
        elif type(weight) not in (int, float) or not 0 <= weight < math.inf:
            raise UserError(f"config.loss.{name}.weight={weight!r}: takes a number of at least 0")
    paper_figures(config)
    for key in ("model", "optimizer", "schedule"):
        if "name" not in config[key]:
            raise UserError(f"config.{key}.name: missing; lookup.spec writes such a section")
    positive = {
        "data.batch_size": config.data.batch_size,
        "evaluate.batch_size": config.evaluate.batch_size,
        "checkpoint.keep": config.checkpoint.keep,
        "data.resident_megabytes": config.data.resident_megabytes,
    }
    for path, value in positive.items():
        if type(value) is not int or value < 1:
            raise UserError(f"config.{path}={value!r}: takes a whole number of at least 1")
    for path, value in {"seed": config.seed, "log.profile_steps": config.log.profile_steps}.items():
        if type(value) is not int or value < 0:
            raise UserError(f"config.{path}={value!r}: takes a whole number of at least 0")
    size = config.data.image_size
    if not (
        isinstance(size, tuple) and len(size) == 2 and all(type(s) is int and s > 0 for s in size)
    ):
        raise UserError(f"config.data.image_size={size!r}: takes (height, width) in pixels")
    choices = {
        "dtype": (config.dtype, DTYPES),
        "parallel": (config.parallel, parallel.KINDS),
        "data.resident": (config.data.resident, ("auto", "yes", "no")),
        "evaluate.best_mode": (config.evaluate.best_mode, ("min", "max")),
    }
    for path, (value, options) in choices.items():
        if value not in options:
            raise UserError(
                f"config.{path}={value!r}: takes one of {', '.join(options)}"
                + ("" if nearest(value, options) == "." else nearest(value, options))
            )


def paper_figures(config: ConfigDict, where: str = "") -> dict[str, tuple[float, float]]:
    """`config.paper` as (mean, standard deviation or nan); UserError for what is no such figure."""
    figures = {}
    for name, value in config.get("paper", {}).items():
        pair = value if isinstance(value, tuple) else (value, math.nan)
        written = len(pair) == 2 and all(type(number) in (int, float) for number in pair)
        if not written or not math.isfinite(pair[0]) or math.isinf(pair[1]):
            raise UserError(
                f"{where}config.paper.{name}={value!r}: takes a number, or a mean and a deviation"
            )
        figures[name] = (float(pair[0]), float(pair[1]))
    return figures


def make_task(config: ConfigDict) -> Any:
    """The task that `config.task` names."""
    target = lookup.find("tasks", config.task, "config.task")
    options = dict(config.task_options)
    lookup.check_options(target.__init__, options, "config.task_options")
    if "image_size" in inspect.signature(target).parameters:
        options["image_size"] = config.data.image_size
    return target(**options)


def make_model(config: ConfigDict, axis_name: str | None = None) -> Any:
    """The model that `config.model` names, computing in `config.dtype`."""
    target, options = lookup.resolve("models", config.model, "config.model")
    try:
        return target(**options, dtype=DTYPES[config.dtype], axis_name=axis_name)
    except (TypeError, ValueError) as error:
        fields = getattr(target, "__dataclass_fields__", ("dtype", "axis_name"))
        lacking = [name for name in ("dtype", "axis_name") if name not in fields]
        why = f"a model has the fields dtype and axis_name, this one no {lacking[0]}; "
        raise UserError(f"config.model: {why if lacking else ''}{error}") from error


def build(config: ConfigDict, examples: int, devices: int) -> Plan:
    """The plan for a training set of `examples`; UserError for whatever is wrong in the config."""
    check_fields(config)
    task = make_task(config)
    check_data(config, task)
    check_augment(config, task)
    terms = bind(config.loss, task.offers)
    for key in ("data", "evaluate"):
        parallel.check_batch(config[key].batch_size, f"config.{key}.batch_size", devices)
    clock = make_clock(config, examples)
    total = clock.total_steps
    never = 10**12

    def every(section: str) -> int:
        return steps(config[section], f"config.{section}", "every", clock) or never

    weights = loss_weights.make(config.loss, clock)
    transformation = optim.transformation(config, total)
    axis_name = parallel.Pmap.axis_name if config.parallel == "pmap" else None
    model = make_model(config, axis_name)
    plan = Plan(
        config=config,
        task=task,
        model=model,
        terms=terms,
        weights=weights,
        transformation=transformation,
        schedule=optim.schedule(config, total),
        clock=clock,
        total_steps=total,
        evaluate_every=every("evaluate"),
        checkpoint_every=every("checkpoint"),
        log_every=every("log"),
        patience=steps(config.train, "config.train", "patience", clock),
        parameters=_trace(config, task, model, terms, weights, transformation),
    )
    return plan


def make_clock(config: ConfigDict, examples: int) -> Clock:
    """What turns durations into steps, with the length of the training."""
    clock = Clock(examples, config.data.batch_size)
    total = steps(config.train, "config.train", "", clock)
    if total is None:
        raise UserError(
            "config.train.steps: no length of training is set (steps, epochs, examples)"
        )
    return dataclasses.replace(clock, total_steps=total)


def check_data(config: ConfigDict, task: Any) -> None:
    """UserError unless the data set exists and has the fields that the task wants."""
    name, path = config.data.name, "config.data.name"
    features = store.builder(name, config.data.data_dir, path=path).info.features
    for field in task.fields:
        if field not in features:
            raise UserError(
                f"{path}={name!r}: has no field {field!r}, which task {config.task!r} wants"
                f"{nearest(field, features)} It has: {', '.join(features)}"
            )
    for field in getattr(task, "masks", ()):
        if len(shape := features[field].shape) != 3 or shape[-1] != 1:
            raise UserError(
                f"{path}={name!r}: its field {field!r} is no mask, which task {config.task!r} wants"
            )


def check_parts(config: ConfigDict) -> None:
    """As much of `build` as needs no device and no shapes: fields, names and options."""
    check_fields(config)
    task = make_task(config)
    check_data(config, task)
    check_augment(config, task)
    bind(config.loss, task.offers)
    clock = make_clock(config, ASSUMED_EXAMPLES)
    loss_weights.make(config.loss, clock)
    make_model(config)
    optim.transformation(config, clock.total_steps)


def check_augment(config: ConfigDict, task: Any) -> None:
    """UserError for an augmentation that does not exist or has a negative strength."""
    strengths = task.augmentations()
    for name, value in config.data.augment.items():
        if name not in strengths:
            raise UserError(
                f"config.data.augment.{name}: no such augmentation{nearest(name, strengths)} "
                f"It takes: {', '.join(strengths)}"
            )
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            raise UserError(f"config.data.augment.{name}={value!r}: takes a number of at least 0")


def _trace(config, task, model, terms, weights, transformation) -> int:
    """Traces one training and one evaluation step without computing; the number of parameters."""
    image_shape = (*config.data.image_size, task.channels)
    fields = task.blank(config.data.image_size, 2)
    weight = jax.ShapeDtypeStruct((2,), jnp.float32)
    batch = fields | {"weight": weight, "slot": jax.ShapeDtypeStruct((2,), jnp.int32)}
    local = model.clone(axis_name=None)
    train = step.make_train_step(
        local,
        task,
        terms,
        weights,
        transformation,
        seed=0,
        augment=active_augment(config),
        axis_name=None,
    )
    evaluate = step.make_evaluation_step(local, task, terms, weights, axis_name=None)
    try:
        began = jax.eval_shape(
            lambda: state.initial(local, transformation, image_shape, 0, weights.initial())
        )
        offered = jax.eval_shape(partial(_offered, local, task), began.variables, fields)
    except MISFITS as error:
        raise UserError(
            f"config.model: {_written(config.model)} does not work on {image_shape} images: {error}"
        ) from error
    for term in terms:
        try:
            _check_values(jax.eval_shape(term, offered), 1 if term.pooled else 2)
        except MISFITS as error:
            written = _written(config.loss[term.name])
            raise UserError(f"config.loss.{term.name}: {written} does not work: {error}") from error
    try:
        jax.eval_shape(train, began, {}, batch)
        if task.on_volumes:
            values = task.value_names()
        else:
            sums, _ = jax.eval_shape(evaluate, began.without_optimizer, {}, batch)
            values = [*sums, *task.derived(dict.fromkeys(sums, 0.0))]
    except MISFITS as error:
        if name := next((n for n in config.data.augment if f"`{n}`" in str(error)), None):
            raise UserError(f"config.data.augment.{name}: {error}") from error
        raise UserError(f"config: model, losses and task do not fit together: {error}") from error
    if (best := config.evaluate.best) not in values:
        raise UserError(
            f"config.evaluate.best={best!r}: evaluation gives no such value{nearest(best, values)} "
            f"It gives: {', '.join(values)}"
        )
    return sum(leaf.size for leaf in jax.tree.leaves(began.params))


def _check_values(values: object, images: int) -> None:
    """TypeError unless a loss gives one number an image of the batch, or one in all if it pools."""
    shape, dtype = getattr(values, "shape", None), getattr(values, "dtype", None)
    if shape != (images,) or not jnp.issubdtype(dtype, jnp.floating):
        got = f"{dtype}{list(shape)}" if shape is not None else type(values).__name__
        raise TypeError(
            f"a loss returns one number an image, float[{images}] for a batch of 2; got {got}"
        )


def _offered(model, task, variables, fields) -> dict:
    """What the task offers to losses, from a forward pass."""
    outputs = model.apply(variables, task.inputs(fields), train=False)
    if not isinstance(outputs, Mapping) or "logits" not in outputs:
        raise TypeError(f"a model returns a dict with 'logits', got {type(outputs).__name__}")
    return task.bind(outputs, fields)


def _written(section: ConfigDict) -> str:
    """`name (option=value, …)`."""
    options = ", ".join(f"{k}={v!r}" for k, v in section.items() if k not in ("name", "weight"))
    return f"{section.name} ({options})"


def active_augment(config: ConfigDict) -> dict[str, float] | None:
    """The augmentations with a strength above 0, or None."""
    strengths = {name: float(value) for name, value in config.data.augment.items() if value}
    return strengths or None
