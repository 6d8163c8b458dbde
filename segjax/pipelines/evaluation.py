"""Evaluation of a pipeline: every row on the photographs of a split, pooled.

What is found on a photograph is kept in `evaluation/KEY/SPLIT/NAME.npz`, so that an evaluation that
was killed goes on with the next one. KEY stands for the networks, the data, and how maps are made.
"""

import hashlib
import io
import json
import pathlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import jax
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
from segjax.tasks.lesions import metrics

FOLDER = "evaluation"
CHOOSING = "validation"  # the split that chooses thresholds


@dataclass(frozen=True)
class RowResult:
    """One row on one split.

    Attributes:
        histograms: of each photograph, `[photographs, bins + 1, 2]`.
        columns: counts at thresholds (`tasks/lesions/metrics.py`).
    """

    histograms: np.ndarray
    columns: Mapping[str, np.ndarray]

    @property
    def pooled(self) -> np.ndarray:
        """The histogram of all pixels."""
        return self.histograms.sum(axis=0)

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
    """A split: its photographs, a result a row, and what the maps took."""

    names: tuple[str, ...]
    healthy: tuple[bool, ...]
    rows: Mapping[str, RowResult]
    costs: tuple[Mapping, ...]


def evaluate(
    definition: Definition, folder: pathlib.Path, trained: Mapping[str, Trained], split: str
) -> Result:
    """Every row on a split; photographs that were evaluated before are not predicted again."""
    networks = Networks(definition, trained)
    opened = {
        name: made.experiment.task.open_photographs(made.experiment, split)
        for name, made in trained.items()
    }
    first = opened[definition.proposals[0]]
    place = folder / FOLDER / key(definition, trained) / split
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
    return _collected(definition, first, found)


def key(definition: Definition, trained: Mapping[str, Trained]) -> str:
    """What results depend on: the networks' states, the data, and how maps are made."""
    content = {
        "composition": definition.composition(),
        "rows": {row.name: [*row.maps, row.fusion] for row in definition.rows},
        "networks": {name: _state_of(made) for name, made in trained.items()},
        "data": {
            name: [made.experiment.data.digest, made.experiment.config.data.splits.to_dict()]
            for name, made in trained.items()
        },
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _state_of(made: Trained) -> str:
    """A digest of a network's parameters and batch statistics."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(jax.device_get(made.state.variables)):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)[:80]


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
        with np.load(path, allow_pickle=False) as stored:
            content = {name: stored[name] for name in stored.files}
        for number in range(len(definition.rows)):
            bins, counts = content[f"bins_{number}"], content[f"counts_{number}"]
            if len(bins) != len(counts) or len(content[f"lesions_{number}"]) != len(
                metrics.LESIONS
            ):
                raise ValueError("arrays of different lengths")
        json.loads(str(content["cost"]))
        return content
    except Exception as error:  # NumPy raises of every kind on a damaged file
        print(f"segjax: {path}: damaged, evaluated again: {error}", file=sys.stderr)
        return None


def _collected(definition: Definition, photographs: list[Photograph], found: list[dict]) -> Result:
    rows = {}
    for number, row in enumerate(definition.rows):
        histograms, columns = [], []
        for content in found:
            histogram = np.zeros(tuple(content["size"]), np.int64)
            histogram[content[f"bins_{number}"]] = content[f"counts_{number}"]
            histograms.append(histogram)
            lesions = dict(zip(metrics.LESIONS, content[f"lesions_{number}"].tolist(), strict=True))
            columns.append(metrics.pixel_columns(histogram) | lesions)
        rows[row.name] = RowResult(np.stack(histograms), metrics.columns_of_rows(columns))
    if not any(row.columns["positives"].any() for row in rows.values()):
        raise UserError("no photograph of the split has a lesion; precision is not defined there")
    return Result(
        tuple(p.name for p in photographs),
        tuple(p.is_healthy for p in photographs),
        rows,
        tuple(json.loads(str(content["cost"])) for content in found),
    )
