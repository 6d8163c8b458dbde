"""Weights of loss terms over a training: schedules of the step, one function a schedule.

A term's weight is a number, or a section that names a schedule::

    config.loss.dice.weight = lookup.spec("weights", "gradual", over_percent=100)
    config.loss.boundary.weight = lookup.spec("weights", "gradual", over_percent=100, rising=True)

Weights are functions of the step and of what the run remembers (`rebalance`), computed inside the
compiled step; no gradient flows through them. Published schedules count epochs, which makes them
depend on the size of the data set: each can be stretched over steps, epochs, examples or a share of
the training, and `every='step'` moves it smoothly.
"""

import dataclasses
from collections.abc import Callable, Mapping

import jax.numpy as jnp
from ml_collections import ConfigDict

from segjax import checks
from segjax.checks import nearest
from segjax.config import durations, lookup
from segjax.config.durations import Clock
from segjax.errors import UserError
from segjax.optim.options import NOT_NEGATIVE, require, require_all
from segjax.types import Array, Float, Int

__all__ = ["constant", "gradual", "rebalance", "steal", "warm_up"]

Memory = Mapping[str, Array]  # scalars, saved with the state
EVERY = checks.choice(("epoch", "step"))
UNITS = f"({', '.join(durations.UNITS)})"


@dataclasses.dataclass(frozen=True)
class Weight:
    """The weight of one term.

    Attributes:
        at: (step, memory) -> the weight of the update that follows `step` updates.
        memory: what it remembers at step 0; empty for a function of the step alone.
        update: (memory, step, own, *others) -> the memory after the update that follows `step`
            updates. `own` is the sum over the batch of the term's values, without the weight, and
            `others` are those of `needs`. Wanted where there is a memory.
        needs: other terms whose values it reads.
    """

    at: Callable[[Int[Array, ""], Memory], Float[Array, ""]]
    memory: Mapping[str, float] = dataclasses.field(default_factory=dict)
    update: Callable | None = None
    needs: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Times:
    """Turns durations into steps, and steps into epochs. `path` is named in errors."""

    clock: Clock
    path: str = "weight"

    def steps(self, prefix: str, values: tuple) -> int | None:
        """The duration whose spellings (steps, epochs, examples, percent) have these values."""
        keys = (durations.key_of(prefix, unit) for unit in durations.UNITS)
        return durations.steps(dict(zip(keys, values, strict=True)), self.path, prefix, self.clock)

    def epochs(self, step: Int[Array, ""], every: str) -> Float[Array, ""]:
        """Epochs begun before the update after `step`: whole ones, or with their fraction."""
        examples, batch = self.clock.examples, self.clock.batch_size
        # In integers: a quotient of floats may miss the step at which an epoch begins.
        # `examples` steps are `batch` epochs; taken off first, they keep step * batch within int32.
        whole, rest = step // examples, step % examples * batch
        if every == "epoch":
            return (whole * batch + rest // examples).astype(jnp.float32)
        return whole.astype(jnp.float32) * batch + rest.astype(jnp.float32) / examples


def constant(times: Times, *, value: float = 1.0) -> Weight:
    """The same weight throughout, as the plain number, but logged."""
    require_all(times.path, {"value": value})
    return Weight(lambda step, memory: jnp.float32(value))


def gradual(
    times: Times,
    *,
    floor: float = 0.01,
    rising: bool = False,
    every: str = "epoch",
    over_steps: float | None = None,
    over_epochs: float | None = 100.0,
    over_examples: float | None = None,
    over_percent: float | None = None,
) -> Weight:
    """Falls in a line from 1 to `floor`; its partner, `rising`, is one minus that.

    a(e) = max(1 - e / E, floor), e the epochs done (whole ones for `every='epoch'`), E = `over`.

    Source: Valverde and Tohka, Region-wise Loss for Biomedical Image Segmentation, and the authors'
    code: max((100 - e) / 100, 0.01) for Dice, 1 - a for the boundary loss.
    """
    require_all(times.path, {"floor": floor})
    length = times.steps("over", (over_steps, over_epochs, over_examples, over_percent))
    if length is None:
        raise UserError(f"{times.path}.over_steps: no length is set {UNITS}")
    epochs = length / times.clock.steps_per_epoch
    checks.require(f"{times.path}.every", every, EVERY)

    def at(step, memory):
        falling = jnp.maximum(1.0 - times.epochs(step, every) / epochs, floor)
        return 1.0 - falling if rising else falling

    return Weight(at)


def steal(
    times: Times,
    *,
    start: float = 1.0,
    change: float = -0.01,
    lowest: float = 0.0,
    highest: float | None = None,
    every: str = "epoch",
) -> Weight:
    """Moves by `change` an epoch within [lowest, highest]: one term takes what the other gives.

    w(e) = min(max(start + change e, lowest), highest).

    Source: the code of Kervadec et al., Boundary loss for highly unbalanced segmentation: the
    regional loss has start 1, change -0.01, lowest 0.1; the boundary loss start 0.01, change 0.01,
    without a highest.
    """
    require_all(times.path, {"start": start, "lowest": lowest})
    require(f"{times.path}.highest", highest, checks.none_or(NOT_NEGATIVE))
    require(f"{times.path}.change", change, checks.number())
    checks.require(f"{times.path}.every", every, EVERY)

    def at(step, memory):
        weight = jnp.maximum(start + change * times.epochs(step, every), lowest)
        return weight if highest is None else jnp.minimum(weight, highest)

    return Weight(at)


def warm_up(
    times: Times,
    *,
    value: float = 1.0,
    until_steps: float | None = None,
    until_epochs: float | None = None,
    until_examples: float | None = None,
    until_percent: float | None = 10.0,
    rise_steps: float | None = None,
    rise_epochs: float | None = None,
    rise_examples: float | None = None,
    rise_percent: float | None = None,
) -> Weight:
    """0 `until` then, from there on `value`, reached in a line over `rise` where that is set.

    For losses that mislead an untrained network, such as the topological ones. The term is computed
    and logged from the first step on.

    Source: Hu et al. (2019), Topology-preserving deep image segmentation: cross entropy first, the
    topological loss added after.
    """
    require_all(times.path, {"value": value})
    until = times.steps("until", (until_steps, until_epochs, until_examples, until_percent)) or 0
    # Without a rise the first step after `until` has the whole weight: a rise of one step.
    rise = times.steps("rise", (rise_steps, rise_epochs, rise_examples, rise_percent)) or 1

    def at(step, memory):
        return value * jnp.clip((step - until + 1).astype(jnp.float32) / rise, 0.0, 1.0)

    return Weight(at)


def rebalance(
    times: Times,
    *,
    against: str,
    first: float = 1.0,
    every_steps: float | None = None,
    every_epochs: float | None = 1.0,
    every_examples: float | None = None,
    every_percent: float | None = None,
) -> Weight:
    """Gives this term the size of the term `against`, set anew after every epoch.

    w = |mean of the other term| / |mean of this one| over the period just ended; `first` in the
    first one. The sums behind it are part of the state, so a resumed run goes on exactly.

    Source: Karimi and Salcudean (2019), Reducing the Hausdorff Distance in Medical Image
    Segmentation: the Dice loss beside a Hausdorff loss.
    Departures: their weight of the first epoch is not given; we take 1. Sizes are absolute, for
    losses that may be negative. Where either mean is 0 the weight stays as it was: a Hausdorff loss
    by erosion is 0 for an undecided network, and a Dice loss of weight 0 would never change that.
    """
    require_all(times.path, {"first": first})
    period = times.steps("every", (every_steps, every_epochs, every_examples, every_percent))
    if period is None:
        raise UserError(f"{times.path}.every_steps: no period is set {UNITS}")
    memory = {"weight": float(first), "own": 0.0, "other": 0.0}

    def update(memory, step, own, other):
        own, other = memory["own"] + own, memory["other"] + other
        # `step` updates came before this one.
        ends = (step + 1) % period == 0
        # Sums over the same rows: their quotient is that of the means.
        ratio = jnp.abs(other) / jnp.where(own == 0, 1.0, jnp.abs(own))
        usable = ends & (own != 0) & (other != 0) & jnp.isfinite(ratio)
        return {
            "weight": jnp.where(usable, ratio, memory["weight"]),
            "own": jnp.where(ends, 0.0, own),
            "other": jnp.where(ends, 0.0, other),
        }

    return Weight(lambda step, memory: memory["weight"], memory, update, (against,))


# --- All terms of a loss together. --------------------------------------------------------------


class Weights:
    """The scheduled weights of a loss, by term; terms with a plain number are not among them."""

    def __init__(self, scheduled: Mapping[str, Weight] | None = None):
        self.scheduled = dict(scheduled or {})

    def initial(self) -> dict[str, dict[str, Array]]:
        """What the state holds at step 0: an entry for each weight that remembers something."""
        return {
            name: {key: jnp.float32(value) for key, value in weight.memory.items()}
            for name, weight in self.scheduled.items()
            if weight.memory
        }

    def at(self, step: Array, memory: Mapping[str, Memory]) -> dict[str, Float[Array, ""]]:
        """The current weight of each scheduled term."""
        return {
            name: jnp.asarray(weight.at(step, memory.get(name, {})), jnp.float32)
            for name, weight in self.scheduled.items()
        }

    def update(self, memory: Mapping[str, Memory], step: Array, sums: Mapping) -> dict:
        """The memory after an update whose values had these `sums` (pairs over all devices)."""
        changed = {}
        for name, kept in memory.items():
            weight = self.scheduled[name]
            read = (sums[f"loss/{term}"][0] for term in (name, *weight.needs))
            changed[name] = weight.update(kept, step, *read)
        return changed


def make(section: ConfigDict, clock: Clock) -> Weights:
    """The scheduled weights of a `loss` section; UserError for what they do not take."""
    scheduled = {}
    for name, term in section.items():
        if not isinstance(term.weight, ConfigDict):
            continue
        path = f"config.loss.{name}.weight"
        function, options = lookup.resolve("weights", term.weight, path)
        try:
            weight = function(Times(clock, path), **options)
        except (TypeError, ValueError) as error:  # of a function of the user's own
            raise UserError(f"{path}.{error}") from error
        if not isinstance(weight, Weight):
            raise UserError(
                f"{path}.name={term.weight.name!r}: gives {type(weight).__name__}; a weight "
                "schedule gives a Weight (segjax/optim/loss_weights.py)"
            )
        for other in weight.needs:
            if other not in section or other == name:
                others = [key for key in section if key != name]
                # Under the option that names the other term, where there is one
                option = next((key for key, value in options.items() if value == other), "name")
                shown = options.get(option, term.weight.name)
                raise UserError(
                    f"{path}.{option}={shown!r}: reads the term {other!r}, and there is no such "
                    f"other term{nearest(other, others)} "
                    f"config.loss has: {', '.join(others) or 'this one alone'}"
                )
        scheduled[name] = weight
    return Weights(scheduled)
