"""Both trainings on lesions end to end, on photographs and networks that take seconds."""

import csv
import json
import signal
import time

import numpy as np
import pytest

from segjax import cli
from segjax.data import store
from segjax.data.images import read_image
from segjax.data.png import write_png
from segjax.inference.open import load_trained
from segjax.train.checkpoint import parameters_digest
from tests.train import runs

pytestmark = pytest.mark.usefixtures("command_settings")
DATA = "synthetic_fundus/96px_8_12_6"
SHARED = {
    "data.splits.train": "train",
    "data.splits.validation": "validation",
    "data.splits.test": "test",
    "data.batch_size": 8,
    "task_options.healthy": "grade=0",
    "task_options.healthy_centres": 400,
    "evaluate.batch_size": 8,
    "log.every_steps": 1,
    "log.tensorboard": False,
    "optimizer.learning_rate": 1e-3,
}
SMALL = {
    "hgn": {
        "data.image_size": "(32, 32)",
        "model.name": "tests.train.tiny:Normed",
        "task_options.tile": 0,
        "train.steps": 6,
    },
    "prn": {
        "data.image_size": "(17, 17)",
        "model.width": 2,
        "model.stages": "(1, 1)",
        "task_options.epoch_batches": 3,
        "task_options.pool": 200,
        "task_options.score_batch": 16,
        "task_options.judged_patches": 10,
        "train.steps": 8,
    },
}
# A network and a pool with which a re-scoring takes a second, and all else next to nothing
SCORED = {
    "data__image_size": "(9, 9)",
    "model__name": "tests.train.tiny_patches:PatchNet",
    "model__width": 4,
    "task_options__epoch_batches": 10,
    "task_options__pool": 1500,
    "task_options__healthy_centres": 4000,
    "task_options__score_batch": 1,
    "train__steps": 30,
    "evaluate__every_steps": 15,
    "checkpoint__every_steps": 7,
}
# As of tests/train/test_devices.py: sums over the batch are taken in another order
TOLERANCE = 1e-4


def words(kind, workdir, data_dir, **more):
    """The words of `segjax train` for an experiment on microaneurysms."""
    chosen = SHARED | SMALL[kind] | {"data.data_dir": data_dir}
    chosen |= {key.replace("__", "."): value for key, value in more.items()}
    if chosen.get("model.name") == "tests.train.tiny:Normed":
        chosen |= {"model.classes": 2}
    flags = [f"--config.{key}={value}" for key, value in chosen.items()]
    file = runs.ROOT / "experiments" / "microaneurysms" / f"{kind}.py"
    return ["train", "--config", f"{file}:cpu,data={DATA}", "--workdir", str(workdir), *flags]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    store.ensure_prepared(DATA, str(folder))
    return folder


def trained(kind, data, tmp_path_factory, **more):
    folder = tmp_path_factory.mktemp("runs") / kind
    assert cli.main(words(kind, folder, data, **more)) == 0
    return folder


@pytest.fixture(scope="module")
def hypotheses(data, tmp_path_factory, command_settings):
    return trained("hgn", data, tmp_path_factory)


@pytest.fixture(scope="module")
def refinement(data, tmp_path_factory, command_settings):
    return trained("prn", data, tmp_path_factory)


def metrics(folder, split="validation"):
    return json.loads((folder / f"metrics_{split}.json").read_text())["metrics"]


def test_both_train_and_report(hypotheses, refinement):
    for folder, steps in ((hypotheses, 6), (refinement, 8)):
        losses = runs.logged(folder, "train", "loss")
        assert sorted(losses) == list(range(1, steps + 1))
        assert np.all(np.isfinite(list(losses.values())))
        assert np.isfinite(metrics(folder)["auc_pr"])
        assert "AUC-PR" in (folder / "report.md").read_text()
        assert (folder / "figures" / "precision_recall_validation.png").exists()
        with (folder / "predictions_validation.csv").open(newline="") as file:
            assert len(list(csv.DictReader(file))) == 12
    assert "froc" in metrics(hypotheses) and "froc" not in metrics(refinement)
