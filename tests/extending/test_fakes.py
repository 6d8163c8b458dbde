"""A task, source, metric and engine of the bare protocols run through every command."""

import csv
import itertools
import json
import os
import pathlib
import shlex
import signal

import numpy as np
import pytest

from segjax.cli import main
from segjax.data.pipeline import Resident, is_stateless
from segjax.data.png import write_png
from segjax.inference.open import load_trained
from segjax.launch.flags import Flag
from segjax.train.checkpoint import parameters_digest
from tests.extending import fakes
from tests.extending.settings import as_command
from tests.train import runs
from tests.train.test_endings import Killed, kill

pytestmark = pytest.mark.usefixtures("command_settings")
FILE = pathlib.Path(__file__).with_name("brightness.py")


def words(verb, folder, data_dir, *more):
    given = ["--config", str(FILE), "--workdir", str(folder), f"--config.data.data_dir={data_dir}"]
    return [verb, *given, *more]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, data_dir):
    """A work folder, and the batches that were drawn for it, by (seed, step)."""
    folder = tmp_path_factory.mktemp("fakes") / "run"
    fakes.DRAWN.clear()
    with as_command():
        assert main(words("train", folder, data_dir)) == 0
    return folder, dict(fakes.DRAWN)


@pytest.fixture(scope="module")
def swept(tmp_path_factory, data_dir):
    """The folder of a sweep of four points, run by an engine of ours, and its batches by point."""
    folder = tmp_path_factory.mktemp("fakes") / "sweep"
    with as_command():
        given = words("sweep", folder, data_dir, "--engine", "tests.extending.fakes:Here")
        assert main(given) == 0
    return folder


def table(path):
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        name: np.array([float(row[name]) for row in rows]) for name in rows[0] if name != "image"
    }


def check_metrics(folder, split):
    """Both metrics are those of the table; the baseline says the mean of the training split."""
    result = json.loads((folder / f"metrics_{split}.json").read_text())
    columns = table(folder / f"predictions_{split}.csv")
    left, right = columns["predicted"], columns["true"]
    assert result["metrics"]["correlation"] == pytest.approx(
        np.corrcoef(left, right)[0, 1], abs=1e-4
    )
    assert result["metrics"]["error"] == pytest.approx(np.mean(np.abs(left - right)), abs=1e-5)
    learned = json.loads((folder / "baseline.json").read_text())["learned"]
    assert result["baseline"] == pytest.approx(
        {"error": np.mean(np.abs(learned - right))}, abs=1e-5
    )


def test_train_evaluate_report(undisturbed, capfd):
    folder, _ = undisturbed
    check_metrics(folder, "validation")
    assert main(["evaluate", "--workdir", str(folder), "--split", "test"]) == 0
    check_metrics(folder, "test")
    assert main(["report", str(folder)]) == 0
    assert "| correlation ↑ |" in (folder / "report.md").read_text()
    curve = runs.logged(folder, "validation", "correlation")
    assert [*curve] == [4, 8, 9]
    assert json.loads((folder / "done.json").read_text())["best_value"] == max(curve.values())


def test_predict(undisturbed, tmp_path):
    folder, _ = undisturbed
    grey = np.full((20, 24, 3), 100, np.uint8)
    write_png(tmp_path / "grey.png", grey)
    given = ["--input", str(tmp_path / "grey.png"), "--output", str(tmp_path / "out")]
    assert main(["predict", "--workdir", str(folder), *given]) == 0
    dense = load_trained(folder).state.params["Dense_0"]
    wanted = float(np.sum(dense["kernel"]) * 100 / 255 + dense["bias"][0])
    found = table(tmp_path / "out" / "predictions.csv")
    assert [*found] == ["predicted"] and found["predicted"] == pytest.approx([wanted], abs=1e-5)


@pytest.mark.parametrize("row", [[0.5, 0.5], [], ["half"], 0.5])
def test_a_row_that_does_not_fit_the_columns_writes_no_table(
    undisturbed, tmp_path, monkeypatch, capfd, row
):
    write_png(tmp_path / "grey.png", np.full((20, 24, 3), 100, np.uint8))
    monkeypatch.setattr(fakes.Predictor, "predict", lambda *given: row)
    given = ["--input", str(tmp_path / "grey.png"), "--output", str(tmp_path / "out")]
    assert main(["predict", "--workdir", str(undisturbed[0]), *given]) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and "a number for each of its columns, predicted" in errors
    assert not (tmp_path / "out" / "predictions.csv").exists()


def test_export_and_landscape_take_it_too(undisturbed, tmp_path):
    given = ["--workdir", str(undisturbed[0]), "--output"]
    assert main(["export", *given, str(tmp_path / "exported")]) == 0
    grid = ["--points", "3", "--eigenvalues", "0", "--examples", "2"]
    assert main(["landscape", "parameters", *given, str(tmp_path / "a.png"), *grid]) == 0


# --- a sampler that remembers ---------------------------------------------------------------------


def test_the_sampler_sees_the_state_of_every_step(undisturbed):
    _, drawn = undisturbed
    assert [*drawn] == [(0, step) for step in range(9)]
    plain = fakes.order.batch_indices(0, 7, 8, 24).tolist()
    # At steps 1, 4 and 7 it has chosen an example each.
    assert drawn[0, 0] == fakes.order.batch_indices(0, 0, 8, 24).tolist()
    assert drawn[0, 7][3:] == plain[:5] and drawn[0, 7][:3] != plain[:3]
    assert [index // 3 for index in drawn[0, 7][:3]] == [0, 1, 2]


def test_a_source_that_remembers_is_known_by_its_methods():
    """Also one that derives from segjax's own."""
    told = type("Told", (Resident,), {"before_step": lambda self, step, state: None})
    for kind, stateless in ((Resident, True), (told, False), (fakes.FocusedSource, False)):
        assert is_stateless(kind.__new__(kind)) is stateless


def stopped():
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("how, step", [(kill, 5), (stopped, 6)])
def test_a_run_that_was_ended_goes_on_with_the_same_batches(
    undisturbed, tmp_path, data_dir, how, step
):
    folder, drawn = undisturbed
    given = words("train", tmp_path / "run", data_dir)
    fakes.ENDING.update(step=step, how=how)
    if how is kill:
        with pytest.raises(Killed):
            main(given)
    else:
        assert main(given) == 1
    assert not fakes.ENDING and not (tmp_path / "run" / "done.json").exists()
    fakes.DRAWN.clear()
    assert main(given) == 0
    # Saved at every second step, and, when it was asked to stop, before the next one.
    first = step - step % 2 if how is kill else step + 1
    assert fakes.DRAWN == {key: index for key, index in drawn.items() if key[1] >= first}
    for kind in ("latest", "best"):
        digests = [
            parameters_digest(load_trained(f, kind).state) for f in (folder, tmp_path / "run")
        ]
        assert digests[0] == digests[1]
    for name in ("metrics_validation.json", "predictions_validation.csv"):
        assert (folder / name).read_bytes() == (tmp_path / "run" / name).read_bytes()


def test_each_run_of_a_population_has_a_sampler_of_its_own(undisturbed, tmp_path, data_dir):
    """Also when it is killed in the middle and goes on."""
    given = words("sweep", tmp_path / "sweep", data_dir, "--engine", "population")
    alone = dict(undisturbed[1])
    assert main(words("train", tmp_path / "one", data_dir, "--config.seed=1")) == 0
    alone |= {key: index for key, index in fakes.DRAWN.items() if key[0] == 1}
    assert alone[0, 7][:3] != alone[1, 7][:3]
    fakes.DRAWN.clear()
    fakes.ENDING.update(step=5, how=stopped)
    assert main(given) == 1
    assert {step for _, step in fakes.DRAWN} == set(range(6))
    assert main(given) == 0
    assert fakes.DRAWN == alone


# --- engines --------------------------------------------------------------------------------------


def test_an_engine_that_only_writes(tmp_path, data_dir, capfd):
    folder = tmp_path / "sweep"
    given = words("sweep", folder, data_dir)
    engine = ["--engine", "tests.extending.fakes:Engine", "--note", "for later"]
    assert main([*given, *engine]) == 0
    assert not (folder / "report.md").exists() and not list(folder.glob("points/*/env.json"))
    note, *commands = (folder / "commands.txt").read_text().splitlines()
    assert note == "for later" and len(commands) == 4
    assert main([*given, "--engine=tests.extending.fakes:Engine", "--status"]) == 0
    assert "4 points: 4 missing" in capfd.readouterr().out
    _, _, written = commands[0].partition("segjax.cli ")
    assert main(shlex.split(written)) == 0
    assert main([*given, "--status"]) == 0
    assert "4 points: 1 done, 3 missing" in capfd.readouterr().out
    assert main([*given, "--engine=tests.extending.fakes:Engine"]) == 0
    assert (folder / "commands.txt").read_text().splitlines() == ["no note", *commands[1:]]
    assert main(["report", str(folder)]) == 0


def test_its_flag_is_its_own(tmp_path, data_dir, capfd):
    given = words("sweep", tmp_path / "sweep", data_dir)
    assert main([*given, "--note", "x"]) == 2
    assert "--note: `segjax sweep` has no such flag" in capfd.readouterr().err
    assert main([*given, "--engine", "tests.extending.fakes:Engine", "--jobs", "2"]) == 2
    assert "--jobs 2: goes with --engine local" in capfd.readouterr().err
    with pytest.raises(SystemExit):
        main(["sweep", "--engine=tests.extending.fakes:Engine", "--help"])
    shown = " ".join(capfd.readouterr().out.split())
    assert "tests.extending.fakes:Engine: the first line of the file" in shown
    assert "tests.extending.fakes:Engine: Writes the commands of a sweep" in shown


def test_an_engine_may_have_a_flag_that_another_one_has(tmp_path, data_dir, monkeypatch, capfd):
    flags = {"jobs": fakes.Flag("all", "which jobs"), "dry": fakes.Flag(False, "only look")}
    seen = {}
    monkeypatch.setattr(fakes.Engine, "flags", flags)
    monkeypatch.setattr(fakes.Engine, "__init__", lambda self, **given: seen.update(given))
    monkeypatch.setattr(fakes.Engine, "run", lambda self, sweep: False)
    given = words("sweep", tmp_path / "sweep", data_dir, "--engine=tests.extending.fakes:Engine")
    assert main([*given, "--jobs", "odd", "--dry"]) == 0
    assert seen == {"jobs": "odd", "dry": True}
    assert main([*given, "--no-dry"]) == 0 and seen == {"jobs": None, "dry": False}
    monkeypatch.setattr(fakes.Engine, "flags", {"workdir": fakes.Flag("", "a place")})
    capfd.readouterr()
    assert main(given) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and "its flag --workdir is one of `segjax sweep`" in errors


def test_an_engine_that_runs_reports(swept):
    with (swept / "report.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "correlation"]
    assert [row["seeds"] for row in rows] == ["0 1", "0 1"]
    points = json.loads((swept / "sweep.json").read_text())["points"]
    for row, rate in zip(rows, (0.1, 0.02), strict=True):
        tables = [
            table(swept / "points" / name / "predictions_validation.csv")
            for name, point in points.items()
            if point["optimizer.learning_rate"] == rate
        ]
        each = [np.corrcoef(columns["predicted"], columns["true"])[0, 1] for columns in tables]
        assert [float(v) for v in row["seed_means"].split()] == pytest.approx(each)
        assert float(row["low"]) <= np.mean(each) <= float(row["high"])
    assert 0 < float(rows[1]["p"]) <= 1
    assert main(["report", str(swept)]) == 0


def cells(text, heading):
    """The cells below a heading of the first table of a report that has it, top to bottom."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    header = next(row for row in rows if heading in row)
    below = rows[rows.index(header) + 1 :]
    same = itertools.takewhile(lambda row: len(row) == len(header), below)
    return [row[header.index(heading)].strip("*\\ ") for row in same]


def test_its_metrics_are_in_the_tables_of_both_reports(undisturbed, swept):
    """One with a statistic of its own, and a mean."""
    folder, _ = undisturbed
    for place in (folder, swept):
        assert main(["report", str(place)]) == 0
    section = (folder / "report.md").read_text().partition("## validation")[2]
    lines = section.splitlines()
    shown = {line.split(" | ")[0]: line.split(" | ")[1] for line in lines if line.count(" | ") > 1}
    columns = table(folder / "predictions_validation.csv")
    wanted = {
        "| correlation ↑": np.corrcoef(columns["predicted"], columns["true"])[0, 1],
        "| error ↓": np.mean(np.abs(columns["predicted"] - columns["true"])),
    }
    assert {name: float(shown[name]) for name in wanted} == pytest.approx(wanted, abs=6e-4)
    text = (swept / "report.md").read_text()
    points = json.loads((swept / "sweep.json").read_text())["points"]
    for k, rate in enumerate((0.1, 0.02)):
        tables = [
            table(swept / "points" / name / "predictions_validation.csv")
            for name, point in points.items()
            if point["optimizer.learning_rate"] == rate
        ]
        correlations = [np.corrcoef(t["predicted"], t["true"])[0, 1] for t in tables]
        errors = [np.mean(np.abs(t["predicted"] - t["true"])) for t in tables]
        assert f"rate={rate}" in cells(text, "setting")[k]
        for heading, values in (("correlation ↑", correlations), ("error ↓", errors)):
            mean = cells(text, heading)[k].partition(" ")[0]
            assert float(mean) == pytest.approx(np.mean(values), abs=6e-4)
            details = text.partition(f"## {heading}\n")[2]
            assert float(cells(details, "mean")[k]) == pytest.approx(np.mean(values), abs=6e-4)


@pytest.mark.parametrize(
    "body, words",
    [
        ("def engine(): pass", "--engine mine:engine: has no flags"),
        ("class engine:\n    flags = {}\n    def run(self): pass", "mine:engine: has no check"),
        ("FLAGS = 'max-jobs', 4", "its flag 'max-jobs' takes a name of letters and underscores"),
        ("FLAGS = 'run', 4", "its flag 'run' takes a name of letters and underscores, none of"),
        ("FLAGS = 'queue', None", "and a default that is not None"),
    ],
)
def test_an_engine_that_lacks_something_is_one_line(tmp_path, monkeypatch, capfd, body, words):
    if body.startswith("FLAGS"):
        body = f"from segjax.launch.flags import Flag\n{body}\nclass engine:\n"
        body += "    flags = {FLAGS[0]: Flag(FLAGS[1], 'a flag')}\n    check = run = None\n"
    (tmp_path / "mine.py").write_text(body)
    monkeypatch.chdir(tmp_path)
    demo = str(runs.ROOT / "experiments" / "fovea" / "demo.py")
    assert main(["sweep", "--config", demo, "--workdir", "s", "--engine", "mine:engine"]) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and words in errors


def test_a_percent_sign_in_the_help_of_a_flag_is_one():
    assert Flag(4, "share in % of the machine").described % {} == (
        "share in % of the machine; default: 4"
    )
