"""The text of a run's report: what was trained, a table of each split, and what its figures are."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ml_collections import ConfigDict

from segjax.config import lookup
from segjax.errors import UserError
from segjax.metrics.statistics import mean, not_finite
from segjax.report import text as texts
from segjax.report.comparison import Summary, summary_of
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
ABSENT = object()
ANY_ENVIRONMENT = {
    "libraries": {"jax": "", "flax": ""},
    "commit": None,
    "parameters": 0,
    "total_steps": 0,
    "devices": [],
    "device_kind": "",
}
PAPER = "the paper's own figure, on its own data"
LOSS = (
    "What training lowers: the sum of the terms by their weights, as a mean over cases. It "
    "compares nothing but runs with the same loss, and some losses go below 0."
)


@dataclass(frozen=True)
class Split:
    """What a report says of one split.

    Attributes:
        result: of metrics_<split>.json.
        names, columns: the table of its cases; none where the data have changed since.
        patients: of each case, where some are of one.
        remarks: of the task, on the table.
        has_test, tested: whether the set has a split `test`, and the report its table.
        metrics: of the task.
        explained: sentences on columns that are no metric, and on the baseline.
        validations: how many there were to choose the checkpoint among.
        folder: the work folder, as it was given.
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
    tested: bool = False
    folder: str = "DIR"


def split_of(result: Mapping, task: Task, validations: int, folder: str) -> Split:
    """A split whose table of cases is not read yet."""
    return Split(result, task.metrics, explained(task), validations, folder=folder)


def head(
    config: ConfigDict, environment: Mapping, done: int | None = None, asked: str = ""
) -> list[str]:
    """What was trained, how, and with what.

    Args:
        config: of the run.
        environment: its env.json.
        done: the last step of a run that goes on still.
        asked: what its task asks.
    """
    libraries = environment["libraries"]
    # Earlier versions did not write down which one they were
    version = f"segjax {environment['segjax']}, " if "segjax" in environment else ""
    commit = f", commit {environment['commit']}" if environment["commit"] else ""
    examples = environment.get("examples")
    cases = environment.get("data", {}).get("cases", {})
    weighted = len(config.loss) > 1
    return [
        f"# {config.task}: {asked}{', ' * bool(asked)}{config.data.name}, {config.model.name}",
        "",
        *([f"- cases: {', '.join(f'{n} {split}' for split, n in cases.items())}"] if cases else []),
        f"- loss: {' + '.join(_term(term, weighted) for term in config.loss.values())}",
        *([f"- begun with `{config.model_init}`"] if config.model_init else []),
        f"- {config.optimizer.name}, learning rate {config.optimizer.learning_rate:g} "
        f"({config.schedule.name}), batch {config.data.batch_size}, "
        f"{' x '.join(map(str, config.data.image_size))} pixels"
        + (f", an epoch of {examples} examples" if examples else ""),
        f"- {environment['parameters']:,} parameters, "
        f"{length(config, environment['total_steps'])}, seed {config.seed}",
        f"- {len(environment['devices'])} x {environment['device_kind']}, {version}"
        f"jax {libraries['jax']}, flax {libraries['flax']}{commit}",
        *([] if done is None else [f"- **not at its end: logged up to step {done}**"]),
        "",
    ]


def _term(term: ConfigDict, weighted: bool) -> str:
    """A term of the loss: its weight where that says something, its options and arrays' origin."""
    weight = _schedule(term.weight) if isinstance(term.weight, ConfigDict) else f"{term.weight:g}"
    told = _chosen(term) | dict(term.get("inputs", {}))
    more = ", ".join(f"{name} = {value}" for name, value in told.items())
    weight = f"{weight} x " if weighted or weight != "1" else ""
    return f"{weight}{term.name}" + (f" ({more})" if more else "")


def _schedule(weight: ConfigDict) -> str:
    """A scheduled weight: its name, and the options that differ from their defaults."""
    told = ", ".join(f"{name} = {value}" for name, value in _chosen(weight, "weights").items())
    return f"{weight.name}({told})" if told else weight.name


def _chosen(term: ConfigDict, kind: str = "losses") -> dict[str, object]:
    """Those options of a part that are not at their defaults; of a loss its map too."""
    try:
        known = lookup.options_of(lookup.find(kind, term.name))
    except UserError:  # of the user's own, and not here
        known = {}
    return {
        name: value
        for name, value in term.items()
        if name not in ("name", "weight", "inputs") and known.get(name, ABSENT) != value
    }


def section(split: Split, config: ConfigDict) -> list[str]:
    """The table of a split, and what is particular to its cases."""
    result, metrics = split.result, {name: _described(split, name) for name in shown(split)}
    summaries = {name: _summary(split, metric) for name, metric in metrics.items()}
    rows = [_row(split, metrics[name], summaries[name], config.paper) for name in metrics]
    return [
        f"## {result['split']}: {texts.counted(round(result['count']), 'case')}, checkpoint of "
        f"step {result['step']}",
        "",
        *texts.table(*texts.filled([*COLUMNS, PAPER], rows)),
        *_remarks(split, config, [(metrics[name], summaries[name]) for name in metrics]),
    ]


def explanation(
    splits: Sequence[Split], config: ConfigDict, curves: Sequence[str] = ()
) -> list[str]:
    """What all figures are, those of the `curves` too, and what can be concluded from them."""
    if not any(shown(split) for split in splits):
        return []
    known = splits[0].explained
    # Whatever was measured, in the table or not: it is in metrics_<split>.json
    named = dict.fromkeys(["loss", *(n for s in splits for n in s.result["metrics"]), *curves])
    metrics = {name: metric_of(splits[0].metrics, name, known) for name in named}
    lines = texts.sentences([metric for metric in metrics.values() if metric])
    lines += [line for name, metric in metrics.items() if not metric for line in _other(name)]
    if any(split.result["baseline"] for split in splits) and "baseline" in known:
        lines.append(f"**baseline**: {known['baseline']}.")
    if "resolution" in known:
        lines.append(f"**resolution**: {known['resolution']}.")
    if told := _columns(splits):
        lines.append(f"`predictions_<split>.csv` has a row a case: {'; '.join(told)}.")
    return [
        "## What the metrics are",
        "",
        *(f"- {line}" for line in lines),
        "",
        *_reach(splits, config),
    ]


def _other(name: str) -> list[str]:
    """A line on a value over the training that is no metric, where it is known."""
    kind, _, term = name.partition("/")
    if name == "learning_rate":
        return ["**learning rate**: that of the optimiser at each step, as the schedule has it."]
    return [f"**{name}**: by what the term `{term}` counts at each step."] * (kind == "weight")


def _columns(splits: Sequence[Split]) -> list[str]:
    """What the columns of the tables are, in the task's words, and by the metrics made of them."""
    # Counts at thresholds, such as tp_0 to tp_1, are told of together
    families: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for split in splits for name in split.columns or ()):
        families.setdefault(re.sub(r"_[\d.]+$", "", name), []).append(name)
    found, known = [], splits[0].explained
    for names in families.values():
        made = [metric for metric in splits[0].metrics if {*names} & {*metric.columns}]
        means = [_of_cases(metric) for metric in made if metric.is_mean]
        others = [_of_cases(metric) for metric in made if not metric.is_mean]
        parts = [known[name] for name in names[:1] if name in known]
        if means:
            parts.append(f"whose mean is {', '.join(means)}")
        if others:
            parts.append(f"of which {', '.join(others)} {'are' if others[1:] else 'is'} made")
        if parts:
            shown = " to ".join(f"`{name}`" for name in dict.fromkeys((names[0], names[-1])))
            found.append(f"{shown}, {', '.join(parts)}")
    return found


def _of_cases(metric: Metric) -> str:
    """The name of a metric, and which cases it takes, if not all."""
    return f"`{metric.name}`" + texts.aside(f"of cases …{metric.cases}" if metric.cases else "")


def _reach(splits: Sequence[Split], config: ConfigDict) -> list[str]:
    """What can be concluded."""
    patients = [split.patients for split in splits]
    noun = texts.noun(next((known for known in patients if known is not None), None))
    lines = [
        f"One training (seed {config.seed}). An interval (bootstrap over {noun}s, 10,000 "
        "resamples; BCa, or percentiles of what is a mean of no single column) says what other "
        f"{noun}s of the same kind would give under this very training. What another seed would "
        "give is not in it: `segjax sweep` with several seeds shows that.",
        *dict.fromkeys(map(texts.together, patients)),
        "Whether another method differs cannot be read off two intervals: the report of a sweep "
        "tests it case by case.",
    ]
    return [*texts.reaching(lines), ""]


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


def metric_of(metrics: Sequence[Metric], name: str, known: Mapping[str, str]) -> Metric | None:
    """The metric of a name, or a description of the loss or a term of it; None of other values.

    `known` are the task's sentences.
    """
    found = next((metric for metric in metrics if metric.name == name), None)
    if found is not None or name.partition("/")[0] != "loss":
        return found
    term = name.removeprefix("loss/")
    what = f"The term `{term}` alone, before its weight." if term != name else " ".join(
        [LOSS, known["loss"]] if "loss" in known else [LOSS]
    )  # fmt: skip
    return Metric(name, (name,), higher_is_better=False, description=what)


def title_of(name: str, metric: Metric | None = None) -> str:
    """The heading of a metric, or the name of another value."""
    return texts.heading(metric) if metric else name.replace("_", " ")


def _row(split: Split, metric: Metric, summary: Summary | None, paper: Mapping) -> list[str]:
    name, baseline = metric.name, split.result["baseline"] or {}
    value = split.result["metrics"][name]
    own = baseline.get(name), paper.get(name, paper.get(name.replace("/", "_", 1)))
    return [
        texts.heading(metric),
        texts.number(value, metric),
        "" if summary is None or math.isnan(summary.sd) else texts.number(summary.sd, metric),
        _quartiles(split, metric),
        "" if summary is None else texts.interval(summary, metric, texts.noun(split.patients)),
        "" if own[0] is None else texts.number(own[0], metric),
        "" if own[1] is None else _figure(own[1]),
    ]


def _described(split: Split, name: str) -> Metric:
    """The metric of a name; of a value that nobody describes, one by that name."""
    found = metric_of(split.metrics, name, split.explained)
    return found or Metric(name, (name,), higher_is_better=False)


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
    low, middle, high = texts.numbers(np.percentile(values, [25, 50, 75]), metric)
    return f"{middle} ({low} to {high})"


def _column(split: Split, name: str) -> np.ndarray:
    return np.asarray(split.columns[name], float)


def _figure(value: float | tuple) -> str:
    """A number, or a mean and its standard deviation."""
    return " ± ".join(f"{part:.4g}" for part in (value if isinstance(value, tuple) else (value,)))


def _remarks(
    split: Split, config: ConfigDict, found: Sequence[tuple[Metric, Summary | None]]
) -> list[str]:
    """Cases that are left out, that are few, or that chose the checkpoint.

    `found` are the metrics of the table with their summaries.
    """
    result, noun = split.result, texts.noun(split.patients)
    count = round(result["count"]) if split.patients is None else len({*split.patients})
    few = texts.few(count, noun) + _without_interval(found, noun) * (count >= texts.FEWEST)
    lines = [*split.remarks, *_standings(split, found), *_left_out(split), *few]
    if result["split"] == "validation":
        how = texts.counted(split.validations, "validation")
        other = "the set has no split `test`: keep cases apart to say how good the network is."
        if split.tested:
            other = "the table of `test` is of cases that chose nothing."
        elif split.has_test:
            how_to = f"`segjax evaluate --workdir {split.folder} --split test`"
            other = f"{how_to} looks at cases that chose nothing."
        lines.append(
            f"The checkpoint was chosen by these very cases (the best `{config.evaluate.best}` of "
            f"{how}), which overestimates performance; {other}"
        )
    return [*(f"- {line}" for line in lines), ""] if lines else []


def _standings(split: Split, found: Sequence[tuple[Metric, Summary | None]]) -> list[str]:
    """How every metric that the baseline has stands to it, those that stand alike together."""
    values, baseline = split.result["metrics"], split.result["baseline"] or {}
    said: dict[str, list[str]] = {}
    for metric, summary in found:
        if math.isfinite(baseline.get(metric.name, math.nan) - values[metric.name]):
            stands = texts.standing(values[metric.name], summary, baseline[metric.name], metric)
            said.setdefault(stands, []).append(metric.heading)
    return [f"{', '.join(headings)}: {stands}." for stands, headings in said.items()]


def _without_interval(found: Sequence[tuple[Metric, Summary | None]], noun: str) -> list[str]:
    """A line on metrics of which too few cases have a value for an interval."""
    lacking = [m.heading for m, summary in found if summary and texts.lacks_interval(summary)]
    how = f"an interval takes at least {texts.FEWEST} {noun}s with a value"
    return [f"{', '.join(lacking)}: {how}."] if lacking else []


def _left_out(split: Split) -> list[str]:
    """How many cases a mean leaves out, where there are any."""
    lines = []
    for metric in split.metrics if split.columns is not None else ():
        if metric.statistic is not mean or metric.is_of_some or not metric.given(split.columns):
            continue
        finite = np.isfinite([split.columns[name] for name in metric.columns]).all(axis=0)
        counted = metric.counted(split.names)
        if lacking := np.count_nonzero(counted & ~finite):
            lines.append(
                f"{metric.heading}: {lacking} of {np.count_nonzero(counted)} cases have no finite "
                "value and are left out"
            )
    return lines
