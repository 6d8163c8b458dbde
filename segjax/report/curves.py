"""The learning curves of a run."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from segjax.report import run_text
from segjax.report import text as texts
from segjax.tasks.metric import Metric

# One colour a split in all panels, also where it is alone.
COLOURS = {"train": "tab:blue", "validation": "tab:orange"}
HIDDEN = ("images_per_second", "gradient_norm")


def panels(rows: Sequence[Mapping]) -> list[str]:
    """The names of the values that have a panel, the learning rate last."""
    names = dict.fromkeys(row["name"] for row in rows if row["value"] is not None)
    shown = [name for name in names if name not in HIDDEN]
    return sorted(shown, key=lambda name: name == "learning_rate")


def curves_figure(
    rows: list[dict],
    best: int | None = None,
    metrics: Sequence[Metric] = (),
    measured: str = "",
) -> Figure:
    """One panel a value, training and validation together, and the step that was chosen.

    `measured` says on what the validations are (`Task.explained`).
    """
    names = panels(rows)
    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.8 * lines), layout="constrained")
    grid = np.ravel(figure.subplots(lines, columns, squeeze=False))
    for axes, name in zip(grid, names, strict=False):
        _draw(axes, [row for row in rows if row["name"] == name and row["value"] is not None])
        if best is not None:
            axes.axvline(best, color="0.6", linewidth=0.8, linestyle="--", zorder=0)
        title = run_text.title_of(name, run_text.metric_of(metrics, name, {}))
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.tick_params(labelsize=7)
    for axes in grid[len(names) :]:
        axes.set_visible(False)
    chosen = "" if best is None else f" The dashed line is the checkpoint that was chosen, {best}."
    figure.set_label(
        "Over the training, a panel a quantity: of the training (blue), means since the last log "
        "(with augmentation); of the validation (orange), of its cases"
        f"{texts.aside(measured)}.{chosen}"
    )
    return figure


def _draw(axes, rows: Sequence[Mapping]) -> None:
    """A line a split; a legend where there are two."""
    splits = list(dict.fromkeys(row["split"] for row in rows))
    for split in splits:
        points = [(row["step"], row["value"]) for row in rows if row["split"] == split]
        look = {"label": split, "color": COLOURS.get(split), "linewidth": 1.0, "markersize": 3}
        axes.plot(*zip(*points, strict=True), ".-", **look)
    if len(splits) > 1:
        axes.legend(fontsize=7)
