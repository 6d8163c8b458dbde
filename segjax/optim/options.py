"""Options of optimisers, schedules and weights: numbers, or arrays of a population.

Inside the compiled step of a population, hyperparameters are arrays (`train/hyperparameters.py`);
their values were checked in the members' own configs.
"""

from collections.abc import Mapping

import jax

from segjax import checks
from segjax.checks import Requirement

POSITIVE = checks.number(above=0)
NOT_NEGATIVE = checks.number(least=0)


def require(where: str, value: object, wanted: Requirement) -> None:
    """`checks.require`; an array passes."""
    if not isinstance(value, jax.Array):
        checks.require(where, value, wanted)


def require_all(where: str, options: Mapping[str, object]) -> None:
    """UserError for the first option that is no number of at least 0; True and False are taken."""
    for name, value in options.items():
        # True and False are options of their own, such as `nesterov`, and no numbers.
        if not isinstance(value, bool):
            require(f"{where}.{name}", value, NOT_NEGATIVE)
