"""Pictures of a segmentation run: contours of truth and prediction over the photograph."""

import pathlib
from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from segjax.data.png import write_png
from segjax.tasks.segmentation.original import enlarged

# One colour a class on overlays; more classes go round.
COLOURS = ((255, 255, 255), (80, 255, 120), (90, 200, 255), (255, 220, 80), (255, 120, 220))
SHOWN = {"annotated": ("lime", "solid"), "predicted": ("white", "dashed")}
# Of several classes: a colour each that shows on grey and red, truth solid and prediction dashed.
EACH = ("#56B4E9", "#F0E442", "#CC79A7", "#E69F00", "#00E0A0", "white")


def ranked_cases(scores: np.ndarray) -> dict[str, int]:
    """Indices of the best, a middle and the worst case, higher scores being better."""
    order = np.argsort(-scores, kind="stable")
    return {"best": order[0], "middle": order[len(order) // 2], "worst": order[-1]}


def cases_figure(
    cases: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]], classes: Sequence[str] = ()
) -> Figure:
    """One panel a case `(title, image, true labels, predicted labels)`, labels of any size.

    Of several classes each has a colour of its own.
    """
    tallest = max(image.shape[0] / image.shape[1] for _, image, _, _ in cases)
    figure = Figure(figsize=(4.2 * len(cases), 4.2 * tallest + 0.6), layout="constrained")
    panels = np.ravel(figure.subplots(1, len(cases)))
    for axes, (title, image, *both) in zip(panels, cases, strict=True):
        height, width = image.shape[:2]
        axes.imshow(image, extent=(0, width, height, 0))
        for labels, kind in zip(both, SHOWN, strict=True):
            draw_contours(axes, labels, (height, width), kind, len(classes))
        axes.set_title(title, fontsize=9)
        axes.set_axis_off()
    add_legend(figure, SHOWN, classes)
    figure.set_label(
        "The cases with the highest, a middle and the lowest mean Dice: outlines of the masks as "
        "they were drawn solid, of the predicted ones dashed."
    )
    return figure


def add_legend(figure: Figure, kinds: Sequence[str], classes: Sequence[str]) -> None:
    """What colours and lines mean, below the panels."""
    several = len(classes) > 1
    looks = {kind: ("black" if several else SHOWN[kind][0], SHOWN[kind][1]) for kind in kinds}
    if several:
        looks |= {name: (_colour(k), "solid") for k, name in enumerate(classes, start=1)}
    handles = [Line2D([], [], color=c, linestyle=s, label=n) for n, (c, s) in looks.items()]
    columns = len(handles)
    place = {"loc": "outside lower center", "ncols": columns, "fontsize": 8}
    figure.legend(handles=handles, **place).get_frame().set_facecolor("0.6")


def _colour(k: int) -> str:
    return EACH[(k - 1) % len(EACH)]


def draw_contours(
    axes, labels: np.ndarray, size: tuple[int, int], kind: str, classes: int = 1
) -> None:
    """The outline of every class, in the coordinates of an image of `size` (height, width).

    Args:
        axes: to draw on.
        labels: class indices `[h, w]`.
        size: of the image.
        kind: of `SHOWN`, which gives the line.
        classes: how many there are; each of several has its own colour.
    """
    alone, style = SHOWN[kind]
    # A rim of background closes the outlines of what touches the border.
    padded = np.pad(labels, 1)
    # Centre of pixel j is at j + 0.5, and the rim has moved every pixel on by one
    x = (np.arange(padded.shape[1]) - 0.5) * size[1] / labels.shape[1]
    y = (np.arange(padded.shape[0]) - 0.5) * size[0] / labels.shape[0]
    for k in range(1, int(labels.max()) + 1):
        # matplotlib warns of a level that nothing reaches
        if (labels == k).any():
            colour = _colour(k) if classes > 1 else alone
            look = {"colors": colour, "linestyles": style, "linewidths": 1.2}
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
