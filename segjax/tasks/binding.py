"""Binds losses to named fields by their parameter names.

A loss `f(heatmap, points, *, option=…)` is called with the fields `heatmap` and `points` that the
task offers. A config lists terms; each is a name, a weight and the loss's own options.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ml_collections import ConfigDict

from segjax.config import lookup
from segjax.errors import UserError


@dataclass(frozen=True)
class Term:
    """One term of the training loss."""

    name: str
    weight: float
    function: Callable
    arrays: tuple[str, ...]
    options: Mapping[str, object]

    def __call__(self, fields: Mapping):
        """One value per image, float32 `[b]`, without the weight."""
        return self.function(*(fields[name] for name in self.arrays), **self.options)


def array_parameters(function: Callable) -> tuple[str, ...]:
    """The names of a loss's positional parameters: arrays, by the house rule."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(p.name for p in inspect.signature(function).parameters.values() if p.kind in kinds)


def bind(section: ConfigDict, offered: tuple[str, ...]) -> tuple[Term, ...]:
    """The terms of a `loss` section; UserError if a loss wants an array that the task lacks."""
    if not len(section):
        raise UserError("config.loss: has no term; it takes sections with name and weight")
    terms = []
    for name, term in section.items():
        path = f"config.loss.{name}"
        if not isinstance(term, ConfigDict) or "name" not in term or "weight" not in term:
            raise UserError(f"{path}: a term is a section with name, weight and the loss's options")
        function, options = lookup.resolve("losses", term, path, extra=("weight",))
        arrays = array_parameters(function)
        if missing := [array for array in arrays if array not in offered]:
            raise UserError(
                f"{path}.name={term.name!r}: wants {', '.join(missing)}, "
                f"which this task does not offer; it offers {', '.join(offered)}"
            )
        terms.append(Term(name, float(term.weight), function, arrays, options))
    return tuple(terms)
