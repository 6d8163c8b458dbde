"""Reads the results of a sweep: what every finished point says of every case."""

import csv
import math
import pathlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from segjax.config import files, sweeps
from segjax.errors import UserError
from segjax.launch.sweep import MANIFEST, folder_of, is_done, read_manifest
from segjax.tasks.reporting import Reported
from segjax.train import logs, preflight
from segjax.train.report import read_json
from segjax.train.workdir import TABLE, open_existing

PREDICTIONS = "predictions_validation.csv"
Curves = dict[str, dict[int, float]]  # name -> step -> value on validation


@dataclass(frozen=True)
class Row:
    """The finished points of one setting."""

    label: str
    seeds: tuple[int, ...]
    # metric's key -> [seeds, cases that count]; not finite where there is no value
    values: dict[str, np.ndarray]
    reached: np.ndarray  # [seeds], the headline metric of each best checkpoint
    curves: tuple[Curves, ...]  # one a seed
    paper: dict[str, tuple[float, float]]  # mean, and standard deviation or nan


@dataclass(frozen=True)
class Sweep:
    """All rows of a sweep that have a finished point, over the cases that all points have."""

    source: str
    task: Any
    metrics: tuple[Reported, ...]
    cases: tuple[str, ...]
    dropped: int  # cases that only some points have
    rows: tuple[Row, ...]
    done: dict[str, tuple[int, int]]  # label -> finished points and all points


@dataclass(frozen=True)
class _Point:
    label: str
    seed: int
    cases: list[str]
    columns: dict[str, np.ndarray]
    reached: float
    curves: Curves
    paper: dict[str, tuple[float, float]]


def is_sweep(folder: pathlib.Path) -> bool:
    """Whether a folder was made by `segjax sweep`."""
    return (folder / MANIFEST).exists()


def read(workdir: pathlib.Path) -> Sweep:
    """The finished points of a sweep's folder, gathered by setting in the order of the sweep.

    Args:
        workdir: the folder that `segjax sweep` made.

    Returns: the sweep; of its cases, those that every finished point has.
    Raises: UserError naming the file that is missing or damaged, or the folder if no point is
        done, if its points share no case, have no column that the task reports, or were evaluated
        on different content of one data set.
    """
    source, points = _points_of(workdir)
    done = [point for point in points if is_done(workdir, point)]
    if not done:
        raise UserError(f"{workdir}: none of its {len(points)} points is done yet")
    _check_data([folder_of(workdir, point) for point in done])
    config = open_existing(folder_of(workdir, done[0]))
    task = preflight.make_task(config)
    given = source.partition(":")[2]
    read_points = [_read_point(folder_of(workdir, point), point, task, given) for point in done]
    cases, dropped = _common_cases(workdir, read_points)
    reported = task.reported()
    metrics = tuple(
        metric
        for metric in reported
        if all(metric.column in point.columns for point in read_points)
        and any(case.endswith(metric.cases) for case in cases)
    )
    if not metrics:
        names = ", ".join(metric.column for metric in reported)
        raise UserError(f"{workdir}: no column that task {config.task!r} reports ({names})")
    groups: dict[str, list[_Point]] = {}
    for point in read_points:
        groups.setdefault(point.label, []).append(point)
    rows = tuple(_row(group, metrics, cases) for group in groups.values())
    total = Counter(sweeps.row_label(point, given) for point in points)
    counts = {label: (len(groups.get(label, ())), total[label]) for label in total}
    return Sweep(source, task, metrics, cases, dropped, rows, counts)


def _check_data(folders: list[pathlib.Path]) -> None:
    """UserError when two points were evaluated on different content of one data set."""
    seen: dict[str, tuple[str, pathlib.Path]] = {}
    for folder in folders:
        name, content = files.from_json(folder / "config.json").data.name, read_json(folder / TABLE)
        digest = content.get("data_digest") if isinstance(content, dict) else None
        first, other = seen.setdefault(name, (digest, folder)) if digest else (digest, folder)
        if first != digest:
            raise UserError(
                f"{folder}: was evaluated on other data ({digest[:12]}) than {other} "
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


def _read_point(folder: pathlib.Path, point: sweeps.Point, task: Any, given: str) -> _Point:
    path = folder / "config.json"
    config = files.from_json(path)
    cases, columns = read_table(folder / PREDICTIONS)
    return _Point(
        sweeps.row_label(point, given),
        int(point.get("seed", config.get("seed", 0))),
        cases,
        columns,
        _headline(folder / TABLE, task.headline),
        read_curves(folder / "metrics.jsonl"),
        preflight.paper_figures(config, f"{path}: "),
    )


def _headline(path: pathlib.Path, headline: str) -> float:
    """The headline metric of a finished point."""
    content = read_json(path)
    metrics = content.get("metrics") if isinstance(content, dict) else None
    value = metrics.get(headline) if isinstance(metrics, dict) else None
    if not isinstance(value, (int, float)):
        raise UserError(f"{path}: damaged: no metric {headline!r}; evaluate again")
    return float(value)


def read_table(path: pathlib.Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """Cases and columns of a predictions_<split>.csv; an empty cell is nan.

    A case that stands there twice gets a number: `a`, `a (2)`.
    """
    try:
        with path.open(newline="") as file:
            lines = list(csv.reader(file, strict=True))
        header, lines = lines[0] if lines else [], lines[1:]
        if header[:1] != ["image"] or len(header) < 2 or not lines:
            raise ValueError("no header, or no case below it")
        for number, line in enumerate(lines, start=2):
            if len(line) != len(header):
                raise ValueError(f"line {number} has {len(line)} cells, the header {len(header)}")
        numbers = np.array([[float(cell or "nan") for cell in line[1:]] for line in lines])
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: cannot read it: {error}; evaluate again") from error
    seen: Counter[str] = Counter()
    cases = []
    for name, *_ in lines:
        seen[name] += 1
        cases.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return cases, dict(zip(header[1:], numbers.T, strict=True))


def read_curves(path: pathlib.Path) -> Curves:
    """Validation values over steps of a metrics.jsonl; empty without the file."""
    if not path.exists():
        return {}
    rows, faults = logs.parse_rows(path.read_bytes())
    if faults:
        raise UserError(f"{path}: damaged: {faults[0]}; delete such lines to report without them")
    curves: Curves = {}
    for row in rows:
        if row["split"] == "validation":
            value = math.nan if row["value"] is None else float(row["value"])
            curves.setdefault(row["name"], {})[row["step"]] = value
    return curves


def _common_cases(workdir: pathlib.Path, points: list[_Point]) -> tuple[tuple[str, ...], int]:
    """The cases of all points, in the first one's order, and how many only some points have."""
    common = set(points[0].cases).intersection(*(point.cases for point in points))
    union = set().union(*(point.cases for point in points))
    if not common:
        raise UserError(f"{workdir}: its points have no validation case in common to compare")
    return tuple(case for case in points[0].cases if case in common), len(union) - len(common)


def _row(points: list[_Point], metrics: tuple[Reported, ...], cases: tuple[str, ...]) -> Row:
    """One setting: values as [seeds, cases], all seeds in one order of cases."""
    places = [dict(zip(point.cases, range(len(point.cases)), strict=True)) for point in points]
    values = {}
    for metric in metrics:
        counted = [case for case in cases if case.endswith(metric.cases)]
        values[metric.key] = np.stack(
            [
                point.columns[metric.column][[place[case] for case in counted]]
                for point, place in zip(points, places, strict=True)
            ]
        )
    return Row(
        points[0].label,
        tuple(point.seed for point in points),
        values,
        np.array([point.reached for point in points]),
        tuple(point.curves for point in points),
        points[0].paper,
    )
