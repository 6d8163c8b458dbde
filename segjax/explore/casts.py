"""Where a loss leaves float64: the narrowest floating type on the way from its arrays to its value.

Read off the traced program, in which a cast is an operation like any other: `x.astype(float32)`, a
sum with a `dtype`, a product with a preferred type, a call of the host that returns float32.
"""

from collections.abc import Iterator, Sequence

import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal


def narrowest(program: ClosedJaxpr, by: Sequence[int]) -> str:
    """The least precise floating type that values made of some arguments pass through.

    Integers and booleans end a way: what was rounded or compared has no slope to lose.

    Args:
        program: traced with float64 arguments, as `jax.jit(f).trace(*arrays).jaxpr` is.
        by: the places of those arguments.

    Returns: 'float32', 'bfloat16' or the like; '' where everything stays float64.
    """
    found: set[str] = set()
    _follow(program.jaxpr, [place in by for place in range(len(program.jaxpr.invars))], found)
    return max(found, key=lambda name: float(jnp.finfo(name).eps), default="")


def _follow(program: Jaxpr, given: Sequence[bool], found: set[str]) -> list[bool]:
    """Which results depend on the arguments that are `given`; adds narrow types to `found`."""
    reached = {var for var, one in zip(program.invars, given, strict=True) if one}
    for equation in program.eqns:
        taken = [not isinstance(var, Literal) and var in reached for var in equation.invars]
        if not any(taken):
            continue
        results = _through(equation, taken, found)
        for var, one in zip(equation.outvars, results, strict=True):
            dtype = getattr(var.aval, "dtype", None)
            if one and dtype is not None and jnp.issubdtype(dtype, jnp.floating):
                reached.add(var)
                found |= {dtype.name} if dtype.itemsize < 8 else set()
    return [not isinstance(var, Literal) and var in reached for var in program.outvars]


def _through(equation: JaxprEqn, taken: list[bool], found: set[str]) -> list[bool]:
    """Which results of one operation depend on the arguments that are `taken`."""
    results = [False] * len(equation.outvars)
    inner = list(_programs(equation))
    for program in inner:
        known = _inside(program, taken)
        outside = _follow(program, known, found)
        # What a loop carries comes back to it: once more, until nothing is added
        while equation.primitive.name in ("scan", "while"):
            more = _carried(equation, known, outside)
            if more == known:
                break
            known, outside = more, _follow(program, more, found)
        if len(outside) == len(results):
            results = [a or b for a, b in zip(results, outside, strict=True)]
    return results if inner else [True] * len(results)


def _programs(equation: JaxprEqn) -> Iterator[Jaxpr]:
    """The programs that an operation runs: the body of a loop, the branches of a choice."""
    for value in equation.params.values():
        for one in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(one, (Jaxpr, ClosedJaxpr)):
                yield one.jaxpr if isinstance(one, ClosedJaxpr) else one


def _inside(program: Jaxpr, taken: list[bool]) -> list[bool]:
    """The arguments of an operation as those of its program: the last ones.

    A choice takes its index first, a loop the constants of its condition.
    """
    number = len(program.invars)
    if number > len(taken):
        return [True] * number
    return taken[len(taken) - number :]


def _carried(equation: JaxprEqn, known: list[bool], outside: list[bool]) -> list[bool]:
    """The arguments of a loop's body that depend, when its results have come back to it."""
    first = equation.params.get("num_consts", equation.params.get("body_nconsts"))
    carry = outside[: equation.params.get("num_carry", len(outside))]
    if len(known) < first + len(carry):  # a loop's condition carries nothing
        return known
    more = list(known)
    for place, one in enumerate(carry, start=first):
        more[place] = more[place] or one
    return more
