"""The one place where values are held to a range, a choice or a kind. Imports nothing heavy.

A requirement knows what it takes in words, so that every message about a wrong value reads alike::

    require("config.train.steps", 0, whole(least=1))
    UserError: config.train.steps=0: takes a whole number of at least 1
"""

import difflib
import math
import numbers
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from segjax.errors import UserError


@dataclass(frozen=True)
class Requirement:
    """What a value has to be: in words, and as a test.

    Attributes:
        words: completes "takes …".
        holds: whether a value is of that kind; called with anything.
        options: the names to choose from, of which the nearest is proposed.
    """

    words: str
    holds: Callable[[object], bool]
    options: tuple[str, ...] = ()

    def refusal(self, value: object) -> str:
        """`takes …`, with the nearest of the options where there is one."""
        near = nearest(value, self.options) if self.options else "."
        words = self.words
        if isinstance(value, float) and not math.isfinite(value):
            # nan and infinity are numbers to a reader of the message.
            words = words.replace("a number", "a finite number", 1)
        return f"takes {words}{'' if near == '.' else near}"


def number(
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> Requirement:
    """One finite number within bounds, NumPy's among them; True and False are none."""

    def holds(value: object) -> bool:
        # Python's True and False are integers.
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            return False
        try:
            finite = math.isfinite(value)
        except OverflowError:  # a whole number beyond what a float holds
            return False
        return finite and _within(value, least, above, most, below)

    return Requirement("a number" + _bounds(least, above, most, below), holds)


def whole(*, least: int | None = None, most: int | None = None) -> Requirement:
    """One whole number within bounds, of Python's or NumPy's integer types."""

    def holds(value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            return False
        return _within(value, least, None, most, None)

    return Requirement("a whole number" + _bounds(least, None, most, None), holds)


def choice(options: Iterable[str]) -> Requirement:
    """One of some names."""
    known = tuple(options)
    # Not `in`, by which 1 would be True.
    return Requirement(
        f"one of {', '.join(map(str, known))}",
        lambda value: any(
            value is one or (type(value) is type(one) and value == one) for one in known
        ),
        known,
    )


def switch() -> Requirement:
    """True or False."""
    return Requirement("True or False", lambda value: isinstance(value, bool))


def none_or(requirement: Requirement) -> Requirement:
    """What a requirement takes, or None."""
    return Requirement(
        f"{requirement.words}, or none",
        lambda value: value is None or requirement.holds(value),
        requirement.options,
    )


def sequence(requirement: Requirement, *lengths: int, words: str = "") -> Requirement:
    """A tuple or list, each element of one kind; of any length, or of one of some `lengths`.

    `words` says better what the elements are, as in "(height, width) in pixels".
    """

    def holds(value: object) -> bool:
        if not isinstance(value, (tuple, list)) or (lengths and len(value) not in lengths):
            return False
        return all(map(requirement.holds, value))

    return Requirement(words or f"several, each {requirement.words}", holds)


def require(where: str, value: object, requirement: Requirement) -> None:
    """UserError `WHERE=VALUE: takes …` unless a value of a config is what it has to be."""
    if not requirement.holds(value):
        raise UserError(f"{where}={value!r}: {requirement.refusal(value)}")


def require_flag(flag: str, value: object, requirement: Requirement) -> None:
    """UserError `FLAG VALUE: takes …` unless a value of the command line is what it has to be."""
    if not requirement.holds(value):
        raise UserError(f"{flag} {value}: {requirement.refusal(value)}")


def check(name: str, value: object, requirement: Requirement) -> None:
    """ValueError "`NAME` takes …, got VALUE" unless an argument is what it has to be."""
    if not requirement.holds(value):
        raise ValueError(f"`{name}` {requirement.refusal(value)}, got {value!r}")


def nearest(word: object, options: Iterable[object]) -> str:
    """`, did you mean 'x'?`, or a full stop when no option is near."""
    close = difflib.get_close_matches(str(word), [str(option) for option in options], n=1)
    return f", did you mean {close[0]!r}?" if close else "."


def _within(value, least, above, most, below) -> bool:
    return (
        (least is None or value >= least)
        and (above is None or value > above)
        and (most is None or value <= most)
        and (below is None or value < below)
    )


def _bounds(least, above, most, below) -> str:
    """Bounds in words."""
    if least is not None and most is not None:
        return f" from {_shown(least)} to {_shown(most)}"
    low = f" of at least {_shown(least)}" if least is not None else ""
    low = f" above {_shown(above)}" if above is not None else low
    high = f"at most {_shown(most)}" if most is not None else ""
    high = f"below {_shown(below)}" if below is not None else high
    if not high:
        return low
    return f"{low} and {high}" if low else f" of {high}" if most is not None else f" {high}"


def _shown(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"
