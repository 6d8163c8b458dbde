"""What the training loop remembers besides the state, and how a checkpoint keeps it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from segjax.tasks.sums import reading

PASSING = {"pending", "sampler"}  # what is over when a run has ended


@dataclass
class LoopState:
    """What the loop remembers besides the state.

    Attributes:
        evaluated: the step of the last evaluation, whose rows are in the log.
        best_value: the best value on validation.
        best_step: the step of that value.
        stopped_early: whether patience has ended the training.
        pending: by name, a (sum, count) of every step since the last log.
        sampler: what the source of batches remembers, where it remembers anything.
    """

    evaluated: int = -1
    best_value: float | None = None
    best_step: int = -1
    stopped_early: bool = False
    pending: dict[str, list] = field(default_factory=dict)
    sampler: Any = None

    def saved(self) -> dict:
        """As a checkpoint keeps it: the sums as numbers."""
        pending = {k: [[reading(x) for x in pair] for pair in v] for k, v in self.pending.items()}
        return vars(self) | {"pending": pending}

    def ended(self) -> dict:
        """As it is told of a run that has ended, when nothing is pending."""
        return {name: value for name, value in vars(self).items() if name not in PASSING}


def from_saved(content: Mapping[str, Any]) -> LoopState:
    """What `saved` or `ended` gave; ValueError for anything else."""
    fields = set(vars(LoopState())) - PASSING
    # A field too few would silently take its default: a run that has never been evaluated
    if unlike := fields ^ (set(content) - PASSING):
        raise ValueError(f"its loop state lacks, or has besides, {', '.join(sorted(unlike))}")
    for name in ("evaluated", "best_step"):
        # By `type`: to isinstance a bool is an int
        if type(content[name]) is not int or content[name] < -1:
            raise ValueError(f"its loop state says {name}={content[name]!r}")
    best = content["best_value"]
    if best is not None and not (type(best) in (int, float) and math.isfinite(best)):
        raise ValueError(f"its loop state says best_value={best!r}")
    if type(content["stopped_early"]) is not bool:
        raise ValueError(f"its loop state says stopped_early={content['stopped_early']!r}")
    pending = content.get("pending", {})
    if not isinstance(pending, Mapping) or not all(map(_are_pairs, pending.values())):
        raise ValueError("its loop state has damaged sums")
    return LoopState(**content)


def _are_pairs(pairs: Any) -> bool:
    """Whether this is a list of (sum, count), as JSON has them."""
    return isinstance(pairs, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(type(x) in (int, float) for x in pair)
        for pair in pairs
    )
