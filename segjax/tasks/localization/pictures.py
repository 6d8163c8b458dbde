"""Figures of a localisation run: cases with crosses (the paper's Fig. 4), axis logits per scale."""

import functools
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from matplotlib.figure import Figure

from segjax.ops import axis_logits
from segjax.tasks.localization.decoding import DECODERS


def ranked_cases(distances: np.ndarray) -> dict[str, int]:
    """Indices of the best, a middle and the worst case by distance."""
    order = np.argsort(distances, kind="stable")
    return {"best": order[0], "middle": order[len(order) // 2], "worst": order[-1]}


def cases_figure(
    cases: Sequence[tuple[str, np.ndarray, np.ndarray]], pixel: Sequence[np.ndarray]
) -> Figure:
    """One panel a case `(title, image, row)`: the true point green, the predicted one white.

    `pixel` has the width and height of a pixel of the network's input in each image.
    """
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
        "The cases with the smallest, a middle and the largest distance in pixels: annotated point "
        "green, predicted point white; px of the photograph. One pixel of the network's input is "
        "{} px wide and {} px high there.".format(*map(_range, np.transpose(pixel)))
    )
    return figure


def _range(values: np.ndarray) -> str:
    """`1.5`, or `1.5 to 2.0` where they differ."""
    low, high = (f"{value:.1f}" for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def axis_logits_figure(
    image: np.ndarray,
    heatmap: np.ndarray,
    points: Sequence[np.ndarray],
    options: Mapping[str, object],
    decode: str,
) -> Figure:
    """The image, its heat map, and what the x and y logits say of each position at some scales.

    Args:
        image: `[h, w, 3]` at the working size.
        heatmap: `[h, w]`.
        points: the annotated and the predicted one, (x, y) at the working size.
        options: of `axis_logits`; scales among them.
        decode: of `DECODERS`.
    """
    scales = jax.jit(functools.partial(axis_logits, **options))(heatmap[None])
    figure = Figure(figsize=(11, 6.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 2.2))
    top, bottom = left.subplots(2, 1)
    height, width = heatmap.shape
    top.imshow(image, extent=(0, width, height, 0))
    bottom.imshow(heatmap, extent=(0, width, height, 0), cmap="magma")
    for axes, title in ((top, "image"), (bottom, "heat map (logits)")):
        for point, colour in zip(points, ("lime", "white"), strict=True):
            axes.plot(*point, "+", color=colour, markersize=14, markeredgewidth=1.5)
        axes.set_title(title, fontsize=9)
        axes.set_axis_off()
    # One scale of a centre of mass is decoded without a softmax
    mass = decode == "centroid" and len(scales) == 1
    grid = right.subplots(len(scales), 2, squeeze=False)
    for row, pair in zip(grid, scales, strict=True):
        for k, axes in enumerate(row):
            logits, places = np.asarray(pair[k])[0], [float(point[k]) for point in points]
            _draw_axis(axes, _shares(logits, mass), places, (width, height)[k])
            if len(scales) == 1:
                axes.set_box_aspect(0.6)
            else:
                axes.set_ylabel(str(len(logits)), fontsize=7, rotation=0, labelpad=10)
    grid[0, 0].set_title("x", fontsize=9)
    grid[0, 1].set_title("y", fontsize=9)
    what = "weight in the centre of mass" if mass else "predicted probability"
    right.suptitle(f"{what} of each position; annotated green, predicted dashed", fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("pixels of the network's input", fontsize=7)
    figure.set_label(_axes_in_words(len(scales), mass, decode))
    return figure


def _axes_in_words(scales: int, mass: bool, decode: str) -> str:
    """The caption of the axis logits, true for these scales and this decoding."""
    what = "weight in the centre of mass" if mass else "predicted probability"
    of = "sigmoid" if mass else "softmax"
    rows = "" if scales == 1 else ", a row a scale, with its number of positions"
    return (
        "The middle case at the network's input size, with its heat map; annotated point green, "
        f"predicted point white, dashed on the right. Right: the {what} of each position along x "
        f"and y ({of} of the axis logits){rows}; each panel has a scale of its own. The predicted "
        f"point is {DECODERS[decode].answer}"
        + ("." if scales == 1 or decode == "agreement" else ", of the finest scale alone.")
    )


def _shares(logits: np.ndarray, mass: bool) -> np.ndarray:
    """The softmax of logits, or their sigmoids by the sum of these."""
    logits = logits.astype(np.float64)
    logits = -np.logaddexp(0.0, -logits) if mass else logits
    # The largest is taken off first, or logits summed over a long axis overflow
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def _draw_axis(axes, weights: np.ndarray, places: Sequence[float], size: int) -> None:
    # A coarser scale has fewer positions: each bar covers so many pixels of the finest
    step = size / len(weights)
    axes.bar((np.arange(len(weights)) + 0.5) * step, weights, width=step, color="tab:blue")
    for place, look in zip(
        places, ({"color": "lime"}, {"color": "black", "ls": "--"}), strict=True
    ):
        axes.axvline(place, linewidth=1.2, **look)
    axes.set_xlim(0, size)
    axes.tick_params(labelsize=6)
    axes.set_yticks([])
