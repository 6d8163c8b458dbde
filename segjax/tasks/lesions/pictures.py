"""Figures of lesion segmentation: curves of precision and recall, photographs with overlays."""

from collections.abc import Iterable, Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from segjax.metrics import precision_recall_from_counts
from segjax.tasks.lesions import metrics
from segjax.tasks.lesions.overlay import COLOURS, overlay, reduced, window
from segjax.tasks.metric import Columns

SHOWN, CLOSE = 1000, 400  # pixels of a whole photograph, and of the part shown close by
AT = 0.5
MOST = 8.0  # false ones a photograph up to which FROC is taken, and every curve is drawn
RATES = np.append(0.0, np.geomspace(1 / 64, 2**20, 400))  # false ones a photograph


def ranked(columns: Columns) -> dict[str, int]:
    """The best, a middle and the worst photograph with lesions by F1 at 0.5."""
    hits, false, positives = (columns[name] for name in ("tp_0.5", "fp_0.5", "positives"))
    known = np.flatnonzero(positives > 0)
    if not known.size:
        return {}
    f1 = 2 * hits[known] / (hits[known] + false[known] + positives[known])
    order = known[np.argsort(-f1, kind="stable")]
    chosen = {"best": order[0], "middle": order[len(order) // 2], "worst": order[-1]}
    return {rank: int(index) for rank, index in chosen.items()}


def curve_figure(tables: Mapping[str, Columns], what: str = "pixels") -> Figure:
    """Precision over recall of all that is pooled, a line for each table, by its name."""
    figure = Figure(figsize=(5.2, 4.4), layout="constrained")
    axes = figure.subplots()
    for (name, columns), style in zip(tables.items(), _styles(tables), strict=True):
        recall, precision, at = curve(columns)
        axes.plot(recall, precision, marker=".", markersize=3, label=name or None, **style)
        axes.plot(recall[at], precision[at], "o", color=style["color"], markersize=6)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1))
    axes.grid(alpha=0.3)
    if any(tables):
        axes.legend(fontsize=8)
    figure.set_label(
        f"Precision and recall of all {what} pooled, at the thresholds k / 32; the dot is at 0.5."
    )
    return figure


def _styles(names: Iterable[str]) -> list[dict]:
    """Of each line a colour; names that differ in their fusion share it, the second one dashed."""
    seen: dict[str, int] = {}
    styles = []
    for name in names:
        maps = name.removesuffix(" arithmetic").removesuffix(" geometric")
        again = maps in seen
        number = seen.setdefault(maps, len(seen))
        styles.append({"color": f"C{number % 10}", "linestyle": "--" if again else "-"})
    return styles


def curve(columns: Columns) -> tuple[np.ndarray, np.ndarray, int]:
    """Recall and precision at the grey levels, and the place of the threshold 0.5."""
    total = columns["positives"].sum()
    hits = np.array([columns[name].sum() for name in metrics.names("tp", metrics.GREY)])
    false = np.array([columns[name].sum() for name in metrics.names("fp", metrics.GREY)])
    counts = np.stack([hits, false, total - hits, np.zeros_like(hits)], axis=-1)
    precision, recall = precision_recall_from_counts(counts)
    return recall, precision, metrics.GREY.index(AT)


def found_figure(tables: Mapping[str, Columns]) -> Figure:
    """Share of lesions found over false ones a photograph (FROC), a line for each table."""
    figure = Figure(figsize=(5.2, 4.4), layout="constrained")
    axes = figure.subplots()
    for (name, columns), style in zip(tables.items(), _styles(tables), strict=True):
        total, count = columns["lesions"].sum(), len(columns["lesions"])
        names = (metrics.names(kind, metrics.SCORES[::-1]) for kind in ("found", "false"))
        found, false = (np.array([0.0, *(columns[c].sum() for c in each)]) for each in names)
        found, false = found / max(total, 1), false / count
        # Between two thresholds as the metric has it: straight, which on this axis is a curve
        rates = np.append(RATES[RATES < max(false[-1], MOST)], max(false[-1], MOST))
        axes.plot(rates, np.interp(rates, false, found), label=name, **style)
    axes.set(xlabel="false ones a photograph", ylabel="share of lesions found", ylim=(0, 1))
    axes.set_xscale("symlog", linthresh=1 / 8)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    figure.set_label(
        "Share of lesions found over false ones a photograph (FROC), as the threshold falls."
    )
    return figure


def cases_figure(cases: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """Photographs with what was found and missed, whole above and close below.

    Args:
        cases: by title, image, annotated lesions and probabilities, all of one size.
    """
    figure = Figure(figsize=(4.2 * len(cases), 7.4), layout="constrained")
    grid = figure.subplots(2, len(cases), squeeze=False)
    for (title, (image, true, probability)), (above, below) in zip(
        cases.items(), grid.T, strict=True
    ):
        true, predicted = true > 0, probability >= AT
        above.imshow(reduced(image, predicted, true, SHOWN))
        above.set_title(title, fontsize=9)
        near = window(true, predicted, min(CLOSE, *image.shape[:2]))
        below.imshow(overlay(image[near], predicted[near], true[near]))
    for axes in grid.ravel():
        axes.set_axis_off()
    handles = [
        Line2D([], [], color=np.array(colour) / 255, linewidth=4, label=name)
        for name, colour in COLOURS.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8)
    figure.set_label(
        "The photographs with the highest, a middle and the lowest F1, as the network sees them: "
        "pixels with a probability of 0.5 or more, whole (small regions drawn larger) and close."
    )
    return figure
