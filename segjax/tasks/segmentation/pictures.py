"""Pictures of a segmentation run: truth and prediction over the photograph."""

import pathlib
from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from segjax.data.png import write_png
from segjax.tasks.segmentation.original import enlarged

# One colour a class on overlays; more classes go round.
COLOURS = ((255, 255, 255), (80, 255, 120), (90, 200, 255), (255, 220, 80), (255, 120, 220))
# What is annotated is filled, what is predicted has an outline: neither covers the other.
SHOWN = {"annotated": "lime", "predicted": "magenta"}
FILL, OUTLINE = 0.45, 0.9  # opacity, and points
# Of several classes: a colour each that shows on grey and red.
EACH = ("#56B4E9", "#F0E442", "#CC79A7", "#E69F00", "#00E0A0", "white")


def ranked_cases(scores: np.ndarray) -> dict[str, int]:
    """Indices of the best, a middle and the worst case, higher scores being better."""
    order = np.argsort(-scores, kind="stable")
    return {"best": order[0], "middle": order[len(order) // 2], "worst": order[-1]}


def cases_figure(
    cases: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]],
    classes: Sequence[str] = (),
    chosen: str = "mean Dice",
) -> Figure:
    """One panel a case `(title, image, true labels, predicted labels)`, labels of any size.

    Of several classes each has a colour of its own. `chosen` is what the cases were chosen by.
    """
    tallest = max(image.shape[0] / image.shape[1] for _, image, _, _ in cases)
    figure = Figure(figsize=(4.2 * len(cases), 4.2 * tallest + 0.6), layout="constrained")
    panels = np.ravel(figure.subplots(1, len(cases)))
    for axes, (title, image, *both) in zip(panels, cases, strict=True):
        height, width = image.shape[:2]
        axes.imshow(image, extent=(0, width, height, 0))
        draw_labels(axes, *both, (height, width), len(classes))
        axes.set_title(title, fontsize=9)
        axes.set_axis_off()
    add_legend(figure, SHOWN, classes)
    figure.set_label(
        f"The cases with the highest, a middle and the lowest {chosen}: masks as they were drawn "
        "filled, outlines of the predicted ones as lines."
    )
    return figure


def add_legend(figure: Figure, kinds: Sequence[str], classes: Sequence[str]) -> None:
    """What colours, areas and lines mean, below the panels."""
    several = len(classes) > 1
    handles = []
    for kind in kinds:
        colour = "black" if several else SHOWN[kind]
        filled = Patch(color=colour, alpha=FILL, linewidth=0, label=kind)
        handles.append(filled if kind == "annotated" else Line2D([], [], color=colour, label=kind))
    if several:
        handles += [
            Line2D([], [], color=_colour(k), label=name, linewidth=4)
            for k, name in enumerate(classes, start=1)
        ]
    place = {"loc": "outside lower center", "ncols": len(handles), "fontsize": 8}
    figure.legend(handles=handles, **place).get_frame().set_facecolor("0.6")


def _colour(k: int) -> str:
    return EACH[(k - 1) % len(EACH)]


def draw_labels(
    axes, true: np.ndarray | None, predicted: np.ndarray, size: tuple[int, int], classes: int = 1
) -> None:
    """The annotated classes filled, the predicted ones in outline, over an image.

    Args:
        axes: to draw on, in the coordinates of an image of `size` from (0, 0).
        true: class indices `[h, w]`, of any size; None where they are not known.
        predicted: the same.
        size: height and width of the image.
        classes: how many there are; each of several has its own colour.
    """
    if true is not None:
        known = range(1, max(classes, int(true.max())) + 1)
        colours = [_colour(k) if classes > 1 else SHOWN["annotated"] for k in known]
        table = to_rgba_array(["none", *colours])
        table[1:, 3] = FILL
        axes.imshow(table[true], extent=(0, size[1], size[0], 0), interpolation="nearest")
    _draw_outlines(axes, predicted, size, classes)


def _draw_outlines(axes, labels: np.ndarray, size: tuple[int, int], classes: int) -> None:
    # A rim of background closes the outlines of what touches the border.
    padded = np.pad(labels, 1)
    # Centre of pixel j is at j + 0.5, and the rim has moved every pixel on by one
    x = (np.arange(padded.shape[1]) - 0.5) * size[1] / labels.shape[1]
    y = (np.arange(padded.shape[0]) - 0.5) * size[0] / labels.shape[0]
    for k in range(1, int(labels.max()) + 1):
        # matplotlib warns of a level that nothing reaches
        if (labels == k).any():
            colour = _colour(k) if classes > 1 else SHOWN["predicted"]
            look = {"colors": colour, "linewidths": OUTLINE}
            axes.contour(x, y, (padded == k).astype(float), [0.5], **look)


def write_pictures(folder: pathlib.Path, name: str, image: np.ndarray, labels: np.ndarray) -> None:
    """Writes overlays/NAME.png (contours) and labels/NAME.png (class indices), in image's size."""
    height, width = image.shape[:2]
    labels = enlarged(labels, (height, width))
    drawn = np.ascontiguousarray(image.copy())
    thick = max(1, round(min(height, width) / 200))
    for k in range(1, int(labels.max()) + 1):
        mask = (labels == k).astype(np.uint8)
        # CCOMP: outlines of holes, too, not of the outside alone
        outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, outlines, -1, COLOURS[(k - 1) % len(COLOURS)], thick)
    write_png(folder / "overlays" / f"{name}.png", drawn)
    write_png(folder / "labels" / f"{name}.png", labels)
