"""Learning-rate schedules by name: step -> rate, from the optimiser's `learning_rate`.

All are functions of the step alone, so that a resumed run has the rate of an undisturbed one.
`warmup_percent` of the training rises linearly from 0.
"""

import optax

from segjax import checks
from segjax.optim.options import POSITIVE, require

__all__ = ["constant", "cosine_decay", "exponential_decay", "polynomial_decay"]


def _warm_up(schedule, learning_rate: float, total_steps: int, warmup_percent: float):
    require("config.schedule.warmup_percent", warmup_percent, checks.number(least=0, most=100))
    steps = round(total_steps * warmup_percent / 100)
    if not steps:
        return schedule
    return optax.join_schedules(
        [optax.linear_schedule(0.0, learning_rate, steps), schedule], [steps]
    )


def constant(learning_rate: float, total_steps: int, *, warmup_percent: float = 0.0):
    """The same rate throughout."""
    return _warm_up(
        optax.constant_schedule(learning_rate), learning_rate, total_steps, warmup_percent
    )


def exponential_decay(
    learning_rate: float,
    total_steps: int,
    *,
    decay_steps: int = 400,
    decay_rate: float = 0.9,
    staircase: bool = False,
):
    """rate(t) = learning_rate * decay_rate^(t / decay_steps), the exponent whole if `staircase`."""
    require("config.schedule.decay_steps", decay_steps, POSITIVE)
    return optax.exponential_decay(learning_rate, decay_steps, decay_rate, staircase=staircase)


def cosine_decay(
    learning_rate: float,
    total_steps: int,
    *,
    warmup_percent: float = 0.0,
    end_fraction: float = 0.0,
):
    """Half a cosine from `learning_rate` down to `end_fraction` of it."""
    # A warm-up may take the whole training, and optax wants a step to decay over.
    steps = max(1, total_steps - round(total_steps * warmup_percent / 100))
    schedule = optax.cosine_decay_schedule(learning_rate, steps, end_fraction)
    return _warm_up(schedule, learning_rate, total_steps, warmup_percent)


def polynomial_decay(
    learning_rate: float, total_steps: int, *, power: float = 0.9, warmup_percent: float = 0.0
):
    """rate(t) = learning_rate * (1 - t / total)^power, nnU-Net's "poly" with power 0.9."""
    steps = max(1, total_steps - round(total_steps * warmup_percent / 100))
    schedule = optax.polynomial_schedule(learning_rate, 0.0, power, steps)
    return _warm_up(schedule, learning_rate, total_steps, warmup_percent)
