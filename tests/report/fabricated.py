"""The folder of a sweep as training would have left it, written without training."""

import csv
import json
import types

import numpy as np

from segjax.config import sweeps
from segjax.files import write_table
from segjax.tasks.metric import Metric
from segjax.train.sweepdir import folder_of

CLASSES = ("RV", "M", "LV")


class Volumes:
    """A task like segmentation of volumes: Dice, and a distance that may be infinite."""

    headline = "dice"
    explained = types.MappingProxyType({"validation": "volumes in the resampled grid"})
    metrics = (
        *(
            metric
            for name in CLASSES
            for metric in (
                Metric(f"dice_{name}", (f"dice_{name}",), title=f"Dice {name}"),
                Metric(
                    f"hausdorff_{name}",
                    (f"hausdorff_{name}",),
                    title=f"HD {name}",
                    unit="mm",
                    higher_is_better=False,
                ),
            )
        ),
        Metric("dice", ("mean_dice",), reported=False),
    )


Volumes.columns = Volumes.scored = ("mean_dice", *(m.columns[0] for m in Volumes.metrics[:-1]))

COLUMNS = tuple(metric.columns[0] for metric in Volumes.metrics if metric.reported)
CASES = tuple(f"patient{i:03d}_ED" for i in range(6))
LOSSES = ("region_wise", "dice", "focal_loss")
POINTS = sweeps.product([{"arg": f"loss={loss}"} for loss in LOSSES], seed=[0, 1])
RNG = np.random.default_rng(0)
# [rows, seeds, cases, columns]; the second row is clearly worse, the third nearly equal.
VALUES = RNG.uniform(0.6, 0.9, (1, 1, 6, 6)) + RNG.normal(0, 0.01, (3, 2, 6, 6))
VALUES[1] -= 0.3
VALUES = np.round(VALUES, 6)
DICE, DISTANCE = COLUMNS.index("dice_RV"), COLUMNS.index("hausdorff_RV")


def config_of(**fields):
    """As much of a config as a report reads."""
    base = {"task": "tests.report.fabricated:Volumes", "task_options": {}, "model": {}}
    return base | {"paper": {}, "seed": 0} | fields


def write_manifest(folder, points, source="experiments/acdc/table2.py:paper"):
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {"config": source, "overrides": {}, "points": {}}
    manifest["points"] = {sweeps.point_id(point): point for point in points}
    (folder / "sweep.json").write_text(json.dumps(manifest))


def write_point(
    folder,
    point,
    rows,
    *,
    columns=COLUMNS,
    cases=CASES,
    metrics=None,
    curves=(),
    step=None,
    **config,
):
    """One finished point. `rows` is [cases, columns]; `curves` lists (step, name, value)."""
    place = folder_of(folder, point)
    place.mkdir(parents=True)
    (place / "config.json").write_text(json.dumps(config_of(**config)))
    write_table(place / "predictions_validation.csv", columns, cases, np.asarray(rows))
    lines = [
        {"step": at, "split": "validation", "name": name, "value": value, "count": 1}
        for at, name, value in curves
    ]
    (place / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    metrics = {"dice": float(np.mean(rows))} if metrics is None else metrics
    result = {"metrics": metrics} | ({} if step is None else {"step": step})
    (place / "metrics_validation.json").write_text(json.dumps(result))
    (place / "done.json").write_text(json.dumps({"table": step or 0}))
    return place


def write_all(folder, values=VALUES, points=POINTS, **options):
    write_manifest(folder, points)
    for point, rows in zip(points, values.reshape(-1, *values.shape[2:]), strict=True):
        write_point(folder, point, rows, **options)


def lines_of(folder):
    """(row, metric) -> the line of report.csv."""
    lines = csv.DictReader((folder / "report.csv").read_text().splitlines())
    return {(line["row"], line["metric"]): line for line in lines}
