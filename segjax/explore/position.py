"""A localisation loss as a function of the predicted position (Fig. 3 of the multiscale paper)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from segjax import losses
from segjax.explore import plotting
from segjax.ops.heatmap import maximum_scales
from segjax.tasks.localization.toy import GAP, TITLES, toy_losses


def position_map(
    loss: Callable, target: tuple[int, int], size: tuple[int, int], *, gap: float = GAP, **options
) -> np.ndarray:
    """The loss of a confident prediction at every position of the map, as it comes.

    The prediction (j, i) is a heat map of one high pixel, at column j and row i, `gap` above all
    others. A loss that adds its two axes has a cross of lower values through the target.

    Source: the two-dimensional form of Wu et al., Multiscale Softmax Cross Entropy, Fig. 3.
    Departures: the paper shows one axis.

    Args:
        loss: a function of (heatmap, points).
        target: the true pixel, (column, row).
        size: height and width of the heat map.
        gap: how far the predicted pixel stands above the others.
        options: passed on to the loss.

    Returns: float array `[h, w]`, the loss by predicted row and column.
    Raises: ValueError where the target lies outside; what the loss raises.
    Cost: O(h^2 w^2) time, O(h w^2) memory.
    """
    height, width = size
    if not (0 <= target[0] < width and 0 <= target[1] < height):
        raise ValueError(f"`target` takes a pixel of the {height} x {width} map, got {target}")
    # The centre of the target pixel, once for each prediction of a row
    point = jnp.tile(jnp.array([target], jnp.float32) + 0.5, (width, 1))
    # [w, 1, w]: the w predictions of a row, each with its own column
    columns = jnp.eye(width, dtype=bool)[:, None, :]

    def row(index: jax.Array) -> jax.Array:
        here = (jnp.arange(height) == index)[None, :, None] & columns
        return loss(jnp.where(here, 0.0, -gap), point, **options)

    # One row of predictions at a time: all at once would take `height` times the memory.
    return np.asarray(jax.jit(lambda: jax.lax.map(row, jnp.arange(height)))())


def paper_maps(side: int, target: tuple[int, int]) -> dict[str, np.ndarray]:
    """`position_map` of the four losses of `toy_losses`, each divided by its largest value.

    Args:
        side: height and width in pixels, a power of two of at least 8.
        target: the true pixel, (column, row).

    Returns: the names of `toy_losses`, each `[side, side]` in [0, 1].
    """
    multiscale, size = losses.multiscale_softmax_cross_entropy, (side, side)
    deepest = maximum_scales(side, side)
    values = {
        "mse": position_map(losses.coordinate_mean_squared_error, target, size),
        "sce": position_map(multiscale, target, size, scales=1),
    }
    for scales in (deepest // 2, deepest):
        values[f"msce_{scales}"] = position_map(multiscale, target, size, scales=scales)
    return {name: value / value.max() for name, value in values.items()}


def position_figure(classes: int = 256, target: int = 70, side: int = 64) -> Figure:
    """Fig. 3 along one axis (upper row), and over all positions of a map (lower row).

    Args:
        classes: positions along the axis, a power of two of at least 8.
        target: the true one.
        side: height and width of the map, a power of two of at least 8; its target is the same
            fraction of the side.

    Raises: ValueError as `toy_losses`.
    """
    curves = toy_losses(classes, target)
    pixel = target * side // classes
    maps = paper_maps(side, (pixel, pixel))
    figure, grid = plotting.panels(2, 4, width=2.7, height=2.5)
    for axes, (name, curve) in zip(grid[0], curves.items(), strict=True):
        axes.plot(np.arange(classes), curve, color=plotting.COLOURS[0], linewidth=1.5)
        axes.axvline(target, color=plotting.TRUTH, linewidth=0.8, linestyle="--")
        axes.set_ylim(-0.04, 1.04)
        plotting.describe(axes, _title(name), "predicted position (pixels)")
        axes.tick_params(labelleft=axes is grid[0, 0])
    for axes, (name, values) in zip(grid[1], maps.items(), strict=True):
        drawn = axes.imshow(values, cmap=plotting.VALUES, vmin=0, vmax=1)
        axes.plot(pixel, pixel, "o", markersize=7, fillstyle="none", color="white")
        plotting.describe(axes, _title(name), "predicted x (pixels)")
    grid[0, 0].set_ylabel("loss / largest loss", fontsize=8)
    grid[1, 0].set_ylabel("predicted y (pixels)", fontsize=8)
    plotting.colour_bar(figure, drawn, list(grid.flat), "loss / largest loss")
    return figure


def _title(name: str) -> str:
    family, _, scales = name.partition("_")
    title = TITLES[family].format(scales=scales)
    return title.replace("Multiscale softmax cross entropy", "Multiscale SCE")
