"""Holds a loss's gradient against its closed form and against finite differences, in float64.

Three answers to one question: the closed form (segjax.explore.gradients), `jax.grad`, and the
loss's values alone. They are compared in ordinary and extreme situations (segjax.explore.inputs).
"""

import importlib
import inspect
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from segjax.checks import nearest
from segjax.config import lookup
from segjax.errors import UserError
from segjax.explore import gradients, inputs
from segjax.tasks.binding import array_parameters

# The arrays that a loss is differentiated by.
LEAVES = ("logits", "heatmap", "activation_logits", "anchor", "positive", "negative")
BATCH = 2
TOLERANCE = 1e-5  # of finite differences, relative to the largest component of the gradient
CLOSED_FORM_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Finding:
    """How a loss did in one situation.

    Args:
        situation: one of `inputs.SITUATIONS`.
        seed: of its random numbers.
        closed_form: largest error of `jax.grad` against the closed form, relative to the largest
            component; None without a closed form.
        differences: largest error against a finite difference; None where all were skipped.
        directions: in how many directions a difference was taken.
        kinks: how many of them were skipped: the loss has a corner there, and no gradient.
        largest: the largest component of the gradient.
        fault: what is wrong beyond numbers, or ''.
    """

    situation: str
    seed: int
    closed_form: float | None = None
    differences: float | None = None
    directions: int = 0
    kinks: int = 0
    largest: float = 0.0
    fault: str = ""

    @property
    def excess(self) -> float:
        """The larger of the two errors, in tolerances."""
        return max(
            (self.closed_form or 0) / CLOSED_FORM_TOLERANCE, (self.differences or 0) / TOLERANCE
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
) -> list[Finding]:
    """One finding for each situation and seed; `verdict` judges them.

    Args:
        loss: a function of arrays by the convention: positional parameters are arrays with the
            names of the contract, options are keyword-only and have defaults.
        closed_form: takes what the loss takes and returns its gradient, or a tuple of gradients.
        name: of the loss in messages; None is its own.
        seeds: of the random inputs.
        situations: some of `inputs.SITUATIONS`.
        spatial, channels: the shape of the arrays.

    Raises: UserError for a parameter or an option that cannot be made up.
    """
    parameters = _parameters(loss, name or getattr(loss, "__name__", str(loss)))
    value = jax.jit(lambda *arrays: loss(*arrays))
    # Of the sum over the batch: a loss gives one value per image, so each keeps its own gradient
    gradient = jax.jit(jax.grad(lambda *arrays: loss(*arrays).sum(), leaves_of(loss)))
    found = []
    for seed in seeds:
        for situation in situations:
            arrays = inputs.arguments(
                parameters, situation, batch=BATCH, spatial=spatial, channels=channels, seed=seed
            )
            arrays, place = tuple(arrays.values()), {"situation": situation, "seed": seed}
            # A difference over a step of 1e-5 would keep hardly a digit of float32 values
            with jax.enable_x64(True):
                try:
                    found.append(_find(loss, value, gradient, closed_form, arrays, place))
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
    if (worst.closed_form or 0) > CLOSED_FORM_TOLERANCE:
        return f"the closed form differs from jax.grad ({worst})"
    if (worst.differences or 0) > TOLERANCE:
        return f"jax.grad differs from finite differences ({worst})"
    if all(finding.differences is None for finding in findings):
        return "nothing compared: a kink in every direction"
    if not any(finding.largest for finding in findings):
        return "the gradient is 0 everywhere"
    return ""


def worst_of(findings: Sequence[Finding]) -> Finding:
    """The finding with the largest error."""
    return max(findings, key=lambda finding: finding.excess)


# --- one situation --------------------------------------------------------------------------------


def _find(loss, value, gradient, closed_form, arrays, place) -> Finding:
    values = np.asarray(value(*arrays))
    if values.shape != (BATCH,):
        fault = f"returns shape {values.shape}, takes one value per image, ({BATCH},)"
        return Finding(**place, fault=fault)
    # Values in float32 have no digits for differences over such short steps
    if values.dtype != np.float64:
        return Finding(**place, fault=f"returns {values.dtype} for float64 arrays")
    slopes = [np.asarray(g) for g in gradient(*arrays)]
    if not np.all(np.isfinite(values)):
        return Finding(**place, fault="the value is not finite")
    if not all(np.all(np.isfinite(g)) for g in slopes):
        return Finding(**place, fault="the gradient is not finite")
    error = None
    if closed_form is not None:
        wanted = closed_form(*arrays)
        error = _closed_form_error(slopes, wanted if isinstance(wanted, tuple) else (wanted,))
    errors, kinks = [], 0
    total = lambda *a: float(np.asarray(value(*a)).sum())  # noqa: E731
    for leaf, slope in zip(leaves_of(loss), slopes, strict=True):
        for direction in _directions(slope, place["seed"]):
            difference = _difference(total, arrays, leaf, slope, direction)
            kinks += difference is None
            errors += [] if difference is None else [difference]
    largest = max(float(np.abs(g).max()) for g in slopes)
    worst = max(errors) if errors else None
    return Finding(**place, closed_form=error, differences=worst,
                   directions=len(errors) + kinks, kinks=kinks, largest=largest)  # fmt: skip


def _closed_form_error(slopes: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> float:
    if [g.shape for g in slopes] != [np.shape(w) for w in wanted]:
        shapes = [np.shape(w) for w in wanted]
        raise ValueError(f"the closed form has shapes {shapes}, not {[g.shape for g in slopes]}")
    # Relative to the largest component of either: where one is 0 and the other not, the error is 1
    scale = max(max(np.abs(g).max(), np.abs(w).max()) for g, w in zip(slopes, wanted, strict=True))
    error = max(float(np.abs(g - w).max()) for g, w in zip(slopes, wanted, strict=True))
    # `error > 0` is False for nan, which would pass for agreement.
    return error / scale if error > 0 else 0.0 if error == 0 else math.inf


def _directions(slope: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """All images at once; then of each image all components, a random one, and the steepest."""
    # Another stream than those of the inputs, whose seeds are (seed, name)
    rng = np.random.default_rng([seed, 7])
    yield rng.standard_normal(slope.shape)
    for image in range(len(slope)):
        direction = np.zeros_like(slope)
        direction[image] = rng.standard_normal(slope.shape[1:])
        yield direction
        for place in (rng.integers(slope[image].size), np.argmax(np.abs(slope[image]))):
            direction = np.zeros_like(slope)
            direction[image].flat[place] = 1.0
            yield direction


def _difference(total, arrays, leaf, slope, direction) -> float | None:
    """The error of a slope against a central difference; None at a kink.

    Forward and backward differences of a smooth function differ by step times curvature, so a
    tenth of the step brings them ten times nearer. At a kink they stay apart.
    """
    middle, found = total(*arrays), []
    for step in (1e-4, 1e-5):
        # Larger for saturated logits: x + step has to keep digits of the step where x is 1e4
        step *= max(1.0, np.abs(arrays[leaf]).max() / 1000)
        ends = []
        for signed in (step, -step):
            moved = arrays[leaf] + signed * direction
            ends.append(total(*arrays[:leaf], moved, *arrays[leaf + 1 :]))
        # Forward minus backward slope
        gap = abs((ends[0] - middle) + (ends[1] - middle)) / step
        found.append(((ends[0] - ends[1]) / (2 * step), gap))
    (coarse, wide), (fine, narrow) = found
    # What rounding of the loss's own value may leave in a difference is far below this.
    scale = max(np.abs(slope).max(), abs(fine), 1e-4 * abs(middle), 1e-12)
    # Smooth: narrow is a tenth of wide. A kink: they are equal. 0.2 lies between, for rounding.
    if narrow > TOLERANCE * scale and narrow > 0.2 * wide:
        return None
    # The larger step where curvature allows it: rounding counts a tenth of that of the smaller one
    central = coarse if wide <= TOLERANCE * scale else fine
    error = abs(float(np.vdot(slope, direction)) - central) / scale
    return error if error >= 0 else math.inf  # nan is no agreement


# --- which losses ---------------------------------------------------------------------------------


def find(name: str) -> tuple[Callable, Callable | None]:
    """A loss by its name, or `package.module:name`, and its closed form or None.

    The closed form of a loss outside segjax is the function `name_gradient` beside it, if any.
    """
    if ":" not in name:
        loss = lookup.find("losses", name)
        return loss, getattr(gradients, name) if name in gradients.__all__ else None
    if "" not in sys.path:
        sys.path.insert(0, "")  # the folder where the command runs
    importlib.invalidate_caches()
    try:
        loss = lookup.find("losses", name)
    except UserError:
        raise
    except Exception as error:  # whatever a module of anyone's does when it is imported
        raise UserError(f"{name}: {type(error).__name__}: {error}") from error
    if not callable(loss):
        raise UserError(f"{name}: a loss is a function, this is {type(loss).__name__}")
    module, _, attribute = name.partition(":")
    return loss, getattr(sys.modules[module], f"{attribute}_gradient", None)


def check_inputs(loss: Callable, name: str) -> None:
    """UserError unless every array and option of a loss can be made up."""
    inputs.arguments(_parameters(loss, name))


def _parameters(loss: Callable, name: str) -> tuple[str, ...]:
    for option, default in lookup.options_of(loss).items():
        if default is inspect.Parameter.empty:
            raise UserError(f"{name}: its option `{option}` has no default, so it cannot be tried")
    parameters = array_parameters(loss)
    for parameter in parameters:
        if parameter not in inputs.NAMES:
            raise UserError(
                f"{name}: no array for its parameter `{parameter}` is known"
                f"{nearest(parameter, inputs.NAMES)} Known are: {', '.join(inputs.NAMES)}"
            )
    if not leaves_of(loss):
        raise UserError(f"{name}: takes none of {', '.join(LEAVES)}, so there is no gradient")
    return parameters
