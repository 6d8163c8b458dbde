"""Durations: one of steps, epochs, examples or percent of the training, turned into steps."""

import math
from dataclasses import dataclass

from ml_collections import ConfigDict

from segjax import checks
from segjax.errors import UserError

UNITS = ("steps", "epochs", "examples", "percent")


@dataclass(frozen=True)
class Clock:
    """What is needed to turn a duration into steps."""

    examples: int
    batch_size: int
    total_steps: int | None = None

    @property
    def steps_per_epoch(self) -> float:
        return self.examples / self.batch_size


def key_of(prefix: str, unit: str) -> str:
    """`every`, `steps` -> `every_steps`; no prefix -> `steps`."""
    return f"{prefix}_{unit}" if prefix else unit


def blank(prefix: str, **chosen: float) -> dict[str, float | None]:
    """All four keys of a duration, those not chosen None: `blank("every", steps=10)`."""
    return {key_of(prefix, unit): chosen.get(unit) for unit in UNITS}


def siblings(key: str) -> list[str]:
    """The other spellings of a duration's key: `every_steps` -> every_epochs, every_examples, …"""
    for unit in UNITS:
        # `decay_steps` and `profile_steps` look like durations, too; callers pass over siblings
        # that do not exist.
        if key == unit or key.endswith(f"_{unit}"):
            stem = key[: -len(unit)]
            return [stem + other for other in UNITS if other != unit]
    return []


def steps(section: ConfigDict, path: str, prefix: str, clock: Clock) -> int | None:
    """The duration in whole steps (at least 1), or None when none of the four keys is set."""
    chosen = {
        unit: section[key_of(prefix, unit)] for unit in UNITS if key_of(prefix, unit) in section
    }
    chosen = {unit: value for unit, value in chosen.items() if value is not None}
    if not chosen:
        return None
    if len(chosen) > 1:
        keys = " and ".join(f"{path}.{key_of(prefix, unit)}" for unit in chosen)
        raise UserError(f"{keys} are both set; a duration takes one of {', '.join(UNITS)}")
    unit, value = chosen.popitem()
    label = f"{path}.{key_of(prefix, unit)}"
    checks.require(label, value, checks.number(above=0))
    return _convert(unit, value, clock, f"{label}={value!r}")


def _convert(unit: str, value: float, clock: Clock, label: str) -> int:
    if unit == "percent" and clock.total_steps is None:
        raise UserError(f"{label}: the length of the training itself cannot be a percentage")
    factor = {
        "steps": 1.0,
        "epochs": clock.steps_per_epoch,
        "examples": 1.0 / clock.batch_size,
        "percent": (clock.total_steps or 0) / 100.0,
    }[unit]
    # Rounded up, but not for a product such as 0.07 * 100, which is 7.000000000000001
    return max(1, math.ceil(value * factor - 1e-9))
