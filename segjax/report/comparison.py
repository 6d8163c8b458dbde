"""The statistics of a sweep's report: means, intervals, paired tests, failures to converge."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from segjax import stats
from segjax.checks import nearest
from segjax.errors import UserError
from segjax.metrics import statistics
from segjax.report.results import Row, Sweep
from segjax.tasks.metric import Metric

LEVEL = 0.05
# Fewer cases (or patients) get no interval: resamples of so few hardly leave their own range
FEWEST = 5
# Of the best row's median: a model that ends below it counts as one that failed to converge.
FAILED_SHARE = 0.75
# Settings that are shown and tested: more are no table that is read, and take minutes
MOST = 50


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
    metrics: dict[str, tuple[Summary, ...]]  # metric's name -> a summary a row


def row_labels(sweep: Sweep) -> list[str]:
    """The labels of the rows that have a finished point."""
    return [row.label for row in sweep.rows]


def foremost(sweep: Sweep, reference: str | None = None) -> Sweep:
    """A sweep of too many settings, its best ones by the headline alone as `rows`.

    Kept as well: the reference, which is the first row where none is named.
    """
    if len(sweep.rows) <= MOST:
        return sweep
    sign = -1 if sweep.headline.higher_is_better else 1
    # nan, which no order holds, comes last
    worth = {row.label: sign * float(np.mean(row.reached)) for row in sweep.rows}
    ranked = sorted(worth, key=lambda label: (math.isnan(worth[label]), worth[label]))
    kept = {*ranked[:MOST], sweep.rows[0].label if reference is None else reference}
    rows, others = (
        tuple(row for row in sweep.rows if (row.label in kept) == shown) for shown in (True, False)
    )
    return replace(sweep, rows=rows, others=others)


def compare(
    sweep: Sweep, against: str | None = None, known: Sequence[str] | None = None
) -> Comparison:
    """Summarises every metric of every row, and tests the rows against one of them.

    Of a metric that is the mean of a column, a case's value is its mean over the seeds under which
    it is finite. Any other statistic is one number a seed: it takes the cases that are finite under
    every seed, its interval is over seeds and cases, it has no deviation over cases, and its test
    exchanges the cases of two rows.

    **Source**: paired permutation test of the mean difference with 10,000 sign changes, as in the
    region-wise loss paper, section 4.1; BCa interval over cases; Holm's correction over the
    comparisons of one metric.
    **Departures**: the paper names no correction.

    Args:
        sweep: the results.
        against: label of the reference row; None takes the first row.
        known: labels that a message names, where there are more than those of the sweep.

    Returns: the comparison.
    **Empty cases**: a row without a finite value has nan everywhere and is not tested.
    Raises: UserError for a label that no row with a finished point has.
    Cost: one bootstrap a row and metric, one test a row and metric; seconds for 30 of each.
    """
    labels = row_labels(sweep)
    reference = labels[0] if against is None else against
    if reference not in labels:
        known = known or labels
        raise UserError(
            f"--against {against!r}: no row with a finished point has this label"
            f"{nearest(reference, known)} The labels are: {'; '.join(known)}"
        )
    index = labels.index(reference)
    metrics = {m.name: _compare_rows(sweep, m, index) for m in sweep.metrics}
    return Comparison(reference, metrics)


def _compare_rows(sweep: Sweep, metric: Metric, index: int) -> tuple[Summary, ...]:
    tables = [values_of(sweep, row, metric) for row in sweep.rows]
    patients = sweep.patients
    if patients is not None:
        patients = patients[metric.counted(sweep.cases)]
    summaries = [
        summary_of(metric, columns, row.paper, patients)
        for row, columns in zip(sweep.rows, tables, strict=True)
    ]
    compare_two = _compare_means if metric.is_mean else _compare_statistics
    for i, columns in enumerate(tables):
        if i != index and (found := compare_two(metric, columns, tables[index], patients)):
            pairs, difference, p = found
            summaries[i] = replace(summaries[i], pairs=pairs, difference=difference, p=p)
    # Rows that were not tested are no comparisons, and must not make the correction stricter
    tested = [i for i, summary in enumerate(summaries) if math.isfinite(summary.p)]
    # Those that are not shown count, as if their p were 1: all were looked at to show the best
    ones = [1.0] * len(sweep.others)
    corrected = stats.holm([*(summaries[i].p for i in tested), *ones])
    for i, p in zip(tested, corrected, strict=False):
        summaries[i] = replace(summaries[i], p_holm=float(p))
    best = _best([summary.mean for summary in summaries], metric.higher_is_better)
    return tuple(replace(summary, best=i == best) for i, summary in enumerate(summaries))


def values_of(sweep: Sweep, row: Row, metric: Metric) -> list[np.ndarray]:
    """The columns of a metric, `[seeds, cases]` each, of the cases that it counts."""
    counted = metric.counted(sweep.cases)
    return [row.columns[name][:, counted] for name in metric.columns]


def _compare_means(
    metric: Metric, own: list, other: list, patients: np.ndarray | None
) -> tuple[int, float, float] | None:
    """Cases in both rows, their mean difference, and p."""
    a, b = case_values(own[0]), case_values(other[0])
    # A pair needs both: a distance is infinite where one of the structures is missing
    both = np.isfinite(a) & np.isfinite(b)
    if not both.any():
        return None
    difference = float(np.mean(a[both] - b[both]))
    p = stats.paired_permutation_test(a[both], b[both], clusters=_some(patients, both))
    return int(both.sum()), difference, p


def _compare_statistics(
    metric: Metric, own: list, other: list, patients: np.ndarray | None
) -> tuple[int, float, float] | None:
    """Cases in both rows, the difference of the statistic, and p, under as many seeds of both."""
    both = _taken(metric, own) & _taken(metric, other)
    if not both.any():
        return None
    seeds = min(len(own[0]), len(other[0]))
    a, b = ([column[:, both] for column in columns] for columns in (own, other))
    difference = float(np.mean(metric.statistic(*a)) - np.mean(metric.statistic(*b)))
    if not math.isfinite(difference):
        return None
    # The test wants as many seeds of both; the difference is that of all of them
    first = [column[:seeds] for column in a], [column[:seeds] for column in b]
    return (
        int(both.sum()),
        difference,
        stats.paired_statistic_test(
            *first,
            metric.statistic,
            unknown=metric.takes_unknown,
            clusters=_some(patients, both),
        ),
    )


def _some(patients: np.ndarray | None, kept: np.ndarray) -> np.ndarray | None:
    return None if patients is None else patients[kept]


def seed_differences(sweep: Sweep, metric: Metric, row: Row, other: Row) -> list[float]:
    """The differences under the seeds that two rows have, over the cases finite in both."""
    own, others = values_of(sweep, row, metric), values_of(sweep, other, metric)
    found = []
    for seed in row.seeds:
        if seed not in other.seeds:
            continue
        a = [column[[row.seeds.index(seed)]] for column in own]
        b = [column[[other.seeds.index(seed)]] for column in others]
        both = _taken(metric, a) & _taken(metric, b)
        if metric.is_mean:
            both &= _finite_cases(a) & _finite_cases(b)
        if both.any():
            values = [metric.statistic(*(c[:, both] for c in side)).item() for side in (a, b)]
            found.append(values[0] - values[1])
    return [difference for difference in found if math.isfinite(difference)]


def case_values(table: np.ndarray) -> np.ndarray:
    """Each case's mean over the seeds under which it is finite.

    Args:
        table: `[seeds, cases]`.

    Returns: `[cases]`, nan for a case without a finite value.
    """
    finite = np.isfinite(table)
    counts = finite.sum(axis=0)
    sums = np.where(finite, table, 0).sum(axis=0)
    # The maximum keeps 0 / 0, and its warning, from being computed
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def shown_cases(columns: list[np.ndarray], metric: Metric) -> np.ndarray:
    """What a figure shows of each case: the first column over the seeds, nan where left out."""
    values = case_values(columns[0])
    return values if metric.is_mean else np.where(_finite_cases(columns), values, np.nan)


def _taken(metric: Metric, columns: list[np.ndarray]) -> np.ndarray:
    """Which cases a statistic that is no mean is given: all, where it sees to unknown values."""
    every = np.ones(columns[0].shape[-1], bool)
    return every if metric.takes_unknown else _finite_cases(columns)


def _finite_cases(columns: list[np.ndarray]) -> np.ndarray:
    """Which cases are finite under every seed in every column."""
    return np.all([np.isfinite(column).all(axis=0) for column in columns], axis=0)


def summary_of(
    metric: Metric,
    columns: Sequence[np.ndarray],
    paper: Mapping[str, tuple[float, float]] = MappingProxyType({}),
    patients: np.ndarray | None = None,
    *,
    interval: bool = True,
) -> Summary:
    """A metric of one row: its value, deviation and interval; nan where there is none.

    Args:
        metric: what the columns come to.
        columns: `[seeds, cases]` each.
        paper: the paper's own figures by the names of `Metric.keys`.
        patients: of each case, where some are of one: intervals draw whole patients.
        interval: whether there is to be one, which is what takes time.
    """
    mean = sd = low = high = math.nan
    if metric.is_mean:
        cases = case_values(columns[0])
        kept = np.isfinite(cases)
        seed_values = statistics.mean(columns[0])
        if kept.any():
            mean = float(np.mean(cases[kept]))
        if interval and independent(kept, patients) >= FEWEST:
            low, high = stats.bootstrap_interval(cases[kept], clusters=_some(patients, kept))
        # A single case has no deviation
        if kept.sum() > 1:
            sd = float(np.std(cases[kept], ddof=1))
    else:
        kept = _taken(metric, columns)
        finite = [column[:, kept] for column in columns]
        seed_values = (
            metric.statistic(*finite) if kept.any() else np.full(len(columns[0]), math.nan)
        )
        # A statistic that one seed does not have is not averaged over the others, which would
        # flatter it.
        if kept.any() and np.isfinite(seed_values).all():
            mean = float(np.mean(seed_values))
            if interval and independent(kept, patients) >= FEWEST:
                low, high = _statistic_interval(metric, finite, _some(patients, kept))
    count = int(kept.sum())
    return Summary(
        mean=mean,
        sd=sd,
        low=low,
        high=high,
        seed_means=tuple(float(value) for value in seed_values),
        cases=count,
        left_out=len(kept) - count,
        not_finite=0 if metric.is_of_some else int(np.count_nonzero(~np.isfinite(columns))),
        paper=next((paper[key] for key in metric.keys if key in paper), None),
    )


def independent(kept: np.ndarray, patients: np.ndarray | None) -> int:
    """How many of the kept cases are independent: they themselves, or their patients."""
    return int(kept.sum()) if patients is None else len({*patients[kept]})


def _statistic_interval(
    metric: Metric, columns: list[np.ndarray], patients: np.ndarray | None
) -> tuple[float, float]:
    """The interval of a statistic that is no mean: of one seed over cases, else over both."""
    known = patients is None and np.isfinite(columns[0]).all()
    if len(columns) == len(columns[0]) == 1 and known:
        # As that of the mean which it is a function of; copies, for a statistic may sort in place
        return stats.bootstrap_interval(
            columns[0][0], statistic=lambda values, axis: metric.statistic(np.array(values))
        )
    return stats.crossed_bootstrap_interval(
        *columns,
        statistic=metric.statistic,
        unknown=metric.takes_unknown,
        clusters=patients,
    )


def is_better(value: float, other: float, metric: Metric) -> bool:
    """Whether a value is on the better side of another; nan is not."""
    return value > other if metric.higher_is_better else value < other


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
    # side="right" counts values equal to x; dividing by all, nan ones stay below no x
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
    # So that a nan, which compares False, has not converged
    converged = reached >= threshold if higher_is_better else reached <= threshold
    return float(np.mean(~converged)) if reached.size else math.nan


def failure_threshold(sweep: Sweep) -> float:
    """Three quarters of the best row's median value (four thirds where lower is better).

    Of a negative median, such as that of an R^2, the same distance on its worse side.
    """
    known = [row.reached[np.isfinite(row.reached)] for row in sweep.all_rows]
    medians = [np.median(reached) for reached in known if reached.size]
    if not medians:
        return math.nan
    if sweep.headline.higher_is_better:
        best = max(medians)
        return float(best - (1 - FAILED_SHARE) * abs(best))
    best = min(medians)
    return float(best + (1 / FAILED_SHARE - 1) * abs(best))
