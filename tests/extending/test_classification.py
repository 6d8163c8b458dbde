"""A classification task written outside the package, by "How to add", through the commands."""

import csv
import itertools
import json
import pathlib

import numpy as np
import pytest

from segjax.cli import main
from segjax.data.png import write_png
from tests.extending.settings import as_command
from tests.train import runs

pytestmark = pytest.mark.usefixtures("command_settings")
FILE = pathlib.Path(__file__).with_name("classification.py")
SETTINGS = {
    "data.name": runs.DATA,
    "data.image_size": "(16, 16)",
    "train.steps": 24,
    "evaluate.every_steps": 8,
    "log.tensorboard": False,
}


def command(verb, folder, data_dir, *more, **settings):
    """The words of `train` or `sweep`; `settings` use `__` for dots."""
    chosen = SETTINGS | {"data.data_dir": data_dir}
    chosen |= {key.replace("__", "."): value for key, value in settings.items()}
    flags = [f"--config.{key}={value}" for key, value in chosen.items()]
    return [verb, "--config", str(FILE), "--workdir", str(folder), *flags, *more]


def table(path):
    """A predictions CSV as columns of text."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0]}


def columns(path):
    """Probabilities and labels of a predictions CSV."""
    found = table(path)
    return (np.array([float(cell) for cell in found[name]]) for name in ("probability", "label"))


def auroc(probability, label):
    """The share of pairs of a right and a left eye that are in order; ties count half."""
    pairs = itertools.product(probability[label == 1], probability[label == 0])
    return float(np.mean([np.sign(p - n) / 2 + 0.5 for p, n in pairs]))


def metrics(folder, split="validation"):
    return json.loads((folder / f"metrics_{split}.json").read_text())["metrics"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, data_dir):
    """A work folder of the classifier with one output."""
    folder = tmp_path_factory.mktemp("classification") / "run"
    with as_command():
        assert main(command("train", folder, data_dir)) == 0
    return folder


def test_the_task_takes_less_than_150_lines():
    assert len(FILE.read_text().splitlines()) < 150


def check_table(folder, split):
    """The metrics of a split are what NumPy makes of its table."""
    probability, label = columns(folder / f"predictions_{split}.csv")
    values = metrics(folder, split)
    assert {*label} == {0, 1} and len({*probability}) > 2
    assert values["auroc"] == pytest.approx(auroc(probability, label), abs=1e-9)
    assert values["accuracy"] == pytest.approx(np.mean((probability > 0.5) == label), abs=1e-9)
    likely = np.where(label == 1, probability, 1 - probability)
    assert values["loss"] == pytest.approx(-np.mean(np.log(likely)), abs=1e-5)


def test_its_metrics_are_those_of_its_table(run):
    check_table(run, "validation")


def test_the_best_checkpoint_has_the_highest_auroc(run):
    curve = runs.logged(run, "validation", "auroc")
    assert [*curve] == [8, 16, 24]
    result = json.loads((run / "metrics_validation.json").read_text())
    assert result["metrics"]["auroc"] == max(curve.values()) == curve[result["step"]]


def test_two_outputs_train_too(tmp_path, data_dir):
    assert main(command("train", tmp_path / "run", data_dir, model__outputs=2, train__steps=8)) == 0
    check_table(tmp_path / "run", "validation")


def test_evaluate(run):
    assert main(["evaluate", "--workdir", str(run), "--split", "test"]) == 0
    check_table(run, "test")


def test_predict_gives_the_probability_of_evaluation(run, data_dir, tmp_path):
    from segjax.data import store

    made = store.builder(runs.DATA, str(data_dir))
    example = store.open_split(made, "validation", ("image", "image_id"))[3]
    name = example["image_id"].decode()
    write_png(tmp_path / f"{name}.png", example["image"])
    given = ["--input", str(tmp_path / f"{name}.png"), "--output", str(tmp_path / "out")]
    assert main(["predict", "--workdir", str(run), *given]) == 0
    predicted = table(tmp_path / "out" / "predictions.csv")
    evaluated = table(run / "predictions_validation.csv")
    wanted = float(evaluated["probability"][evaluated["image"].index(name)])
    assert float(predicted["probability"][0]) == pytest.approx(wanted, abs=1e-5)
    assert list(predicted) == ["image", "probability"]


def test_export(run, tmp_path):
    from segjax.inference.export import load_function

    assert main(["export", "--workdir", str(run), "--output", str(tmp_path / "exported")]) == 0
    described = json.loads((tmp_path / "exported" / "model.json").read_text())
    assert described["output"]["axes"] == "batch, outputs"
    assert described["output"]["shape"] == ["b", 1]
    assert described["task"]["meaning"].startswith("Tells a right eye (1) from a left one (0)")
    image = np.random.default_rng(0).random((3, 16, 16, 3), np.float32)
    assert load_function(tmp_path / "exported")(image).shape == (3, 1)


def test_report(run):
    assert main(["report", str(run)]) == 0
    text = (run / "report.md").read_text()
    assert f"| AUROC ↑ | {metrics(run)['auroc']:.3f} |" in text
    assert (run / "figures" / "learning_curves.png").exists()


@pytest.fixture(scope="module")
def swept(tmp_path_factory, data_dir):
    """Two learning rates under two seeds, trained as a population."""
    folder = tmp_path_factory.mktemp("classification") / "sweep"
    with as_command():
        assert main(command("sweep", folder, data_dir, "--engine", "population")) == 0
    return folder


def test_a_sweep_reports_auroc_with_interval_and_p(swept):
    assert main(["report", str(swept)]) == 0
    with (swept / "report.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "auroc"]
    points = json.loads((swept / "sweep.json").read_text())["points"]
    assert len(rows) == 2 and len(points) == 4
    each, tables = {}, {}
    for name, point in points.items():
        found = tuple(columns(swept / "points" / name / "predictions_validation.csv"))
        each.setdefault(f"optimizer.learning_rate={point['optimizer.learning_rate']}", []).append(
            auroc(*found)
        )
        tables[point["optimizer.learning_rate"], point["seed"]] = found
    for row in rows:
        wanted = each[row["row"]]
        assert [float(v) for v in row["seed_means"].split()] == pytest.approx(wanted, abs=1e-9)
        assert float(row["mean"]) == pytest.approx(np.mean(wanted), abs=1e-9)
        assert 0 <= float(row["low"]) <= float(row["mean"]) <= float(row["high"]) <= 1
        assert float(row["low"]) < float(row["high"])
    difference, p = exchanged(tables)
    assert float(rows[1]["difference"]) == pytest.approx(difference, abs=1e-9)
    assert float(rows[1]["p"]) == float(rows[1]["p_holm"]) == pytest.approx(p, abs=1e-9)
    text = (swept / "report.md").read_text()
    assert "## AUROC ↑" in text and f"| {p:.4f} |" in text


def exchanged(tables):
    """The difference of AUROC, seeds averaged, and its p from all exchanges of cases."""
    first, second = ([tables[rate, seed] for seed in (0, 1)] for rate in (3e-3, 1e-4))
    cases, found = len(first[0][1]), []
    for choice in itertools.product((False, True), repeat=cases):
        change = np.array(choice)
        values = [
            auroc(np.where(change, p, q), y) - auroc(np.where(change, q, p), y)
            for (p, y), (q, _) in zip(first, second, strict=True)
        ]
        found.append(np.mean(values))
    size = np.abs(found)
    return found[0], np.mean(size >= size[0] - 1e-12)


ACCURACY = 'Metric("accuracy", ("correct",), title="accuracy")'


@pytest.mark.parametrize(
    "old, new, words",
    [
        ('headline = "auroc"', 'headline = "auc"', "headline 'auc' is none of its metrics, auroc"),
        (ACCURACY, 'Metric("accuracy", ("corect",))', "'corect', which is none of its table, did"),
        (ACCURACY, 'Metric("auroc", ("correct",))', "cannot be named 'auroc': two metrics have it"),
        (ACCURACY, 'Metric("loss", ("correct",))', "cannot be named 'loss': the losses have it"),
        (
            ACCURACY,
            'Metric("accuracy", ("correct",), lambda column: float(np.mean(column)))',
            "'accuracy' gives shape () for columns [2, cases]; it takes [..., cases] to [...]",
        ),
    ],
)
def test_a_wrong_metric_is_refused(tmp_path, data_dir, monkeypatch, capfd, old, new, words):
    text = FILE.read_text()
    assert old in text
    (tmp_path / "classification.py").write_text(text.replace(old, new))
    monkeypatch.chdir(tmp_path)
    given = command("train", tmp_path / "run", data_dir)
    given[given.index(str(FILE))] = "classification.py"
    assert main(given) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and words in errors
    assert not (tmp_path / "run").exists()
