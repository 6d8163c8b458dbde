"""The figures of a sweep's report: cases, validation over the training, convergence."""

import math
import textwrap

import numpy as np
from matplotlib.figure import Figure

from segjax.explore import plotting
from segjax.report.comparison import cdf, failed_share, shown_cases, values_of
from segjax.report.results import Row, Sweep
from segjax.report.sweep_text import case_heading
from segjax.report.text import heading
from segjax.tasks.metric import Metric

GREY = "#888888"
PANELS = 6  # of validation values, at most


def _wrapped(label: str, width: int = 34) -> str:
    """A long label over several lines, broken after commas where it can be."""
    spaced = label.replace(", ", ",").replace(",", ", ")
    return "\n".join(textwrap.wrap(spaced, width)) or label


def cases_figure(sweep: Sweep, metric: Metric) -> Figure:
    """A box a row, best case by case: the box holds the middle half, the whiskers 1.5 times that.

    Points are cases averaged over seeds, jittered alike each time; a diamond marks the mean.
    """
    height = 1.2 + sum(0.25 + 0.14 * (1 + _wrapped(r.label).count("\n")) for r in sweep.rows)
    figure, grid = plotting.panels(1, 1, width=7.0, height=height)
    axes = grid[0, 0]
    for index, row in enumerate(sweep.rows):
        values = shown_cases(values_of(sweep, row, metric), metric)
        kept = values[np.isfinite(values)]
        colour = plotting.COLOURS[index % len(plotting.COLOURS)]
        if kept.size:
            _box(axes, index, kept, colour)
        if left_out := values.size - kept.size:
            axes.annotate(
                f"{left_out} without a value",
                (1, index),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
                color=GREY,
            )
    axes.set_yticks(range(len(sweep.rows)), [_wrapped(row.label) for row in sweep.rows])
    # Upside down: the first row is on top, as in the tables
    axes.set_ylim(len(sweep.rows) - 0.4, -0.6)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    plotting.describe(axes, x=f"{case_heading(metric, sweep)}, case by case")
    return figure


def _box(axes, place: int, values: np.ndarray, colour: str) -> None:
    jitter = np.random.default_rng(0).uniform(-0.22, 0.22, values.size)
    size = 9 if values.size <= 200 else 4
    axes.scatter(values, place + jitter, s=size, color=colour, alpha=0.45, linewidths=0, zorder=2)
    line = {"color": "#222222", "linewidth": 1.0}
    axes.boxplot(
        [values],
        positions=[place],
        orientation="horizontal",
        widths=0.55,
        # Every case is a point of the scatter already
        showfliers=False,
        manage_ticks=False,
        patch_artist=True,
        boxprops={"facecolor": "none", "edgecolor": "#222222", "linewidth": 1.0},
        medianprops={**line, "linewidth": 1.8},
        whiskerprops=line,
        capprops=line,
        zorder=3,
    )
    axes.plot(values.mean(), place, "D", color="white", markeredgecolor=colour, ms=4.5, zorder=4)


def curves_figure(sweep: Sweep) -> Figure | None:
    """Validation values over the training, a line a row (mean) and a band (lowest to highest seed).

    None when nothing was written on the way.
    """
    names = curve_names(sweep)
    if not names:
        return None
    # Four as 2 x 2 leave no hole; else three in a line
    columns = {1: 1, 2: 2, 4: 2}.get(len(names), 3)
    lines = -(-len(names) // columns)
    width = 5.6 if columns == 1 else 3.6
    figure, grid = plotting.panels(lines, columns, width=width, height=2.8)
    titles = {metric.name: heading(metric) for metric in sweep.known}
    for axes, name in zip(grid.flat, names, strict=False):
        for index, row in enumerate(sweep.rows):
            steps, mean, low, high = seed_curves(row, name)
            if steps.size:
                style = plotting.style_of(index)
                axes.plot(steps, mean, **style)
                if len(row.seeds) > 1:
                    axes.fill_between(
                        steps, low, high, color=style["color"], alpha=0.16, linewidth=0
                    )
        plotting.describe(axes, titles.get(name, name), "step", "mean over validation cases")
        axes.grid(color="#eeeeee", linewidth=0.6)
        axes.set_axisbelow(True)
    for axes in list(grid.flat)[len(names) :]:
        axes.set_visible(False)
    _legend(figure, sweep, [row.label for row in sweep.rows])
    return figure


def curve_names(sweep: Sweep) -> list[str]:
    """The headline and the reported metrics where they were logged; failing that, whatever was."""
    logged = dict.fromkeys(n for row in sweep.rows for curves in row.curves for n in curves)
    wanted = dict.fromkeys([sweep.headline.name, *(metric.name for metric in sweep.metrics)])
    names = [name for name in wanted if name in logged]
    # Losses of different rows are on different scales.
    return (names or [name for name in logged if not name.startswith("loss")])[:PANELS]


def seed_curves(row: Row, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Steps, and the mean, lowest and highest value over the seeds that have one at that step."""
    curves = [curves[name] for curves in row.curves if name in curves]
    gathered: dict[int, list[float]] = {}
    for curve in curves:
        for step, value in curve.items():
            if math.isfinite(value):
                gathered.setdefault(step, []).append(value)
    steps = sorted(gathered)
    parts = [[f(gathered[step]) for step in steps] for f in (np.mean, np.min, np.max)]
    return (np.array(steps), *map(np.array, parts))


def cdf_figure(sweep: Sweep, threshold: float) -> Figure:
    """The share of models that end at a value or below it, a curve a row."""
    figure, grid = plotting.panels(1, 1, width=5.6, height=3.4)
    axes = grid[0, 0]
    reached = np.concatenate([row.reached for row in sweep.rows])
    known = reached[np.isfinite(reached)]
    # The threshold belongs on the axis, wherever the models end
    ends = [*known, threshold] if math.isfinite(threshold) else list(known)
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    margin = 0.05 * (high - low) or 0.05
    labels = []
    for index, row in enumerate(sweep.rows):
        # Its own values are the places where a curve rises; the ends carry it over the whole axis
        inside = np.sort(row.reached[np.isfinite(row.reached)])
        x = np.concatenate([[low - margin], inside, [high + margin]])
        axes.step(x, cdf(row.reached, x), where="post", **plotting.style_of(index))
        failed = failed_share(row.reached, threshold, sweep.headline.higher_is_better)
        share = f": {round(failed * len(row.reached))} of {len(row.reached)} failed"
        labels.append(row.label + (share if math.isfinite(threshold) else ""))
    if math.isfinite(threshold):
        side = "below" if sweep.headline.higher_is_better else "above"
        axes.axvline(threshold, color=GREY, linestyle=":", linewidth=1.2)
        axes.text(
            threshold,
            1.01,
            f"failed {side} {threshold:.3g}",
            fontsize=7,
            color=GREY,
            ha="center",
            va="bottom",
            transform=axes.get_xaxis_transform(),
        )
    axes.set_xlim(low - margin, high + margin)
    axes.set_ylim(-0.02, 1.02)
    axes.grid(color="#eeeeee", linewidth=0.6)
    plotting.describe(
        axes,
        x=f"{heading(sweep.headline)} of the best checkpoint",
        y="share of trainings at it or below",
    )
    _legend(figure, sweep, labels)
    return figure


def _legend(figure: Figure, sweep: Sweep, labels: list[str]) -> None:
    """One legend for all axes, below them; the figure grows by its height."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **plotting.style_of(i)) for i in range(len(sweep.rows))]
    width, height = figure.get_size_inches()
    texts = [_wrapped(label, 64) for label in labels]
    longest = max(len(line) for text in texts for line in text.split("\n"))
    # In inches: a character at this size of font, and the sample of the line before it
    columns = max(1, min(len(labels), int(width / (0.075 * longest + 0.5))))
    lines = -(-sum(text.count("\n") + 1 for text in texts) // columns)
    figure.set_size_inches(width, height + 0.17 * lines)
    figure.legend(
        handles,
        texts,
        loc="outside lower center",
        ncols=columns,
        fontsize=7,
        frameon=False,
        handlelength=2.8,
    )
