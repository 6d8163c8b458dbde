"""A metric: a statistic of some columns of a task's table of cases, with its name and unit."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segjax.metrics.statistics import Statistic, mean

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Metric:
    """One number that a table of cases comes to.

    Training, `evaluate.best`, the tables of a run and of a sweep, bootstrap intervals and
    permutation tests all take it from here.

    Attributes:
        name: in metrics.jsonl, metrics_<split>.json, `evaluate.best` and `config.paper`.
        columns: the columns of the table that it is made of.
        statistic: of those columns, each `[..., cases]`; see `metrics/statistics.py`.
        title: in reports; the name where there is none.
        unit: of the value; none for a share.
        higher_is_better: which side is the better one.
        reported: whether the report of a sweep shows it.
        cases: ending of the names of the cases that count; empty: all.
        description: what it is, in a sentence for reports.
        is_of_some: whether it is of some cases only, as a sensitivity is of the positive ones: that
            the others have no value is no lack then.
    """

    name: str
    columns: tuple[str, ...]
    statistic: Statistic = mean
    title: str = ""
    unit: str = ""
    higher_is_better: bool = True
    reported: bool = True
    cases: str = ""
    description: str = ""
    is_of_some: bool = False

    @property
    def heading(self) -> str:
        """Its title, or its name."""
        return self.title or self.name

    def of_cases(self, metrics: Sequence["Metric"]) -> "Metric | None":
        """What has a value a case: itself, or, of a statistic that is no mean, that of its column.

        None where its first column has no mean among `metrics`.
        """
        if self.is_mean:
            return self
        column = self.columns[:1], self.cases
        means = (m for m in metrics if m.is_mean and (m.columns, m.cases) == column)
        return next(means, None)

    @property
    def is_mean(self) -> bool:
        """Whether it is the mean of a single column, whose cases can be averaged over seeds."""
        return self.statistic is mean and len(self.columns) == 1

    @functools.cached_property
    def takes_unknown(self) -> bool:
        """Whether its statistic has a value where a case has none, as a count of such cases."""
        column = np.array([[0.0, 1.0, 0.25, 0.75, np.nan]])
        try:
            with np.errstate(all="ignore"):
                return bool(np.isfinite(self.statistic(*(column.copy() for _ in self.columns))))
        except Exception:  # of values that it rightly refuses
            return False

    @property
    def keys(self) -> tuple[str, ...]:
        """What `config.paper` may call it: its name, or that of its column."""
        ending = f"/{self.cases}" if self.cases else ""
        # A column dice_disc may be given as dice/disc, as metrics of several targets are named
        column = self.columns[0]
        return (self.name, column + ending, column.replace("_", "/", 1) + ending)

    def given(self, columns: Columns) -> bool:
        """Whether a table has all that it is made of."""
        return all(name in columns for name in self.columns)

    def counted(self, names: Sequence[str]) -> np.ndarray:
        """Which cases count, by their names."""
        return np.array([name.endswith(self.cases) for name in names], bool)

    def of(self, columns: Columns, names: Sequence[str] | None = None) -> float:
        """Its value on a table; `names` of the cases where it takes only some."""
        # Copies, for a statistic may sort in place
        values = [np.array(columns[name], np.float64) for name in self.columns]
        if self.cases:
            kept = self.counted(names)
            values = [column[kept] for column in values]
        return float(self.statistic(*values))


def values_of(
    metrics: Sequence[Metric], columns: Columns, names: Sequence[str] | None = None
) -> dict[str, float]:
    """The metrics that a table has the columns for, by name."""
    return {metric.name: metric.of(columns, names) for metric in metrics if metric.given(columns)}
