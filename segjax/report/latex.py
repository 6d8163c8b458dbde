"""A sweep's report as a table in LaTeX."""

from segjax.report import sweep_text
from segjax.report import text as texts
from segjax.report.comparison import Comparison, Summary
from segjax.report.formats import baseline_cells
from segjax.report.results import Sweep
from segjax.tasks.metric import Metric

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
        fewer = escape(sweep_text.FEWER) if sweep_text.has_fewer(row, sweep) else ""
        cells = map(_latex_cell, summaries, sweep.metrics)
        name = f"\\texttt{{{escape(row.label)}}}{fewer}"
        lines.append(_latex_line(name, str(len(row.seeds)), *cells))
        paper = [texts.paper_figure(summary) for summary in summaries]
        if any(paper):
            grey = [f"\\textcolor{{gray}}{{\\textit{{{escape(p)}}}}}" if p else "" for p in paper]
            lines.append(
                _latex_line("\\textcolor{gray}{\\textit{\\quad the paper's own}}", "", *grey)
            )
    if baseline := baseline_cells(sweep):
        lines += [
            "\\midrule",
            _latex_line("Baseline, without a network", "", *map(escape, baseline)),
        ]
    lines += [
        "\\bottomrule",
        "\\end{tabular}",
        "\\caption{" + " ".join(map(_code, _notes(sweep, comparison))) + "}",
        "\\end{table*}",
        "",
    ]
    return "\n".join(lines)


def _notes(sweep: Sweep, comparison: Comparison) -> list[str]:
    """What a reader of the table alone has to know."""
    notes = [f"{sweep.question[:1].upper()}{sweep.question[1:]}."] * bool(sweep.question)
    notes += [sweep_text.over(sweep), *sweep_text.values(sweep)]
    notes += [
        f"{metric.heading}: {metric.description}"
        for metric in sweep.metrics
        if not metric.is_mean and metric.description
    ]
    notes += sweep_text.bold(comparison)
    if sweep_text.has_star(comparison):
        notes.append(sweep_text.tests(sweep, comparison))
    notes += [
        note.replace("In italics:", "In grey italics:")
        for note in sweep_text.marks(sweep, comparison)
    ]
    notes.append(sweep_text.chosen(sweep))
    if missing := sweep_text.unfinished(sweep):
        notes.append("Not done yet: " + "; ".join(missing) + ".")
    return notes


def _latex_line(*cells: str) -> str:
    return " & ".join(cells) + r" \\"


def _latex_cell(summary: Summary, metric: Metric) -> str:
    text = escape(texts.mean_and_sd(summary.mean, summary.sd, metric))
    # Bold reaches the signs too: \textbf alone leaves mathematics as it is.
    text = f"\\textbf{{\\boldmath {text}}}" if summary.best else text
    star = "$^{*}$" if summary.significant else ""
    return text + star + (escape(sweep_text.LEFT_OUT) if summary.not_finite else "")
