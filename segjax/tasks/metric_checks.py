"""Whether the metrics of a task are what training, tables, intervals and tests can call."""

import numpy as np

from segjax.checks import nearest
from segjax.errors import UserError
from segjax.tasks.base import Task
from segjax.tasks.metric import Metric


def check_metrics(task: Task, where: str) -> None:
    """UserError, beginning with `where`, for the first metric that is none.

    One is refused whose name is taken or no word of one line, whose columns no table has, or whose
    statistic does not give a number for a table, and for many at once; so is a headline that is
    none of them.
    """
    if not isinstance(task.metrics, (tuple, list)):
        raise UserError(f"{where}: its metrics are no sequence of Metric")
    for metric in task.metrics:
        if not isinstance(metric, Metric):
            raise UserError(f"{where}: its metric {metric!r} is no Metric (tasks/metric.py)")
    names = [metric.name for metric in task.metrics]
    for metric in task.metrics:
        _check_name(metric, names, where)
        _check_columns(metric, task, where)
        _check_statistic(metric, f"{where}: the statistic of its metric {metric.name!r}")
    if task.headline not in names:
        has = ", ".join(names) or "it has none"
        raise UserError(f"{where}: its headline {task.headline!r} is none of its metrics, {has}")


def _check_name(metric: Metric, names: list, where: str) -> None:
    for text in (metric.name, metric.title, metric.unit, metric.description):
        if not isinstance(text, str) or not text.isprintable():
            raise UserError(
                f"{where}: its metric {text!r} takes a name, title, unit and description, a line "
                "each"
            )
    name = metric.name
    if not name:
        raise UserError(f"{where}: a metric without a name")
    if names.count(name) > 1 or name == "loss" or name.startswith(("loss/", "weight/")):
        why = "two metrics have it" if names.count(name) > 1 else "the losses have it"
        raise UserError(f"{where}: a metric cannot be named {name!r}: {why}")


def _check_columns(metric: Metric, task: Task, where: str) -> None:
    # A table has the columns that `columns` lists; what is not reported needs no table.
    table = task.columns if metric.reported else [*task.columns, *task.scored]
    there = dict.fromkeys(table)
    if lacking := next((name for name in metric.columns if name not in there), None):
        raise UserError(
            f"{where}: its metric {metric.name!r} takes the column {lacking!r}, which is none "
            f"of its table{nearest(lacking, there)} They are: {', '.join(there)}"
        )


def _check_statistic(metric: Metric, where: str) -> None:
    """Called as training does, and as intervals and tests do, with many resampled tables."""
    column = np.array([0.0, 1.0, 0.25, 0.75])
    single = _result(metric, [column.copy() for _ in metric.columns])
    several = _result(metric, [np.tile(column, (2, 1)) for _ in metric.columns])
    if isinstance(single, Exception):  # of values that it may rightly refuse
        return
    if isinstance(several, Exception):
        raise UserError(
            f"{where} fails for columns [2, cases]: {type(several).__name__}: {several}; it takes "
            "[..., cases] to [...], as metrics/statistics.py says"
        )
    for result, shape in ((single, ()), (several, (2,))):
        if np.asarray(result).dtype.kind not in "biuf":
            raise UserError(f"{where} gives {result!r}, which is no number")
        if np.shape(result) != shape:
            given = "[2, cases]" if shape else "[cases]"
            raise UserError(
                f"{where} gives shape {np.shape(result)} for columns {given}; it takes "
                "[..., cases] to [...], as metrics/statistics.py says"
            )


def _result(metric: Metric, columns: list[np.ndarray]) -> object:
    try:
        with np.errstate(all="ignore"):
            return metric.statistic(*columns)
    except Exception as error:
        return error
