"""The segmentation demo trains with every loss of logits and labels or maps, found by itself."""

import functools
import json

import cv2
import jax
import numpy as np
import pytest

from segjax.cli import main
from segjax.config import files
from segjax.data import store
from segjax.data.png import write_png
from segjax.recipes.augmentation import augmentations
from segjax.recipes.combinations import PUBLISHED
from segjax.recipes.loss_terms import segmentation_losses
from segjax.train import experiment
from tests.train import runs

pytestmark = [pytest.mark.usefixtures("command_settings"), pytest.mark.pictures]

DEMO = str(runs.ROOT / "experiments" / "segmentation" / "demo.py")
LOSSES = segmentation_losses()
ALONE = [f"{name},alone" for name in PUBLISHED]
STRUCTURES = ("disc", "vessels", "lesions")
BATCH, STEPS = 8, 16
TINY = "tests.train.tiny:Tiny"
SETTINGS = {
    "data.name": runs.DATA,
    "data.image_size": "(32, 32)",
    "data.batch_size": BATCH,
    "evaluate.batch_size": 8,
    "model.features": "(4, 8)",
    "train.steps": STEPS,
    "optimizer.learning_rate": 1e-2,
    "log.every_steps": 1,
    "log.tensorboard": False,
}


def load(arg, data_dir, *, tiny=False):
    config = files.load(f"{DEMO}:{arg}", SETTINGS | {"data.data_dir": str(data_dir)})
    with config.unlocked():
        config.data.augment = augmentations("segmentation")
        if tiny:
            config.model.name = TINY
    return config


@functools.cache
def batch_of(target, data_dir):
    """The images of the training set with most of the structure, as one batch without padding."""
    config = load(f"target={target}", data_dir)
    parts = experiment.name_parts(config)
    source = parts.task.source(parts)
    largest = np.argsort(-(source.arrays["labels"] > 0).sum(axis=(1, 2)), kind="stable")[:BATCH]
    fields = {name: array[largest] for name, array in source.arrays.items()}
    slots = np.arange(BATCH, dtype=np.int32)
    return fields | {"slot": slots, "weight": np.ones(BATCH, np.float32)}


def train(arg, target, data_dir, *, tiny):
    """Values by name over steps on one batch, without augmentation."""
    config = load(f"{arg},target={target}", data_dir, tiny=tiny)
    made = experiment.build(config, examples=24, devices=1)
    step = jax.jit(made.train_step(None))
    state = jax.jit(made.initial_state)()
    batch, rows = batch_of(target, data_dir), []
    for _ in range(STEPS):
        state, sums = step(state, {}, batch)
        rows.append({name: value / count for name, (value, count) in sums.items()})
    assert int(state.step) == STEPS and not state.halted, "a step was not finite"
    return made, {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def check_reduced(made, values):
    """The loss under the weights of the last step, as mean over the first and last four steps."""
    assert all(np.isfinite(series).all() for series in values.values())
    objective = values["loss"]
    if len(made.terms) > 1:
        weights = {t.name: values.get(f"weight/{t.name}", [t.weight])[-1] for t in made.terms}
        objective = sum(w * values[f"loss/{name}"] for name, w in weights.items())
    assert objective[-4:].mean() < objective[:4].mean(), objective


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_trains_on_one_structure(name, data_dir):
    check_reduced(*train(f"loss={name}", STRUCTURES[LOSSES.index(name) % 3], data_dir, tiny=True))


@pytest.mark.slow
@pytest.mark.parametrize("target", STRUCTURES)
@pytest.mark.parametrize("arg", [*LOSSES, *ALONE])
def test_every_loss_trains_on_every_structure(arg, target, data_dir):
    check_reduced(*train(f"loss={arg}", target, data_dir, tiny=False))


# --- The command, from a config to pictures. ----------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory, data_dir):
    """A work folder after a few steps of a Hausdorff loss in the form of its paper."""
    folder = tmp_path_factory.mktemp("segmentation") / "run"
    settings = SETTINGS | {"data.data_dir": data_dir, "model.name": TINY, "train.steps": 7}
    flags = [f"--config.{key}={value}" for key, value in settings.items()]
    config = f"{DEMO}:loss=hausdorff_dt"
    assert main(["train", "--config", config, "--workdir", str(folder), *flags]) == 0
    return folder


def test_the_command_trains_and_logs_every_term_apart(run):
    series = {name: runs.logged(run, "train", name) for name in ("loss", "weight/dice")}
    terms = {name: runs.logged(run, "train", f"loss/{name}") for name in ("dice", "hausdorff_dt")}
    for step, weight in series["weight/dice"].items():
        total = terms["hausdorff_dt"][step] + weight * terms["dice"][step]
        assert series["loss"][step] == pytest.approx(total, rel=1e-4)
    first = {name: np.mean([values[step] for step in (1, 2, 3)]) for name, values in terms.items()}
    weights = list(series["weight/dice"].values())
    assert weights[:3] == [1.0, 1.0, 1.0]
    assert weights[3] == pytest.approx(first["hausdorff_dt"] / first["dice"], rel=1e-4)
    assert len(runs.logged(run, "validation", "loss/dice")) == 3


def test_the_report_shows_schedules_metrics_and_cases(run):
    report = (run / "report.md").read_text()
    assert "1 x hausdorff_dt" in report and "rebalance(against = hausdorff_dt) x dice" in report
    content = json.loads((run / "metrics_validation.json").read_text())
    assert set(content["metrics"]) >= {"loss", "dice", "jaccard"}
    assert 0 < content["baseline"]["dice"] < 0.2
    assert cv2.imread(str(run / "figures" / "cases_validation.png")) is not None
    header, *rows = (run / "predictions_validation.csv").read_text().splitlines()
    each = [f"{kind}_optic_disc" for kind in ("true_area", "area", "dice", "limit")]
    assert header.split(",") == ["image", *each, "mean_dice", "jaccard"]
    scores = [float(row.split(",")[-2]) for row in rows]
    assert content["metrics"]["dice"] == pytest.approx(np.mean(scores), abs=1e-4)


def test_the_table_judges_the_masks_that_predict_writes(run, data_dir, tmp_path):
    """At the size of the photographs, 48 pixels, where the network sees 32."""
    made = store.builder(runs.DATA, str(data_dir))
    split = store.open_split(made, "validation", ("image", "image_id", "optic_disc"))
    masks = {}
    for example in (split[index] for index in range(len(split))):
        name = example["image_id"].decode()
        write_png(tmp_path / "in" / f"{name}.png", example["image"])
        masks[name] = example["optic_disc"][..., 0] > 0
    words = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    assert main(["predict", "--workdir", str(run), *words]) == 0
    header, *rows = (run / "predictions_validation.csv").read_text().splitlines()
    found = {}
    for row in rows:
        name, *values = row.split(",")
        found[name] = dict(zip(header.split(",")[1:], map(float, values), strict=True))
    assert set(found) == set(masks)
    for name, mask in masks.items():
        path = tmp_path / "out" / "labels" / f"{name}.png"
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) > 0
        assert labels.shape == mask.shape == (48, 48)
        both, either = (labels & mask).sum(), (labels | mask).sum()
        wanted = {"dice_optic_disc": 2 * both / (both + either), "jaccard": both / either}
        wanted |= {"true_area_optic_disc": mask.mean(), "area_optic_disc": labels.mean()}
        # The best of the masks of 32 pixels: those annotated by more than some share
        numbers = np.arange(32 * 32, dtype=np.float32).reshape(32, 32)
        cells = cv2.resize(numbers, (48, 48), interpolation=cv2.INTER_NEAREST_EXACT).astype(int)
        shares = np.array([mask[cells == number].mean() for number in range(32 * 32)])
        backs = [shares[cells] >= share for share in np.unique(shares)]
        dices = [2 * (back & mask).sum() / (back.sum() + mask.sum()) for back in backs]
        wanted["limit_optic_disc"] = max(dices)
        for column, value in wanted.items():
            assert found[name][column] == pytest.approx(value, abs=1e-5)
    result = json.loads((run / "metrics_validation.json").read_text())
    share = np.array([mask.mean() for mask in masks.values()])
    assert result["baseline"]["dice"] == pytest.approx(np.mean(2 * share / (1 + share)))
    means = result["metrics"]
    assert means["dice"] == pytest.approx(np.mean([row["mean_dice"] for row in found.values()]))


def test_predict_writes_overlays_and_label_maps(run, tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "eye.png"), picture)
    words = ["--input", str(tmp_path / "eye.png"), "--output", str(tmp_path / "out")]
    assert main(["predict", "--workdir", str(run), *words]) == 0
    assert cv2.imread(str(tmp_path / "out" / "overlays" / "eye.png")).shape == (40, 50, 3)
    labels = cv2.imread(str(tmp_path / "out" / "labels" / "eye.png"), cv2.IMREAD_UNCHANGED)
    assert labels.shape == (40, 50) and set(np.unique(labels)) <= {0, 1}
    header, row = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    assert header == "image,area_optic_disc" and 0 <= float(row.split(",")[1]) <= 1
