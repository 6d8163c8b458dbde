"""Holds a loss's gradient against its closed form and against finite differences, in float64.

Three answers to one question: the closed form (segjax.explore.gradients), `jax.grad`, and the
loss's values alone. They are compared in ordinary and extreme situations (segjax.explore.inputs).
"""

import inspect
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from segjax.checks import nearest
from segjax.config import lookup
from segjax.errors import UserError
from segjax.explore import casts, differences, gradients, inputs
from segjax.explore.differences import PRECISIONS, Precision
from segjax.explore.example import LEAVES, Example, fit, of_loss
from segjax.explore.names import check_alone, find_loss
from segjax.tasks.binding import array_parameters

BATCH = 2
ACTIVATED = ("logits", "heatmap", "activation_logits")  # they go through a softmax or a sigmoid
REACH = 20.0  # the largest of them, for steps of a twentieth
EXAMPLE = "example"  # the situation that an example of the user's own is


@dataclass(frozen=True)
class Finding:
    """How a loss did in one situation.

    Args:
        situation: one of `inputs.SITUATIONS`, or `EXAMPLE`.
        seed: of its random numbers.
        closed_form: largest error of `jax.grad` against the closed form, relative to the largest
            component; None without a closed form.
        differences: largest error against a finite difference; None where all were skipped.
        directions: in how many directions a difference was taken.
        kinks: how many of them were skipped: the loss has a corner there, and no gradient, or
            rounding to float32 hides the slope.
        largest: the largest component of the gradient.
        cast: the narrowest type that the loss casts its arrays to; '' is none.
        by: the names of the arrays that it was differentiated by.
        fault: what is wrong beyond numbers, or ''.
    """

    situation: str
    seed: int
    closed_form: float | None = None
    differences: float | None = None
    directions: int = 0
    kinks: int = 0
    largest: float = 0.0
    cast: str = ""
    by: tuple[str, ...] = ()
    fault: str = ""

    @property
    def precision(self) -> Precision:
        """What the two errors are held to."""
        return PRECISIONS.get(self.cast, PRECISIONS[""])

    @property
    def excess(self) -> float:
        """The larger of the two errors, in tolerances."""
        return max(
            (self.closed_form or 0) / self.precision.closed_form,
            (self.differences or 0) / self.precision.tolerance,
        )

    def __str__(self) -> str:
        return f"{self.situation}, seed {self.seed}"


def check_loss(
    loss: Callable,
    closed_form: Callable | None = None,
    *,
    name: str = "",
    seeds: Sequence[int] = (0, 1),
    situations: Sequence[str] = inputs.SITUATIONS,
    spatial: tuple[int, ...] = (8, 8),
    channels: int = 3,
    example: Example | None = None,
) -> list[Finding]:
    """One finding for each situation and seed; `verdict` judges them.

    Args:
        loss: a function of arrays by the convention: positional parameters are arrays, options
            are keyword-only and have defaults.
        closed_form: takes what the loss takes and returns its gradient, or a tuple of gradients.
        name: of the loss in messages; none is its own.
        seeds: of the random inputs and directions.
        situations: some of `inputs.SITUATIONS`.
        spatial, channels: the shape of the arrays.
        example: what the loss is called with, in place of arrays for the names of the contract in
            all situations.

    Raises: UserError for a parameter or an option that cannot be made up.
    """
    if example is not None:
        return _found(loss, closed_form, {(EXAMPLE, seed): example for seed in seeds})
    parameters = _parameters(loss, name or getattr(loss, "__name__", str(loss)))
    shapes = {"batch": BATCH, "spatial": spatial, "channels": channels}
    examples = {}
    for seed in seeds:
        for situation in situations:
            arrays = inputs.arguments(parameters, situation, seed=seed, **shapes)
            examples[situation, seed] = of_loss(loss, arrays, {})
    return _found(loss, closed_form, examples)


def _found(
    loss: Callable, closed_form: Callable | None, examples: Mapping[tuple[str, int], Example]
) -> list[Finding]:
    """The findings of examples of the same names and options, by situation and seed."""
    first = next(iter(examples.values()))
    options, leaves = first.keywords, first.leaves
    value = jax.jit(lambda *arrays: loss(*arrays, **options))
    # Of the sum over the batch: a loss gives one value per image, so each keeps its own gradient
    gradient = jax.jit(jax.grad(lambda *arrays: loss(*arrays, **options).sum(), leaves))
    found = []
    for (situation, seed), example in examples.items():
        place = {"situation": situation, "seed": seed}
        # A difference over a step of 1e-5 would keep hardly a digit of float32 values
        with jax.enable_x64(True):
            try:
                found.append(_find(value, gradient, closed_form, example, place))
            except Exception as error:  # a loss of anyone's: what it raises is its verdict
                message = " ".join(f"{type(error).__name__}: {error}".split())
                found.append(Finding(**place, fault=message[:120]))
    return found


def leaves_of(loss: Callable) -> tuple[int, ...]:
    """The places among a loss's arrays that it is differentiated by."""
    return tuple(i for i, name in enumerate(array_parameters(loss)) if name in LEAVES)


def verdict(findings: Sequence[Finding]) -> str:
    """'' where the gradient is right, else what is wrong and where."""
    for finding in findings:
        if finding.fault:
            return f"{finding.fault} ({finding})"
    worst = worst_of(findings)
    if (worst.closed_form or 0) > worst.precision.closed_form:
        return f"the closed form differs from jax.grad ({worst})"
    if (worst.differences or 0) > worst.precision.tolerance:
        return f"jax.grad differs from finite differences ({worst})"
    compared = [finding for finding in findings if finding.differences is not None]
    if compared and not any(finding.largest for finding in findings):
        return "the gradient is 0 everywhere"
    # A gradient of 0 that agrees says nothing of the others
    if not any(finding.largest for finding in compared):
        hidden = ", or rounding hides the slope" if worst.cast else ""
        return f"nothing compared: a kink in every direction{hidden}"
    return ""


def note(findings: Sequence[Finding]) -> str:
    """What a reader of the numbers has to know beyond them, or ''."""
    words, first = [], findings[0]
    if first.cast in PRECISIONS and first.cast:
        tolerance = first.precision.tolerance
        words.append(f"casts to {first.cast}: wider steps, differences to {tolerance:.0e}")
    if not {*first.by} <= {*LEAVES}:
        words.append(f"gradient by {', '.join(first.by)}")
    return "; ".join(words)


def worst_of(findings: Sequence[Finding]) -> Finding:
    """The finding with the largest error."""
    return max(findings, key=lambda finding: finding.excess)


# --- one situation --------------------------------------------------------------------------------


def _find(value, gradient, closed_form, example: Example, place: Mapping) -> Finding:
    arrays, leaves = tuple(example.arrays.values()), example.leaves
    values = np.asarray(value(*arrays))
    if values.shape != (example.images,):
        fault = f"returns shape {values.shape}, takes one value per image, ({example.images},)"
        return Finding(**place, fault=fault)
    if not jnp.issubdtype(values.dtype, jnp.floating):
        return Finding(**place, fault=f"returns {values.dtype}, takes floating numbers")
    cast = casts.narrowest(value.trace(*arrays).jaxpr, leaves)
    if cast not in PRECISIONS:
        fault = f"casts to {cast}: too few digits for differences"
        return Finding(**place, cast=cast, fault=fault)
    slopes = [np.asarray(g, np.float64) for g in gradient(*arrays)]
    if not np.all(np.isfinite(values)):
        return Finding(**place, cast=cast, fault="the value is not finite")
    if not all(np.all(np.isfinite(g)) for g in slopes):
        return Finding(**place, cast=cast, fault="the gradient is not finite")
    names = [[*example.arrays][leaf] for leaf in leaves]
    error = None
    if closed_form is not None:
        wanted = closed_form(*arrays, **example.keywords)
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        # Of arrays that segjax does not know, a closed form may take the last ones for constants
        known = {*names} <= {*LEAVES}
        error = _closed_form_error(slopes if known else slopes[: len(wanted)], wanted)
    by, errors = [], []
    for leaf, name, slope in zip(leaves, names, slopes, strict=True):
        # One of them without any slope is a constant of the loss, as under jax.lax.stop_gradient
        if name in LEAVES or slope.any() or not any(g.any() for g in slopes):
            by.append(name)
            errors += _errors(value, arrays, leaf, slope, cast, place["seed"], name in ACTIVATED)
    compared = [error for error in errors if error is not None]
    return Finding(
        **place,
        closed_form=error,
        differences=max(compared, default=None),
        directions=len(errors),
        kinks=len(errors) - len(compared),
        largest=max(float(np.abs(g).max()) for g in slopes),
        cast=cast,
        by=tuple(by),
    )


def _errors(
    value, arrays, leaf, slope, cast: str, seed: int, activated: bool
) -> Iterator[float | None]:
    """The error of the gradient by one array in each direction; None where it is skipped."""

    def moved(shift: np.ndarray) -> float:
        given = (*arrays[:leaf], arrays[leaf] + shift, *arrays[leaf + 1 :])
        return float(np.asarray(value(*given)).sum(dtype=np.float64))

    largest = float(np.abs(arrays[leaf]).max())
    rounding = differences.rounding_of(moved, arrays[leaf], seed) if cast else 0.0
    # A softmax changes over a step of 1, however large the logits are
    reach = min(largest, REACH) if activated else largest
    for direction in differences.directions(slope, seed):
        if cast:
            yield differences.over_wide_steps(moved, reach, slope, direction, rounding)
        else:
            yield differences.over_short_steps(moved, largest, slope, direction)


def _closed_form_error(slopes: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> float:
    if [g.shape for g in slopes] != [np.shape(w) for w in wanted]:
        shapes = [np.shape(w) for w in wanted]
        raise ValueError(f"the closed form has shapes {shapes}, not {[g.shape for g in slopes]}")
    # Relative to the largest component of either: where one is 0 and the other not, the error is 1
    scale = max(max(np.abs(g).max(), np.abs(w).max()) for g, w in zip(slopes, wanted, strict=True))
    error = max(float(np.abs(g - w).max()) for g, w in zip(slopes, wanted, strict=True))
    # `error > 0` is False for nan, which would pass for agreement.
    return error / scale if error > 0 else 0.0 if error == 0 else math.inf


# --- which losses ---------------------------------------------------------------------------------


def find(name: str) -> tuple[Callable, Callable | None]:
    """A loss by its name, or `package.module:name`, and its closed form or None.

    The closed form of a loss outside segjax is the function `name_gradient` beside it, if any.
    """
    check_alone(name)
    loss = find_loss(name)
    if ":" not in name:
        return loss, getattr(gradients, name) if name in gradients.__all__ else None
    if not callable(loss):
        raise UserError(f"{name}: a loss is a function, this is {type(loss).__name__}")
    module, _, attribute = name.partition(":")
    return loss, getattr(sys.modules[module], f"{attribute}_gradient", None)


def check_inputs(loss: Callable, name: str) -> None:
    """UserError unless every array and option of a loss can be made up."""
    inputs.arguments(_parameters(loss, name))


def own_example(given: Mapping[str, object], loss: Callable, name: str, where: str) -> Example:
    """What an example of the user's own gives for a loss; UserError where it does not fit."""
    lookup.check_positional(loss, name, [*given])
    return fit(given, loss, name, where)


def _parameters(loss: Callable, name: str) -> tuple[str, ...]:
    lookup.check_positional(loss, name, inputs.NAMES)
    for option, default in lookup.options_of(loss).items():
        if default is inspect.Parameter.empty:
            raise UserError(
                f"{name}: its option `{option}` has no default, so it cannot be tried; "
                f"--example MODULE:FUNCTION, a function that gives a dict, may hold it"
            )
    parameters = array_parameters(loss)
    for parameter in parameters:
        if parameter not in inputs.NAMES:
            raise UserError(
                f"{name}: no array for its parameter `{parameter}` is known"
                f"{nearest(parameter, inputs.NAMES)} Known are: {', '.join(inputs.NAMES)}; "
                "--example MODULE:FUNCTION names a function of yours that gives a dict of arrays "
                "by parameter name"
            )
    if not leaves_of(loss):
        raise UserError(f"{name}: takes none of {', '.join(LEAVES)}, so there is no gradient")
    return parameters
