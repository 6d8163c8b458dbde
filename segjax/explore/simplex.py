"""A loss of one pixel over all softmax vectors of three classes (the region-wise paper's figures).

Every point of the triangle is a softmax vector (p1, p2, p3); a corner is certainty. Needs mpltern.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from segjax import checks
from segjax.errors import UserError
from segjax.explore import plotting
from segjax.explore.loss_text import require_finite
from segjax.explore.training_maps import negative_components
from segjax.types import Array, Float

PixelLoss = Callable[[Float[Array, "n 3"]], Float[Array, "n"]]
# The map vector of Fig. 2 for a pixel of class 3, as it is and rectified.
PAPER_VECTORS = {"boundary map": (4.0, 7.0, -2.0), "rectified map": (1.0, 1.0, -0.6)}


def simplex_grid(resolution: int = 60, *, margin: float = 0.05) -> np.ndarray:
    """Softmax vectors on a regular triangular grid, `[n, 3]`, n = (m + 1) (m + 2) / 2.

    Args:
        resolution: m, steps along a side.
        margin: how far the grid stays away from the sides, in steps: logits stay finite.

    Raises: ValueError for a resolution below 1 or a margin of 0 or less.
    """
    checks.check("resolution", resolution, checks.whole(least=1))
    checks.check("margin", margin, checks.number(above=0))
    first, second = np.mgrid[: resolution + 1, : resolution + 1].reshape(2, -1)
    kept = first + second <= resolution
    steps = np.stack([first, second, resolution - first - second], axis=-1)[kept]
    # The three still add up to 1
    return (steps + margin) / (resolution + 3 * margin)


def values_and_gradients(loss: PixelLoss, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The loss at each softmax vector, `[n]`, and its gradient by the logits, `[n, 3]`."""

    def total(logits: Array) -> tuple[Array, Array]:
        values = loss(logits)
        return jnp.sum(values), values

    # softmax(log p) = p
    logits = jnp.log(jnp.asarray(probs, jnp.float32))
    gradients, values = jax.jit(jax.grad(total, has_aux=True))(logits)
    return np.asarray(values), np.asarray(gradients)


def descent_direction(probs: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """How the softmax vector moves when the logits follow the negative gradient, `[n, 3]`.

    dp = -J g with the Jacobian J = diag(p) - p p^T of the softmax; its components sum to 0.
    """
    mean = np.sum(probs * gradients, axis=-1, keepdims=True)
    return -probs * (gradients - mean)


def loss_figure(losses: Mapping[str, PixelLoss], *, resolution: int = 60) -> Figure:
    """Each loss over the triangle, with arrows along which descent moves the softmax vector.

    Arrows have one length: they say where to, the colours how much is to be gained.

    Raises: UserError for a loss whose values are not finite.
    """
    # Fewer places for arrows, and further from the sides: each is drawn around its middle
    probs, coarse = simplex_grid(resolution), simplex_grid(11, margin=0.6)
    figure, grid = _triangles(len(losses))
    for axes, (title, loss) in zip(grid, losses.items(), strict=True):
        values, _ = values_and_gradients(loss, probs)
        require_finite(values, title)
        drawn = axes.tricontourf(*probs.T, values, levels=24, cmap=plotting.VALUES)
        _, gradients = values_and_gradients(loss, coarse)
        moves = descent_direction(coarse, gradients)
        length = np.linalg.norm(moves, axis=-1, keepdims=True)
        # No arrow where the gradient vanishes: its direction would be rounding
        moves = np.divide(moves, length, out=np.zeros_like(moves), where=length > 1e-7)
        arrows = {"color": "white", "width": 0.006, "pivot": "mid", "scale": 17}
        axes.quiver(*coarse.T, *moves.T, **arrows)
        _finish(figure, axes, drawn, title, "loss")
    return figure


def negatives_figure(vectors: Mapping[str, Sequence[float]] = PAPER_VECTORS) -> Figure:
    """How many gradient components of the region-wise loss are negative (Fig. 2).

    Source: Valverde and Tohka, Region-wise Loss for Biomedical Image Segmentation, Fig. 2.
    Departures: the paper draws the three components as arrows; we count the negative ones, and
        give the share of the triangle where more than one is (1/3 for its example, not 'more than
        half').

    Args:
        vectors: title -> the pixel's map, one number for each of the three classes.
    """
    probs = simplex_grid(150)
    figure, grid = _triangles(len(vectors))
    colours, norm = plotting.counts_scale(3)
    for axes, (title, vector) in zip(grid, vectors.items(), strict=True):
        counts = np.asarray(negatives_on_simplex(probs, vector))
        drawn = axes.scatter(*probs.T, c=counts, s=3.2, cmap=colours, norm=norm, linewidths=0)
        written = ", ".join(f"{number:g}" for number in vector)
        share = np.mean(counts > 1)
        _finish(figure, axes, None, f"{title} ({written})\nmore than one negative: {share:.0%}")
    bar = figure.colorbar(drawn, ax=list(grid), shrink=0.6, aspect=20, ticks=range(3))
    bar.set_label("negative gradient components", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


def negatives_on_simplex(probs: np.ndarray, vector: Sequence[float]) -> np.ndarray:
    """Negative gradient components of the region-wise loss at each softmax vector, `[n]`."""
    logits = jnp.log(jnp.asarray(probs, jnp.float32))[:, None, :]
    maps = jnp.broadcast_to(jnp.asarray(vector, jnp.float32)[None, None, :], logits.shape)
    return np.asarray(negative_components(logits, maps))[:, 0]


def gradient_figure(losses: Mapping[str, PixelLoss], component: int = 2) -> Figure:
    """The gradient by one logit over the triangle, each loss scaled to its largest value (Fig. 4).

    Source: Valverde and Tohka, Region-wise Loss, Fig. 4: component 3, the true class.
    Departures: one triangle a loss instead of two halves of a square.
    """
    probs = simplex_grid(60)
    figure, grid = _triangles(len(losses))
    for axes, (title, loss) in zip(grid, losses.items(), strict=True):
        _, gradients = values_and_gradients(loss, probs)
        values = gradients[:, component] / np.abs(gradients[:, component]).max()
        norm = TwoSlopeNorm(0.0, -1.0, 1.0)
        levels = np.linspace(-1, 1, 41)
        drawn = axes.tricontourf(
            *probs.T, values, levels=levels, cmap=plotting.SIGNED, norm=norm, extend="neither"
        )
        _finish(figure, axes, None, title)
    bar = figure.colorbar(drawn, ax=list(grid), shrink=0.6, aspect=20, ticks=(-1, -0.5, 0, 0.5, 1))
    bar.set_label(f"gradient by logit {component + 1} / largest", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


def _triangles(number: int) -> tuple[Figure, list]:
    try:
        importlib.import_module("mpltern")  # registers the projection
    except ImportError as error:
        raise UserError(
            "mpltern: not installed; triangles need the extra `notebooks`: "
            "pip install 'segjax[notebooks]'"
        ) from error
    figure = Figure(figsize=(3.5 * number + 0.6, 3.5), layout="constrained")
    axes = [figure.add_subplot(1, number, i + 1, projection="ternary") for i in range(number)]
    return figure, axes


def _finish(figure: Figure, axes, drawn, title: str, label: str = "") -> None:
    """Title, corner names and a colour bar of one triangle."""
    axes.set_title(title, fontsize=9, pad=16)
    axes.set_tlabel("$p_1$", fontsize=9)
    axes.set_llabel("$p_2$", fontsize=9)
    axes.set_rlabel("$p_3$", fontsize=9)
    for axis in (axes.taxis, axes.laxis, axes.raxis):
        axis.set_ticks([])
        axis.set_label_rotation_mode("horizontal")
    if drawn is not None:
        bar = figure.colorbar(drawn, ax=axes, shrink=0.65, aspect=22, pad=0.06)
        bar.set_label(label, fontsize=8)
        bar.locator = MaxNLocator(5)
        bar.ax.tick_params(labelsize=7)
