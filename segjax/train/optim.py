"""The optimiser of a config: schedule, clipping and transformation in one optax chain."""

import optax
from ml_collections import ConfigDict

from segjax.config import lookup
from segjax.errors import UserError


def schedule(config: ConfigDict, total_steps: int) -> optax.Schedule:
    """The learning rate as a function of the step."""
    rate = config.optimizer.learning_rate
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not rate > 0:
        raise UserError(f"config.optimizer.learning_rate={rate!r}: takes a number above 0")
    function, options = lookup.resolve("schedules", config.schedule, "config.schedule")
    for name, value in options.items():
        if isinstance(value, (int, float)) and value < 0:
            raise UserError(f"config.schedule.{name}={value!r}: takes no negative number")
    return function(float(rate), total_steps, **options)


def transformation(config: ConfigDict, total_steps: int) -> optax.GradientTransformation:
    """Clipping by global norm (when set), then the optimiser with its schedule."""
    function, options = lookup.resolve("optimizers", config.optimizer, "config.optimizer")
    for name, value in options.items():
        if isinstance(value, (int, float)) and value < 0:
            raise UserError(f"config.optimizer.{name}={value!r}: takes no negative number")
    options["learning_rate"] = schedule(config, total_steps)
    made = function(**options)
    if (norm := config.train.clip_norm) is None:
        return made
    if isinstance(norm, bool) or not isinstance(norm, (int, float)) or not norm > 0:
        raise UserError(f"config.train.clip_norm={norm!r}: takes a number above 0, or none")
    return optax.chain(optax.clip_by_global_norm(norm), made)
