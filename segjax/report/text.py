"""Numbers, tables and sentences that the reports of a run and of a sweep share."""

import math
from collections.abc import Sequence

import numpy as np

from segjax.report.comparison import FEWEST, Summary, is_better
from segjax.tasks.metric import Metric

UNKNOWN = "–"
EACH_ROW = (
    "Each row of a table is a case of its own here: no two are known to be of one patient (own "
    "sets know it by `segjax data prepare … --group`)."
)
# Below it an interval is narrower than it should be
FEW = 20


def heading(metric: Metric) -> str:
    """Title, unit, and an arrow to the better side."""
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{metric.heading}{unit} {'↑' if metric.higher_is_better else '↓'}"


def numbers(values: Sequence[float], metric: Metric, sign: str = "") -> list[str]:
    """The values of one cell in one format: three decimals, two with a unit, more of small ones.

    A dash for nan.
    """
    form = _format(values, 2 if metric.unit else 3)
    return [UNKNOWN if math.isnan(value) else f"{value:{sign}{form}}" for value in values]


def _format(values: Sequence[float], decimals: int) -> str:
    """So many decimals; where that leaves nothing of the largest value, two digits of it."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0)
    if not 0 < largest < 10 ** (1 - decimals):
        return f".{decimals}f"
    return ".1e" if largest < 1e-4 else f".{1 - math.floor(math.log10(largest))}f"


def number(value: float, metric: Metric, sign: str = "") -> str:
    """A value that stands alone in its cell."""
    return numbers([value], metric, sign)[0]


def noun(patients: np.ndarray | None) -> str:
    """What intervals draw and tests change: cases, or patients where some are of one."""
    return "case" if patients is None else "patient"


def interval(summary: Summary, metric: Metric, noun: str = "case") -> str:
    """`low to high`; a dash where there is none, or nothing is known of the spread."""
    if lacks_interval(summary):
        return f"too few {noun}s"
    # Equal ends say that nothing is known of the spread
    if math.isnan(summary.low) or summary.low == summary.high:
        return UNKNOWN
    return " to ".join(numbers([summary.low, summary.high], metric))


def lacks_interval(summary: Summary) -> bool:
    """Whether there is a value, of too few cases or patients for an interval."""
    return math.isnan(summary.low) and not math.isnan(summary.mean)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table, and an empty one behind them."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(header), "|" + "---|" * len(header), *map(line, rows), ""]


def filled(
    header: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """A table without the columns in which no row holds anything."""
    kept = [k for k in range(len(header)) if any(row[k] not in ("", UNKNOWN) for row in rows)]
    return [header[k] for k in kept], [[row[k] for k in kept] for row in rows]


def p_value(p: float) -> str:
    """A p-value with four decimals."""
    return UNKNOWN if math.isnan(p) else f"{p:.4f}"


def mean_and_sd(mean: float, sd: float, metric: Metric) -> str:
    """`mean ± sd`, or the mean alone."""
    known = [mean] if math.isnan(sd) else [mean, sd]
    return " ± ".join(numbers(known, metric))


def paper_figure(summary: Summary) -> str:
    """The paper's own figure as it was given, both its parts to as many decimals."""
    if summary.paper is None:
        return ""
    parts = [value for value in summary.paper if not math.isnan(value)]
    # As many as the longer part has: 0.9 ± 0.05 is 0.90 ± 0.05 in print
    decimals = max(len(f"{value:g}".partition(".")[2]) for value in parts)
    return " ± ".join(f"{value:.{decimals}f}" for value in parts)


def sentence(metric: Metric) -> str:
    """What a metric is, and which side is the better one."""
    side = "Higher is better." if metric.higher_is_better else "Lower is better."
    return f"{metric.description} {side}".strip()


def sentences(metrics: Sequence[Metric]) -> list[str]:
    """What the metrics are and how configs name them, those of one sentence together."""
    together: dict[str, list[str]] = {}
    for metric in metrics:
        named = "" if metric.heading == metric.name else f" (`{metric.name}`)"
        if metric.description or named:
            shown = f"**{metric.heading}**{named}"
            together.setdefault(sentence(metric), []).append(shown)
    return [f"{', '.join(headings)}: {text}" for text, headings in together.items()]


def aside(text: str) -> str:
    """In brackets, to be set after a word; '' for nothing."""
    return f" ({text})" if text else ""


def counted(number: int, noun: str) -> str:
    """`1 case`, `2 cases`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def together(patients: np.ndarray | None) -> str:
    """How cases of one patient are taken."""
    if patients is None:
        return EACH_ROW
    return (
        f"{counted(len(patients), 'case')} of {counted(len({*patients}), 'patient')}: intervals "
        "draw whole patients, and tests change all cases of one at once. Means and deviations are "
        "over cases."
    )


def few(number: int, noun: str = "case") -> list[str]:
    """A remark on an interval over so many cases or patients, where it is needed."""
    if number < FEWEST:
        return [f"{counted(number, noun)}: too few for an interval, which takes at least {FEWEST}."]
    if number < FEW:
        return [f"{number} {noun}s are few: such an interval holds less often than in 95 %."]
    return []


def reaching(lines: Sequence[str]) -> list[str]:
    """What can be concluded, as a list under its title."""
    return ["**How far this reaches**", "", *(f"- {line}" for line in lines)]


def standing(value: float, summary: Summary | None, baseline: float, metric: Metric) -> str:
    """How a value stands to the baseline, as far as its interval shows it."""
    # nan, and equal ends, which say nothing of the spread, hold no value
    if summary is not None and summary.low < summary.high:
        if summary.low <= baseline <= summary.high:
            return "cannot be told from the baseline, which lies in the interval"
        return f"{'' if is_better(value, baseline, metric) else 'not '}better than the baseline"
    if is_better(value, baseline, metric):
        return "better than the baseline on these cases, without an interval to say more"
    return "not better than the baseline"
