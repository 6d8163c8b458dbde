"""Binds losses to named fields by their parameter names, and adds the terms up.

A loss `f(heatmap, points, *, option=…)` is called with the fields `heatmap` and `points` that the
task offers. A config lists terms; each is a name, a weight, the loss's own options and, for a loss
of `maps`, which map of segjax.maps it takes. The training step and a notebook add terms up through
the same function::

    terms = make_term(losses.dice), make_term(losses.boundary, weight=0.01, maps=maps.signed)
    combine(terms, {"logits": logits, "labels": labels})["loss"]  # [b]
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from segjax.checks import nearest
from segjax.config import lookup
from segjax.config.lookup import array_parameters
from segjax.errors import UserError
from segjax.types import Array

# Arrays that a loss may take by keyword: passed where the task offers them.
KEYWORD_ARRAYS = ("where", "weights", "spacing")
# The keys of a term that are not options of its loss.
OWN_KEYS = ("weight", "maps", "inputs")


@dataclass(frozen=True)
class Maps:
    """How a term gets its `maps`: a function of (labels, number of classes), and its options."""

    function: Callable
    options: Mapping[str, object] = field(default_factory=dict)

    def __call__(self, fields: Mapping) -> Array:
        """The field `<name>_maps` if there is one, else maps made from `labels`; no gradient."""
        ready = fields.get(f"{self.function.__name__}_maps")
        if ready is not None:
            return ready
        # Two maps for a single channel: that of the foreground alone may see no false negative.
        classes = max(2, fields["logits"].shape[-1])
        return jax.lax.stop_gradient(self.function(fields["labels"], classes, **self.options))


@dataclass(frozen=True)
class Term:
    """One term of the training loss."""

    name: str
    weight: float  # where a schedule gives the weight, this one is not used
    function: Callable
    arrays: tuple[str, ...]
    options: Mapping[str, object]
    maps: Maps | None = None
    # By parameter of the loss: the field, or the output of the model, that it takes instead.
    inputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def pooled(self) -> bool:
        """Whether it pools the images of a batch, by the option over='batch'."""
        options = inspect.signature(self.function).parameters
        default = options["over"].default if "over" in options else None
        return self.options.get("over", default) == "batch"

    def __call__(
        self, fields: Mapping, pool: Callable[[Mapping], Mapping] = lambda fields: fields
    ) -> Array:
        """One value per image, float32 `[b]`, without the weight; one in all where it pools.

        `pool` gives what a term that pools the batch takes instead of `fields`.
        Raises: TypeError where the loss returns something else.
        """
        # What a term asks for by name takes the place of the field that its parameter is named
        # after.
        fields = {**fields, **{name: fields[other] for name, other in self.inputs.items()}}
        if self.pooled:  # after the renaming: padding is left out in the shape of its own logits
            fields = pool(fields)
        # After the pooling: maps have to be those of the labels that the loss is given
        if self.maps is not None:
            fields = {**fields, "maps": self.maps(fields)}
        taken = inspect.signature(self.function).parameters
        keywords = {name: fields[name] for name in KEYWORD_ARRAYS if name in fields}
        keywords = {name: array for name, array in keywords.items() if name in taken}
        arrays = [fields[name] for name in self.arrays]
        values = self.function(*arrays, **keywords, **self.options)
        _check_values(values, 1 if self.pooled else len(arrays[0]))
        return values


def _check_values(values: object, images: int) -> None:
    shape, dtype = getattr(values, "shape", None), getattr(values, "dtype", None)
    if shape != (images,) or not jnp.issubdtype(dtype, jnp.floating):
        got = f"{dtype}{list(shape)}" if shape is not None else type(values).__name__
        raise TypeError(
            f"a loss returns one number an image, float[{images}] for a batch of {images}; "
            f"got {got}"
        )


def make_term(
    function: Callable,
    *,
    weight: float = 1.0,
    name: str | None = None,
    maps: Callable | None = None,
    **options: object,
) -> Term:
    """A term from a loss, and for a loss of `maps` the function of segjax.maps that makes them."""
    made = Maps(maps) if maps is not None else None
    return Term(
        name or function.__name__, weight, function, array_parameters(function), options, made
    )


def combine(
    terms: Sequence[Term],
    fields: Mapping,
    weights: Mapping[str, Array] | None = None,
    pool: Callable[[Mapping], Mapping] = lambda fields: fields,
) -> dict[str, Array]:
    """The weighted sum of terms as `loss`, and each without its weight as `loss/NAME`.

    L_b = sum_t w_t L_t,b. A single term whose weight is a number is the loss itself, and is not
    given twice.

    Args:
        terms: from `make_term` or `bind`.
        fields: arrays by the names that the losses take.
        weights: scalars by term, where they are not the terms' own: no gradient flows into them.
        pool: what a term that pools the batch takes instead of `fields`, which may be padded or
            lie on several devices.

    Returns: one value per image `[b]` under each name, or one in all where only pooled terms are.
    """
    return _shown(terms, _sum(terms, fields, weights, pool), weights)


def combine_scales(
    terms: Sequence[Term],
    scales: Sequence[tuple[float, Mapping]],
    weights: Mapping[str, Array] | None = None,
    pool: Callable[[Mapping], Mapping] = lambda fields: fields,
) -> dict[str, Array]:
    """`combine` at several resolutions (deep supervision): every value is sum_s w_s value_s.

    Args:
        terms: from `make_term` or `bind`.
        scales: (weight, fields) of each resolution; one of weight 0 is not computed.
        weights: as in `combine`.
        pool: as in `combine`.

    Returns: one value per image `[b]` under each name.
    """
    total: dict[str, Array] = {}
    for number, (share, fields) in enumerate(scales):
        # Outputs of a model that a term asks for by name have no coarser form.
        chosen = [term for term in terms if number == 0 or not term.inputs]
        # A weight of 0 is one of Python, known while this is traced: its head costs nothing
        if share and chosen:
            part = _sum(chosen, fields, weights, pool)
            total |= {name: total.get(name, 0.0) + share * value for name, value in part.items()}
    return _shown(terms, total, weights)


def _sum(terms: Sequence[Term], fields: Mapping, weights: Mapping | None, pool: Callable) -> dict:
    """The weighted sum of terms, and each of them."""
    values = {term.name: term(fields, pool) for term in terms}
    scale = {term.name: term.weight for term in terms}
    # Weights scale the loss and are not trained, wherever they come from
    scale |= {name: jax.lax.stop_gradient(weight) for name, weight in (weights or {}).items()}
    total = sum(scale[name] * value for name, value in values.items())
    return {"loss": total} | {f"loss/{name}": value for name, value in values.items()}


def _shown(
    terms: Sequence[Term], values: dict[str, Array], weights: Mapping | None
) -> dict[str, Array]:
    """The sum, and each term where there are several, or where weights follow a schedule."""
    # Of a single term `loss/NAME` would be the loss again, but for its weight
    return values if len(terms) > 1 or weights else {"loss": values["loss"]}


def bind(section: ConfigDict, offered: tuple[str, ...]) -> tuple[Term, ...]:
    """The terms of a `loss` section; UserError if a loss wants an array that the task lacks.

    A weight that is a section (a schedule) is left to whoever knows the length of the training.
    """
    if not len(section):
        raise UserError("config.loss: has no term; it takes sections with name and weight")
    terms = []
    for name, term in section.items():
        path = f"config.loss.{name}"
        if not isinstance(term, ConfigDict) or "name" not in term or "weight" not in term:
            raise UserError(f"{path}: a term is a section with name, weight and the loss's options")
        function, options = lookup.resolve("losses", term, path, extra=OWN_KEYS)
        arrays = array_parameters(function)
        if not arrays:
            raise UserError(f"{path}.name={term.name!r}: takes no array by position")
        maps = _maps(term, arrays, offered, path)
        given = offered if maps is None else (*offered, "maps")
        given = (*given, *term.get("inputs", {}))
        lookup.check_positional(function, f"{path}.name={term.name!r}", given)
        if missing := [array for array in arrays if array not in given]:
            raise UserError(
                f"{path}.name={term.name!r}: wants {', '.join(missing)}, "
                f"which this task does not offer; it offers {', '.join(offered)}"
            )
        weight = 1.0 if isinstance(term.weight, ConfigDict) else float(term.weight)
        inputs = _inputs(term, arrays, path)
        made = Term(name, weight, function, arrays, options, maps, inputs)
        # Checked here, for padding that a pooled loss takes in would show in no error later
        if made.pooled and not ("logits" in arrays and _takes_where(function)):
            raise UserError(
                f"{path}.over='batch': {term.name} does not take `logits` and `where`, by which "
                "the padding of a batch is left out"
            )
        terms.append(made)
    return tuple(terms)


def _takes_where(function: Callable) -> bool:
    return "where" in inspect.signature(function).parameters


def _inputs(term: ConfigDict, arrays: tuple[str, ...], path: str) -> dict[str, str]:
    """What the key `inputs` of a term says: parameter -> field or output of the model."""
    inputs = dict(term.get("inputs", {}))
    for name, other in inputs.items():
        if name not in arrays:
            raise UserError(
                f"{path}.inputs.{name}: {term.name} takes no such array"
                f"{nearest(name, arrays)} It takes: {', '.join(arrays)}"
            )
        if not isinstance(other, str):
            raise UserError(f"{path}.inputs.{name}={other!r}: takes the name of a field or output")
    return inputs


def _maps(
    term: ConfigDict, arrays: tuple[str, ...], offered: tuple[str, ...], path: str
) -> Maps | None:
    """What makes the `maps` of a term, from its key `maps`: a name, or a section with options."""
    chosen = term.get("maps")
    if "maps" not in arrays:
        if chosen is not None:
            raise UserError(f"{path}.maps={_name(chosen)!r}: {term.name} takes no maps")
        return None
    # No map is made: the task gives one, or lacks what it would be made of, which `bind` says
    if chosen is None:
        if "maps" in offered or not {"logits", "labels"} <= set(offered):
            return None
        raise UserError(f"{path}.maps: missing; takes one of {', '.join(lookup.names('maps'))}")
    if not isinstance(chosen, ConfigDict):
        return Maps(lookup.find("maps", chosen, f"{path}.maps"))
    if "name" not in chosen:
        raise UserError(f"{path}.maps.name: missing; lookup.spec('maps', …) writes such a section")
    return Maps(*lookup.resolve("maps", chosen, f"{path}.maps"))


def _name(chosen: object) -> object:
    return chosen.get("name") if isinstance(chosen, ConfigDict) else chosen
