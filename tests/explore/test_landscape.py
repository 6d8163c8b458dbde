"""`segjax landscape`: each kind writes one picture, and nothing else."""

import json
import pathlib

import cv2
import jax
import pytest

from segjax.cli import main
from segjax.inference.open import load_trained
from segjax.launch import landscape
from segjax.launch.landscape_options import EXAMPLES, KINDS

pytestmark = [pytest.mark.usefixtures("command_settings"), pytest.mark.pictures]

SMALL_DISC = ["--size", "32", "--radius", "6", "--steps", "5"]


@pytest.mark.parametrize(
    "words",
    [
        ["position", "--classes", "16", "--target", "3", "--side", "8"],
        ["shift", "--loss", "dice", "focal:gamma=3", *SMALL_DISC],
        ["grow", "--loss", "dice", "dice", *SMALL_DISC],
        ["hole", "--loss", "cross_entropy", *SMALL_DISC],
        ["simplex", "--loss", "cross_entropy", "focal", "focal"],
        ["training", "--size", "16", "--steps", "2", "--maps", "rectified"],
    ],
    ids=lambda words: words[0],
)
def test_a_kind_writes_its_picture(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["landscape", *words]) == 0
    name = f"landscape_{words[0]}.png"
    assert capsys.readouterr().out == f"wrote {name}\n"
    assert cv2.imread(name).std() > 10
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_surroundings_of_a_work_folder(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["parameters", "--workdir", str(trained), "--points", "3", "--eigenvalues", "1"]
    assert main(["landscape", *words, "--examples", "2", "--output", "new/around.png"]) == 0
    assert capsys.readouterr().out.endswith("wrote new/around.png\n")
    assert cv2.imread("new/around.png").std() > 10


def test_the_loss_of_a_folder_is_the_one_that_evaluation_reports(trained):
    reported = json.loads((trained / "metrics_validation.json").read_text())
    loaded = load_trained(trained)
    loss = landscape.loss_of_folder(loaded, "validation", 1000)
    value = jax.jit(loss)(jax.device_get(loaded.state.params))
    assert reported["count"] > 8
    assert float(value) == pytest.approx(reported["metrics"]["loss"], rel=1e-4)
    few = landscape.loss_of_folder(loaded, "validation", 2)
    assert float(jax.jit(few)(loaded.state.params)) != pytest.approx(float(value), rel=1e-4)


def test_every_kind_has_its_drawer_and_its_example():
    assert set(KINDS) == set(landscape.DRAWERS)
    for line in EXAMPLES.splitlines()[1:]:
        words = line.split()
        assert words[:2] == ["segjax", "landscape"] and words[2] in KINDS
        flags = {word.removeprefix("--") for word in words if word.startswith("--")}
        assert flags <= {*KINDS[words[2]].flags, "output", "workdir"}


def test_the_help_says_how_to_read_a_picture(capsys):
    for kind, about in KINDS.items():
        with pytest.raises(SystemExit) as left:
            main(["landscape", kind, "--help"])
        assert left.value.code == 0
        text = capsys.readouterr().out
        assert about.reading.splitlines()[0] in text and f"landscape_{kind}.png" in text
    assert not pathlib.Path("landscape_position.png").exists()
