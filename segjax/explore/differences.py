"""The slope of a loss along a direction, from its values alone, against its gradient.

Values in float64 leave enough digits for short steps. A loss that casts to float32 rounds its
values to seven digits: its steps are wide, and where curvature, corners and rounding leave no step
to take, the direction is skipped.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

# The sum of a loss over the batch, with a shift added to one of its arrays.
Moved = Callable[[np.ndarray], float]


@dataclass(frozen=True)
class Precision:
    """How near two gradients have to be, relative to the largest component.

    Args:
        tolerance: of finite differences.
        closed_form: of the closed form.
    """

    tolerance: float
    closed_form: float


# By the narrowest type that a loss casts its arrays to; '' is none, so float64 throughout. A type
# that is not here has too few digits for any step.
PRECISIONS = {"": Precision(1e-5, 1e-8), "float32": Precision(1e-3, 1e-4)}
HALVINGS = 16  # of a wide step; then it has hardly a digit of a float32 array left


def directions(slope: np.ndarray, seed: int) -> Iterator[np.ndarray]:
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


def over_short_steps(
    moved: Moved, largest: float, slope: np.ndarray, direction: np.ndarray
) -> float | None:
    """The error of a gradient against a central difference of float64 values; None at a kink.

    Forward and backward differences of a smooth function differ by step times curvature, so a
    tenth of the step brings them ten times nearer. At a kink they stay apart.

    Args:
        moved: the loss by the shift of an array.
        largest: the largest component of that array.
        slope: the gradient by it.
        direction: where it is shifted.

    Returns: relative to the largest component of the gradient.
    """
    tolerance = PRECISIONS[""].tolerance
    middle, found = moved(np.zeros_like(direction)), []
    for step in (1e-4, 1e-5):
        # Larger for saturated logits: x + step has to keep digits of the step where x is 1e4
        step *= max(1.0, largest / 1000)
        ahead, behind = moved(step * direction), moved(-step * direction)
        # Forward minus backward slope
        gap = abs((ahead - middle) + (behind - middle)) / step
        found.append(((ahead - behind) / (2 * step), gap))
    (coarse, wide), (fine, narrow) = found
    # What rounding of the loss's own value may leave in a difference is far below this.
    scale = max(np.abs(slope).max(), abs(fine), 1e-4 * abs(middle), 1e-12)
    # Smooth: narrow is a tenth of wide. A kink: they are equal. 0.2 lies between, for rounding.
    if narrow > tolerance * scale and narrow > 0.2 * wide:
        return None
    # The larger step where curvature allows it: rounding counts a tenth of that of the smaller one
    central = coarse if wide <= tolerance * scale else fine
    error = abs(float(np.vdot(slope, direction)) - central) / scale
    return error if error >= 0 else math.inf  # nan is no agreement


def over_wide_steps(
    moved: Moved, reach: float, slope: np.ndarray, direction: np.ndarray, rounding: float
) -> float | None:
    """The error of a gradient against a central difference of float32 values.

    The step is halved until three differences in a row agree, and their second differences shrink
    as those of a smooth function do. A kink or a jump within a step shows in one or the other.

    Args:
        moved, slope, direction: as in `over_short_steps`.
        reach: the size of the array; the first step is a twentieth of it.
        rounding: of one value (`rounding_of`).

    Returns: relative to the largest component of the gradient and to what rounding may leave in a
        difference; None where no step is both smooth and long enough.
    """
    tolerance, middle = PRECISIONS["float32"].tolerance, moved(np.zeros_like(direction))
    before, agreeing = (math.nan, math.nan), 0
    for halvings in range(HALVINGS):
        step = (reach or 1.0) / 20 / 2**halvings
        ahead, behind = moved(step * direction), moved(-step * direction)
        central, bend = (ahead - behind) / (2 * step), ((ahead - middle) + (behind - middle)) / step
        # Beyond the values that the loss is made for, as the logarithm of what is below 0
        if not math.isfinite(central + bend):
            before, agreeing = (math.nan, math.nan), 0
            continue
        scale, hidden = max(np.abs(slope).max(), abs(central)), 4 * rounding / step
        if not slope.any() and abs(central) <= hidden:
            if abs(bend) <= hidden:
                return 0.0
            scale = abs(bend)  # a least value: smooth, or the corner of an absolute value
        # Of shorter steps rounding hides more
        if hidden > 0.1 * scale:
            return None
        # The bend of a smooth function is curvature times step
        change = max(abs(central - before[0]), abs(2 * bend - before[1]))
        # A third of what passes, for corners within the step that nearly cancel
        agreeing = agreeing + 1 if 3 * change <= tolerance * scale + hidden else 0
        if agreeing == 2:
            error = abs(float(np.vdot(slope, direction)) - central)
            # Rounding may leave `hidden` in the difference: it passes, as the tolerance does
            return error / (scale + hidden / tolerance)
        before = (central, bend)
    return None


def rounding_of(moved: Moved, array: np.ndarray, seed: int) -> float:
    """How far rounding to float32 may move one value of a loss, as its values show.

    Over steps of a few units in the last place of the array a loss is a straight line; what leaves
    the line is rounding, of the value and of all that it is computed from.

    Args:
        moved: the loss by the shift of an array.
        array: that array.
        seed: of the direction.
    """
    unit = float(np.finfo(np.float32).eps)
    signs = np.random.default_rng([seed, 11]).choice((-1.0, 1.0), array.shape)
    steps = np.arange(-4, 5) * 4 * unit * (np.abs(array).max() or 1.0)
    values = np.array([moved(step * signs) for step in steps])
    if not np.all(np.isfinite(values)):
        return math.inf
    line = np.polynomial.Polynomial.fit(steps, values, 1)
    # Three times the largest of a few: the values of many directions stray further
    return 3 * float(np.abs(values - line(steps)).max()) + unit * float(np.abs(values).max())
