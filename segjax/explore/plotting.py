"""One look for all figures: colours that colour-blind readers tell apart, small labels, grids."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

# Okabe and Ito, Color Universal Design (2008); yellow left out, it vanishes on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444")
LINES = ("-", "--", "-.", ":")
TRUTH = "#D55E00"
VALUES = "viridis"
SIGNED = "RdBu_r"
CLASSES = ("#1a1a1a", *COLOURS[:6])  # the background first
# How many gradient components are negative: none, one (right), two, three and more.
COUNTS = ("#ffffff", "#c9e0f1", "#D55E00", "#7a1f00")


def panels(
    rows: int, columns: int, *, width: float = 3.0, height: float = 2.7, **options
) -> tuple[Figure, np.ndarray]:
    """A figure of `rows` x `columns` axes, each so many inches; `options` go to `subplots`."""
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def describe(axes, title: str = "", x: str = "", y: str = "") -> None:
    """Title and axis labels in the size of a caption."""
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.tick_params(labelsize=7)


def style_of(index: int) -> dict[str, object]:
    """Colour and line of curve number `index`; thinner and broken, so that equal curves show."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": LINES[index % len(LINES)],
        "linewidth": max(1.2, 2.4 - 0.2 * index),
    }


def picture(axes, image: np.ndarray, title: str = "", **options):
    """An image without ticks, pixels as squares; returns what a colour bar wants."""
    drawn = axes.imshow(image, interpolation="nearest", **options)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=9)
    return drawn


def colour_bar(figure: Figure, drawn, axes: object | Sequence, label: str) -> None:
    """A slim colour bar beside the axes."""
    bar = figure.colorbar(drawn, ax=axes, shrink=0.85, aspect=25, pad=0.02)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)


def counts_scale(classes: int) -> tuple[ListedColormap, BoundaryNorm]:
    """Colours for 0, 1, …, classes - 1 negative components."""
    number = min(classes, len(COUNTS))
    return ListedColormap(COUNTS[:number]), BoundaryNorm(np.arange(number + 1) - 0.5, number)


def image_row(
    images: Mapping[str, np.ndarray],
    *,
    label: str = "",
    signed: bool = False,
    shared: bool = False,
    outline: np.ndarray | None = None,
    point: tuple[float, float] | None = None,
    columns: int = 4,
) -> Figure:
    """Maps side by side, each with its colour bar.

    Args:
        images: title -> values `[h, w]`; or, without a bar, classes (integers `[h, w]`) or colours
            `[h, w, 3]`.
        label: what the values are, with their unit; stands at the last bar of a row.
        signed: colours centred on 0, red above and blue below, cut at the 99.5th percentile
            of the values that are not 0.
        shared: one range of values, and one bar, for all.
        outline: a mask or label map whose borders are drawn on top.
        point: a cross at (x, y) in continuous pixels.
        columns: images in a row.
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure, grid = panels(rows, columns, width=2.6, height=2.35)
    values = [image for image in images.values() if _has_values(image)]
    common = _value_range(np.stack(values), signed) if shared and values else None
    drawn = None
    for place, (axes, (title, image)) in enumerate(
        zip(grid.flat, images.items(), strict=False), start=1
    ):
        if not _has_values(image):
            norm = BoundaryNorm(np.arange(len(CLASSES) + 1) - 0.5, len(CLASSES))
            picture(axes, image, title, cmap=ListedColormap(CLASSES), norm=norm)
        else:
            low, high = common or _value_range(image, signed)
            colours = SIGNED if signed else VALUES
            drawn = picture(axes, image, title, cmap=colours, vmin=low, vmax=high)
            if not shared:
                last = place % columns == 0 or place == len(images)
                colour_bar(figure, drawn, axes, label if last else "")
        if outline is not None:
            levels = np.arange(outline.max()) + 0.5
            axes.contour(outline, levels, colors="black" if signed else "white", linewidths=0.9)
        if point is not None:
            # imshow puts the centre of pixel j at j, continuous coordinates have it at j + 0.5
            axes.plot(point[0] - 0.5, point[1] - 0.5, "+", color="black", markersize=9)
    for axes in list(grid.flat)[len(images) :]:
        axes.set_visible(False)
    if shared and drawn is not None:
        colour_bar(figure, drawn, list(grid.flat), label)
    return figure


def _has_values(image: np.ndarray) -> bool:
    return image.ndim == 2 and np.issubdtype(image.dtype, np.floating)


def _value_range(image: np.ndarray, signed: bool) -> tuple[float, float]:
    if not signed:
        return float(np.min(image)), float(np.max(image))
    sizes = np.abs(image[image != 0])  # of a sparse map, too, most values that count fit
    limit = float(np.quantile(sizes, 0.995)) if sizes.size else 1.0
    return -limit, limit
