"""`segjax config` prints what the other verbs would take, as lines or as JSON."""

import json
import os
import sys

import pytest

from segjax.cli import main
from segjax.config import files, listing
from tests.train import runs

pytestmark = pytest.mark.usefixtures("command_settings")

DEMO = runs.ROOT / "experiments" / "segmentation" / "demo.py"
IDRID = runs.ROOT / "experiments" / "fovea" / "idrid.py"
# A network of two layers is traced in a moment.
TINY = {"model.name": "tests.train.tiny:Tiny", "model.features": "(4,)"}
FLAGS = [f"--config.{key}={value}" for key, value in TINY.items()]


def test_lines_name_every_field_and_give_the_config_back(capfd):
    arg = f"{DEMO}:loss=boundary"
    words = [*FLAGS, "--config.task_options.cover=0.25", "--config.train.epochs=3"]
    assert main(["config", arg, *words]) == 0
    shown, errors = capfd.readouterr()
    assert errors == ""
    lines = shown.splitlines()
    assert "config.task_options.cover = 0.25" in lines
    assert "config.loss.boundary.maps = 'signed'" in lines
    assert "config.train.epochs = 3" in lines and "config.train.steps = None" in lines
    flags = dict(line.removeprefix("config.").split(" = ", 1) for line in lines)
    wanted = files.load(arg, {**TINY, "task_options.cover": "0.25", "train.epochs": "3"})
    assert files.load(arg, flags).to_dict() == wanted.to_dict()
    assert list(listing.lines(wanted)) == lines


def test_json_is_that_of_a_work_folder(trained, capfd, tmp_path):
    assert main(["config", "--workdir", str(trained), "--json"]) == 0
    shown = capfd.readouterr().out
    assert json.loads(shown) == json.loads((trained / "config.json").read_text())
    path = tmp_path / "config.json"
    path.write_text(shown)
    assert main(["config", "--workdir", str(trained)]) == 0
    assert capfd.readouterr().out.splitlines() == list(listing.lines(files.from_json(path)))


@pytest.mark.parametrize(
    "section, option, message",
    [
        ("model", "colour", "config.model.colour: "),
        ("task_options", "ratio", "config.task_options.ratio: Localization takes no such option"),
    ],
)
def test_what_a_saved_config_holds_too_much_is_said_behind_it(
    trained, capfd, tmp_path, section, option, message
):
    saved = json.loads((trained / "config.json").read_text())
    saved[section][option] = 1
    (tmp_path / "config.json").write_text(json.dumps(saved))
    assert main(["config", "--workdir", str(tmp_path)]) == 0
    shown, errors = capfd.readouterr()
    assert f"config.{section}.{option} = 1" in shown.splitlines()
    assert errors.startswith(f"segjax: {message}") and errors.count("\n") == 1


def test_the_points_of_a_sweep_are_counted_apart_from_the_config(capfd):
    assert main(["config", "--config", f"{IDRID}:cpu", "--json", *FLAGS]) == 0
    shown, errors = capfd.readouterr()
    assert errors == "segjax: its sweep() has 9 points\n"
    assert json.loads(shown)["data"]["name"] == "idrid/localization"


def test_nothing_is_written(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(["config", str(DEMO), *FLAGS]) == 0
    assert not list(tmp_path.iterdir())


def test_a_reader_that_has_enough_is_no_error(trained, monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", gone)
        assert main(["config", "--workdir", str(trained)]) == 0


def test_the_help_says_how_to_use_a_line(capfd):
    with pytest.raises(SystemExit) as left:
        main(["config", "--help"])
    assert left.value.code == 0
    shown = capfd.readouterr().out
    assert "--config.data.image_size=(64, 64)" in shown and "--json" in shown


def test_a_word_that_its_sweep_varies_is_no_fault_of_a_single_training(capfd):
    assert main(["config", f"{IDRID}:cpu,loss=mse", *FLAGS]) == 0
    output, errors = capfd.readouterr()
    assert "config.loss.mse.name = 'coordinate_mean_squared_error'" in output
    assert errors == "segjax: its sweep() has 9 points\n"
