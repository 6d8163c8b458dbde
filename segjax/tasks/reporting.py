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

    @property
    def key(self) -> str:
        """The metric's name."""
        return self.name or self.column

    @property
    def keys(self) -> tuple[str, str, str]:
        """What config.paper may call it."""
        return (self.key, self.column, self.column.replace("_", "/", 1))
