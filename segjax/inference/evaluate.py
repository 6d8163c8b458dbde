"""Evaluates a trained state on a split, into metrics_<split>.json and predictions_<split>.csv."""

import json
import math
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence

import jax

from segjax import files
from segjax.data import digest
from segjax.data.dataset import Dataset
from segjax.inference.open import Trained, load_trained, open_parts
from segjax.tasks.base import Evaluation, Evaluator
from segjax.tasks.metric import values_of
from segjax.train import workdir


def evaluate_folder(
    folder: pathlib.Path, split: str, kind: str, places: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Evaluates a trained folder; every mistake shows before the model is loaded."""
    parts = open_parts(folder, places)
    workdir.check_writable(folder, "--workdir")
    # Raises for an unknown split, before a set is prepared or a model loaded
    parts.data.count(split)
    parts.data.prepare()
    return evaluate(load_trained(folder, kind, parts=parts, spread=True), split)


def evaluate(
    trained: Trained,
    split: str,
    evaluator: Evaluator | None = None,
    *,
    each_part: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Evaluates on a split and writes the two files; `evaluator` is the split's if there is one.

    `each_part` is called before each part of the evaluation.
    """
    experiment, folder = trained.experiment, trained.folder
    baseline = workdir.read_baseline(folder)
    if evaluator is None:
        evaluator = experiment.task.evaluator(experiment, split, trained.devices)

    def go_on() -> bool:
        each_part()
        return False

    evaluation = evaluator(trained.state, final=True, baseline=baseline, stop=go_on)
    values = evaluation.values(experiment.task)
    if jax.process_index() == 0:
        _write(trained, split, evaluation, values)
    return values


def _write(
    trained: Trained, split: str, evaluation: Evaluation, values: Mapping[str, float]
) -> None:
    experiment, folder = trained.experiment, trained.folder
    task = experiment.task
    found, saved = experiment.data.digest, workdir.data_digest(folder)
    changed = saved not in (None, found)
    baseline = evaluation.baseline
    content = {
        "split": split,
        "step": int(trained.state.step),
        "count": float(evaluation.count),
        "metrics": _numbers(values),
        "baseline": None if baseline is None else _numbers(values_of(task.metrics, baseline)),
        "data_digest": found,
        "data_changed": changed,
        **_patients(experiment.data, evaluation.names),
    }
    if changed:
        print(f"segjax: {folder}: {split}: {changed_data(found, saved)}", file=sys.stderr)
    columns, rows = evaluation.table(task.columns)
    path = folder / f"predictions_{split}.csv"
    # It names the table: killed here, or beside another evaluation, no mixture is taken for one.
    content[workdir.PREDICTIONS] = files.write_table(path, columns, evaluation.names, rows)
    files.write_text(folder / f"metrics_{split}.json", json.dumps(content, indent=2) + "\n")


def _numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    """Values for JSON, which has neither nan nor infinity: null is what is not defined."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _patients(data: Dataset, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """`patients`: that of each case; nothing where each case is of another."""
    found = dict(zip(names, data.patients(names), strict=True))
    return {"patients": found} if len({*found.values()}) < len(found) else {}


def changed_data(found: str, trained: str) -> str:
    """What is said where a run is looked at on other data than it was trained on."""
    return (
        f"evaluated on data of digest {digest.short(found)}, but trained on "
        f"{digest.short(trained)}: the prepared set has changed since"
    )
