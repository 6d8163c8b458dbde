"""A sweep runs every point once, goes on where it was interrupted, and ends in a table."""

import csv
import json
import textwrap

import numpy as np
import pytest

from segjax.config import sweeps
from segjax.errors import Interrupted, UserError
from segjax.launch import local, table
from tests.train import runs

pytestmark = pytest.mark.usefixtures("command_settings")

EXPERIMENT = """
from experiments.fovea import common
from experiments.recipes import quick_optimizer
from segjax.config.arguments import parse_arg
from segjax.config.sweeps import product

def get_config(arg=None):
    args = parse_arg(arg, loss="msce", broken=False)
    config = common.localization("{data}", args["loss"], "max/sum", (4, 8), 32)
    quick_optimizer(config, steps=2, learning_rate=1e30 if args["broken"] else 1e-3)
    config.train.clip_norm = None
    config.evaluate.batch_size = 8
    config.log.tensorboard = False
    config.paper = {{"r_aed": 6.12}} if args["loss"] == "msce" else {{}}
    return config

def sweep():
    return product([{{"arg": "loss=msce"}}, {{"arg": "loss=mse"}}], seed=[0, 1])
"""


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    monkeypatch.setenv("PYTHONPATH", str(runs.ROOT))
    monkeypatch.syspath_prepend(str(runs.ROOT))
    path = tmp_path / "experiment.py"
    path.write_text(textwrap.dedent(EXPERIMENT.format(data=runs.DATA)))
    return path


def test_sweep_runs_what_is_missing_and_ends_in_a_table(tmp_path, data_dir, experiment):
    folder, extra = tmp_path / "sweep", {"data.data_dir": str(data_dir)}
    points = local.load_points(str(experiment))
    first, *rest = points
    local.open_folder(str(experiment), points, extra, folder)
    words = local.command_of(str(experiment), first, extra, local.folder_of(folder, first))
    runs.train(words)
    done = local.folder_of(folder, first) / "metrics_validation.json"
    written = done.stat().st_mtime_ns

    local.run_sweep(str(experiment), extra, folder)
    assert done.stat().st_mtime_ns == written, "a finished point ran again"
    for point in rest:
        assert (local.folder_of(folder, point) / "report.md").exists()

    header, *lines = csv.reader((folder / "report.csv").read_text().splitlines())
    assert header == list(table.HEADER) and len(lines) == 2
    rows = {line[0].removesuffix(" *"): line for line in lines}
    assert set(rows) == {"loss=msce", "loss=mse"}
    scores = [
        json.loads((local.folder_of(folder, p) / "metrics_validation.json").read_text())["metrics"][
            "r_aed"
        ]
        for p in points[:2]
    ]
    msce = rows["loss=msce"]
    assert msce[1] == "2" and float(msce[2]) == pytest.approx(np.mean(scores), abs=6e-4)
    low, high = (float(v) for v in msce[3].split(" to "))
    assert low <= float(msce[2]) <= high
    assert msce[6] == "6.12" and rows["loss=mse"][6] == ""
    assert "the paper's own figure" in (folder / "report.md").read_text()


def test_failed_point_does_not_stop_the_rest(tmp_path, data_dir, experiment):
    text = experiment.read_text().replace(
        '[{"arg": "loss=msce"}, {"arg": "loss=mse"}], seed=[0, 1]',
        '[{"arg": "broken"}, {"arg": "loss=msce"}], seed=[0]',
    )
    experiment.write_text(text)
    folder = tmp_path / "sweep"
    with pytest.raises(Interrupted, match="1 of 2 points failed.*not finite"):
        local.run_sweep(str(experiment), {"data.data_dir": str(data_dir)}, folder)
    broken, good = local.load_points(str(experiment))
    assert not (local.folder_of(folder, broken) / "metrics_validation.json").exists()
    assert (local.folder_of(folder, good) / "metrics_validation.json").exists()
    rows, missing = table.read_rows(folder)
    assert missing == 1 and [row.label for row in rows] == ["loss=msce"]


def test_other_sweep_is_refused(tmp_path, experiment):
    points = local.load_points(str(experiment))
    local.open_folder(str(experiment), points, {}, tmp_path / "sweep")
    local.open_folder(str(experiment), points, {}, tmp_path / "sweep")
    with pytest.raises(UserError, match="holds another sweep"):
        local.open_folder(str(experiment), points[:1], {}, tmp_path / "sweep")


def test_argument_of_the_command_joins_those_of_the_points(experiment):
    points = local.load_points(f"{experiment}:broken=false")
    assert [p["arg"] for p in points[:2]] == ["broken=false,loss=msce"] * 2
    assert len({sweeps.point_id(p) for p in points}) == 4
