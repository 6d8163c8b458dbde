"""A trained folder opened later: by the numbers of its training, on whatever devices there are."""

import json

import cv2
import numpy as np
import pytest

from segjax.cli import main
from segjax.config import files
from segjax.inference.open import load_trained
from tests.train import runs

pytestmark = pytest.mark.usefixtures("command_settings")

EXAMPLES, BATCH, STEPS = 24, 8, 6


@pytest.fixture(scope="module")
def boundary(tmp_path_factory, data_dir, command_settings):
    """Two epochs of the boundary demo, whose weights move with every epoch."""
    folder = tmp_path_factory.mktemp("boundary") / "run"
    settings = {
        "data.data_dir": data_dir,
        "model.name": "tests.train.tiny:Tiny",
        "train.steps": STEPS,
        "evaluate.every_steps": STEPS // 2,
    }
    settings |= {
        f"data.augment.{name}": 0.0 for name in ("flip_horizontal", "rotate", "brightness")
    }
    demo = runs.ROOT / "experiments" / "segmentation" / "demo.py"
    flags = [f"--config.{key}={value}" for key, value in (runs.SMALL | settings).items()]
    words = ["train", "--config", f"{demo}:loss=boundary", "--workdir", str(folder), *flags]
    assert main(words) == 0
    return folder


def metrics_of(folder):
    return json.loads((folder / "metrics_validation.json").read_text())


def falling_weight(step):
    """max(1 - e / E, 0.01), e whole epochs done, E all of them: `gradual` by hand."""
    return max(1 - (step * BATCH // EXAMPLES) / (STEPS * BATCH / EXAMPLES), 0.01)


@pytest.mark.parametrize("kind", ["best", "latest"])
def test_evaluate_gives_the_loss_of_the_training(boundary, tmp_path, kind):
    copy = runs.copied(boundary, tmp_path)
    assert main(["evaluate", "--workdir", str(copy), "--checkpoint", kind]) == 0
    content = metrics_of(copy)
    if kind == "best":
        assert content["metrics"] == pytest.approx(metrics_of(boundary)["metrics"], rel=1e-5)
    values, weight = content["metrics"], falling_weight(content["step"])
    assert 0 < weight < 1
    parts = values["loss/generalized_dice"], values["loss/boundary"]
    by_hand = weight * parts[0] + (1 - weight) * parts[1]
    assert values["loss"] == pytest.approx(by_hand, rel=1e-5)
    logged = runs.logged(boundary, "validation", "loss")
    assert values["loss"] == pytest.approx(logged[content["step"]], rel=1e-5)
    assert json.loads((boundary / "env.json").read_text())["examples"] == EXAMPLES


def test_an_older_folder_counts_its_examples_in_the_data_set(boundary, tmp_path, capsys):
    copy = runs.copied(boundary, tmp_path)
    environment = json.loads((copy / "env.json").read_text())
    del environment["examples"]
    for text in (json.dumps(environment), "[]", "{"):
        (copy / "env.json").write_text(text)
        assert load_trained(copy).experiment.clock.examples == EXAMPLES
    assert capsys.readouterr().err == ""
    elsewhere = runs.copied(copy, tmp_path / "b", data__data_dir="gone")
    assert load_trained(elsewhere).experiment.clock.examples > 0
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and "no number of training examples" in errors


@pytest.mark.parametrize("parallel", ["sharding", "pmap"])
def test_a_trained_folder_works_on_any_number_of_devices(trained, tmp_path, capsys, parallel):
    # Of the eight devices here 4 pictures of a training batch leave some idle, 6 of an evaluation.
    sizes = {"data__batch_size": 4, "evaluate__batch_size": 6}
    copy = runs.copied(trained, tmp_path, parallel=parallel, **sizes)
    assert main(["evaluate", "--workdir", str(copy)]) == 0
    errors = capsys.readouterr().err
    assert errors == "segjax: config.evaluate.batch_size=6: runs on 6 of the 8 devices\n"
    assert metrics_of(copy)["metrics"] == pytest.approx(metrics_of(trained)["metrics"], rel=1e-5)
    picture = tmp_path / "eye.png"
    cv2.imwrite(str(picture), np.full((40, 50, 3), 90, np.uint8))
    output = tmp_path / "predicted"
    words = ["predict", "--workdir", str(copy), "--input", str(picture), "--output", str(output)]
    assert main(words) == 0
    assert (output / "predictions.csv").exists() and capsys.readouterr().err == ""


def test_only_training_takes_a_batch_that_fits_all_devices(trained, tmp_path, capsys):
    copy = runs.copied(trained, tmp_path, data__batch_size=4, evaluate__batch_size=6)
    assert main(["report", str(copy)]) == 0
    assert main(["export", "--workdir", str(copy), "--output", str(tmp_path / "export")]) == 0
    capsys.readouterr()
    data_dir = files.from_json(copy / "config.json").data.data_dir
    settings = {"data__batch_size": 4, "evaluate__batch_size": 6}
    assert main(runs.words(copy, data_dir, **settings)) == 2
    assert "config.data.batch_size=4: not divisible by the 8 devices" in capsys.readouterr().err
