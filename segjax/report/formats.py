"""A sweep's report as Markdown, CSV and LaTeX."""

import csv
import io
import math
import re

from segjax.report import text as texts
from segjax.report.comparison import Comparison, Summary
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


def csv_text(sweep: Sweep, comparison: Comparison) -> str:
    """A line a row and metric, at full precision; what is unknown is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for metric in sweep.metrics:
        for row, summary in zip(sweep.rows, comparison.metrics[metric.name], strict=True):
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
) -> str:
    """The report: one table of all metrics, then a section a metric, then curves and convergence.

    Args:
        sweep: the results.
        comparison: their statistics.
        convergence: lines on models that failed to converge.
        figures: the pictures that there are, by their paths below the report's folder.
    """
    lines = [f"# Sweep of {sweep.source}", ""]
    if sweep.setting:
        lines += [f"The first setting: {sweep.setting}.", ""]
    if sweep.versions:
        lines += [f"Trained with {', '.join(sweep.versions)}.", ""]
    if missing := texts.unfinished(sweep):
        lines += ["**Not done yet: " + "; ".join(missing) + ".**", ""]
    lines += texts.table(
        ["setting", "seeds", *(texts.heading(metric) for metric in sweep.metrics)],
        _overview(sweep, comparison),
    )
    notes = texts.notes(sweep, comparison)
    # A bare asterisk would begin a list of its own.
    lines += ["- " + "\\" * note.startswith(texts.STAR) + note for note in notes] + [""]
    lines += [*(f"- {line}" for line in texts.sentences(sweep.metrics)), ""]
    lines += [*texts.reach(sweep, comparison), ""]
    if remarks := texts.remarked(sweep):
        lines += ["**Remarks on the trainings**", "", *(f"- {line}" for line in remarks), ""]
    for metric in sweep.metrics:
        lines += [f"## {texts.heading(metric)}", ""]
        lines += texts.table(*texts.filled(DETAILS, _details(sweep, comparison, metric)))
        told = texts.interval_text(metric, comparison.metrics[metric.name])
        lines += [" ".join(told + _reference_text(sweep, comparison)), ""]
        lines += _image(figures, file_of(metric), f"{metric.case_heading}: {CASES}")
    if CURVES in figures:
        lines += ["## Validation over the training", ""]
        during = f"During training{texts.aside(sweep.measured)}"
        lines += _image(figures, CURVES, f"{during}: {CURVED}")
    lines += ["## Trainings that failed", "", *convergence, ""]
    lines += _image(figures, CONVERGENCE, "Share of models that end at a value or below it")
    return "\n".join(lines)


def _reference_text(sweep: Sweep, comparison: Comparison) -> list[str]:
    if len(sweep.rows) < 2:
        return []
    return [
        f"Difference and p: this row less `{comparison.reference}`, over the cases that both have."
    ]


def _image(figures: list[str], name: str, caption: str) -> list[str]:
    return [f"![{caption}]({name})", "", f"{caption}.", ""] if name in figures else []


def _label(row: Row, sweep: Sweep) -> str:
    return f"`{row.label}`" + (f" {texts.FEWER}" if texts.has_fewer(row, sweep) else "")


def _overview(sweep: Sweep, comparison: Comparison) -> list[list[str]]:
    """A line a row, and one of the paper's own figures below it where there are any."""
    table = []
    for index, row in enumerate(sweep.rows):
        cells, paper = [], []
        for metric in sweep.metrics:
            summary = comparison.metrics[metric.name][index]
            text = texts.mean_and_sd(summary.mean, summary.sd, metric)
            text = f"**{text}**" if summary.best else text
            marks = "\\" + texts.STAR if summary.significant else ""
            cells.append(text + marks + (texts.LEFT_OUT if summary.not_finite else ""))
            figure = texts.paper_figure(summary)
            paper.append(f"*{figure}*" if figure else "")
        table.append([_label(row, sweep), str(len(row.seeds)), *cells])
        if any(paper):
            table.append(["*the paper's own*", "", *paper])
    if baseline := _baseline(sweep):
        table.append(["baseline, without a network", "", *baseline])
    return table


def _baseline(sweep: Sweep) -> list[str]:
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
                str(summary.cases) + (texts.LEFT_OUT if summary.not_finite else ""),
                f"**{show(summary.mean)}**" if summary.best else show(summary.mean),
                show(summary.sd),
                texts.interval(summary, metric),
                ", ".join(show(value) for value in summary.seed_means),
                show(summary.difference, "+"),
                texts.p_value(summary.p),
                texts.p_value(summary.p_holm) + ("\\*" if summary.significant else ""),
                f"*{figure}*" if (figure := texts.paper_figure(summary)) else "",
            ]
        )
    return table


# --- LaTeX ----------------------------------------------------------------------------------------

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "–": "--",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "µ": r"\textmu{}",
    "²": r"$^2$",
    **{character: f"\\{character}" for character in "#$%&_"},
}


def escape(text: str) -> str:
    """Text as LaTeX shows it, on one line."""
    # A character at a time, so that nothing which an escape puts in is escaped again
    return "".join(SPECIAL.get(character, character) for character in " ".join(text.split()))


def _code(text: str) -> str:
    """Escaped text in which `…` is set in typewriter."""
    # Every second part stood between backticks
    parts = text.split("`")
    return "".join(
        f"\\texttt{{{escape(part)}}}" if index % 2 else _escape_between(part)
        for index, part in enumerate(parts)
    )


def _escape_between(text: str) -> str:
    """Escaped, the blanks at both ends kept."""
    ends = (" " if text[:1].isspace() else "", " " if text[-1:].isspace() else "")
    return ends[0] + escape(text) + ends[1] if text.strip() else text[:1]


def latex_text(sweep: Sweep, comparison: Comparison) -> str:
    """A booktabs table of all metrics, its notes as the caption; the paper's figures in grey."""
    lines = [
        "% Needs \\usepackage{booktabs,xcolor,textcomp} and \\usepackage[T1]{fontenc}",
        f"% Sweep of {' '.join(sweep.source.split())}",
        "\\begin{table*}",
        "\\centering\\small\\setlength{\\tabcolsep}{4pt}",
        f"\\begin{{tabular}}{{l{'c' * (1 + len(sweep.metrics))}}}",
        "\\toprule",
        _latex_line("Setting", "Seeds", *(escape(texts.heading(m)) for m in sweep.metrics)),
        "\\midrule",
    ]
    for index, row in enumerate(sweep.rows):
        summaries = [comparison.metrics[metric.name][index] for metric in sweep.metrics]
        # In braces: after \\ a bracket or an asterisk would be taken as its option.
        fewer = escape(texts.FEWER) if texts.has_fewer(row, sweep) else ""
        cells = map(_latex_cell, summaries, sweep.metrics)
        lines.append(_latex_line(f"{{{escape(row.label)}}}{fewer}", str(len(row.seeds)), *cells))
        paper = [texts.paper_figure(summary) for summary in summaries]
        if any(paper):
            grey = [f"\\textcolor{{gray}}{{\\textit{{{escape(p)}}}}}" if p else "" for p in paper]
            lines.append(
                _latex_line("\\textcolor{gray}{\\textit{\\quad the paper's own}}", "", *grey)
            )
    if baseline := _baseline(sweep):
        lines += [
            "\\midrule",
            _latex_line("Baseline, without a network", "", *map(escape, baseline)),
        ]
    notes = (
        texts.notes(sweep, comparison) + texts.smallest_p(sweep, comparison) + [texts.chosen(sweep)]
    )
    if missing := texts.unfinished(sweep):
        notes.append("Not done yet: " + "; ".join(missing) + ".")
    notes = [note.replace("In italics:", "In grey italics:") for note in notes]
    lines += [
        "\\bottomrule",
        "\\end{tabular}",
        "\\caption{" + " ".join(_code(note) for note in notes) + "}",
        "\\end{table*}",
        "",
    ]
    return "\n".join(lines)


def _latex_line(*cells: str) -> str:
    return " & ".join(cells) + r" \\"


def _latex_cell(summary: Summary, metric: Metric) -> str:
    text = escape(texts.mean_and_sd(summary.mean, summary.sd, metric))
    # Bold reaches the signs too: \textbf alone leaves mathematics as it is.
    text = f"\\textbf{{\\boldmath {text}}}" if summary.best else text
    star = "$^{*}$" if summary.significant else ""
    return text + star + (escape(texts.LEFT_OUT) if summary.not_finite else "")
