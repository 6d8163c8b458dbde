"""Rules by which maps of probabilities become one."""

from collections.abc import Sequence

import numpy as np

from segjax import checks
from segjax.types import Array, Float

LEAST = 1e-6  # a probability of 0 in one map would be one of 0 in all


def arithmetic(maps: Sequence[Float[Array, "*s"]]) -> Float[np.ndarray, "*s"]:
    """The mean: (1 / k) sum_j p_j.

    Source: Sarhan et al. (2019), section 3.2. Departures: none.

    Args:
        maps: probabilities, all of one shape.

    Returns: float32.
    Empty cases: one map is itself.
    Raises: ValueError without maps, or on shapes that differ.
    """
    _check(maps)
    total = np.zeros(np.shape(maps[0]), np.float32)
    for array in maps:
        total += array
    return total / np.float32(len(maps))


def geometric(maps: Sequence[Float[Array, "*s"]]) -> Float[np.ndarray, "*s"]:
    """The geometric mean: exp((1 / k) sum_j log max(p_j, 1e-6)).

    Source: Sarhan et al. (2019), section 3.2.
    Departures: the floor, without which a pixel that one network has at 0 would be 0 whatever the
        others say; where all maps are 0, it is 1e-6.

    Args:
        maps: probabilities, all of one shape.

    Returns: float32.
    Empty cases: one map is itself, but for the floor.
    Raises: ValueError without maps, or on shapes that differ.
    """
    _check(maps)
    total = np.zeros(np.shape(maps[0]), np.float32)
    for array in maps:
        total += np.log(np.maximum(np.asarray(array, np.float32), np.float32(LEAST)))
    return np.exp(total / np.float32(len(maps)))


RULES = {"arithmetic": arithmetic, "geometric": geometric}


def fused(maps: Sequence[Float[Array, "*s"]], rule: str) -> Float[np.ndarray, "*s"]:
    """Maps as one by a rule; a single map as it is."""
    checks.check("rule", rule, checks.choice(tuple(RULES)))
    return np.asarray(maps[0], np.float32) if len(maps) == 1 else RULES[rule](maps)


def _check(maps: Sequence[Float[Array, "*s"]]) -> None:
    shapes = {np.shape(array) for array in maps}
    if len(shapes) != 1:
        listed = ", ".join(map(str, sorted(shapes))) or "none"
        raise ValueError(f"`maps` takes one or more of one shape, got {listed}")
