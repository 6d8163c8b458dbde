"""The text of a run's report: what was trained, a table of each split, and what its figures are."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ml_collections import ConfigDict

from segjax.metrics.statistics import mean, not_finite
from segjax.report import text as texts
from segjax.report.comparison import Summary, is_better, summary_of
from segjax.report.results import length
from segjax.tasks.base import Task, explained
from segjax.tasks.metric import Columns, Metric

COLUMNS = (
    "metric",
    "this run",
    "sd over cases",
    "median (quartiles)",
    "95 % interval",
    "baseline",
)
ANY_ENVIRONMENT = {
    "libraries": {"jax": "", "flax": ""},
    "commit": None,
    "parameters": 0,
    "total_steps": 0,
    "devices": [],
    "device_kind": "",
}
PAPER = "the paper's own figure, on its own data"


@dataclass(frozen=True)
class Split:
    """What a report says of one split.

    Attributes:
        result: of metrics_<split>.json.
        names, columns: the table of its cases; none where the data have changed since.
        patients: of each case, where some are of one.
        remarks: of the task, on the table.
        has_test: whether the set has a split `test`.
        metrics: of the task.
        explained: sentences on columns that are no metric, and on the baseline.
        validations: how many there were to choose the checkpoint among.
    """

    result: Mapping
    metrics: Sequence[Metric]
    explained: Mapping[str, str]
    validations: int
    names: Sequence[str] = ()
    columns: Columns | None = None
    patients: np.ndarray | None = None
    remarks: Sequence[str] = ()
    has_test: bool = False


def split_of(result: Mapping, task: Task, validations: int) -> Split:
    """A split whose table of cases is not read yet."""
    return Split(result, task.metrics, explained(task), validations)


def head(config: ConfigDict, environment: Mapping, done: int | None = None) -> list[str]:
    """What was trained, how, and with what; `done` is the last step of a run that goes on still."""
    libraries = environment["libraries"]
    # Earlier versions did not write down which one they were
    version = f"segjax {environment['segjax']}, " if "segjax" in environment else ""
    commit = f", commit {environment['commit']}" if environment["commit"] else ""
    examples = environment.get("examples")
    cases = environment.get("data", {}).get("cases", {})
    weighted = len(config.loss) > 1
    return [
        f"# {config.task}: {config.data.name}, {config.model.name}",
        "",
        *([f"- cases: {', '.join(f'{n} {split}' for split, n in cases.items())}"] if cases else []),
        f"- loss: {' + '.join(_term(term, weighted) for term in config.loss.values())}",
        *([f"- begun with `{config.model_init}`"] if config.model_init else []),
        f"- {config.optimizer.name}, learning rate {config.optimizer.learning_rate:g} "
        f"({config.schedule.name}), batch {config.data.batch_size}, "
        f"{_size(config.data.image_size)} pixels"
        + (f", {examples} examples an epoch" if examples else ""),
        f"- {environment['parameters']:,} parameters, "
        f"{length(config, environment['total_steps'])}, seed {config.seed}",
        f"- {len(environment['devices'])} x {environment['device_kind']}, {version}"
        f"jax {libraries['jax']}, flax {libraries['flax']}{commit}",
        *([] if done is None else [f"- **not at its end: logged up to step {done}**"]),
        "",
    ]


def _term(term: ConfigDict, weighted: bool) -> str:
    """A term of the loss, with its weight where that says something, and its arrays' origin."""
    weight = term.weight.name if isinstance(term.weight, ConfigDict) else f"{term.weight:g}"
    inputs = ", ".join(f"{name} = {array}" for name, array in dict(term.get("inputs", {})).items())
    weight = f"{weight} x " if weighted or weight != "1" else ""
    return f"{weight}{term.name}" + (f" ({inputs})" if inputs else "")


def _size(size: Sequence[int]) -> str:
    """`height x width`; a single number of a square."""
    height, width = size
    return f"{height}" if height == width else f"{height} x {width}"


def section(split: Split, config: ConfigDict) -> list[str]:
    """The table of a split, and what is particular to its cases."""
    result = split.result
    rows = [_row(split, name, result["metrics"][name], config.paper) for name in shown(split)]
    return [
        f"## {result['split']}: {texts.counted(round(result['count']), 'case')}, checkpoint of "
        f"step {result['step']}",
        "",
        *texts.table(*texts.filled([*COLUMNS, PAPER], rows)),
        *_remarks(split, config),
    ]


def explanation(splits: Sequence[Split], config: ConfigDict) -> list[str]:
    """What all figures are, and what can be concluded from them."""
    named = {name: split for split in splits for name in shown(split)}
    if not named:
        return []
    # Of the curves, where no table has it
    first = {"loss": splits[0]} | named
    lines = texts.sentences([metric_of(split, name) for name, split in first.items()])
    known = splits[0].explained
    if any(split.result["baseline"] for split in splits) and "baseline" in known:
        lines.append(f"**baseline**: {known['baseline']}.")
    there = dict.fromkeys(name for split in splits for name in split.columns or ())
    if told := [f"`{name}`, {known[name]}" for name in there if name in known]:
        lines.append(
            "`predictions_<split>.csv` has a row a case: the metrics above that are means, and "
            f"{'; '.join(told)}."
        )
    return [
        "## What the metrics are",
        "",
        *(f"- {line}" for line in lines),
        "",
        *texts.reaching(
            [
                f"One training (seed {config.seed}). An interval (bootstrap over cases, 10,000 "
                "resamples; BCa, or percentiles of what is a mean of no single column) says what "
                "other cases of the same kind would give under this very training. What another "
                "seed would give is not in it: `segjax sweep` with several seeds shows that.",
                *dict.fromkeys(texts.together(split.patients) for split in splits),
                "Whether another method differs cannot be read off two intervals: the report of a "
                "sweep tests it case by case.",
            ]
        ),
        "",
    ]


def shown(split: Split) -> list[str]:
    """The names of the values that a report shows: those of the table's columns, and the losses.

    How many cases have no value is said below the table.
    """
    known = {metric.name: metric for metric in split.metrics}
    return [
        name
        for name in split.result["metrics"]
        if name not in known
        or split.columns is None
        or (known[name].given(split.columns) and known[name].statistic is not not_finite)
    ]


def metric_of(split: Split, name: str) -> Metric:
    """The metric of a name, or a description of the loss or of one of its terms."""
    found = next((metric for metric in split.metrics if metric.name == name), None)
    if found is not None:
        return found
    term = name.removeprefix("loss/")
    what = f"The term `{term}` alone, before its weight." if term != name else (
        "What training lowers: the sum of the terms by their weights, as a mean over cases. It "
        "compares nothing but runs with the same loss, and some losses go below 0."
    )  # fmt: skip
    return Metric(name, (name,), higher_is_better=False, description=what)


def _row(split: Split, name: str, value: float, paper: Mapping) -> list[str]:
    metric, baseline = metric_of(split, name), split.result["baseline"] or {}
    summary = _summary(split, metric)
    own = baseline.get(name), paper.get(name, paper.get(name.replace("/", "_", 1)))
    return [
        texts.heading(metric),
        texts.number(value, metric),
        "" if summary is None or math.isnan(summary.sd) else texts.number(summary.sd, metric),
        _quartiles(split, metric),
        "" if summary is None else texts.interval(summary, metric),
        "" if own[0] is None else texts.number(own[0], metric),
        "" if own[1] is None else _figure(own[1]),
    ]


def _summary(split: Split, metric: Metric) -> Summary | None:
    """Deviation and interval of a metric; None where the table does not have its columns.

    A count of cases without a value has none either.
    """
    counts = metric.statistic is not_finite
    if counts or split.columns is None or not metric.given(split.columns):
        return None
    counted = metric.counted(split.names)
    columns = [_column(split, name)[None, counted] for name in metric.columns]
    patients = None if split.patients is None else split.patients[counted]
    return summary_of(metric, columns, patients=patients) if counted.any() else None


def _quartiles(split: Split, metric: Metric) -> str:
    """The middle of the cases, which no single one of them can move far."""
    if not metric.is_mean or split.columns is None or not metric.given(split.columns):
        return ""
    values = _column(split, metric.columns[0])[metric.counted(split.names)]
    values = values[np.isfinite(values)]
    if values.size < texts.FEWEST:
        return ""
    low, middle, high = (texts.number(v, metric) for v in np.percentile(values, [25, 50, 75]))
    return f"{middle} ({low} to {high})"


def _column(split: Split, name: str) -> np.ndarray:
    return np.asarray(split.columns[name], float)


def _figure(value: float | tuple) -> str:
    """A number, or a mean and its standard deviation."""
    return " ± ".join(f"{part:.4g}" for part in (value if isinstance(value, tuple) else (value,)))


def _remarks(split: Split, config: ConfigDict) -> list[str]:
    """Cases that are left out, that are few, or that chose the checkpoint."""
    result, count = split.result, round(split.result["count"])
    lines = [*split.remarks, *_behind_baseline(split), *_left_out(split)]
    if split.patients is None:
        lines += texts.few(count)
    else:
        lines += texts.few(len({*split.patients}), "patient")
    if result["split"] == "validation":
        how = texts.counted(split.validations, "validation")
        other = (
            "`segjax evaluate --split test` looks at cases that chose nothing."
            if split.has_test
            else "the set has no split `test`: keep cases apart to say how good the network is."
        )
        lines.append(
            f"The checkpoint was chosen by these very cases (the best `{config.evaluate.best}` of "
            f"{how}), which overestimates performance; {other}"
        )
    return [*(f"- {line}" for line in lines), ""] if lines else []


def _behind_baseline(split: Split) -> list[str]:
    """A line on the metrics in which the baseline is as good, or better."""
    values, baseline = split.result["metrics"], split.result["baseline"] or {}
    behind = [
        metric.heading
        for metric in split.metrics
        if metric.name in baseline
        and not is_better(values.get(metric.name, math.nan), baseline[metric.name], metric)
    ]
    return [f"{', '.join(behind)}: not better than the baseline."] if behind else []


def _left_out(split: Split) -> list[str]:
    """How many cases a mean leaves out, where there are any."""
    lines = []
    for metric in split.metrics if split.columns is not None else ():
        if metric.statistic is not mean or not metric.given(split.columns):
            continue
        finite = np.isfinite([split.columns[name] for name in metric.columns]).all(axis=0)
        counted = metric.counted(split.names)
        if lacking := np.count_nonzero(counted & ~finite):
            lines.append(
                f"{metric.heading}: {lacking} of {np.count_nonzero(counted)} cases have no finite "
                "value and are left out"
            )
    return lines
