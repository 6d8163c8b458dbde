"""Which trainings of a sweep failed, and where each setting's ended, in words."""

import math

import numpy as np

from segjax.report.comparison import FAILED_SHARE, failed_share, is_better
from segjax.report.results import Row, Sweep
from segjax.report.text import aside, number
from segjax.tasks.metric import Metric


def convergence(sweep: Sweep, threshold: float, chosen: bool) -> list[str]:
    """The share of models of each row that failed to converge, and what that means."""
    if math.isnan(threshold):
        return [f"No training has a value of `{sweep.headline.name}`."]
    side = "below" if sweep.headline.higher_is_better else "above"
    share = 1 - FAILED_SHARE if sweep.headline.higher_is_better else 1 / FAILED_SHARE - 1
    far = f"{share:.0%} {side} the median of the setting whose median is best"
    origin = "as chosen" if chosen else f"{far}; `--failed-below` sets it"
    lines = [
        f"A training counts as failed when `{sweep.headline.name}` of its best checkpoint is "
        f"{side} {threshold:.4g} ({origin}). Those that are not done are not counted.",
        "",
    ]
    for row in sweep.rows:
        failed = failed_share(row.reached, threshold, sweep.headline.higher_is_better)
        count = round(failed * len(row.reached))
        parts = [f"{count} of {len(row.reached)} failed"]
        if behind := _behind_baseline(sweep, row):
            parts.append(f"{behind} not better than the baseline in {sweep.headline.heading}")
        if row.steps:
            parts.append(f"best checkpoints of {_steps(row)}")
        if ends := _ends(row, sweep.headline):
            parts.append(f"at the last validation{aside(sweep.measured)}: {ends}")
        lines.append(f"- `{row.label}`: {'; '.join(parts)}")
    if sweep.others:
        reached = np.concatenate([row.reached for row in sweep.others])
        count = round(
            failed_share(reached, threshold, sweep.headline.higher_is_better) * len(reached)
        )
        lines.append(f"- settings that are not shown: {count} of {len(reached)} failed")
    return lines


def _behind_baseline(sweep: Sweep, row: Row) -> int:
    """How many trainings of a row reached no more than the baseline."""
    baseline = sweep.baseline.get(sweep.headline.name)
    if baseline is None:
        return 0
    return sum(not is_better(value, baseline, sweep.headline) for value in row.reached)


def _steps(row: Row) -> str:
    low, high = min(row.steps), max(row.steps)
    return f"step {low}" if low == high else f"steps {low} to {high}"


def _ends(row: Row, headline: Metric) -> str:
    """Where the trainings of a row ended, not at their best: the lowest and the highest."""
    curves = [curves[headline.name] for curves in row.curves if curves.get(headline.name)]
    values = [curve[max(curve)] for curve in curves]
    known = [value for value in values if math.isfinite(value)]
    parts = []
    if known:
        low, high = (number(value, headline) for value in (min(known), max(known)))
        parts.append(low if low == high else f"{low} to {high}")
    if lost := len(values) - len(known):
        parts.append(f"{lost} not finite")
    return ", ".join(parts)
