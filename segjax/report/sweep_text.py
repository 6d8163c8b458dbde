"""The sentences of a sweep's report: what its numbers mean, and what is missing from them."""

import math
from collections.abc import Sequence

import numpy as np

from segjax.report import text as texts
from segjax.report.comparison import (
    FEWEST,
    LEVEL,
    MOST,
    Comparison,
    Summary,
    seed_differences,
    values_of,
)
from segjax.report.results import Row, Sweep
from segjax.report.text import counted, few, reaching, together
from segjax.tasks.metric import Metric

FEWER, LEFT_OUT, STAR = "†", "‡", "*"


def has_fewer(row: Row, sweep: Sweep) -> bool:
    """Whether a row has fewer seeds than another."""
    return len(row.seeds) < max(len(other.seeds) for other in sweep.rows)


def case_heading(metric: Metric, sweep: Sweep) -> str:
    """Of what a figure shows a value a case, with its unit and the better side.

    Of a statistic that is no mean it is its column, by the name that its mean has.
    """
    own = metric.of_cases(sweep.known)
    return texts.heading(own) if own else metric.columns[0].replace("_", " ")


def case_caption(metric: Metric, sweep: Sweep) -> str:
    """What the figure of a metric's cases shows, and why it stands under the metric."""
    made = "" if metric.is_mean else f", of which {metric.heading} is made"
    return case_heading(metric, sweep) + made


def shown_metrics(sweep: Sweep, curves: Sequence[str]) -> list[Metric]:
    """The metrics of the tables and of the figures, of which `curves` are those of validations."""
    drawn = {sweep.headline.name, *curves}
    shown = [
        *sweep.metrics,
        *(own for metric in sweep.metrics if (own := metric.of_cases(sweep.known))),
        *(metric for metric in sweep.known if metric.name in drawn),
    ]
    return list({metric.name: metric for metric in shown}.values())


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


def standings(sweep: Sweep, comparison: Comparison) -> list[str]:
    """A line on each metric that the baseline has: how every setting stands to it."""
    lines = []
    for metric in sweep.metrics:
        baseline = sweep.baseline.get(metric.name, math.nan)
        said: dict[str, list[str]] = {}
        for row, summary in zip(sweep.rows, comparison.metrics[metric.name], strict=True):
            if math.isfinite(baseline) and math.isfinite(summary.mean):
                stands = texts.standing(summary.mean, summary, baseline, metric)
                said.setdefault(stands, []).append(f"`{row.label}`")
        if said:
            parts = (f"{', '.join(rows)} {stands}" for stands, rows in said.items())
            lines.append(f"{metric.heading}: {'; '.join(parts)}.")
    return lines


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
    noun, most = texts.noun(sweep.patients), _independent(sweep)
    found: dict[tuple[int, int], list[str]] = {}
    for metric in sweep.metrics:
        pairs = [summary.pairs for summary in comparison.metrics[metric.name] if summary.pairs]
        # All 2^n ways of changing signs are equally likely, and two of them are the most extreme
        units = min(most, max(pairs, default=0))
        tests = len(pairs) + len(sweep.others)
        if pairs and tests * 2.0 / 2**units >= LEVEL:
            found.setdefault((units, tests), []).append(metric.heading)
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


def _independent(sweep: Sweep) -> int:
    """How many cases there are, or patients where some are of one."""
    return len(sweep.cases) if sweep.patients is None else len({*sweep.patients})


def reach(sweep: Sweep, comparison: Comparison) -> list[str]:
    """What the number of cases and seeds lets one conclude."""
    noun = texts.noun(sweep.patients)
    cases, seeds = len(sweep.cases), max(len(row.seeds) for row in sweep.rows)
    lines = [
        f"{counted(cases, 'validation case')}, {counted(seeds, 'seed')} a setting"
        + (". Nothing here says how much another seed would change." if seeds == 1 else " at most.")
    ]
    if seeds > 1:
        lines.append("Tests, and intervals of means, are under these very seeds.")
    lines += standings(sweep, comparison)
    lines += reversed_by_seeds(sweep, comparison)
    if len(sweep.rows) > 1:
        lines.append(
            f"A difference without a star is not shown to be there, nor shown to be absent: more "
            f"{noun}s would tell."
        )
    lines += smallest_p(sweep, comparison)
    lines += few(_independent(sweep), noun)
    lines += [together(sweep.patients), chosen(sweep)]
    return reaching(lines)


def chosen(sweep: Sweep) -> str:
    """By what the checkpoints were chosen."""
    return (
        f"The checkpoints were chosen by these same cases (the best `{sweep.chosen_by}`), which "
        "overestimates the performance of all settings."
    )


def over(sweep: Sweep) -> str:
    """Over how many cases, and patients."""
    patients = sweep.patients
    of = "" if patients is None else f" of {counted(len({*patients}), 'patient')}"
    return f"Over {len(sweep.cases)} validation cases{of}."


def values(sweep: Sweep) -> list[str]:
    """What the values of the table are."""
    lines = []
    if any(m.is_mean for m in sweep.metrics):
        lines.append(
            "Mean ± standard deviation over cases, each case first averaged over the seeds."
        )
    if others := [metric.heading for metric in sweep.metrics if not metric.is_mean]:
        lines.append(f"{', '.join(others)}: of all cases of a seed together, the mean over seeds.")
    return lines


def bold(comparison: Comparison) -> list[str]:
    """What bold means, where something is bold."""
    best = any(summary.best for rows in comparison.metrics.values() for summary in rows)
    return ["Bold: the best value of a column."] * best


def has_star(comparison: Comparison) -> bool:
    """Whether any value of the table has a star."""
    return any(summary.significant for rows in comparison.metrics.values() for summary in rows)


def tests(sweep: Sweep, comparison: Comparison) -> str:
    """What a star means, or that there is none, and the test behind it."""
    others, noun = len(sweep.all_rows) - 1, texts.noun(sweep.patients)
    than = f"`{comparison.reference}`"
    found = f"{STAR} differs from {than}, corrected p < {LEVEL:g}"
    if not has_star(comparison):
        found = f"No setting differs from {than} with corrected p < {LEVEL:g}"
    return (
        f"{found}: paired permutation test over {noun}s ({_permuted(sweep)}; 10,000 times at "
        "random, or in all ways where there are fewer), Holm's correction over the "
        f"{others} comparison{'s' if others > 1 else ''} of each metric."
    )


def _permuted(sweep: Sweep) -> str:
    """What the tests permute."""
    noun = texts.noun(sweep.patients)
    of_means = f"the sign of a {noun}'s difference{'' if sweep.patients is None else 's'}"
    of_others = f"whole {noun}s between the two rows"
    kinds = {metric.is_mean for metric in sweep.metrics}
    if kinds == {True}:
        return f"changing {of_means}"
    if kinds == {False}:
        return f"exchanging {of_others}"
    return f"changing {of_means}; where the value is no mean, exchanging {of_others}"


def notes(sweep: Sweep, comparison: Comparison) -> list[str]:
    """How to read the table, and what it leaves out."""
    lines = [over(sweep), *values(sweep), *bold(comparison)]
    if len(sweep.rows) > 1:
        lines.append(tests(sweep, comparison))
    return lines + marks(sweep, comparison)


def marks(sweep: Sweep, comparison: Comparison) -> list[str]:
    """What the other marks of the table mean, and what it leaves out."""
    lines = []
    if any(summary.paper for rows in comparison.metrics.values() for summary in rows):
        lines.append("In italics: the paper's own figures, on its own data.")
    if any(has_fewer(row, sweep) for row in sweep.rows):
        lines.append(f"{FEWER} fewer seeds than another row.")
    if parts := _left_out(sweep, comparison):
        lines.append(
            f"{LEFT_OUT} Values that are infinite or unknown (as when a structure is missing from "
            "a prediction or from the truth) are left out of means, intervals and tests, in a "
            "test the case from both rows; so such a mean overestimates its row: "
            + "; ".join(parts)
            + "."
        )
    if sweep.dropped:
        lines.append(f"Left out: {sweep.dropped} cases that only some of the points have.")
    return lines


def interval_text(sweep: Sweep, metric: Metric, summaries: Sequence[Summary]) -> list[str]:
    """What the interval and the test of a metric are over."""
    lines, noun = [], texts.noun(sweep.patients)
    if any(summary.low < summary.high for summary in summaries):
        lines.append(
            f"The interval is over {noun}s (BCa bootstrap, 10,000 resamples): another choice of "
            f"{noun}s under these very seeds."
            if metric.is_mean
            else f"The interval is over seeds and {noun}s (percentile bootstrap of both; of one "
            f"seed, over {noun}s): another choice of either."
        )
    if any(map(texts.lacks_interval, summaries)):
        lines.append(f"An interval takes at least {FEWEST} {noun}s with a value.")
    if not metric.is_mean and len(sweep.rows) > 1:
        lines.append(
            f"The test exchanges {noun}s between the two rows: 10,000 times at random, or in all "
            "ways where there are fewer."
        )
    return lines


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
    """Settings of which a point is not done, with how many; of very many settings how many."""
    lacking = {label: counts for label, counts in sweep.done.items() if counts[0] < counts[1]}
    if len(lacking) > MOST:
        done, total = (sum(counts) for counts in zip(*lacking.values(), strict=True))
        return [f"{total - done} of {total} points of {len(lacking)} settings"]
    return [
        f"`{label}`: {total - done} of {total} points" for label, (done, total) in lacking.items()
    ]


def foremost(sweep: Sweep) -> list[str]:
    """Which settings are shown, where there are too many."""
    reached = np.concatenate([row.reached for row in sweep.others])
    return [
        f"**Shown are {len(sweep.rows)} of {len(sweep.all_rows)} settings: the best by "
        f"{sweep.headline.heading} of their best checkpoints, and the reference.** The other "
        f"{len(sweep.others)} ({counted(reached.size, 'training')}) have their values in "
        "report.csv, without intervals and tests; Holm's correction counts them all the same, "
        "with p = 1. The best of so many look better here than they would on other cases."
    ]
