"""Figures of a localisation run: cases with crosses (the paper's Fig. 4), axis logits per scale."""

import functools
from collections.abc import Sequence

import jax
import numpy as np
from matplotlib.figure import Figure

from segjax.ops import axis_logits


def ranked_cases(distances: np.ndarray) -> dict[str, int]:
    """Indices of the best, a middle and the worst case by distance."""
    order = np.argsort(distances, kind="stable")
    return {"best": order[0], "middle": order[len(order) // 2], "worst": order[-1]}


def cases_figure(cases: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> Figure:
    """One panel a case `(title, image, row)`: the true point green, the predicted one white."""
    tallest = max(image.shape[0] / image.shape[1] for _, image, _ in cases)
    figure = Figure(figsize=(4.2 * len(cases), 4.2 * tallest + 0.6), layout="constrained")
    for axes, (title, image, row) in zip(
        np.ravel(figure.subplots(1, len(cases))), cases, strict=True
    ):
        height, width = image.shape[:2]
        # The extent makes coordinates continuous pixels, as points have them: matplotlib's own put
        # the centre of the first pixel at 0.
        axes.imshow(image, extent=(0, width, height, 0))
        shown = (row[:2], "lime", "annotated"), (row[2:4], "white", "predicted")
        for (x, y), colour, label in shown:
            axes.plot(x, y, "+", color=colour, markersize=18, markeredgewidth=2, label=label)
        axes.set_title(title, fontsize=9)
        axes.set_axis_off()
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8
    )
    for handle in figure.legends[0].legend_handles:
        handle.set_markersize(9)
    # Grey, for one of the crosses is white
    figure.legends[0].get_frame().set_facecolor("0.6")
    figure.set_label(
        "The cases with the smallest, a middle and the largest distance: annotated point green, "
        "predicted point white; px of the photograph."
    )
    return figure


def axis_logits_figure(
    image: np.ndarray, heatmap: np.ndarray, point: np.ndarray, **options
) -> Figure:
    """The image, its heat map, and the softmax of the x and y logits at every scale.

    `image` [h, w, 3] and `point` (x, y) at the working size; `heatmap` [h, w]; `options` as in the
    loss.
    """
    scales = jax.jit(functools.partial(axis_logits, **options))(heatmap[None])
    figure = Figure(figsize=(11, 6.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 2.2))
    top, bottom = left.subplots(2, 1)
    height, width = heatmap.shape
    top.imshow(image, extent=(0, width, height, 0))
    bottom.imshow(heatmap, extent=(0, width, height, 0), cmap="magma")
    for axes, title in ((top, "image"), (bottom, "heat map (logits)")):
        axes.plot(*point, "+", color="lime", markersize=14)
        axes.set_title(title, fontsize=9)
        axes.set_axis_off()
    grid = right.subplots(len(scales), 2, squeeze=False)
    for row, pair in zip(grid, scales, strict=True):
        for axes, logits, true, size in zip(row, pair, point, (width, height), strict=True):
            _draw_axis(axes, np.asarray(logits)[0], float(true), size)
    grid[0, 0].set_title("x", fontsize=9)
    grid[0, 1].set_title("y", fontsize=9)
    right.suptitle("predicted probability of each position; annotated one green", fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("pixels of the network's input", fontsize=7)
    figure.set_label(
        "The middle case at the network's input size, with its heat map. Right: the predicted "
        "probability of each position along x and y (softmax of the axis logits), a row a scale of "
        "the multiscale loss, with its number of positions; each panel has a scale of its own."
    )
    return figure


def _draw_axis(axes, logits: np.ndarray, true: float, size: int) -> None:
    # The largest is taken off first, or logits summed over a long axis overflow
    weights = np.exp(logits - logits.max())
    weights /= weights.sum()
    # A coarser scale has fewer positions: each bar covers so many pixels of the finest
    step = size / len(weights)
    axes.bar((np.arange(len(weights)) + 0.5) * step, weights, width=step, color="tab:blue")
    axes.axvline(true, color="tab:green", linewidth=1)
    axes.set_xlim(0, size)
    axes.set_ylabel(str(len(weights)), fontsize=7, rotation=0, labelpad=10)
    axes.tick_params(labelsize=6)
    axes.set_yticks([])
