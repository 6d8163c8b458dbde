"""The loss around trained parameters, along random directions that respect the filters' sizes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from segjax.explore import plotting
from segjax.explore.curvature import Spectrum
from segjax.types import Array, PRNGKeyArray

Params = Any
Loss = Callable[[Params], Array]


def random_direction(key: PRNGKeyArray, params: Params) -> Params:
    """A random direction whose every filter is as long as the filter it is added to.

    A network with ReLU and normalisation computes the same when a filter is scaled up, so a step of
    fixed length says nothing of sharpness. Scaled filter by filter, a step of 1 changes each filter
    by its own length, and plots of different networks can be compared.

    d_f <- d_f / ||d_f|| ||w_f|| for each filter f; d ~ N(0, 1).

    Source: Li, Xu, Taylor, Studer, Goldstein, Visualizing the Loss Landscape of Neural Nets (2018),
    section 4. Departures: none; biases and normalisation parameters stay, as in the authors' code.

    Args:
        key: of the random numbers.
        params: a pytree of arrays; the last axis of an array of rank 2 or more counts its filters,
            as in flax.

    Returns: a pytree like `params`; zero for arrays of rank 0 and 1, and for filters of length 0.
    """
    leaves, tree = jax.tree.flatten(params)

    def drawn(key: PRNGKeyArray, leaf: Array) -> Array:
        if leaf.ndim < 2:
            return jnp.zeros_like(leaf)
        noise = jax.random.normal(key, leaf.shape, leaf.dtype)
        return noise * (_filter_norms(leaf) / _filter_norms(noise))

    # No key at all cannot be dealt: of a tree without arrays one is left over
    keys = jax.random.split(key, max(1, len(leaves)))
    return jax.tree.unflatten(tree, [drawn(k, leaf) for k, leaf in zip(keys, leaves, strict=False)])


def _filter_norms(x: Array) -> Array:
    return jnp.sqrt(jnp.sum(x**2, axis=tuple(range(x.ndim - 1)), keepdims=True))


def along_line(loss: Loss, params: Params, direction: Params, steps: Sequence[float]) -> np.ndarray:
    """loss(params + a direction) for every a of `steps`, `[len(steps)]`."""
    return along_plane(loss, params, (direction, direction), steps, (0.0,))[0]


def along_plane(
    loss: Loss,
    params: Params,
    directions: tuple[Params, Params],
    first: Sequence[float],
    second: Sequence[float],
) -> np.ndarray:
    """loss(params + a d1 + b d2) for every a of `first` and b of `second`, `[b, a]`.

    One evaluation at a time, of a function compiled once: the memory is that of a single one.
    """
    return _evaluated(_compiled(loss), params, directions, first, second)


def _compiled(loss: Loss) -> Callable[..., Array]:
    @jax.jit
    def at(params: Params, one: Params, two: Params, a: Array, b: Array) -> Array:
        def moved(w: Array, d: Array, e: Array) -> Array:
            # In the type of the weights: promotion would evaluate another network
            return w + a.astype(w.dtype) * d + b.astype(w.dtype) * e

        return loss(jax.tree.map(moved, params, one, two))

    return at


def _evaluated(at: Callable[..., Array], params, directions, first, second) -> np.ndarray:
    params = jax.tree.map(jnp.asarray, params)
    rows = [
        [at(params, *directions, jnp.float32(a), jnp.float32(b)) for a in first] for b in second
    ]
    # Read when all have been dispatched, so that the device never waits for the host
    return np.array(jax.device_get(rows), np.float64)


@dataclass(frozen=True)
class Landscape:
    """The loss around trained parameters.

    Args:
        steps: distances along both directions, in lengths of the filters, `[n]`.
        lines: the loss along each direction alone, `[2, n]`.
        plane: the loss over both, second direction first, `[m, m]`, or None.
        plane_steps: distances of the plane's rows and columns, `[m]`.
        spectrum: leading eigenvalues of the Hessian, or None.
    """

    steps: np.ndarray
    lines: np.ndarray
    plane: np.ndarray | None
    plane_steps: np.ndarray
    spectrum: Spectrum | None


def loss_landscape(
    loss: Loss,
    params: Params,
    key: PRNGKeyArray,
    *,
    reach: float = 1.0,
    points: int = 41,
    plane_points: int = 21,
    spectrum: Spectrum | None = None,
) -> Landscape:
    """The loss along two random directions and over the plane that they span.

    Args:
        loss: of the parameters, one number.
        params: the trained parameters.
        key: of the directions.
        reach: how far to go, in lengths of the filters.
        points: along a line; an odd number has the trained parameters among them.
        plane_points: along each side of the plane; 0 leaves the plane out.
        spectrum: shown beside, if given (`curvature.leading_eigenvalues`).

    Cost: 2 points + plane_points^2 evaluations of the loss.
    """
    keys = jax.random.split(key)
    directions = tuple(jax.jit(random_direction)(k, params) for k in keys)
    steps = np.linspace(-reach, reach, points)
    sides = np.linspace(-reach, reach, plane_points)
    at, zero = _compiled(loss), (0.0,)
    first = _evaluated(at, params, directions, steps, zero)[0]
    second = _evaluated(at, params, directions, zero, steps)[:, 0]
    plane = _evaluated(at, params, directions, sides, sides) if plane_points else None
    return Landscape(steps, np.stack([first, second]), plane, sides, spectrum)


def landscape_figure(around: Landscape, title: str = "") -> Figure:
    """Lines, plane with contours (if there is one) and eigenvalues (if there are any)."""
    parts = 1 + (around.plane is not None) + (around.spectrum is not None)
    figure, grid = plotting.panels(1, parts, width=3.4, height=3.0)
    axes, *others = grid[0]
    for index, line in enumerate(around.lines):
        axes.plot(around.steps, line, label=f"direction {index + 1}", **plotting.style_of(index))
    axes.axvline(0, color="0.5", linewidth=0.8, linestyle=":")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_yscale("log" if _spans_decades(around.lines) else "linear")
    axes.legend(fontsize=7, frameon=False)
    axes.grid(color="0.92")
    plotting.describe(axes, "along two directions", "distance (filter lengths)", "loss")
    if around.plane is not None:
        _draw_plane(figure, others.pop(0), around)
    if around.spectrum is not None:
        _draw_spectrum(others.pop(0), around.spectrum)
    figure.suptitle(title, fontsize=10)
    return figure


def _spans_decades(values: np.ndarray) -> bool:
    finite = values[np.isfinite(values)]
    # One and a half decades; a loss that may be 0 or negative has no logarithm
    return finite.size > 0 and finite.min() > 0 and finite.max() > 30 * finite.min()


def _draw_plane(figure: Figure, axes, around: Landscape) -> None:
    values, label = around.plane, "loss"
    if _spans_decades(values):
        values, label = np.log10(values), "log10 of the loss"
    values = np.ma.masked_invalid(values)
    grid = (around.plane_steps, around.plane_steps, values)
    drawn = axes.contourf(*grid, levels=MaxNLocator(18).tick_values(values.min(), values.max()))
    axes.contour(*grid, levels=drawn.levels[::2], colors="white", linewidths=0.4)
    axes.plot(0, 0, "+", color="white", markersize=9)
    axes.set_aspect("equal")
    plotting.describe(axes, "over both", "direction 1 (filter lengths)", "direction 2")
    plotting.colour_bar(figure, drawn, axes, label)


def _draw_spectrum(axes, spectrum: Spectrum) -> None:
    values = spectrum.eigenvalues
    colours = [plotting.COLOURS[0] if value > 0 else plotting.COLOURS[1] for value in values]
    places = np.arange(1, len(values) + 1)
    axes.bar(places, values, color=colours, yerr=spectrum.residuals, ecolor="0.4", capsize=2)
    axes.axhline(0, color="0.5", linewidth=0.8)
    axes.set_xticks(places)
    axes.grid(color="0.92", axis="y")
    axes.set_axisbelow(True)
    plotting.describe(axes, "Hessian: largest eigenvalues", "rank by magnitude", "eigenvalue")
