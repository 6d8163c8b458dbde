"""A loss's arrays and options as the user gives them, in place of those that segjax makes up."""

import inspect
import pathlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from segjax.checks import nearest
from segjax.config import lookup, modules
from segjax.errors import UserError
from segjax.explore.names import as_module
from segjax.tasks.binding import KEYWORD_ARRAYS, Term, array_parameters

# The arrays that a loss is differentiated by.
LEAVES = ("logits", "heatmap", "activation_logits", "anchor", "positive", "negative")


@dataclass(frozen=True)
class Example:
    """What one loss is called with.

    Args:
        arrays: one for each of its positional parameters, in their order; floating ones are
            float64.
        keywords: its options, and the arrays that it takes by keyword.
        images: how many values the loss gives: one an image, or one where it pools the batch.
    """

    arrays: Mapping[str, np.ndarray]
    keywords: Mapping[str, object]
    images: int

    @property
    def leaves(self) -> tuple[int, ...]:
        """The places of the arrays that the loss is differentiated by.

        Those of segjax's own names; of a loss that has none of them, every floating one.
        """
        names = [*self.arrays]
        known = tuple(place for place, name in enumerate(names) if name in LEAVES)
        floating = (place for place, name in enumerate(names) if _floats(self.arrays[name]))
        return known or tuple(floating)


def load(name: str) -> Mapping[str, object]:
    """What the function `package.module:function` gives, called without arguments.

    Raises: UserError for a name that is no function, for what the function raises, and for
        anything but a dict by name.
    """
    where = f"--example {name}"
    if ":" not in name:
        raise UserError(f"{where}: takes the name of a function, as in mymodule:example")
    if hint := as_module(name):
        raise UserError(f"{where}: {hint}")
    function = modules.find(name, f"{where}: ")
    if not callable(function):
        raise UserError(f"{where}: is {_kind(function)}, takes a function that gives a dict")
    file = getattr(sys.modules[name.partition(":")[0]], "__file__", None)
    try:
        given = function()
    # SystemExit, for a `sys.exit` in there would end the command without a word
    except (Exception, SystemExit) as error:
        raise modules.failed(where, pathlib.Path(file or ""), error) from error
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise UserError(f"{where}: gives {_kind(given)}, takes a dict of arrays by parameter name")
    return given


def fit(given: Mapping[str, object], loss: Callable, name: str, where: str) -> Example:
    """An example as the arguments of a loss.

    Args:
        given: arrays by the loss's parameters, and options if it is to have other than its
            defaults.
        loss: the function.
        name: of the loss in messages.
        where: the head of a message.

    Raises: UserError for what is missing, unknown, not finite or of the wrong kind.
    """
    parameters, taken = array_parameters(loss), inspect.signature(loss).parameters
    by_keyword = [key for key in KEYWORD_ARRAYS if key in taken and key not in parameters]
    known = (*parameters, *lookup.options_of(loss), *by_keyword)
    for key in given:
        if key not in known:
            hint = nearest(key, known)
            raise UserError(f"{where}: {name} takes no `{key}`{hint} It takes: {', '.join(known)}")
    needed = [
        key for key in known if key in parameters or taken[key].default is inspect.Parameter.empty
    ]
    if missing := [key for key in needed if key not in given]:
        has = ", ".join(given) or "nothing"
        raise UserError(f"{where}: lacks `{missing[0]}`, which {name} takes; it has {has}")
    arrays = {key: _array(given[key], key, where) for key in parameters}
    for key, array in arrays.items():
        if not array.ndim or array.shape[0] != len(next(iter(arrays.values()))):
            shapes = ", ".join(f"{key} {list(array.shape)}" for key, array in arrays.items())
            raise UserError(f"{where}: arrays have one batch as their first axis, got {shapes}")
        if key in LEAVES and not _floats(array):
            raise UserError(f"{where}: `{key}` takes floating numbers, got {array.dtype}")
    keywords = {key: value for key, value in given.items() if key not in parameters}
    arrays_too = [key for key in by_keyword if key in keywords and key != "spacing"]
    keywords |= {key: _array(keywords[key], key, where) for key in arrays_too}
    example = of_loss(loss, arrays, keywords)
    if not example.leaves:
        raise UserError(
            f"{where}: none of its arrays has floating numbers, so there is no gradient"
        )
    return example


def of_loss(
    loss: Callable, arrays: Mapping[str, np.ndarray], keywords: Mapping[str, object]
) -> Example:
    """The example with the number of values that the loss gives for it."""
    term = Term("", 1.0, loss, tuple(arrays), keywords)
    return Example(arrays, keywords, 1 if term.pooled else len(next(iter(arrays.values()))))


def _array(value: object, key: str, where: str) -> np.ndarray:
    """Numbers as NumPy holds them, floating ones as float64; UserError for anything else."""
    try:
        array = np.asarray(value)
    except Exception as error:  # whatever someone's object does when it is read as an array
        raise UserError(f"{where}: `{key}`: {type(error).__name__}: {error}") from error
    # bfloat16 is of no kind that NumPy knows
    floating = _floats(array) or array.dtype.name.startswith(("bfloat", "float"))
    if not floating and array.dtype.kind not in "iub":
        raise UserError(f"{where}: `{key}` takes an array of numbers, got {_kind(value)}")
    if not array.size:
        raise UserError(f"{where}: `{key}` is empty, {list(array.shape)}")
    array = array.astype(np.float64) if floating else array
    if floating and not np.all(np.isfinite(array)):
        raise UserError(f"{where}: `{key}` is not finite everywhere")
    return array


def _floats(array: np.ndarray) -> bool:
    return array.dtype.kind == "f"


def _kind(value: object) -> str:
    return f"an array of {value.dtype}" if hasattr(value, "dtype") else type(value).__name__
