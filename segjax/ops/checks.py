"""Static checks: they look at shapes, dtypes and options only, so they also fire while tracing."""

import math
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from segjax import checks
from segjax.types import Array


def check_rank(name: str, array: Array, *ranks: int) -> None:
    """Raises ValueError unless `array` has one of `ranks` axes."""
    if array.ndim not in ranks:
        wanted = " or ".join(str(rank) for rank in ranks)
        raise ValueError(f"`{name}` takes {wanted} axes, got shape {tuple(array.shape)}")


def check_shape(name: str, array: Array, shape: tuple[int | None, ...]) -> None:
    """Raises ValueError unless `array` has `shape`; None stands for any length."""
    got = tuple(array.shape)
    if len(got) != len(shape) or any(w not in (None, g) for g, w in zip(got, shape, strict=True)):
        wanted = "[" + ", ".join("any" if w is None else str(w) for w in shape) + "]"
        raise ValueError(f"`{name}` takes shape {wanted}, got {got}")


def check_floating(name: str, array: Array) -> None:
    """Raises TypeError unless `array` is floating point."""
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"`{name}` takes floating-point values, got {array.dtype}")


def check_option(name: str, value: object, options: tuple) -> None:
    """Raises ValueError unless `value` is one of `options`."""
    checks.check(name, value, checks.choice(options))


def check_number(
    name: str,
    value: float,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> float:
    """An option as a Python float; ValueError unless it is one finite number within the bounds.

    NumPy's numbers are taken too; a traced one is returned as it is, for its value is not known.
    """
    if isinstance(value, jax.core.Tracer):
        return value
    wanted = checks.number(least=least, above=above, most=most, below=below)
    number = _as_float(value)
    if not wanted.holds(number):
        raise ValueError(f"`{name}` takes {wanted.words}, got {value!r}")
    return number


def check_numbers(
    name: str, values: Sequence[float], count: int, **bounds: float
) -> tuple[float, ...]:
    """`check_number` of each of `count` numbers; ValueError if there are more or fewer."""
    if not hasattr(values, "__len__") or len(values) != count:
        raise ValueError(f"`{name}` takes {count} numbers, got {values!r}")
    return tuple(check_number(name, value, **bounds) for value in values)


def check_integer(name: str, value: int, *, least: int) -> int:
    """An option as a Python integer of at least `least`, else ValueError; NumPy's are taken too."""
    try:
        # `operator.index` takes True as 1.
        number = None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        number = None
    wanted = checks.whole(least=least)
    if not wanted.holds(number):
        raise ValueError(f"`{name}` takes {wanted.words}, got {value!r}")
    return number


def _as_float(value: object) -> float:
    """nan for what is no number."""
    # `float` would read text and True, and take an array of one element.
    if isinstance(value, str | bytes | bool | np.bool_) or np.ndim(value):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
