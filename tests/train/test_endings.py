"""The end of a run: done.json is the last file, and a finished folder stays of use."""

import json
import shutil

import pytest

from segjax.cli import main
from segjax.inference.open import load_trained
from segjax.report import run as report
from segjax.train import parallel, workdir
from tests.train import runs
from tests.wrong_input.conftest import snapshot

pytestmark = pytest.mark.usefixtures("command_settings")
OWN_OUTPUTS = ("metrics_test.json", "predictions_test.csv")


class Killed(BaseException):
    """What no code of the run sees coming."""


def kill(*unused, **options):
    raise Killed


def forbid_steps(monkeypatch):
    def never(*unused):
        raise AssertionError("a step was made")

    monkeypatch.setattr(parallel.Sharding, "compile_train", lambda self, step: never)


@pytest.fixture
def folder(tmp_path, trained):
    """A copy of a finished run."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def newest(folder, kind):
    return max((folder / "checkpoints" / kind).iterdir(), key=lambda path: int(path.name))


def damage(path):
    (path / "state" / "manifest.ocdbt").write_bytes(b"")


def test_killed_before_its_report_a_run_is_not_done_and_ends_without_a_step(
    folder, data_dir, monkeypatch
):
    assert workdir.is_done(folder)
    for name in ("done.json", "metrics_validation.json", "report.md"):
        (folder / name).unlink()
    forbid_steps(monkeypatch)
    words = runs.words(folder, data_dir)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(report, "write", kill)
        main(words)
    # The table is there, as after `segjax evaluate`; the run's own end is not.
    assert (folder / "metrics_validation.json").exists() and not workdir.is_done(folder)
    assert not (folder / "done.json").exists()
    assert main(words) == 0
    assert workdir.is_done(folder) and (folder / "report.md").exists()


def test_reading_leaves_a_folder_as_it_is(folder, capfd):
    """Evaluated with the newest checkpoint damaged, and what a killed save left beside it."""
    latest = newest(folder, "latest")
    (latest.with_name("7.orbax-checkpoint-tmp-1")).mkdir()
    shutil.copytree(latest, latest.with_name("5"))
    damage(latest.with_name("5"))
    before = snapshot(folder)
    words = ["evaluate", "--workdir", str(folder), "--split", "test", "--checkpoint", "latest"]
    assert main(words) == 0
    errors = capfd.readouterr().err
    assert f"{latest.with_name('5')}: damaged" in errors and "; step 2 is used" in errors
    assert errors.count("\n") == 1
    after = snapshot(folder)
    for name in OWN_OUTPUTS:
        del after[str(folder / name)]
        before.pop(str(folder / name), None)
    assert after == before
    assert json.loads((folder / "metrics_test.json").read_text())["step"] == 2


def test_training_again_sets_a_damaged_best_aside_and_is_never_stuck(folder, data_dir, capfd):
    damage(newest(folder, "best"))
    words = runs.words(folder, data_dir)
    assert main(words) == 0
    errors = capfd.readouterr().err
    assert "damaged checkpoint" in errors and "evaluated is the latest checkpoint, 2" in errors
    assert (folder / "checkpoints" / "damaged" / "best-2-0").is_dir()
    assert workdir.is_done(folder)
    assert int(load_trained(folder).state.step) == 2
    assert "no best checkpoint was kept, the latest is used" in capfd.readouterr().err

    for path in (folder / "checkpoints" / "latest").iterdir():
        damage(path)
    assert main(words) == 2
    errors = capfd.readouterr().err.splitlines()
    assert "without its done.json the same command starts from step 0" in errors[-1]
    (folder / "done.json").unlink()
    assert main(words) == 0 and workdir.is_done(folder)


def test_report_leaves_out_a_damaged_row_and_says_so(folder, capfd):
    path = folder / "metrics.jsonl"
    first, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first, b"12\n", *rest]))
    before = path.read_bytes()
    for table in folder.glob("metrics_*.json"):
        table.unlink()
    assert main(["report", str(folder)]) == 0
    errors = capfd.readouterr().err
    assert errors == f"segjax: {path}: damaged: line 2 is not an object; left out\n"
    assert path.read_bytes() == before


def test_an_evaluation_cut_short_between_its_files_is_no_result(folder, data_dir, capfd):
    """Killed there, the table is of one checkpoint and the means are of another."""
    assert workdir.is_done(folder)
    content = json.loads((folder / "metrics_validation.json").read_text())
    table = folder / "predictions_validation.csv"
    rows = table.read_text().splitlines(keepends=True)
    table.write_text(rows[0] + "".join(reversed(rows[1:])))
    assert not workdir.is_done(folder)
    assert main(["report", str(folder)]) == 2
    errors = capfd.readouterr().err
    assert "metrics_validation.json: is of another evaluation than predictions_validation" in errors
    assert main(runs.words(folder, data_dir)) == 0
    assert workdir.is_done(folder)
    assert json.loads((folder / "metrics_validation.json").read_text()) == content
    del content[workdir.PREDICTIONS]  # as versions before wrote it
    (folder / "metrics_validation.json").write_text(json.dumps(content))
    assert workdir.is_done(folder)


@pytest.mark.parametrize("content", ["", "[]", "null", "{}", '["a"]', None])
def test_training_mends_a_damaged_baseline(folder, data_dir, monkeypatch, capfd, content):
    """Before, `train` said to train again, and so on."""
    path = folder / "baseline.json"
    whole = path.read_text()
    path.unlink() if content is None else path.write_text(content)
    forbid_steps(monkeypatch)
    assert main(runs.words(folder, data_dir)) == 0
    assert path.read_text() == whole
    assert ("baseline.json: damaged, made again" in capfd.readouterr().err) == (content is not None)


def test_a_damaged_env_json_is_made_again_and_it_is_said(folder, data_dir, capfd):
    (folder / "env.json").write_text("{")
    assert main(runs.words(folder, data_dir)) == 0
    assert "env.json: damaged, made again; on which data" in capfd.readouterr().err
    assert workdir.examples(folder)


@pytest.mark.parametrize("content", ["{}", '{"evaluated": "x"}', "[]"])
def test_a_damaged_done_json_ends_the_run_again(folder, data_dir, monkeypatch, content):
    whole = (folder / "done.json").read_text()
    (folder / "done.json").write_text(content)
    forbid_steps(monkeypatch)
    assert main(runs.words(folder, data_dir)) == 0
    assert (folder / "done.json").read_text() == whole


@pytest.mark.parametrize(
    "name, changes",
    [
        ("metrics_validation.json", {"metrics": ["loss"]}),
        ("metrics_validation.json", {"metrics": {"loss": "much"}}),
        ("metrics_validation.json", {"count": "ten"}),
        ("metrics_validation.json", {"baseline": [1.0]}),
        ("env.json", {"libraries": 3}),
        ("env.json", {"devices": 3}),
        ("env.json", {"parameters": "x"}),
    ],
)
def test_values_of_the_wrong_kind_are_named_and_the_report_stays(folder, capfd, name, changes):
    content = json.loads((folder / name).read_text()) | changes
    (folder / name).write_text(json.dumps(content))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(["report", str(folder)]) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and f"{folder / name}: cannot read it" in errors
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("content", ["[1, 2, 3]", "[NaN, 0.5]", '{"learned": {"x": 1}}', "[true]"])
def test_a_baseline_of_another_kind_is_named(folder, capfd, content):
    (folder / "baseline.json").write_text(content)
    before = (folder / "metrics_validation.json").read_bytes()
    assert main(["evaluate", "--workdir", str(folder), "--split", "validation"]) == 2
    errors = capfd.readouterr().err
    assert (
        errors.count("\n") == 1
        and "baseline.json (trivial.json of older runs) does not hold" in errors
    )
    assert (folder / "metrics_validation.json").read_bytes() == before


def test_a_run_without_a_best_checkpoint_says_which_it_evaluates(folder, data_dir, capfd):
    shutil.rmtree(folder / "checkpoints" / "best")
    (folder / workdir.DONE).unlink()
    (folder / "metrics_validation.json").unlink()
    assert main(runs.words(folder, data_dir)) == 0
    wanted = f"segjax: {folder}: no best checkpoint was kept; evaluated is the latest checkpoint, 2"
    assert capfd.readouterr().err.splitlines().count(wanted) == 1
    assert workdir.is_done(folder)
