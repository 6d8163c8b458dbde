"""A segmentation loss as a function of how the predicted object lies, grows or breaks.

The truth is a disc. The prediction is the same disc shifted, grown or shrunk, or with a hole; a
single number says how far, and the loss over that number is what gradient descent would slide on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from segjax import checks
from segjax.errors import UserError
from segjax.explore import plotting
from segjax.explore.loss_text import label_of, require_finite
from segjax.tasks.binding import Term

KINDS = ("shift", "grow", "hole")
SHARPNESS = 4.0  # logits per pixel of distance from the predicted boundary
LIMIT = 10.0  # largest logit


@dataclass(frozen=True)
class Family:
    """Predictions by one number, and the truth they are compared with.

    Args:
        kind: one of `KINDS`.
        parameter: the number of each prediction, in pixels, `[k]`.
        logits: the predictions, `[k, n, n, 2]`: background and object.
        labels: the truth, once for each prediction, `[k, n, n]`.
        perfect: the number at which prediction and truth agree.
    """

    kind: str
    parameter: np.ndarray
    logits: np.ndarray
    labels: np.ndarray
    perfect: float

    @property
    def axis_label(self) -> str:
        """What the number means, with its unit."""
        words = {"shift": "shift", "grow": "predicted radius", "hole": "radius of the hole"}
        return f"{words[self.kind]} (pixels)"


def family(kind: str, *, size: int = 64, radius: float = 12.0, steps: int = 33) -> Family:
    """Discs that shift to the right, grow from nothing, or have a growing hole.

    Args:
        kind: 'shift' (from the truth to beside it without overlap, and on to the border), 'grow'
            (radius from 0 to twice the true one) or 'hole' (its radius from 0 to the disc's).
        size: height and width in pixels.
        radius: of the true disc, in pixels.
        steps: number of predictions.

    Returns: the family. A logit is `SHARPNESS` times the signed distance from the predicted
        boundary in pixels, at most `LIMIT`: fractions of a pixel count.
    Raises: UserError for another kind, or a disc that does not fit into the image.
    """
    checks.require("kind", kind, checks.choice(KINDS))
    if not 2 <= radius <= size / 4:
        raise UserError(f"radius {radius:g}: takes 2 to a quarter of the size, here {size / 4:g}")
    checks.require("steps", steps, checks.whole(least=2))
    row, column = np.mgrid[:size, :size] + 0.5
    middle = size / 2
    # Two pixels of background are left at the border, here and at the end of the way
    start = radius + 2 if kind == "shift" else middle
    distance = np.hypot(row - middle, column - start)
    if kind == "shift":
        parameter = np.linspace(0, size - 2 * radius - 4, steps)
        moved = np.hypot(row - middle, column - start - parameter[:, None, None])
        inside = radius - moved
    elif kind == "grow":
        parameter = np.linspace(0, 2 * radius, steps)
        inside = parameter[:, None, None] - distance
    else:
        parameter = np.linspace(0, radius, steps)
        # No hole at all at 0: one of radius 0 would still lower the logits around its centre
        holes = np.where(parameter > 0, parameter, -np.inf)[:, None, None]
        inside = np.minimum(radius - distance, distance - holes)
    logit = np.clip(SHARPNESS * inside, -LIMIT, LIMIT).astype(np.float32)
    labels = np.broadcast_to((distance < radius).astype(np.int32), logit.shape)
    perfect = float(radius) if kind == "grow" else 0.0
    logits = np.stack([np.zeros_like(logit), logit], axis=-1)
    return Family(kind, parameter, logits, labels, perfect)


def values_over(term: Term, members: Family) -> np.ndarray:
    """The loss of every prediction of a family, `[k]`."""
    fields = {"logits": jnp.asarray(members.logits), "labels": jnp.asarray(members.labels)}
    return np.asarray(jax.jit(lambda given: term(given))(fields))


def descent(term: Term, logits: np.ndarray, labels: np.ndarray, channel: int = 1) -> np.ndarray:
    """Where a step of descent raises one channel of the logits: minus the gradient, `[b, *s]`."""

    def total(given: jax.Array) -> jax.Array:
        return jnp.sum(term({"logits": given, "labels": jnp.asarray(labels)}))

    return -np.asarray(jax.jit(jax.grad(total))(jnp.asarray(logits)))[..., channel]


def normalised(values: np.ndarray) -> np.ndarray:
    """Values moved and scaled to [0, 1], so that losses of any sign and size share an axis."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def shapes_figure(terms: Sequence[Term], kind: str, **options) -> Figure:
    """Losses over one family, each moved and scaled to [0, 1], below pictures of the family.

    Args:
        terms: the losses (`loss_text.parse_loss`).
        kind, options: as in `family`.

    Raises: UserError for a loss whose values are not finite; as `family`.
    """
    members = family(kind, **options)
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    grid = figure.add_gridspec(2, 5, height_ratios=(1, 2.9))
    shown = np.linspace(0, len(members.parameter) - 1, 5).round().astype(int)
    for place, index in enumerate(shown):
        axes = figure.add_subplot(grid[0, place])
        object_ = 1 / (1 + np.exp(-members.logits[index, ..., 1]))
        plotting.picture(axes, object_, f"{members.parameter[index]:.3g} px", cmap="Greys_r")
        axes.contour(members.labels[index], [0.5], colors=plotting.TRUTH, linewidths=1.2)
    axes = figure.add_subplot(grid[1, :])
    for index, term in enumerate(terms):
        values = values_over(term, members)
        require_finite(values, label_of(term))
        curve = normalised(values)
        axes.plot(members.parameter, curve, label=label_of(term), **plotting.style_of(index))
    axes.axvline(members.perfect, color="0.5", linewidth=0.8, linestyle=":")
    axes.set_xlim(members.parameter[0], members.parameter[-1])
    axes.grid(color="0.92")
    plotting.describe(axes, "", members.axis_label, "(loss - least) / (largest - least)")
    figure.legend(loc="outside right center", fontsize=8, frameon=False)
    figure.suptitle("prediction (white) and truth (orange line)", fontsize=9)
    return figure
