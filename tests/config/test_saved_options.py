"""A run whose saved config lacks an option, as one of an earlier version, is gone on with."""

import json

import pytest

from segjax.cli import main
from segjax.config import files
from segjax.errors import UserError
from segjax.train import loop, workdir
from tests.train import runs

pytestmark = pytest.mark.usefixtures("command_settings")

DEMO = runs.ROOT / "experiments" / "segmentation" / "demo.py"
SETTINGS = runs.SMALL | {
    "model.name": "tests.train.tiny:Tiny",
    "train.steps": 4,
    "checkpoint.every_steps": 2,
}


@pytest.fixture
def train(tmp_path, data_dir):
    flags = [f"--config.{k}={v}" for k, v in (SETTINGS | {"data.data_dir": data_dir}).items()]
    words = ["train", "--config", str(DEMO), "--workdir", str(tmp_path / "run"), *flags]
    return lambda *more: main([*words, *more])


def test_a_stripped_run_is_resumed_and_shown(train, tmp_path, monkeypatch, capfd):
    run, stripped = tmp_path / "run", tmp_path / "run" / "config.json"
    with monkeypatch.context() as patch:
        patch.setattr(loop.Stop, "at", lambda self, step: step == 2)
        assert train() == 1
    saved = json.loads(stripped.read_text())
    assert saved["task_options"].pop("cover") == 0.5
    assert saved["task_options"].pop("topology") is False
    assert saved["optimizer"].pop("eps") == 1e-8
    assert saved["data"]["augment"].pop("shear") == 0.0
    stripped.write_text(json.dumps(saved))
    assert list(runs.logged(run, "train", "loss")) == [1, 2]
    assert train("--config.task_options.cover=0.4") == 2  # of another task than the run's
    assert "config.task_options.cover: 0.5 there, 0.4 here" in capfd.readouterr().err
    assert train() == 0
    assert list(runs.logged(run, "train", "loss")) == [1, 2, 3, 4]
    capfd.readouterr()
    assert main(["config", "--workdir", str(run)]) == 0
    assert "config.task_options.cover = 0.5\n" in capfd.readouterr().out
    assert json.loads(stripped.read_text()) == saved  # readers leave it as it is


def test_a_file_that_leaves_options_out_goes_on_with_runs_of_either_form(tmp_path):
    config = files.load(str(DEMO))
    short = config.copy_and_resolve_references()
    short.unlock()
    del short.task_options["cover"], short.model["style"]
    for saved in (config, short):
        (tmp_path / "config.json").write_text(files.to_json(saved))
        workdir.check_new(tmp_path, config)
        workdir.check_new(tmp_path, short)
    short.task_options.topology = True
    with pytest.raises(UserError, match=r"task_options\.topology: False there, True here"):
        workdir.check_new(tmp_path, short)
