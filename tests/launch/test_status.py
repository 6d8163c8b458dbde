"""`segjax sweep --status` reads what the folder says was started, and asks for nothing else."""

import json

import pytest

from segjax.cli import main
from segjax.config.sweeps import point_id
from segjax.launch import sweep
from segjax.train.sweepdir import MANIFEST, folder_of
from tests.wrong_input.conftest import snapshot
from tests.wrong_input.words import HEAD

SWEPT = f"{HEAD}    return config\ndef sweep():\n    return [{{'seed': 0}}, {{'seed': 1}}]\n"
OVERRIDES = {"train.steps": "40", "data.image_size": "(64, 64)", "data.data_dir": "here"}
POINTS = [{"seed": 0}, {"seed": 1}]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A sweep that was started with overrides; its first point is at step 0."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "swept.py").write_text(SWEPT)
    (tmp_path / "other.py").write_text(SWEPT)
    with sweep.open_folder("swept.py", POINTS, OVERRIDES, tmp_path / "sweep"):
        pass
    begun = folder_of(tmp_path / "sweep", POINTS[0])
    begun.mkdir(parents=True)
    (begun / "env.json").write_text('{"total_steps": 40}')
    return tmp_path / "sweep"


def status(capfd, *words):
    capfd.readouterr()
    code = main(["sweep", "--status", "--workdir", "sweep", *words])
    output, errors = capfd.readouterr()
    assert "Traceback" not in errors
    return code, output.splitlines(), errors


def test_the_folder_alone_says_what_was_started(folder, capfd):
    before = snapshot(folder)
    code, lines, errors = status(capfd)
    assert code == 0 and errors == ""
    assert lines[0] == (
        "sweep: swept.py with --config.train.steps=40 '--config.data.image_size=(64, 64)' "
        "--config.data.data_dir=here"
    )
    assert lines[1].endswith("  as written, seed 0: at step 0 of 40")
    assert lines[2].endswith("  as written, seed 1: missing")
    assert lines[3:] == ["2 points: 1 begun, 1 missing"]
    # Where the experiment file is gone, too
    (folder.parent / "swept.py").unlink()
    assert status(capfd) == (0, lines, "")
    assert snapshot(folder) == before


@pytest.mark.parametrize(
    "words",
    [
        ["--config", "swept.py"],
        ["--config", "../{}/swept.py"],
        ["--config", "swept.py", "--config.train.steps=40"],
        ["--config", "swept.py", "--config.data.data_dir=elsewhere"],
        ["--config.train.steps=40"],
        ["--engine", "population"],
    ],
)
def test_what_is_said_besides_may_be_said(folder, capfd, words):
    given = [word.format(folder.parent.name) for word in words]
    assert status(capfd, *given) == status(capfd)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--config", "other.py"], "holds another sweep (sweep.config: 'swept.py' there, 'other"),
        (["--config", "swept.py:cpu"], "holds another sweep (sweep.config: 'swept.py' there, 'sw"),
        (
            ["--config.train.steps=41"],
            "holds another sweep (sweep.overrides.train.steps: '40' there, '41' here)",
        ),
        (["--config.seed=3"], "holds another sweep (sweep.overrides.seed: only here)"),
        (["--workdir", "nowhere"], "--workdir nowhere: holds no sweep (sweep.json)"),
        (["--workdir", "."], "--workdir .: holds no sweep (sweep.json)"),
    ],
)
def test_what_is_said_wrongly_is_refused(folder, capfd, words, message):
    code, lines, errors = status(capfd, *words)
    assert (code, lines) == (2, []) and message in errors and errors.count("\n") == 1


def test_a_sweep_that_has_changed_since_is_said(folder, capfd):
    (folder.parent / "swept.py").write_text(SWEPT.replace("'seed': 1", "'seed': 2"))
    code, lines, _ = status(capfd, "--config", "swept.py")
    assert code == 0 and lines[1] == "swept.py: its sweep() gives other points now, 2 of them"
    assert [line.split(": ")[-1] for line in lines[2:4]] == ["at step 0 of 40", "missing"]


def test_tuples_are_no_change(folder, capfd):
    (folder.parent / "wide.py").write_text(SWEPT.replace("'seed': 1", "'data.image_size': (8, 8)"))
    points = sweep.load_points("wide.py")
    with sweep.open_folder("wide.py", points, {}, folder.with_name("wide")):
        pass
    code, lines, _ = status(capfd, "--config", "wide.py", "--workdir", "wide")
    assert code == 0 and lines[0] == "wide: wide.py" and lines[-1] == "2 points: 2 missing"
    assert len(lines) == 4 and [line[:10] for line in lines[1:3]] == [*map(point_id, points)]


def test_a_sweep_that_has_not_begun_misses_all(folder, capfd):
    words = ["--workdir", "later", "--config", "swept.py"]
    code, lines, _ = status(capfd, *words)
    assert code == 0 and lines[-1] == "2 points: 2 missing"


@pytest.mark.parametrize(
    "damaged",
    [
        "{",
        "[]",
        '{"config": "a.py"}',
        '{"config": "a.py", "overrides": [], "points": {}}',
        '{"config": "a.py", "overrides": {}, "points": {"a": 3}}',
    ],
)
def test_a_damaged_manifest_is_named(folder, capfd, damaged):
    (folder / MANIFEST).write_text(damaged)
    code, lines, errors = status(capfd)
    assert (code, lines) == (2, []) and f"sweep/{MANIFEST}: damaged" in errors


def test_running_it_wants_the_experiment(folder, capfd):
    assert main(["sweep", "--workdir", "sweep"]) == 2
    errors = capfd.readouterr().err
    assert "the following arguments are required: --config (see `segjax sweep --help`)" in errors
    assert json.loads((folder / MANIFEST).read_text())["overrides"] == OVERRIDES
