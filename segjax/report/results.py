"""The results of a sweep: what every finished point says of every case."""

import dataclasses
import json
import pathlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from ml_collections import ConfigDict

from segjax.config import sweeps
from segjax.config.validation import paper_figures
from segjax.errors import UserError
from segjax.report.tables import (
    Curves,
    patients_of,
    read_curves,
    read_json,
    read_numbers,
    read_table,
)
from segjax.tasks.base import Task, explained, question, remarks
from segjax.tasks.metric import Metric
from segjax.train import experiment
from segjax.train.sweepdir import MANIFEST, folder_of, is_done, is_sweep, read_manifest
from segjax.train.workdir import CONFIG, ENVIRONMENT, TABLE, experiment_of, open_existing

PREDICTIONS = "predictions_validation.csv"
# Of a config, what its task and what a report says of a point are made of
ASKED = ("task", "task_options", "data", "paper")
Asked = tuple[ConfigDict, Task]


@dataclass(frozen=True)
class Row:
    """The finished points of one setting."""

    label: str
    seeds: tuple[int, ...]
    # By name, [seeds, cases]; not finite where there is no value.
    columns: dict[str, np.ndarray]
    reached: np.ndarray  # [seeds], the headline metric of each best checkpoint
    curves: tuple[Curves, ...]  # one a seed
    steps: tuple[int, ...]  # of the best checkpoints, as far as they are known
    remarks: tuple[tuple[str, ...], ...]  # of the task, on the table of each seed
    paper: dict[str, tuple[float, float]]  # mean, and standard deviation or nan


@dataclass(frozen=True)
class Sweep:
    """All rows of a sweep that have a finished point, over the cases that all points have."""

    source: str
    headline: Metric
    metrics: tuple[Metric, ...]
    cases: tuple[str, ...]
    dropped: int  # cases that only some points have
    rows: tuple[Row, ...]  # that a report shows and tests
    done: dict[str, tuple[int, int]]  # label -> finished points and all points
    versions: tuple[str, ...] = ()  # of segjax, that trained the points
    patients: np.ndarray | None = None  # of each case, where some are of one
    baseline: Mapping[str, float] = field(default_factory=dict)  # without a network, by metric
    setting: str = ""  # what the points train, in words
    chosen_by: str = ""  # the value that their best checkpoints have the best of
    measured: str = ""  # on what validations during training are (`Task.explained`)
    known: tuple[Metric, ...] = ()  # all metrics of the task, reported or not
    question: str = ""  # what its trainings ask (`Task.question`)
    others: tuple[Row, ...] = ()  # that are too many to be shown (`comparison.foremost`)

    @property
    def all_rows(self) -> tuple[Row, ...]:
        """Those that are shown, and the others."""
        return self.rows + self.others


@dataclass(frozen=True)
class _Point:
    folder: pathlib.Path
    question: str
    data: tuple[str, str | None]  # name, and digest of its content
    label: str
    seed: int
    cases: list[str]
    columns: dict[str, np.ndarray]
    reached: float
    curves: Curves
    step: int | None
    remarks: tuple[str, ...]
    paper: dict[str, tuple[float, float]]


def read(workdir: pathlib.Path) -> dict[str, Sweep]:
    """The finished points of a sweep's folder, gathered by setting in the order of the sweep.

    Args:
        workdir: the folder that `segjax sweep` made.

    Returns: by what the trainings ask (`Task.question`), each a sweep of its own; of its cases,
        those that every finished point has. A setting without a finished point counts as missing
        in the first one.
    Raises: UserError naming the file that is missing or damaged, or the folder if no point is
        done, if its points share no case, have no column that the task reports, or were evaluated
        on different content of one data set.
    """
    source, points = _points_of(workdir)
    done = [point for point in points if is_done(workdir, point)]
    if not done:
        raise UserError(f"{workdir}: none of its {len(points)} points is done yet")
    given = source.partition(":")[2]
    known: dict[str, Asked] = {}
    read_points = [_read_point(folder_of(workdir, point), point, given, known) for point in done]
    _check_data(read_points)
    asked: dict[str, list[_Point]] = {}
    for point in read_points:
        asked.setdefault(point.question, []).append(point)
    found = {words: _sweep(workdir, source, of) for words, of in asked.items()}
    total = Counter(sweeps.row_label(point, given) for point in points)
    first, counted = next(iter(found)), {row.label for each in found.values() for row in each.rows}
    for words, each in found.items():
        finished = {row.label: len(row.seeds) for row in each.rows}
        mine = [n for n in total if n in finished or (words == first and n not in counted)]
        counts = {label: (finished.get(label, 0), total[label]) for label in mine}
        found[words] = dataclasses.replace(each, done=counts, question=words)
    return found


def _sweep(workdir: pathlib.Path, source: str, read_points: list[_Point]) -> Sweep:
    """The finished points that ask one question."""
    # The metrics are those of one task, as far as all points have their columns
    config = open_existing(read_points[0].folder)
    task = experiment.make_task(config)
    # Tests are paired by case: all rows have to be over the same ones
    cases, dropped = _common_cases(workdir, read_points)
    metrics = _reported(task, read_points, cases)
    if not metrics:
        names = ", ".join(metric.columns[0] for metric in task.metrics if metric.reported)
        raise UserError(f"{workdir}: no column that task {config.task!r} reports ({names})")
    groups: dict[str, list[_Point]] = {}
    for point in read_points:
        groups.setdefault(point.label, []).append(point)
    columns = list(dict.fromkeys(name for metric in metrics for name in metric.columns))
    first = read_json(read_points[0].folder / TABLE)
    return Sweep(
        source,
        headline_of(task),
        metrics,
        cases,
        dropped,
        rows=tuple(_row(group, columns, cases) for group in groups.values()),
        done={},
        versions=_versions([point.folder for point in read_points]),
        patients=patients_of(first, cases),
        baseline=_baseline(first) if not dropped else {},
        setting=_setting(config, read_points[0].folder),
        chosen_by=config.evaluate.best,
        measured=explained(task).get("validation", ""),
        known=tuple(task.metrics),
    )


def _versions(folders: list[pathlib.Path]) -> tuple[str, ...]:
    """What the points were trained with, each version once; earlier ones did not say it."""
    found = {}
    for folder in folders:
        if (folder / ENVIRONMENT).exists():
            content = read_json(folder / ENVIRONMENT)
            if isinstance(content, dict) and "segjax" in content:
                commit = f" (commit {content['commit']})" if content.get("commit") else ""
                found[f"segjax {content['segjax']}{commit}"] = None
    return tuple(found)


def _baseline(result: Mapping) -> dict[str, float]:
    """The metrics of the baseline, where there is one; older results call it `trivial`."""
    found = result.get("baseline", result.get("trivial"))
    numbers = read_numbers(found).items() if isinstance(found, dict) else ()
    return {name: float(value) for name, value in numbers if isinstance(value, (int, float))}


def _setting(config: ConfigDict, folder: pathlib.Path) -> str:
    """Task, data, network, size and length of a point, as far as its files say them."""
    try:
        steps = read_json(folder / ENVIRONMENT)["total_steps"]
        height, width = config.data.image_size
        return (
            f"{config.task}, {config.data.name}: {config.model.name}, {height} x {width} pixels, "
            f"{length(config, steps)} of {config.data.batch_size} examples, "
            f"{config.optimizer.name}, learning rate {config.optimizer.learning_rate:g} "
            f"({config.schedule.name})"
        )
    except (UserError, AttributeError, KeyError, TypeError, ValueError):
        return ""


def length(config: ConfigDict, steps: int) -> str:
    """How long a training is: up to so many steps where it may stop early."""
    patient = any(config.train.get(name) for name in config.train if name.startswith("patience"))
    return f"{steps} steps" + " at most" * patient


def headline_of(task: Task) -> Metric:
    """The metric that stands for all."""
    return next(metric for metric in task.metrics if metric.name == task.headline)


def _reported(task: Task, points: list[_Point], cases: tuple[str, ...]) -> tuple[Metric, ...]:
    """The metrics that a report shows, as far as all points have their columns and cases."""
    return tuple(
        metric
        for metric in task.metrics
        if metric.reported
        and all(metric.given(point.columns) for point in points)
        and metric.counted(cases).any()
    )


def _check_data(points: list[_Point]) -> None:
    """UserError when two points were evaluated on different content of one data set."""
    seen: dict[str, tuple[str, pathlib.Path]] = {}
    for point in points:
        name, digest = point.data
        # Results of older versions have no digest, and are compared with themselves
        own = digest, point.folder
        first, other = seen.setdefault(name, own) if digest else own
        if first != digest:
            raise UserError(
                f"{point.folder}: was evaluated on other data ({digest[:12]}) than {other} "
                f"({first[:12]}); train the points again on the same"
            )


def _points_of(workdir: pathlib.Path) -> tuple[str, list[sweeps.Point]]:
    if not is_sweep(workdir):
        raise UserError(f"{workdir}: not a sweep's folder (no {MANIFEST})")
    try:
        manifest = read_manifest(workdir)
        return str(manifest["config"]), [dict(point) for point in manifest["points"].values()]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{workdir / MANIFEST}: damaged: not the manifest of a sweep") from error


def _asked(folder: pathlib.Path, content: dict, known: dict[str, Asked]) -> Asked:
    """The config and the task of a point; of thousands that differ in other things the first's."""
    key = json.dumps([str(experiment_of(folder)), *map(content.get, ASKED)])
    if key not in known:
        config = open_existing(folder)
        known[key] = config, experiment.make_task(config)
    return known[key]


def _read_point(
    folder: pathlib.Path, point: sweeps.Point, given: str, known: dict[str, Asked]
) -> _Point:
    # Each file once, for there may be thousands of points
    content = read_json(folder / CONFIG)
    config, task = _asked(folder, content, known)
    cases, columns = read_table(folder / PREDICTIONS)
    result = read_json(folder / TABLE)
    reached, step = _headline(folder / TABLE, result, task.headline)
    return _Point(
        folder,
        question(task),
        (config.data.name, result.get("data_digest")),
        sweeps.row_label(point, given),
        int(point.get("seed", content.get("seed", 0))),
        cases,
        columns,
        reached,
        read_curves(folder / "metrics.jsonl"),
        step,
        tuple(remarks(task, columns)),
        paper_figures(config, f"{folder / CONFIG}: "),
    )


def _headline(path: pathlib.Path, content: dict, headline: str) -> tuple[float, int | None]:
    """The headline metric of a finished point, and the step of its checkpoint, if it is known."""
    metrics, step = content.get("metrics"), content.get("step")
    value = read_numbers(metrics).get(headline) if isinstance(metrics, dict) else None
    if not isinstance(value, (int, float)):
        raise UserError(f"{path}: damaged: no metric {headline!r}; evaluate again")
    return float(value), step if isinstance(step, int) else None


def _common_cases(workdir: pathlib.Path, points: list[_Point]) -> tuple[tuple[str, ...], int]:
    """The cases of all points, in the first one's order, and how many only some points have."""
    common = set(points[0].cases).intersection(*(point.cases for point in points))
    union = set().union(*(point.cases for point in points))
    if not common:
        raise UserError(f"{workdir}: its points have no validation case in common to compare")
    return tuple(case for case in points[0].cases if case in common), len(union) - len(common)


def _row(points: list[_Point], names: list[str], cases: tuple[str, ...]) -> Row:
    """One setting: columns as [seeds, cases], all seeds in one order of cases."""
    places = [dict(zip(point.cases, range(len(point.cases)), strict=True)) for point in points]
    # Tables of different points may list the cases in another order
    orders = [[place[case] for case in cases] for place in places]
    columns = {
        name: np.stack(
            [point.columns[name][order] for point, order in zip(points, orders, strict=True)]
        )
        for name in names
    }
    return Row(
        points[0].label,
        tuple(point.seed for point in points),
        columns,
        np.array([point.reached for point in points]),
        tuple(point.curves for point in points),
        tuple(point.step for point in points if point.step is not None),
        tuple(point.remarks for point in points),
        points[0].paper,
    )
