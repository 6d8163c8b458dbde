"""Both trainings on lesions end to end, on photographs and networks that take seconds."""

import base64
import csv
import json
import signal
import time
import zlib

import cv2
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
        "model.name": "tests.train.tiny_lesions:PixelNet",
        "task_options.tile": 0,
        "train.steps": 6,
    },
    "prn": {
        "data.image_size": "(17, 17)",
        "model.name": "tests.train.tiny_lesions:PatchNet",
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
    "task_options__epoch_batches": 10,
    "task_options__pool": 1500,
    "task_options__healthy_centres": 4000,
    "task_options__score_batch": 1,
    "train__steps": 30,
    "optimizer__learning_rate": 1e-4,
    "evaluate__every_steps": 15,
    "checkpoint__every_steps": 7,
}
# As of tests/train/test_devices.py: sums over the batch are taken in another order
TOLERANCE = 1e-4


def words(kind, workdir, data_dir, **more):
    """The words of `segjax train` for an experiment on microaneurysms."""
    chosen = SHARED | SMALL[kind] | {"data.data_dir": data_dir}
    chosen |= {key.replace("__", "."): value for key, value in more.items()}
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


def test_whole_photographs_are_evaluated_on_another_split(hypotheses, tmp_path):
    copy = runs.copied(hypotheses, tmp_path)
    assert cli.main(["evaluate", "--workdir", str(copy), "--split", "test"]) == 0
    with (copy / "predictions_test.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["pixels"]) for row in rows] == [96 * 96] * 6
    # Healthy ones are among them, with what is found in vain
    positives = np.array([float(row["positives"]) for row in rows])
    false = np.array([float(row["fp_0.03125"]) for row in rows])
    assert np.any(positives == 0) and np.all(false[positives == 0] > 0)


def test_a_photograph_of_the_split_is_predicted_as_it_was_evaluated(hypotheses, data, tmp_path):
    examples = store.open_split(store.builder(DATA, str(data)), "validation")
    example = next(e for e in examples if e["microaneurysms"].any())
    name = example["image_id"].decode()
    write_png(tmp_path / f"{name}.png", example["image"])
    (tmp_path / "truth").mkdir()
    write_png(tmp_path / "truth" / f"{name}_MA.png", example["microaneurysms"][..., 0] * 255)
    out = tmp_path / "out"
    command = ["predict", "--workdir", str(hypotheses), "--input", str(tmp_path / f"{name}.png")]
    command += ["--output", str(out), "--truth", str(tmp_path / "truth")]
    assert cli.main(command) == 0
    stored = cv2.imread(str(out / "probabilities" / f"{name}.png"), cv2.IMREAD_UNCHANGED) / 65535
    with (hypotheses / "predictions_validation.csv").open(newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["image"] == name)
    lesions = example["microaneurysms"][..., 0] > 0
    for threshold in (0.25, 0.5, 0.75):
        near = np.sum(np.abs(stored - threshold) < 1e-4)
        chosen = stored >= threshold
        assert abs(np.sum(chosen & lesions) - float(row[f"tp_{threshold:g}"])) <= near
        assert abs(np.sum(chosen & ~lesions) - float(row[f"fp_{threshold:g}"])) <= near
    assert read_image(out / "overlays" / f"{name}.png").shape == (96, 96, 3)
    assert (out / "lesions" / f"{name}.csv").exists()


def test_a_network_of_patches_is_predicted_with_by_a_pipeline(refinement, tmp_path, capsys):
    write_png(tmp_path / "a.png", np.zeros((96, 96, 3), np.uint8))
    command = ["predict", "--workdir", str(refinement), "--input", str(tmp_path / "a.png")]
    assert cli.main([*command, "--output", str(tmp_path / "out")]) == 2
    assert "segjax pipeline" in capsys.readouterr().err


# --- ways of running ------------------------------------------------------------------------------


def same_losses(folder, other, exact=False):
    for split, name in (("train", "loss"), ("train", "gradient_norm")):
        found, wanted = runs.logged(folder, split, name), runs.logged(other, split, name)
        assert list(found) == list(wanted)
        if exact:
            assert found == wanted
        np.testing.assert_allclose(list(found.values()), list(wanted.values()), rtol=TOLERANCE)


@pytest.mark.parametrize("kind", ["hgn", "prn"])
@pytest.mark.parametrize("change", ["data__resident=no", "parallel=pmap"])
def test_ways_of_running_agree(kind, change, data, hypotheses, refinement, tmp_path):
    """Losses pool the batches of eight devices, and scores choose patches from step 3 on."""
    name, value = change.split("=")
    assert cli.main(words(kind, tmp_path / "run", data, **{name: value})) == 0
    same_losses(tmp_path / "run", {"hgn": hypotheses, "prn": refinement}[kind])


def sampler(folder):
    """What the newest checkpoint keeps of the sampler."""
    steps = sorted(int(path.name) for path in (folder / "checkpoints" / "latest").iterdir())
    found = list((folder / "checkpoints" / "latest" / str(steps[-1])).rglob("*"))
    texts = [json.loads(p.read_text()) for p in found if p.is_file() and _is_loop_state(p)]
    return texts[0]["sampler"]


def _is_loop_state(path):
    return path.stat().st_size < 10**6 and b'"sampler"' in path.read_bytes()


def start(folder, data, devices=1):
    return runs.start(["segjax.cli", *words("prn", folder, data, **SCORED)], devices)


def finish(process):
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    finish(start(folder, data))
    return folder


def test_a_run_that_is_killed_inside_its_scorings_ends_bitwise_the_same(
    data, undisturbed, tmp_path
):
    folder = tmp_path / "run"
    for step in (10, 20):  # scored before the steps 11 and 21
        process = start(folder, data)
        deadline = time.monotonic() + 120
        while last_step(folder) < step:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.1)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert last_step(folder) == step, "the scoring took less than 0.1 s: make it longer"
    saved = sorted(int(p.name) for p in (folder / "checkpoints" / "latest").iterdir())
    assert saved[-1] == 14 and sampler(folder)["period"] == 1
    finish(start(folder, data))
    for kind in ("latest", "best"):
        one, two = (load_trained(path, kind).state for path in (folder, undisturbed))
        assert parameters_digest(one) == parameters_digest(two)
    same_losses(folder, undisturbed, exact=True)
    assert sampler(folder) == sampler(undisturbed)
    names = ("predictions_validation.csv", "metrics_validation.json", "baseline.json")
    for name in names:
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes()


def last_step(folder):
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return int(lines[-1].split('"step": ')[1].split(",")[0]) if lines else 0


def weights(folder):
    return np.frombuffer(zlib.decompress(base64.b64decode(sampler(folder)["weights"])), np.float16)


def test_eight_devices_draw_what_one_draws(data, undisturbed, tmp_path, command_settings):
    folder = tmp_path / "run"
    assert cli.main(words("prn", folder, data, **SCORED)) == 0
    one, eight = (runs.logged(path, "train", "loss") for path in (undisturbed, folder))
    found, wanted = np.array(list(eight.values())), np.array(list(one.values()))
    apart = np.abs(found / wanted - 1)
    assert apart[:10].max() < TOLERANCE
    # Parameters differ in their last bits by now: of sixteen bits of a weight the last may too, and
    # a draw at its edge falls on the next candidate
    assert np.mean(apart < TOLERANCE) > 0.8 and apart.max() < 0.1
    ours, theirs = weights(folder).astype(float), weights(undisturbed).astype(float)
    assert ours.shape == (1500,) and sampler(folder)["period"] == 2
    np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-6)


# --- wrong input ----------------------------------------------------------------------------------


SPLITS = ("train", "validation")


def only(data, split, kind):
    """The photographs of a split that are healthy, or have lesions, as an expression."""
    examples = store.open_split(store.builder(DATA, str(data)), split)
    found = [k for k, e in enumerate(examples) if (e["grade"] == 0) == (kind == "healthy")]
    return "+".join(f"{split}[{k}:{k + 1}]" for k in found)


@pytest.mark.parametrize(
    "kind, changes, parts",
    [
        ("hgn", {"task_options__scale": 0}, ["config.task_options.scale=0", "above 0"]),
        ("hgn", {"data__image_size": "(97, 97)"}, ["96x96", "a patch of 97x97", "image_size"]),
        (
            "hgn",
            {"task_options__scale": 0.5, "data__image_size": "(64, 64)"},
            ["48x48 pixels at scale 0.5", "a patch of 64x64"],
        ),
        ("prn", {"data__image_size": "(101, 101)"}, ["96x96", "a patch of 101x101"]),
        ("prn", {"data__image_size": "(32, 32)"}, ["config.data.image_size=(32, 32)", "odd"]),
        ("hgn", {"train": "lesions"}, ["config.data.splits.train", "is healthy", "grade=0"]),
        ("prn", {"train": "healthy"}, ["config.data.splits.train", "has microaneurysms"]),
        ("prn", {"validation": "lesions"}, ["config.data.splits.validation", "is healthy"]),
        ("hgn", {"validation": "healthy"}, ["config.data.splits.validation", "has microan"]),
        ("hgn", {"task_options__healthy": "image_id=0"}, ["healthy='image_id=0'", "one number"]),
        ("hgn", {"task_options__tile_margin": 9}, ["task_options.tile_margin=9", "at most 8"]),
        ("hgn", {"task_options__target": "vessel"}, ["'vessel'", "did you mean 'vessels'"]),
        ("hgn", {"evaluate__best": "froc"}, ["config.evaluate.best='froc'", "in the final table"]),
    ],
)
def test_wrong_input_is_named_before_photographs_are_prepared(
    kind, changes, parts, data, tmp_path, capsys
):
    cache, folder = tmp_path / "cache", tmp_path / "run"
    changes = {
        f"data__splits__{k}" if k in SPLITS else k: only(data, k, v) if k in SPLITS else v
        for k, v in changes.items()
    }
    command = words(kind, folder, data, data__cache_dir=cache, **changes)
    assert cli.main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    for part in parts:
        assert part in line
    assert not folder.exists() and not cache.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, network",
    [
        ("hgn", {"model__name": "FRRN", "model__base": 2, "model__lanes": 2}),
        ("prn", {"model__name": "PatchResNet", "model__width": 2, "model__stages": "(1, 1)"}),
    ],
)
def test_the_networks_of_the_paper_train_too(kind, network, data, tmp_path):
    folder = tmp_path / "run"
    assert cli.main(words(kind, folder, data, **network)) == 0
    losses = list(runs.logged(folder, "train", "loss").values())
    assert np.all(np.isfinite(losses)) and np.isfinite(metrics(folder)["auc_pr"])
