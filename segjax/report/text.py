"""The sentences of a sweep's report: what its numbers mean, and what is missing from them."""

import math
from collections.abc import Sequence

import numpy as np

from segjax.report.comparison import (
    FEWEST,
    LEVEL,
    Comparison,
    Summary,
    seed_differences,
    values_of,
)
from segjax.report.results import Row, Sweep
from segjax.tasks.metric import Metric

FEWER, LEFT_OUT, STAR, UNKNOWN = "†", "‡", "*", "–"
TOO_FEW = "too few cases"
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


def number(value: float, metric: Metric, sign: str = "") -> str:
    """A value with three decimals, two when it has a unit, or two digits of a small one.

    A dash for nan.
    """
    if math.isnan(value):
        return UNKNOWN
    decimals = 2 if metric.unit else 3
    small = 0 < abs(value) < 10 ** (1 - decimals)
    return f"{value:{sign}.2g}" if small else f"{value:{sign}.{decimals}f}"


def interval(summary: Summary, metric: Metric) -> str:
    """`low to high`; a dash where there is none, or nothing is known of the spread."""
    if math.isnan(summary.low):
        return UNKNOWN if math.isnan(summary.mean) else TOO_FEW
    # Equal ends say that nothing is known of the spread
    if summary.low == summary.high:
        return UNKNOWN
    return f"{number(summary.low, metric)} to {number(summary.high, metric)}"


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
    """`mean ± sd`, both with as many decimals, or the mean alone."""
    text = number(mean, metric)
    if math.isnan(sd):
        return text
    decimals = len(text.partition(".")[2])
    return f"{text} ± " + (number(sd, metric) if "e" in text else f"{sd:.{decimals}f}")


def paper_figure(summary: Summary) -> str:
    """The paper's own figure as it was given, both its parts to as many decimals."""
    if summary.paper is None:
        return ""
    parts = [value for value in summary.paper if not math.isnan(value)]
    # As many as the longer part has: 0.9 ± 0.05 is 0.90 ± 0.05 in print
    decimals = max(len(f"{value:g}".partition(".")[2]) for value in parts)
    return " ± ".join(f"{value:.{decimals}f}" for value in parts)


def has_fewer(row: Row, sweep: Sweep) -> bool:
    """Whether a row has fewer seeds than another."""
    return len(row.seeds) < max(len(other.seeds) for other in sweep.rows)


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
        return [f"{counted(number, noun)}: too few for an interval."]
    if number < FEW:
        return [f"{number} {noun}s are few: such an interval holds less often than in 95 %."]
    return []


def reaching(lines: Sequence[str]) -> list[str]:
    """What can be concluded, as a list under its title."""
    return ["**How far this reaches**", "", *(f"- {line}" for line in lines)]


def remarked(sweep: Sweep) -> list[str]:
    """What the task remarks on the trainings: once what it says of all, else of which."""
    said: dict[str, dict[str, list[int]]] = {}
    for row in sweep.rows:
        for seed, lines in zip(row.seeds, row.remarks, strict=True):
            for line in lines:
                said.setdefault(line, {}).setdefault(row.label, []).append(seed)
    return [
        line if of == {row.label: [*row.seeds] for row in sweep.rows} else f"{_of(of)}: {line}"
        for line, of in said.items()
    ]


def _of(settings: dict[str, list[int]]) -> str:
    """Settings with their seeds, in words."""
    return "; ".join(
        f"`{label}`, seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        for label, seeds in settings.items()
    )


def reversed_by_seeds(sweep: Sweep, comparison: Comparison) -> list[str]:
    """A line on differences that do not have the same sign under every seed."""
    reference = next(row for row in sweep.rows if row.label == comparison.reference)
    others = [row for row in sweep.rows if row is not reference]
    turned: dict[str, list[str]] = {}
    for metric in sweep.metrics:
        for row in others:
            differences = seed_differences(sweep, metric, row, reference)
            if min(differences, default=0) < 0 < max(differences, default=0):
                turned.setdefault(metric.heading, []).append(f"`{row.label}`")
    lines = [
        f"{heading}: the difference to `{comparison.reference}` has not the same sign under every "
        f"seed for {', '.join(rows)}."
        for heading, rows in turned.items()
    ]
    if apart := [f"`{row.label}`" for row in others if not {*row.seeds} & {*reference.seeds}]:
        lines.append(f"{', '.join(apart)} and `{comparison.reference}` have no seed in common.")
    return lines


def smallest_p(sweep: Sweep, comparison: Comparison) -> list[str]:
    """A line for metrics of which no difference can pass the test, however large it is."""
    noun = "case" if sweep.patients is None else "patient"
    most = len(sweep.cases) if sweep.patients is None else len({*sweep.patients})
    found: dict[tuple[int, int], list[str]] = {}
    for metric in sweep.metrics:
        pairs = [summary.pairs for summary in comparison.metrics[metric.name] if summary.pairs]
        # All 2^n ways of changing signs are equally likely, and two of them are the most extreme
        units = min(most, max(pairs, default=0))
        if pairs and len(pairs) * 2.0 / 2**units >= LEVEL:
            found.setdefault((units, len(pairs)), []).append(metric.heading)
    lines = []
    for (units, tests), headings in found.items():
        least = min(tests * 2.0 / 2**units, 1)
        whose = "" if len(headings) == len(sweep.metrics) else f" of {', '.join(headings)}"
        needed = math.floor(math.log2(tests * 2.0 / LEVEL)) + 1
        lines.append(
            f"With {counted(units, noun)} no corrected p{whose} can fall below {least:.3g}: this "
            f"report cannot show any such difference. At least {needed} {noun}s are needed."
        )
    return lines


def reach(sweep: Sweep, comparison: Comparison) -> list[str]:
    """What the number of cases and seeds lets one conclude."""
    cases, seeds = len(sweep.cases), max(len(row.seeds) for row in sweep.rows)
    independent = cases if sweep.patients is None else len({*sweep.patients})
    lines = [
        f"{counted(cases, 'validation case')}, {counted(seeds, 'seed')} a setting"
        + (". Nothing here says how much another seed would change." if seeds == 1 else " at most.")
    ]
    if seeds > 1:
        lines.append("Tests, and intervals of means, are under these very seeds.")
    lines += reversed_by_seeds(sweep, comparison)
    if len(sweep.rows) > 1:
        lines.append(
            "A difference without a star is not shown to be there, nor shown to be absent: more "
            "cases would tell."
        )
    lines += smallest_p(sweep, comparison)
    lines += few(independent, "case" if sweep.patients is None else "patient")
    lines += [
        together(sweep.patients),
        chosen(sweep),
    ]
    return reaching(lines)


def chosen(sweep: Sweep) -> str:
    """By what the checkpoints were chosen."""
    return (
        f"The checkpoints were chosen by these same cases (the best `{sweep.chosen_by}`), which "
        "overestimates the performance of all settings."
    )


def notes(sweep: Sweep, comparison: Comparison) -> list[str]:
    """How to read the table, and what it leaves out."""
    patients = sweep.patients
    of = "" if patients is None else f" of {counted(len({*patients}), 'patient')}"
    lines = [f"Over {len(sweep.cases)} validation cases{of}."]
    if any(m.is_mean for m in sweep.metrics):
        lines.append(
            "Mean ± standard deviation over cases, each case first averaged over the seeds."
        )
    if others := [metric.heading for metric in sweep.metrics if not metric.is_mean]:
        lines.append(f"{', '.join(others)}: of all cases of a seed together, the mean over seeds.")
    if len(sweep.rows) > 1:
        count = len(sweep.rows) - 1
        lines += [
            "Bold: the best value of a column.",
            f"{STAR} differs from `{comparison.reference}`, corrected p < {LEVEL:g}: paired "
            f"permutation test over cases ({_tests(sweep)}; 10,000 times at random, or in all ways "
            "where there are fewer), Holm's correction over the "
            f"{count} comparison{'s' if count > 1 else ''} of each metric.",
        ]
    if any(summary.paper for rows in comparison.metrics.values() for summary in rows):
        lines.append("In italics: the paper's own figures, on its own data.")
    lines += [f"{FEWER} fewer seeds than another row." for _ in _fewer(sweep)[:1]]
    if parts := _left_out(sweep, comparison):
        lines.append(
            f"{LEFT_OUT} Values that are infinite or unknown (as when a structure is missing from "
            "a prediction or from the truth) are left out of means, intervals and tests, in a "
            "test the case from both rows; so such a mean overestimates its row: "
            + "; ".join(parts)
        )
        lines[-1] += "."
    if sweep.dropped:
        lines.append(f"Left out: {sweep.dropped} cases that only some of the points have.")
    return lines


def _tests(sweep: Sweep) -> str:
    """What the tests permute."""
    of_means = "the sign of a case's difference"
    of_others = "whole cases between the two rows"
    kinds = {metric.is_mean for metric in sweep.metrics}
    if kinds == {True}:
        return f"changing {of_means}"
    if kinds == {False}:
        return f"exchanging {of_others}"
    return f"changing {of_means}; where the value is no mean, exchanging {of_others}"


def interval_text(metric: Metric, summaries: Sequence[Summary]) -> list[str]:
    """What the interval and the test of a metric are over."""
    lines = []
    if any(summary.low < summary.high for summary in summaries):
        lines.append(
            "The interval is over cases (BCa bootstrap, 10,000 resamples): another choice of cases "
            "under these very seeds."
            if metric.is_mean
            else "The interval is over seeds and cases (percentile bootstrap of both; of one seed, "
            "over cases): another choice of either."
        )
    if not metric.is_mean:
        lines.append(
            "The test exchanges cases between the two rows: 10,000 times at random, or in all ways "
            "where there are fewer."
        )
    return lines


def _fewer(sweep: Sweep) -> list[Row]:
    return [row for row in sweep.rows if has_fewer(row, sweep)]


def _left_out(sweep: Sweep, comparison: Comparison) -> list[str]:
    parts = []
    for metric in sweep.metrics:
        for row, summary in zip(sweep.rows, comparison.metrics[metric.name], strict=True):
            if summary.not_finite:
                values = sum(column.size for column in values_of(sweep, row, metric))
                parts.append(
                    f"{metric.heading}, `{row.label}`: {summary.not_finite} of {values} values, "
                    f"{summary.left_out} cases altogether"
                )
    return parts


def unfinished(sweep: Sweep) -> list[str]:
    """Settings of which a point is not done, with how many."""
    return [
        f"`{label}`: {total - done} of {total} points"
        for label, (done, total) in sweep.done.items()
        if done < total
    ]
