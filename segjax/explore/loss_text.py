"""A segmentation loss by name, with its options, as a term that can be called on named arrays.

parse_loss("focal:gamma=3"), parse_loss("region_wise:maps=signed")
"""

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp

from segjax.config import lookup
from segjax.config.values import literal
from segjax.errors import UserError
from segjax.recipes.loss_terms import DEFAULT_MAPS, default_map
from segjax.tasks.binding import Term, array_parameters, make_term
from segjax.types import Array, Float


def parse_loss(text: str) -> Term:
    """The segmentation loss that `NAME[:option=value,…]` names; `maps=NAME` chooses its map.

    NAME may be one of your own, as `package.module:loss`.

    Raises: UserError for an unknown loss, option or kind of maps, for a value that the loss does
        not take, and for a loss of other arrays than logits, labels and maps.
    """
    name, _, tail = text.partition(":")
    own, _, options_of_own = tail.partition(":")
    # A loss of one's own: package.module:loss[:option=value,…].
    if own and "=" not in own and name not in lookup.names("losses"):
        name, tail = f"{name}:{own}", options_of_own
    options: dict[str, object] = {}
    # Commas inside brackets belong to a value: radii=(3, 6).
    for part in filter(None, re.split(r",(?![^(\[]*[)\]])", tail)):
        key, equals, value = part.partition("=")
        if not equals:
            raise UserError(f"loss {text!r}: an option is written option=value, got {part!r}")
        options[key.strip()] = literal(value.strip())
    function, maps = lookup.find("losses", name, "loss"), None
    arrays = array_parameters(function)
    if not set(arrays) <= {"logits", "labels", "maps"}:
        taken = ", ".join(arrays)
        raise UserError(f"loss {text!r}: takes {taken}; here it is given logits, labels and maps")
    if "maps" in arrays:
        kind = options.pop("maps", default_map(name))
        maps = lookup.find("maps", kind, "maps")
    lookup.check_options(function, options, f"loss {name}")
    term = make_term(function, name=name, maps=maps, **options)
    # Traced once, shape-only: losses check the values of their options then
    with as_user_error(f"loss {text!r}"):
        jax.eval_shape(term, _blank((1, 16, 16), 2))
    return term


def _blank(pixels: tuple[int, ...], channels: int) -> dict[str, jax.ShapeDtypeStruct]:
    return {
        "logits": jax.ShapeDtypeStruct((*pixels, channels), jnp.float32),
        "labels": jax.ShapeDtypeStruct(pixels, jnp.int32),
    }


@contextlib.contextmanager
def as_user_error(words: str) -> Iterator[None]:
    """Turns what a function raises for a wrong value into the one line that a person sees."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UserError(f"{words}: {error}") from error


def label_of(term: Term) -> str:
    """Name and options as a legend shows them: `focal, gamma 3`."""
    parts = [f"{key} {value}" for key, value in term.options.items()]
    if term.maps and term.maps.function.__name__ != DEFAULT_MAPS.get(term.name):
        parts.append(f"{term.maps.function.__name__} maps")
    return ", ".join([term.name.replace("_", " "), *parts])


def on_one_pixel(
    term: Term, truth: int, vector: Array | None = None
) -> Callable[[Float[Array, "n c"]], Float[Array, "n"]]:
    """The loss of a single pixel as a function of its logits `[n, c]`, one value each.

    Args:
        term: the loss.
        truth: the true class.
        vector: the pixel's map, one number a class, for a loss that takes maps.

    Raises: ValueError for a loss of maps without a vector.
    """
    if "maps" in term.arrays and vector is None:
        raise ValueError("`vector` is needed: this loss takes maps")
    # The map comes as a field: one made of the labels of a single pixel would say nothing
    alone = dataclasses.replace(term, maps=None)

    def of(logits: Float[Array, "n c"]) -> Float[Array, "n"]:
        pixels = logits[:, None, None, :]
        fields = {"logits": pixels, "labels": jnp.full(pixels.shape[:-1], truth, jnp.int32)}
        if vector is not None:
            numbers = jnp.asarray(vector, logits.dtype)[None, None, None, :]
            fields["maps"] = jnp.broadcast_to(numbers, pixels.shape)
        return alone(fields)

    return of
