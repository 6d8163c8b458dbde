"""The optimiser of a config: schedule, clipping and transformation in one optax chain.

Inside the compiled step of a population, numbers of the config are arrays (`train/numbers.py`);
they were checked in the members' own configs.
"""

import math
from collections.abc import Mapping

import jax
import optax
from ml_collections import ConfigDict

from segjax.config import lookup
from segjax.errors import UserError


def schedule(config: ConfigDict, total_steps: int) -> optax.Schedule:
    """The learning rate as a function of the step."""
    rate = config.optimizer.learning_rate
    if not isinstance(rate, jax.Array):
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate < math.inf:
            raise UserError(f"config.optimizer.learning_rate={rate!r}: takes a number above 0")
        rate = float(rate)
    function, options = lookup.resolve("schedules", config.schedule, "config.schedule")
    _check_numbers(options, "config.schedule")
    try:
        return function(rate, total_steps, **options)
    except ValueError as error:
        raise UserError(f"config.schedule.{error}") from error


def _check_numbers(options: Mapping[str, object], path: str) -> None:
    """UserError for an option that is not a finite number of at least 0 (True and False are)."""
    for name, value in options.items():
        if isinstance(value, jax.Array):
            continue
        if not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise UserError(f"{path}.{name}={value!r}: takes a number of at least 0")


def transformation(config: ConfigDict, total_steps: int) -> optax.GradientTransformation:
    """Clipping by global norm (when set), then the optimiser with its schedule."""
    function, options = lookup.resolve("optimizers", config.optimizer, "config.optimizer")
    options["learning_rate"] = schedule(config, total_steps)
    _check_numbers({k: v for k, v in options.items() if k != "learning_rate"}, "config.optimizer")
    made = function(**options)
    if (norm := config.train.clip_norm) is None:
        return made
    if isinstance(norm, bool) or not isinstance(norm, (int, float)) or not norm > 0:
        raise UserError(f"config.train.clip_norm={norm!r}: takes a number above 0, or none")
    return optax.chain(optax.clip_by_global_norm(norm), made)
