"""A segmentation loss by name, with its options, as a term that can be called on named arrays.

parse_loss("focal:gamma=3"), parse_loss("region_wise:maps=signed")
"""

import contextlib
import dataclasses
import inspect
import pathlib
import re
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from segjax.config import lookup, modules
from segjax.config.values import literal
from segjax.errors import UserError
from segjax.explore.names import find_loss
from segjax.recipes.loss_terms import DEFAULT_MAPS, default_map
from segjax.tasks.binding import Term, array_parameters, make_term
from segjax.types import Array, Float

GIVEN = ("logits", "labels", "maps")  # what a landscape has for a loss


def parse_loss(text: str, *, pixels: tuple[int, ...] = (16, 16), channels: int = 2) -> Term:
    """The segmentation loss that `NAME[:option=value,…]` names; `maps=NAME` chooses its map.

    NAME may be one of your own, as `package.module:loss`.

    Args:
        text: name and options.
        pixels: height and width of the images that the loss will be given.
        channels: of their logits.

    Raises: UserError for an unknown loss, option or kind of maps, for a value that the loss does
        not take, for a loss of other arrays than logits, labels and maps, and for whatever one of
        your own raises.
    """
    name, _, tail = text.partition(":")
    own, _, options_of_own = tail.partition(":")
    # A loss of one's own: package.module:loss[:option=value,…].
    if own and "=" not in own.partition(",")[0] and name not in lookup.names("losses"):
        own, comma, early = own.partition(",")
        if comma:
            meant = f"{name}:{own}:{early}"
            raise UserError(
                f"loss {text!r}: options of your own stand behind a second colon: {meant!r}"
            )
        name, tail = f"{name}:{own}", options_of_own
    options: dict[str, object] = {}
    # Commas inside brackets belong to a value: radii=(3, 6).
    for part in filter(None, re.split(r",(?![^(\[]*[)\]])", tail)):
        key, equals, value = part.partition("=")
        if not equals:
            raise UserError(f"loss {text!r}: an option is written option=value, got {part!r}")
        options[key.strip()] = literal(value.strip())
    function, maps = find_loss(name, "loss"), None
    if not callable(function):
        raise UserError(f"loss {text!r}: a loss is a function, this is {type(function).__name__}")
    lookup.check_positional(function, f"loss {text!r}", GIVEN)
    arrays = array_parameters(function)
    if not set(arrays) <= {*GIVEN}:
        taken = ", ".join(arrays)
        raise UserError(f"loss {text!r}: takes {taken}; here it is given logits, labels and maps")
    if "maps" in arrays:
        kind = options.pop("maps", default_map(name))
        maps = lookup.find("maps", kind, "maps")
    lookup.check_options(function, options, f"loss {name}")
    term = make_term(function, name=name, maps=maps, **options)
    # Traced once, shape-only: losses check the values of their options then
    with raising_for(term, f"loss {text!r}"):
        jax.eval_shape(term, _blank((1, *pixels), channels))
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


@contextlib.contextmanager
def raising_for(term: Term, words: str) -> Iterator[None]:
    """One line for what a loss raises for a wrong value; for anything that one of yours raises."""
    if ":" not in term.name:
        with as_user_error(words):
            yield
        return
    try:
        yield
    # SystemExit, for a `sys.exit` in there would end the command without a word
    except (Exception, SystemExit) as error:
        file = getattr(inspect.getmodule(term.function), "__file__", None)
        raise modules.failed(words, pathlib.Path(file or ""), error) from error


def require_finite(values: np.ndarray, label: str) -> None:
    """UserError unless every value of a loss can be drawn."""
    if not np.all(np.isfinite(values)):
        count = np.count_nonzero(~np.isfinite(values))
        raise UserError(f"loss {label}: {count} of its {values.size} values are not finite")


def label_of(term: Term) -> str:
    """Name and options as a legend shows them: `focal, gamma 3`."""
    parts = [f"{key} {value}" for key, value in term.options.items()]
    if term.maps and term.maps.function.__name__ != DEFAULT_MAPS.get(term.name):
        parts.append(f"{term.maps.function.__name__} maps")
    # The name of a function of one's own is told as it is written
    name = term.name if ":" in term.name else term.name.replace("_", " ")
    return ", ".join([name, *parts])


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
