"""Pictures of segmented volumes: slices of cases with truth and prediction."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from segjax.tasks.segmentation.pictures import SHOWN, add_legend, draw_labels

# Where slices are taken, as shares of the extent of the foreground.
HEIGHTS = (0.15, 0.5, 0.85)
Panel = tuple[str, np.ndarray, np.ndarray | None, np.ndarray]


def slices_shown(*volumes: np.ndarray) -> list[int]:
    """Indices of slices through the foreground of any of the label volumes [d, h, w]."""
    there = np.flatnonzero(np.any([volume.any(axis=(1, 2)) for volume in volumes], axis=0))
    if not len(there):
        there = np.arange(len(volumes[0]))
    return [int(there[round(share * (len(there) - 1))]) for share in HEIGHTS]


def cases_figure(panels: Sequence[Panel], classes: Sequence[str] = ()) -> Figure:
    """A row of slices a case: (title, image [d, h, w], true labels or None, predicted labels).

    Of several classes each has a colour of its own.
    """
    height, width = panels[0][1].shape[1:]
    size = (2.6 * len(HEIGHTS), 2.6 * height / width * len(panels) + 0.3 * len(panels) + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(panels), len(HEIGHTS), squeeze=False)
    for row, (title, image, true, predicted) in zip(grid, panels, strict=True):
        volumes = [labels for labels in (true, predicted) if labels is not None]
        low, high = np.percentile(image, (0.5, 99.5))
        for axes, index in zip(row, slices_shown(*volumes), strict=True):
            # Never an empty range of grey values, which an image of one value would have
            grey = {"cmap": "gray", "vmin": low, "vmax": max(high, low + 1e-6)}
            axes.imshow(image[index], extent=(0, *image.shape[:0:-1], 0), **grey)
            known = None if true is None else true[index]
            draw_labels(axes, known, predicted[index], image.shape[1:], len(classes))
            axes.text(2, 2, f"slice {index} of {len(image)}", color="white", fontsize=6, va="top")
            axes.set_axis_off()
        row[0].set_title(title, fontsize=8, loc="left")
    add_legend(figure, SHOWN if panels[0][2] is not None else ("predicted",), classes)
    figure.set_label(
        "Three slices of the cases with the highest, a middle and the lowest mean Dice: annotated "
        "structures filled, outlines of the predicted ones as lines."
    )
    return figure
