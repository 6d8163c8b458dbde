"""The optimiser of a config: schedule, clipping and transformation in one optax chain."""

import jax
import optax
from ml_collections import ConfigDict

from segjax import checks
from segjax.config import lookup
from segjax.errors import UserError
from segjax.optim.options import POSITIVE, require, require_all


def schedule(config: ConfigDict, total_steps: int) -> optax.Schedule:
    """The learning rate as a function of the step."""
    rate = config.optimizer.learning_rate
    require("config.optimizer.learning_rate", rate, POSITIVE)
    function, options = lookup.resolve("schedules", config.schedule, "config.schedule")
    require_all("config.schedule", options)
    try:
        made = function(
            rate if isinstance(rate, jax.Array) else float(rate), total_steps, **options
        )
    except ValueError as error:
        raise UserError(f"config.schedule.{error}") from error
    if not callable(made):
        raise UserError(
            f"config.schedule.name={config.schedule.name!r}: gives {type(made).__name__}; a "
            "schedule gives a function of the step"
        )
    return made


def transformation(config: ConfigDict, total_steps: int) -> optax.GradientTransformation:
    """Clipping by global norm (when set), then the optimiser with its schedule."""
    function, options = lookup.resolve("optimizers", config.optimizer, "config.optimizer")
    options["learning_rate"] = schedule(config, total_steps)
    # The learning rate is a function by now, and its number has been checked.
    require_all("config.optimizer", {k: v for k, v in options.items() if k != "learning_rate"})
    made = function(**options)
    if not (hasattr(made, "init") and hasattr(made, "update")):
        raise UserError(
            f"config.optimizer.name={config.optimizer.name!r}: gives {type(made).__name__}; an "
            "optimiser gives an optax transformation"
        )
    norm = config.train.clip_norm
    checks.require("config.train.clip_norm", norm, checks.none_or(POSITIVE))
    return made if norm is None else optax.chain(optax.clip_by_global_norm(norm), made)
