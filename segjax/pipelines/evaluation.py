"""Evaluation of a pipeline: every row on the photographs of a split, pooled.

What is found on a photograph is kept in `evaluation/KEY/SPLIT/NAME.npz`, so that an evaluation that
was killed goes on with the next one. KEY is `identity.of_evaluation`.
"""

import io
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from segjax import files
from segjax.data.patches.photographs import Photograph
from segjax.errors import UserError
from segjax.inference.open import Trained
from segjax.metrics import (
    best_f1_threshold,
    counts_from_histogram,
    match_lesions,
    score_histogram,
)
from segjax.pipelines.definition import Definition
from segjax.pipelines.networks import Networks
from segjax.pipelines.refinement import Cost
from segjax.tasks.lesions import metrics

FOLDER = "evaluation"
CHOOSING = "validation"  # the split that chooses thresholds


@dataclass(frozen=True)
class RowResult:
    """One row on one split.

    Attributes:
        pooled: the histogram of all pixels, `[bins + 1, 2]`.
        columns: counts of each photograph at thresholds (`tasks/lesions/metrics.py`).
    """

    pooled: np.ndarray
    columns: Mapping[str, np.ndarray]

    def best_threshold(self) -> float:
        """The threshold of the largest F1 of all pixels; nan without lesions."""
        return best_f1_threshold(self.pooled)

    def at(self, threshold: float) -> dict[str, float]:
        """F1, precision and recall of all pixels at a threshold."""
        tp, fp, fn, _ = (float(n) for n in counts_from_histogram(self.pooled, [threshold])[0])
        return {
            "f1": 2 * tp / (2 * tp + fp + fn) if tp + fn else float("nan"),
            "precision": tp / (tp + fp) if tp + fp else float("nan"),
            "recall": tp / (tp + fn) if tp + fn else float("nan"),
        }


@dataclass(frozen=True)
class Result:
    """A split: its photographs, a result a row, and what the maps took.

    Attributes:
        split: its name.
        names: of the photographs.
        healthy: whether each counts as without any sign of the disease.
        patients: whom each is of; its own name where nothing is known.
        rows: by name.
        costs: of each photograph, `seconds` of stages, and the cost of each refinement.
    """

    split: str
    names: tuple[str, ...]
    healthy: tuple[bool, ...]
    patients: tuple[str, ...]
    rows: Mapping[str, RowResult]
    costs: tuple[Mapping, ...]

    @property
    def clusters(self) -> np.ndarray | None:
        """The patients, where some photographs are of one; else None."""
        several = len({*self.patients}) < len(self.patients)
        return np.array(self.patients) if several else None


def evaluate(
    definition: Definition,
    folder: pathlib.Path,
    trained: Mapping[str, Trained],
    split: str,
    key: str,
) -> Result:
    """Every row on a split; photographs that were evaluated before are not predicted again.

    Args:
        definition: of the pipeline.
        folder: its work folder.
        trained: its stages.
        split: of the data.
        key: of what is kept (`identity.of_evaluation`).

    Raises: UserError where no photograph of the split has a lesion.
    """
    networks = Networks(definition, trained, definition.rows)
    opened = {
        name: made.experiment.task.open_photographs(made.experiment, split)
        for name, made in trained.items()
    }
    first = opened[definition.proposals[0]]
    experiment = trained[definition.proposals[0]].experiment
    if not any(np.any(photograph.stored_labels) for photograph in first):
        raise UserError(
            f"config.data.splits.{split}={experiment.data.expression(split)!r}: no photograph has "
            f"{experiment.task.target}; precision and recall are not defined there"
        )
    place = folder / FOLDER / key / split
    place.mkdir(parents=True, exist_ok=True)
    found = []
    bar = {"desc": f"evaluating {split}", "disable": not sys.stderr.isatty()}
    for index, photograph in enumerate(tqdm(first, **bar)):
        path = place / f"{index:04d}_{_file_name(photograph.name)}.npz"
        content = _read(path, definition)
        if content is None:
            images = {name: np.asarray(p[index].image) for name, p in opened.items()}
            content = _judged(definition, networks, images, photograph)
            _write(path, content)
        found.append(content)
    return Result(
        split,
        tuple(p.name for p in first),
        tuple(bool(p.is_healthy) for p in first),
        tuple(experiment.data.patients([p.name for p in first])),
        _collected(definition, found),
        tuple(json.loads(str(content["cost"])) for content in found),
    )


def _file_name(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in name)[:80]


def _judged(
    definition: Definition,
    networks: Networks,
    images: Mapping[str, np.ndarray],
    photograph: Photograph,
) -> dict[str, np.ndarray]:
    """Everything that is kept of a photograph."""
    true = np.asarray(photograph.stored_labels)
    maps = networks.maps(images, true.shape, label=f"{photograph.name}: ")
    content: dict[str, np.ndarray] = {}
    for number, row in enumerate(definition.rows):
        probability = maps.row(definition, row.name)
        histogram = score_histogram(probability, true)
        filled = np.flatnonzero(histogram.any(axis=-1))
        match = match_lesions(probability, true, rule=definition.hit)
        lesions = metrics.lesion_columns(match)
        content[f"bins_{number}"] = filled
        content[f"counts_{number}"] = histogram[filled]
        content[f"lesions_{number}"] = np.array([lesions[name] for name in metrics.LESIONS])
    cost = {
        "seconds": {name: round(value, 2) for name, value in maps.seconds.items()},
        **{name: vars(cost) for name, cost in maps.costs.items()},
    }
    return content | {"cost": np.array(json.dumps(cost)), "size": np.array(histogram.shape)}


def _write(path: pathlib.Path, content: Mapping[str, np.ndarray]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **content)
    files.write_bytes(path, buffer.getvalue())


def _read(path: pathlib.Path, definition: Definition) -> dict[str, np.ndarray] | None:
    """What was kept of a photograph; None where nothing was, or it is damaged, which is said."""
    if not path.exists():
        return None
    try:
        # As bytes: of a damaged file NumPy would leave the handle open
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            content = {name: stored[name] for name in stored.files}
        _collected(definition, [content])
        cost = json.loads(str(content["cost"]))
        for name in definition.needed(definition.rows)[1]:
            Cost(**cost[name])
        return content
    except Exception as error:  # NumPy and zipfile raise of every kind on a damaged file
        print(f"segjax: {path}: damaged, evaluated again: {error}", file=sys.stderr)
        return None


def _collected(definition: Definition, found: Sequence[Mapping]) -> dict[str, RowResult]:
    """The result of each row, from what was kept of each photograph."""
    rows = {}
    for number, row in enumerate(definition.rows):
        # Added up as they come: those of a hundred photographs take a gigabyte
        pooled, columns = 0, []
        for content in found:
            histogram = np.zeros(tuple(content["size"]), np.int64)
            histogram[content[f"bins_{number}"]] = content[f"counts_{number}"]
            pooled = pooled + histogram
            lesions = dict(zip(metrics.LESIONS, content[f"lesions_{number}"].tolist(), strict=True))
            columns.append(metrics.pixel_columns(histogram) | lesions)
        rows[row.name] = RowResult(pooled, metrics.columns_of_rows(columns))
    return rows
