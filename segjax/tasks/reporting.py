"""What a report shows of a task."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Reported:
    """One metric of the table that ends a sweep.

    `Task.reported()` lists them; those whose column a run's prediction table lacks are left out.
    """

    column: str  # of predictions_<split>.csv
    title: str
    higher_is_better: bool
    unit: str = ""
    # From a mean over cases to what is reported, for a metric that is no mean itself.
    transform: Callable | None = None
    name: str = ""  # in metrics_<split>.json and config.paper, where it is not the column's
    cases: str = ""  # ending of the names of the cases that count; empty: all

    @property
    def key(self) -> str:
        """The metric's name, which no other metric has."""
        return (self.name or self.column) + self._ending

    @property
    def keys(self) -> tuple[str, str, str]:
        """What config.paper may call it."""
        columns = (self.column, self.column.replace("_", "/", 1))
        return (self.key, *(column + self._ending for column in columns))

    @property
    def _ending(self) -> str:
        return f"/{self.cases}" if self.cases else ""
