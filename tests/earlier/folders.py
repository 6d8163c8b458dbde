"""Three work folders of an earlier version: of images, of volumes, and a population."""

import csv
import json
import pathlib
import shutil
from collections.abc import Callable

import numpy as np

from tests.data.fake_volumes import write
from tests.train import runs
from tests.train.test_volumes import words as volume_words
from tests.wrong_input.words import picture

HERE = pathlib.Path(__file__).resolve().parent
ARCHIVE, EXPECTED = HERE / "runs.tar.xz", HERE / "expected.json"
STEPS, LAST = 6, 4  # the length of each training, and the step that an interrupted one is at
OFTEN = {"train__steps": STEPS, "evaluate__every_steps": 2, "checkpoint__every_steps": 2}
OFTEN |= {"checkpoint__keep": 3}
IMAGES = runs.words(pathlib.Path("images"), pathlib.Path("data"), **OFTEN)
# The rate that the experiment file had then
VOLUMES = volume_words("volumes", "data", optimizer__learning_rate=5e-3, **OFTEN)
SWEEP = ["sweep", "--config", "experiment.py", "--workdir", "sweep", "--engine", "population"]
EXPERIMENT = f'''from experiments.segmentation import demo

def get_config(arg=None):
    config = demo.get_config("loss=dice+cross_entropy")
    config.data.name, config.data.data_dir = "{runs.DATA}", "data"
    config.data.image_size = (16, 16)
    config.model.name, config.model.features = "tests.train.tiny:Tiny", (4,)
    config.data.batch_size = config.evaluate.batch_size = 8
    config.train.steps = {STEPS}
    config.train.clip_norm = None
    config.evaluate.every_epochs, config.evaluate.every_steps = None, 2
    config.checkpoint.every_percent, config.checkpoint.every_steps = None, 2
    config.checkpoint.keep = 3
    config.log.every_steps = 1
    config.log.tensorboard = False
    return config

def sweep():
    rates = dict(enumerate((0.01, 0.005)))
    return [dict([("seed", s), ("optimizer.learning_rate", rate)]) for s, rate in rates.items()]
'''


def inputs(folder: pathlib.Path) -> None:
    """Files to predict on."""
    (folder / "photographs").mkdir()
    picture(folder / "photographs" / "noise.png")
    array = np.random.default_rng(0).integers(0, 200, (40, 44, 3)).astype(np.int16)
    write(folder / "scans" / "noise.nii.gz", array, (1.5, 1.5, 8.0))


def work_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    """The work folders, in an order that is always the same."""
    return [
        folder / "images",
        folder / "volumes",
        *sorted((folder / "sweep" / "points").glob("*/")),
    ]


def interrupt(work: pathlib.Path) -> None:
    """Leaves a finished folder as a run that was killed behind step LAST."""
    for step in range(LAST + 1, STEPS + 1):
        for kind in ("latest", "best"):
            shutil.rmtree(work / "checkpoints" / kind / str(step), ignore_errors=True)
    for name in ("done.json", "metrics_validation.json", "predictions_validation.csv", "report.md"):
        (work / name).unlink()


def said_of(folder: pathlib.Path, segjax: Callable) -> dict:
    """What evaluation, prediction and report give, and what training has logged."""
    said = {}
    for work in work_folders(folder):
        name = str(work.relative_to(folder))
        segjax("evaluate", "--workdir", name, "--split", "validation")
        source = "scans" if name == "volumes" else "photographs"
        segjax("predict", "--workdir", name, "--input", source, "--output", f"{name}-predicted")
        metrics = json.loads((work / "metrics_validation.json").read_text())
        said[name] = {
            "metrics": metrics["metrics"]
            | {f"baseline {k}": v for k, v in baseline(metrics).items()},
            "table": numbers(work / "predictions_validation.csv"),
            "predictions": numbers(folder / f"{name}-predicted" / "predictions.csv"),
            "log": logged(work),
        }
    segjax("report", "sweep")
    said["report"] = numbers(folder / "sweep" / "report.csv")
    return said


def baseline(metrics: dict) -> dict:
    """The baseline's metrics, by the name that they have had since, or before."""
    return metrics.get("baseline", metrics.get("trivial")) or {}


def logged(work: pathlib.Path) -> dict[str, float]:
    """`step split name` -> value, but what measures time."""
    rows = [json.loads(line) for line in (work / "metrics.jsonl").read_text().splitlines()]
    found = {f"{row['step']} {row['split']} {row['name']}": row["value"] for row in rows}
    assert len(found) == len(rows)
    return {name: value for name, value in found.items() if "images_per_second" not in name}


def numbers(path: pathlib.Path) -> list[dict]:
    """The rows of a CSV file, by column, numbers where cells are some."""
    with path.open(newline="") as file:
        return [{name: number(cell) for name, cell in row.items()} for row in csv.DictReader(file)]


def number(cell: str) -> float | str:
    """A number where a cell is one."""
    try:
        return float(cell)
    except ValueError:
        return cell
