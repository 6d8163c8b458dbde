"""A sweep's report as Markdown and CSV."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence

from segjax.report import sweep_text
from segjax.report import text as texts
from segjax.report.comparison import Comparison, summary_of, values_of
from segjax.report.results import Row, Sweep
from segjax.tasks.metric import Metric

COLUMNS = (
    "row",
    "metric",
    "title",
    "unit",
    "higher_is_better",
    "seeds",
    "cases",
    "left_out",
    "not_finite",
    "mean",
    "sd",
    "low",
    "high",
    "seed_means",
    "reference",
    "pairs",
    "difference",
    "p",
    "p_holm",
    "significant",
    "paper_mean",
    "paper_sd",
)
CURVES, CONVERGENCE = "figures/validation_curves.png", "figures/convergence.png"
CASES = (
    "a point is a case, averaged over seeds; the box holds the middle half of them, with the "
    "median as a line; the diamond is the mean"
)
CURVED = "the mean over seeds; the band goes from the lowest to the highest seed"
DETAILS = (
    "setting",
    "seeds",
    "cases",
    "mean",
    "sd",
    "95 % interval",
    "each seed",
    "difference",
    "p",
    "p (Holm)",
    "the paper's own figure, on its own data",
)


def csv_text(compared: Sequence[tuple[Sweep, Comparison]]) -> str:
    """A line a row and metric, at full precision; what is unknown is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for sweep, comparison, metric in ((s, c, m) for s, c in compared for m in s.metrics):
        # The others have their values alone
        others = (
            summary_of(metric, values_of(sweep, row, metric), row.paper, interval=False)
            for row in sweep.others
        )
        summaries = [*comparison.metrics[metric.name], *others]
        for row, summary in zip(sweep.all_rows, summaries, strict=True):
            paper = summary.paper or (math.nan, math.nan)
            values = {
                "row": row.label,
                "metric": metric.name,
                "title": metric.heading,
                "unit": metric.unit,
                "higher_is_better": metric.higher_is_better,
                "seeds": " ".join(map(str, row.seeds)),
                # An empty cell would be lost among blanks, and the other values take the wrong
                # seeds.
                "seed_means": " ".join(_exact(value) or "nan" for value in summary.seed_means),
                "reference": comparison.reference,
                "paper_mean": paper[0],
                "paper_sd": paper[1],
            }
            cells = (values.get(name, getattr(summary, name, None)) for name in COLUMNS)
            writer.writerow([_exact(cell) for cell in cells])
    return text.getvalue()


def _exact(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        # repr gives the fewest digits that read back as the same number
        return "" if math.isnan(value) else repr(value)
    return str(value)


def file_of(metric: Metric) -> str:
    """Where the cases of a metric are drawn, below the report's folder."""
    # By the column: metrics of one column draw the same cases, and share the picture
    column = metric.columns[0] if len(metric.columns) == 1 else metric.name
    name = re.sub(r"[^\w.-]+", "_", f"{column} {metric.cases}".strip())
    return f"figures/cases_{name}.png"


# --- Markdown -------------------------------------------------------------------------------------


def markdown_text(
    sweep: Sweep,
    comparison: Comparison,
    convergence: list[str],
    figures: list[str],
    curves: Sequence[str] = (),
) -> str:
    """The report: one table of all metrics, then a section a metric, then curves and convergence.

    Args:
        sweep: the results.
        comparison: their statistics.
        convergence: lines on models that failed to converge.
        figures: the pictures that there are, by their paths below the report's folder.
        curves: the names of the values whose validations are drawn.
    """
    lines = [f"# Sweep of {sweep.source}{f', {sweep.question}' * bool(sweep.question)}", ""]
    if sweep.setting:
        lines += [f"The first setting: {sweep.setting}.", ""]
    if sweep.versions:
        lines += [f"Trained with {', '.join(sweep.versions)}.", ""]
    lines += _missing([sweep]) + _foremost(sweep) + _table(sweep, comparison)
    told = texts.sentences(sweep_text.shown_metrics(sweep, curves))
    lines += [*(f"- {line}" for line in told), ""]
    lines += [*sweep_text.reach(sweep, comparison), ""]
    if remarks := sweep_text.remarked(sweep):
        lines += ["**Remarks on the trainings**", "", *(f"- {line}" for line in remarks), ""]
    for metric in sweep.metrics:
        lines += [f"## {texts.heading(metric)}", ""]
        lines += texts.table(*texts.filled(DETAILS, _details(sweep, comparison, metric)))
        told = sweep_text.interval_text(sweep, metric, comparison.metrics[metric.name])
        lines += [" ".join(told + _reference_text(sweep, comparison)), ""]
        lines += _image(
            figures, file_of(metric), f"{sweep_text.case_caption(metric, sweep)}: {CASES}"
        )
    if CURVES in figures:
        lines += ["## Validation over the training", ""]
        during = f"During training{texts.aside(sweep.measured)}"
        lines += _image(figures, CURVES, f"{during}: {CURVED}")
    lines += ["## Trainings that failed", "", *convergence, ""]
    lines += _image(figures, CONVERGENCE, "Share of models that end at a value or below it")
    return "\n".join(lines)


def overview_text(
    compared: Mapping[str, tuple[Sweep, Comparison]], places: Mapping[str, str]
) -> str:
    """What trainings that ask different things come to, a table for each question.

    Args:
        compared: by question.
        places: the report of each, from where this one stands.
    """
    first = next(iter(compared.values()))[0]
    lines = [f"# Sweep of {first.source}", ""]
    lines += [
        f"Its trainings ask {len(compared)} things, and those that ask different ones are not "
        "compared with each other.",
        "",
    ]
    lines += _missing([sweep for sweep, _ in compared.values()])
    for asked, (sweep, comparison) in compared.items():
        lines += [f"## {asked}", "", *_foremost(sweep), *_table(sweep, comparison)]
        lines += [f"[Intervals, tests and figures, and what the metrics are]({places[asked]})", ""]
    return "\n".join(lines)


def _missing(sweeps: Sequence[Sweep]) -> list[str]:
    """A line on the points that are not done."""
    lacking = [words for sweep in sweeps for words in sweep_text.unfinished(sweep)]
    return ["**Not done yet: " + "; ".join(lacking) + ".**", ""] if lacking else []


def _foremost(sweep: Sweep) -> list[str]:
    """A line on the settings that are not shown."""
    return [*sweep_text.foremost(sweep), ""] if sweep.others else []


def _table(sweep: Sweep, comparison: Comparison) -> list[str]:
    """The table of all metrics, and how to read it."""
    header = ["setting", "seeds", *(texts.heading(metric) for metric in sweep.metrics)]
    notes = sweep_text.notes(sweep, comparison)
    return [
        *texts.table(header, _overview(sweep, comparison)),
        # A bare asterisk would begin a list of its own.
        *("- " + "\\" * note.startswith(sweep_text.STAR) + note for note in notes),
        "",
    ]


def _reference_text(sweep: Sweep, comparison: Comparison) -> list[str]:
    if len(sweep.rows) < 2:
        return []
    return [
        f"Difference and p: this row less `{comparison.reference}`, over the cases that both have."
    ]


def _image(figures: list[str], name: str, caption: str) -> list[str]:
    return [f"![{caption}]({name})", "", f"{caption}.", ""] if name in figures else []


def _label(row: Row, sweep: Sweep) -> str:
    return f"`{row.label}`" + (f" {sweep_text.FEWER}" if sweep_text.has_fewer(row, sweep) else "")


def _overview(sweep: Sweep, comparison: Comparison) -> list[list[str]]:
    """A line a row, and one of the paper's own figures below it where there are any."""
    table = []
    for index, row in enumerate(sweep.rows):
        cells, paper = [], []
        for metric in sweep.metrics:
            summary = comparison.metrics[metric.name][index]
            text = texts.mean_and_sd(summary.mean, summary.sd, metric)
            text = f"**{text}**" if summary.best else text
            marks = "\\" + sweep_text.STAR if summary.significant else ""
            cells.append(text + marks + (sweep_text.LEFT_OUT if summary.not_finite else ""))
            figure = texts.paper_figure(summary)
            paper.append(f"*{figure}*" if figure else "")
        table.append([_label(row, sweep), str(len(row.seeds)), *cells])
        if any(paper):
            table.append(["*the paper's own*", "", *paper])
    if baseline := baseline_cells(sweep):
        table.append(["baseline, without a network", "", *baseline])
    return table


def baseline_cells(sweep: Sweep) -> list[str]:
    """The baseline's cells; none where there is no baseline."""
    values = [sweep.baseline.get(metric.name) for metric in sweep.metrics]
    if all(value is None for value in values):
        return []
    return [
        "" if value is None else texts.number(value, metric)
        for value, metric in zip(values, sweep.metrics, strict=True)
    ]


def _details(sweep: Sweep, comparison: Comparison, metric: Metric) -> list[list[str]]:
    def show(value: float, sign: str = "") -> str:
        return texts.number(value, metric, sign)

    table = []
    for row, summary in zip(sweep.rows, comparison.metrics[metric.name], strict=True):
        table.append(
            [
                _label(row, sweep),
                str(len(row.seeds)),
                str(summary.cases) + (sweep_text.LEFT_OUT if summary.not_finite else ""),
                f"**{show(summary.mean)}**" if summary.best else show(summary.mean),
                show(summary.sd),
                texts.interval(summary, metric, texts.noun(sweep.patients)),
                ", ".join(texts.numbers(summary.seed_means, metric)),
                show(summary.difference, "+"),
                texts.p_value(summary.p),
                texts.p_value(summary.p_holm) + ("\\*" if summary.significant else ""),
                f"*{figure}*" if (figure := texts.paper_figure(summary)) else "",
            ]
        )
    return table
