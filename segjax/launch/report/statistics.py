"""The statistics of a sweep's report: means, intervals, paired tests, failures to converge."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from segjax import stats
from segjax.checks import nearest
from segjax.errors import UserError
from segjax.launch.report.cases import Row, Sweep
from segjax.tasks.reporting import Reported

LEVEL = 0.05
# Of the best row's median: a model that ends below it counts as one that failed to converge.
FAILED_SHARE = 0.75


@dataclass(frozen=True)
class Summary:
    """One metric of one row; nan where there is nothing to say."""

    mean: float
    sd: float  # over cases, of values averaged over seeds
    low: float
    high: float
    seed_means: tuple[float, ...]
    cases: int
    left_out: int  # cases without a finite value
    not_finite: int  # values (a seed and a case each) that are not finite
    paper: tuple[float, float] | None
    pairs: int = 0  # cases that the row and the reference both have
    difference: float = math.nan  # to the reference, over those
    p: float = math.nan
    p_holm: float = math.nan
    best: bool = False

    @property
    def significant(self) -> bool:
        """Whether the row differs from the reference after correction."""
        return self.p_holm < LEVEL


@dataclass(frozen=True)
class Comparison:
    """Every metric of every row, and the row that the others are compared to."""

    reference: str
    metrics: dict[str, tuple[Summary, ...]]  # metric's key -> a summary a row


def compare(sweep: Sweep, against: str | None = None) -> Comparison:
    """Summarises every metric of every row, and tests the rows against one of them.

    A case's value is its mean over the seeds under which it is finite. A metric with a transform
    is one number a seed, so it takes the cases that are finite under every seed, its interval is
    over seeds and cases, and it has no deviation over cases; the test is on its column.

    **Source**: paired permutation test of the mean difference with 10,000 sign changes, as in the
    region-wise loss paper, section 4.1; BCa interval over cases; Holm's correction over the
    comparisons of one metric.
    **Departures**: the paper names no correction.

    Args:
        sweep: the results.
        against: label of the reference row; None takes the first row.

    Returns: the comparison.
    **Empty cases**: a row without a finite value has nan everywhere and is not tested.
    Raises: UserError for a label that no row with a finished point has.
    Cost: one bootstrap a row and metric, one test a row and metric; seconds for 30 of each.
    """
    labels = [row.label for row in sweep.rows]
    reference = labels[0] if against is None else against
    if reference not in labels:
        raise UserError(
            f"--against {against!r}: no row with a finished point has this label"
            f"{nearest(reference, labels)} The labels are: {'; '.join(labels)}"
        )
    index = labels.index(reference)
    metrics = {m.key: _compare_rows(sweep.rows, m, index) for m in sweep.metrics}
    return Comparison(reference, metrics)


def _compare_rows(rows: tuple[Row, ...], metric: Reported, index: int) -> tuple[Summary, ...]:
    tables = [row.values[metric.key] for row in rows]
    cases = [case_values(table, every=bool(metric.transform)) for table in tables]
    summaries = [
        _summary(row, metric, table, case)
        for row, table, case in zip(rows, tables, cases, strict=True)
    ]
    for i, case in enumerate(cases):
        both = np.isfinite(case) & np.isfinite(cases[index])
        if i == index or not both.any():
            continue
        if metric.transform:
            difference = np.mean(_scores(tables[i], both, metric.transform))
            difference -= np.mean(_scores(tables[index], both, metric.transform))
        else:
            difference = np.mean(case[both] - cases[index][both])
        p = stats.paired_permutation_test(case[both], cases[index][both])
        summaries[i] = replace(
            summaries[i], pairs=int(both.sum()), difference=float(difference), p=p
        )
    tested = [i for i, summary in enumerate(summaries) if math.isfinite(summary.p)]
    corrected = stats.holm([summaries[i].p for i in tested])
    for i, p in zip(tested, corrected, strict=True):
        summaries[i] = replace(summaries[i], p_holm=float(p))
    best = _best([summary.mean for summary in summaries], metric.higher_is_better)
    return tuple(replace(summary, best=i == best) for i, summary in enumerate(summaries))


def case_values(table: np.ndarray, *, every: bool = False) -> np.ndarray:
    """Each case's mean over the seeds under which it is finite.

    Args:
        table: `[seeds, cases]`.
        every: a case counts only when it is finite under every seed.

    Returns: `[cases]`, nan for a case that is left out.
    """
    finite = np.isfinite(table)
    counts = finite.sum(axis=0)
    counts = np.where(counts < (len(table) if every else 1), 0, counts)
    sums = np.where(finite, table, 0).sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _scores(table: np.ndarray, keep: np.ndarray, transform: Callable) -> np.ndarray:
    """The transformed mean of each seed, `[seeds]`."""
    return np.asarray(transform(table[:, keep].mean(axis=1)))


def _summary(row: Row, metric: Reported, table: np.ndarray, cases: np.ndarray) -> Summary:
    kept = np.isfinite(cases)
    count = int(kept.sum())
    mean = sd = low = high = math.nan
    if metric.transform and count:
        seed_means = _scores(table, kept, metric.transform)
        mean = float(np.mean(seed_means))
        interval = stats.crossed_bootstrap_interval(table[:, kept], transform=metric.transform)
        low, high = interval
    else:
        finite = np.isfinite(table)
        sums, counts = np.where(finite, table, 0).sum(axis=1), finite.sum(axis=1)
        seed_means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        if count:
            mean = float(np.mean(cases[kept]))
            low, high = stats.bootstrap_interval(cases[kept])
        if count > 1:
            sd = float(np.std(cases[kept], ddof=1))
    return Summary(
        mean=mean,
        sd=sd,
        low=low,
        high=high,
        seed_means=tuple(float(value) for value in seed_means),
        cases=count,
        left_out=len(cases) - count,
        not_finite=int(np.count_nonzero(~np.isfinite(table))),
        paper=next((row.paper[key] for key in metric.keys if key in row.paper), None),
    )


def _best(means: list[float], higher_is_better: bool) -> int | None:
    """The row with the best mean; None unless there are two to compare."""
    known = [i for i, mean in enumerate(means) if math.isfinite(mean)]
    if len(known) < 2:
        return None
    return (max if higher_is_better else min)(known, key=lambda i: means[i])


def cdf(values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Share of models that reached at most x.

    F(x) = 1/n sum_i [d_i <= x]

    **Source**: the region-wise loss paper, Eq. (8). **Departures**: none.

    Args:
        values: `[n]`, one value a model.
        x: where to evaluate, any shape.

    Returns: shares in [0, 1], of x's shape.
    **Empty cases**: no model gives nan; a value that is nan counts in n and is below no x.
    """
    values = np.asarray(values, np.float64)
    known = np.sort(values[~np.isnan(values)])
    if not values.size:
        return np.full(np.shape(x), np.nan)
    return np.searchsorted(known, x, side="right") / values.size


def failed_share(reached: np.ndarray, threshold: float, higher_is_better: bool = True) -> float:
    """Share of models that failed to converge: the value is nan, or worse than a threshold.

    Args:
        reached: `[n]`, the headline value of each model.
        threshold: a model that ends at it has converged.
        higher_is_better: of the headline metric.

    Returns: a share in [0, 1]. **Empty cases**: no model gives nan.
    """
    reached = np.asarray(reached, np.float64)
    converged = reached >= threshold if higher_is_better else reached <= threshold
    return float(np.mean(~converged)) if reached.size else math.nan


def failure_threshold(sweep: Sweep) -> float:
    """Three quarters of the best row's median value (four thirds where lower is better)."""
    known = [row.reached[np.isfinite(row.reached)] for row in sweep.rows]
    medians = [np.median(reached) for reached in known if reached.size]
    if not medians:
        return math.nan
    if sweep.task.higher_is_better:
        return float(max(medians) * FAILED_SHARE)
    return float(min(medians) / FAILED_SHARE)
