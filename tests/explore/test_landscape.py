"""`segjax landscape`: each kind writes one picture, and nothing else."""

import json
import pathlib
import shutil

import cv2
import jax
import numpy as np
import pytest

from segjax.cli import main
from segjax.config import modules
from segjax.explore import shapes
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


OWN = """
import jax.numpy as jnp
def soft_error(logits, labels, *, power=2.0):
    right = jnp.take_along_axis(jnp.exp(logits), labels[..., None], axis=-1)[..., 0]
    return jnp.mean((1 - right / jnp.sum(jnp.exp(logits), axis=-1)) ** power, axis=(1, 2))
def of_three(logits, labels):
    return soft_error(logits * jnp.ones(3), labels)
def of_maps(logits, maps):
    return jnp.mean(logits * maps, axis=(1, 2, 3))
"""


@pytest.mark.parametrize(
    "words",
    [
        ["shift", "--loss", "study.own:soft_error", "dice", *SMALL_DISC],
        ["grow", "--loss", "study.own:soft_error:power=1", *SMALL_DISC],
        ["hole", "--loss", "dice", "study.own:of_maps:maps=signed", *SMALL_DISC],
        ["simplex", "--loss", "study.own:of_three", "study.own:of_maps", "dice"],
    ],
    ids=lambda words: words[0],
)
def test_losses_beside_the_current_folder(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "own.py").write_text(OWN)
    assert main(["landscape", *words]) == 0
    name = f"landscape_{words[0]}.png"
    assert capsys.readouterr().out == f"wrote {name}\n"
    assert cv2.imread(name).std() > 10
    assert not list(tmp_path.rglob("__pycache__"))


def test_a_loss_of_ones_own_has_its_curve_and_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    modules.enter(None)
    small = {"size": 32, "radius": 6.0, "steps": 5}
    figure = landscape.shapes_figure("shift", ["own:soft_error:power=1"], **small)
    (curve,) = [line for line in figure.axes[-1].lines if len(line.get_xdata()) == 5]
    assert curve.get_label() == "own:soft_error, power 1"
    members = shapes.family("shift", **small)
    object_ = 1 / (1 + np.exp(-members.logits[..., 1].astype(float)))
    wanted = np.mean(np.abs(members.labels - object_), axis=(1, 2))
    wanted = (wanted - wanted.min()) / np.ptp(wanted)
    np.testing.assert_allclose(curve.get_ydata(), wanted, atol=1e-4)


@pytest.mark.parametrize("kind", ["best", "latest"])
def test_the_picture_of_parameters_says_what_it_is_made_of(trained, tmp_path, kind, capfd):
    folder = tmp_path / "moved_run"
    shutil.copytree(trained, folder)
    few = {"points": 3, "eigenvalues": 0}

    def title(**options):
        return landscape.parameters_figure(folder, kind=kind, **few, **options).get_suptitle()

    (step,) = {int(load_trained(folder, kind).state.step)}
    assert title(examples=2) == (
        f"moved_run: loss around its {kind} checkpoint (step {step})\n"
        "mean over 2 images of the split 'train'"
    )
    assert title(examples=1).endswith("mean over 1 image of the split 'train'")
    count = json.loads((trained / "metrics_validation.json").read_text())["count"]
    words = f"mean over {count:.0f} images of the split 'validation'"
    assert title(examples=1000, split="validation").endswith(words)
    if kind == "best":
        shutil.rmtree(folder / "checkpoints" / "best")
        assert "around its latest checkpoint (step 2)" in title(examples=1)
        assert "no best checkpoint was kept, the latest is used" in capfd.readouterr().err


def test_the_surroundings_of_a_work_folder(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["parameters", "--workdir", str(trained), "--points", "3", "--eigenvalues", "1"]
    assert main(["landscape", *words, "--examples", "2", "--output", "new/around.png"]) == 0
    assert capsys.readouterr().out.endswith("wrote new/around.png\n")
    assert cv2.imread("new/around.png").std() > 10


def images_of(loaded, examples):
    made = loaded.experiment
    return made.task.probe(made, "validation", examples)


def test_the_loss_of_a_folder_is_the_one_that_evaluation_reports(trained):
    reported = json.loads((trained / "metrics_validation.json").read_text())
    loaded = load_trained(trained)
    loss = landscape.loss_of_folder(loaded, images_of(loaded, 1000))
    value = jax.jit(loss)(jax.device_get(loaded.state.params))
    assert reported["count"] > 8
    assert float(value) == pytest.approx(reported["metrics"]["loss"], rel=1e-4)
    few = landscape.loss_of_folder(loaded, images_of(loaded, 2))
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
