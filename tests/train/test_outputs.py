"""What evaluate, report and predict write, held to what the model says."""

import csv
import json
import re

import cv2
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from segjax.cli import main
from segjax.data import store
from segjax.inference.open import load_trained
from segjax.tasks.images import prediction
from tests.train import runs

pytestmark = [pytest.mark.usefixtures("command_settings"), pytest.mark.pictures]


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_work_folder_is_complete(trained):
    names = {path.name for path in trained.iterdir()}
    assert names >= {
        "config.json",
        "env.json",
        "metrics.jsonl",
        "checkpoints",
        "figures",
        "report.md",
        "metrics_validation.json",
        "predictions_validation.csv",
    }
    for line in (trained / "metrics.jsonl").read_text().splitlines():
        assert set(json.loads(line)) == {"step", "split", "name", "value", "count"}
    report = (trained / "report.md").read_text()
    for figure in (trained / "figures").iterdir():
        assert f"figures/{figure.name}" in report
    names = {figure.name for figure in (trained / "figures").iterdir()}
    assert names == {
        "learning_curves.png",
        "cases_validation.png",
        "axis_logits_validation.png",
        "toy_losses_validation.png",
    }


def test_evaluate_writes_predictions_in_original_pixels(trained):
    assert main(["evaluate", "--workdir", str(trained), "--split", "test"]) == 0
    content = json.loads((trained / "metrics_test.json").read_text())
    rows = read_csv(trained / "predictions_test.csv")
    assert list(rows[0]) == ["image", "true_x", "true_y", "predicted_x", "predicted_y", "distance",
                             "distance_pixels"]  # fmt: skip
    assert len(rows) == content["count"] == 8

    config = load_trained(trained).experiment.config
    source = store.open_split(store.builder(config.data.name, config.data.data_dir), "test")
    truth = {e["image_id"].decode(): e["fovea"] for e in (source[i] for i in range(len(source)))}
    for row in rows:
        true = [float(row["true_x"]), float(row["true_y"])]
        np.testing.assert_allclose(true, truth[row["image"]], atol=1e-3)
    offsets = np.array(
        [
            [
                float(r["predicted_x"]) - float(r["true_x"]),
                float(r["predicted_y"]) - float(r["true_y"]),
            ]
            for r in rows
        ]
    )
    pixels = np.linalg.norm(offsets, axis=1)
    metrics = content["metrics"]
    assert metrics["distance_pixels"] == pytest.approx(pixels.mean(), rel=1e-3)
    assert metrics["distance_widths"] == pytest.approx(pixels.mean() / 48, rel=1e-3)
    assert metrics["distance"] == pytest.approx(pixels.mean() / 48, rel=1e-3)  # square pictures
    assert metrics["r_aed"] == pytest.approx(1 / (metrics["distance"] + 0.1), rel=1e-5)
    assert content["baseline"]["r_aed"] > 0


def test_the_baseline_is_the_mean_of_the_training_points(trained):
    made = load_trained(trained).experiment
    records = {name: made.task.records(made, name) for name in ("train", "validation")}
    points = {k: np.stack([r[i]["points"] for i in range(len(r))]) / 32 for k, r in records.items()}
    distance = np.linalg.norm(points["validation"] - points["train"].mean(0), axis=1).mean()
    content = json.loads((trained / "metrics_validation.json").read_text())
    assert content["baseline"]["distance"] == pytest.approx(distance, rel=1e-5)


@pytest.fixture
def pictures(tmp_path):
    """The same scene as the files people have."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    generator = np.random.default_rng(0)
    small = generator.uniform(0, 255, (6, 8, 3)).astype(np.float32)
    scene = cv2.resize(small, (80, 60), interpolation=cv2.INTER_CUBIC).clip(0, 255)
    colour = scene.round().astype(np.uint8)
    cv2.imwrite(str(folder / "colour8.png"), colour)
    cv2.imwrite(str(folder / "colour16.png"), colour.astype(np.uint16) * 257)
    cv2.imwrite(str(folder / "colour16.tif"), colour.astype(np.uint16) * 257)
    cv2.imwrite(str(folder / "photo.jpg"), colour)
    cv2.imwrite(str(folder / "grey8.png"), colour[..., 0])
    cv2.imwrite(str(folder / "grey16.tif"), colour[..., 0].astype(np.uint16) * 257)
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_predict_on_a_folder_and_on_files(trained, pictures, tmp_path):
    output = tmp_path / "predicted"
    words = ["predict", "--workdir", str(trained), "--output", str(output)]
    assert main([*words, "--input", str(pictures)]) == 0
    rows = {row["image"]: row for row in read_csv(output / "predictions.csv")}
    assert sorted(rows) == sorted(
        ["colour8.png", "colour16.png", "colour16.tif", "photo.jpg", "grey8.png", "grey16.tif"]
    )
    for name, row in rows.items():
        assert list(row) == ["image", "predicted_x", "predicted_y"]
        assert 0 <= float(row["predicted_x"]) <= 80 and 0 <= float(row["predicted_y"]) <= 60
        stem = {"colour16.png": "colour16_png", "colour16.tif": "colour16_tif"}
        picture = stem.get(name, name.rpartition(".")[0])
        overlay = cv2.imread(str(output / "overlays" / f"{picture}.png"))
        assert overlay.shape == (60, 80, 3)
        x, y = int(float(row["predicted_x"])), int(float(row["predicted_y"]))
        assert (overlay[min(y, 59), min(x, 79)] == 255).all()
    same = [rows[n]["predicted_x"] for n in ("colour8.png", "colour16.png", "colour16.tif")]
    assert len(set(same)) == 1, "bit depth or container changed the prediction"
    assert rows["grey8.png"]["predicted_x"] == rows["grey16.tif"]["predicted_x"]


def test_files_of_one_name_keep_apart(tmp_path):
    paths = [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"]
    assert prediction.unique_names(paths) == ["a__x.png", "b__x.png"]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").symlink_to("/elsewhere/y.png")  # the name given, not the target's
    assert prediction.unique_names(paths) == ["a__x.png", "b__x.png"]


def test_report_is_made_again(trained):
    before = (trained / "report.md").read_text()
    (trained / "report.md").unlink()
    assert main(["report", str(trained)]) == 0
    assert (trained / "report.md").read_text().split("## ")[0] == before.split("## ")[0]


def test_bench_prints_three_rates_and_the_share(data_dir, capfd):
    settings = runs.SMALL | {"data.data_dir": data_dir}
    flags = [f"--config.{key}={value}" for key, value in settings.items()]
    config = str(runs.ROOT / "experiments" / "fovea" / "demo.py")
    assert main(["bench", "--config", config, "--seconds", "0.3", *flags]) == 0
    lines = capfd.readouterr().out.splitlines()
    rates = {line[:12].strip(): float(line[12:].split()[0]) for line in lines[2:5]}
    assert list(rates) == ["step alone", "input alone", "both"]
    assert rates["input alone"] > rates["both"] > 0
    share = float(re.search(r"training reaches ([0-9.]+)%", lines[5])[1])
    assert share == pytest.approx(min(100, 100 * rates["both"] / rates["step alone"]), abs=0.5)


def test_profile_hook_and_tensorboard_write_their_files(data_dir, tmp_path):
    settings = {"train__steps": 13, "log__profile_steps": 2, "log__tensorboard": True}
    assert main(runs.words(tmp_path / "run", data_dir, **settings)) == 0
    assert list((tmp_path / "run" / "profile").rglob("*.xplane.pb"))
    events = [path.read_bytes() for path in (tmp_path / "run" / "tensorboard").iterdir()]
    assert sum(b"validation/r_aed" in content for content in events) == 1


def test_tensorboard_has_the_figures(data_dir, tmp_path):
    assert main(runs.words(tmp_path / "run", data_dir, log__tensorboard=True)) == 0
    found = {}
    for path in (tmp_path / "run" / "tensorboard").iterdir():
        for record in _records(path.read_bytes()):
            event = Event.FromString(record)
            for value in event.summary.value:
                if value.HasField("image"):
                    found[value.tag] = event.step, value.image
    folder = tmp_path / "run" / "figures"
    assert set(found) == {path.stem for path in folder.iterdir()}
    best = json.loads((tmp_path / "run" / "metrics_validation.json").read_text())["step"]
    for name, (step, image) in found.items():
        content = (folder / f"{name}.png").read_bytes()
        assert step == best and image.encoded_image_string == content
        assert image.width > 200 and image.height > 100


def _records(content: bytes):
    """The payloads of a TFRecord file: length, its checksum, payload, its checksum."""
    while content:
        length = int.from_bytes(content[:8], "little")
        yield content[12 : 12 + length]
        content = content[12 + length + 4 :]


def test_early_stop_after_the_patience(data_dir, tmp_path):
    # The loss falls, and a lower loss is declared worse: the first evaluation stays the best.
    settings = {
        "train__steps": 40,
        "train__patience_steps": 6,
        "evaluate__every_steps": 2,
        "evaluate__best_mode": "max",
        "optimizer__learning_rate": 1e-2,
    }
    folder = tmp_path / "run"
    assert main(runs.words(folder, data_dir, **settings)) == 0
    validation = runs.logged(folder, "validation", "loss")
    best = max(validation, key=validation.get)
    assert list(validation) == list(range(2, best + 7, 2)) and best + 6 < 40
    book = json.loads((folder / "done.json").read_text())
    assert book["stopped_early"] and book["best_step"] == best
    assert json.loads((folder / "metrics_validation.json").read_text())["step"] == best


def test_data_show_and_list(data_dir, tmp_path, capfd):
    sheet = tmp_path / "sheet.png"
    words = ["data", "show", runs.DATA, "--data_dir", str(data_dir), "--count", "3"]
    assert main([*words, "--output", str(sheet)]) == 0
    assert cv2.imread(str(sheet)).shape[1] > 256
    assert main(["data", "list", "--data_dir", str(data_dir)]) == 0
    output = capfd.readouterr().out
    for name in ("idrid/localization", "refuge2", "synthetic_fundus/small"):
        assert name in output
