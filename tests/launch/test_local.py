"""A sweep runs every point once, goes on where it was interrupted, and ends in a table."""

import csv
import json
import os
import re
import signal
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import segjax
from segjax.config import sweeps
from segjax.errors import Interrupted, UserError
from segjax.launch import point_configs, status, sweep
from segjax.launch.engines import local
from segjax.report import results
from segjax.train import workdir
from segjax.train.sweepdir import folder_of
from tests import pictures
from tests.train import runs

pytestmark = [pytest.mark.usefixtures("command_settings"), pytest.mark.pictures]

EXPERIMENT = """
from experiments.fovea import common
from segjax.config.arguments import parse_arg
from segjax.config.sweeps import product
from segjax.recipes.training import quick_optimizer

def get_config(arg=None):
    args = parse_arg(arg, loss="msce", broken=False)
    config = common.localization("{data}", args["loss"], "max/sum", (4,), 32)
    config.model.name = "tests.train.tiny:Normed"
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
    # The points are children that draw nothing; the table of the sweep has its figures
    monkeypatch.setenv(pictures.VARIABLE, pictures.CHILDREN)
    monkeypatch.syspath_prepend(str(runs.ROOT))
    path = tmp_path / "experiment.py"
    path.write_text(textwrap.dedent(EXPERIMENT.format(data=runs.DATA)))
    return path


def test_sweep_runs_what_is_missing_and_ends_in_a_table(tmp_path, data_dir, experiment):
    folder, extra = tmp_path / "sweep", {"data.data_dir": str(data_dir)}
    points = sweep.load_points(str(experiment))
    first, *rest = points
    with sweep.open_folder(str(experiment), points, extra, folder):
        pass
    words = local.command_of(str(experiment), first, extra, folder_of(folder, first))
    runs.train(words)
    done = folder_of(folder, first) / "metrics_validation.json"
    written = done.stat().st_mtime_ns

    sweep.run(str(experiment), extra, folder, local.Local())
    assert done.stat().st_mtime_ns == written, "a finished point ran again"
    for point in rest:
        assert (folder_of(folder, point) / "report.md").exists()

    lines = list(csv.DictReader((folder / "report.csv").read_text().splitlines()))
    rows = {line["row"]: line for line in lines if line["metric"] == "r_aed"}
    assert len(lines) == 4 and set(rows) == {"loss=msce", "loss=mse"}
    scores = [
        json.loads((folder_of(folder, p) / "metrics_validation.json").read_text())["metrics"][
            "r_aed"
        ]
        for p in points[:2]
    ]
    msce = rows["loss=msce"]
    assert msce["seeds"] == "0 1"
    assert float(msce["mean"]) == pytest.approx(np.mean(scores), abs=6e-4)
    assert [float(v) for v in msce["seed_means"].split()] == pytest.approx(scores, abs=6e-4)
    assert float(msce["low"]) <= float(msce["mean"]) <= float(msce["high"])
    assert msce["metric"] == "r_aed" and msce["sd"] == "" and msce["reference"] == "loss=msce"
    assert msce["paper_mean"] == "6.12" and rows["loss=mse"]["paper_mean"] == ""
    text = (folder / "report.md").read_text()
    assert "the paper's own figure" in text and "*6.12*" in text
    assert text.count(f"Trained with segjax {segjax.__version__} (commit ") == 1
    for name in ("cases_distance", "validation_curves"):
        assert (folder / "figures" / f"{name}.png").exists() and f"figures/{name}.png" in text
    assert not (folder / "figures" / "convergence.png").exists()  # of too few seeds to say much


def test_points_of_a_changed_experiment_are_refused(tmp_path, data_dir, experiment):
    folder, extra = tmp_path / "sweep", {"data.data_dir": str(data_dir)}
    text = str(experiment)
    points = sweep.load_points(text)

    def configs():
        return sweep.check_points(text, points, extra)

    point_configs.keep(folder, points, configs(), set())
    begun, submitted, waiting, _ = (folder_of(folder, point) for point in points)
    (begun / "env.json").write_text("{}")
    point_configs.check(text, folder, points, configs(), {submitted.name})
    experiment.write_text(experiment.read_text().replace("steps=2", "steps=3"))
    # A point that waits in a queue, or for its turn, refuses it itself
    with pytest.raises(UserError, match="holds another experiment .*train.steps: 2 there, 3 here"):
        workdir.check_new(submitted, configs()[1])
    for busy, name in ((set(), begun.name), ({submitted.name}, begun.name)):
        line = rf"since the point {name} was begun or submitted \(.*steps: 2 there, 3 here\)"
        with pytest.raises(UserError, match=line):
            point_configs.check(text, folder, points, configs(), busy)
    (begun / "env.json").unlink()
    with pytest.raises(UserError, match=f"the point {submitted.name} was begun or submitted"):
        point_configs.check(text, folder, points, configs(), {submitted.name})
    # As long as none has begun, or is in a queue, the file may be mended
    point_configs.check(text, folder, points, configs(), set())
    point_configs.keep(folder, points, configs(), {submitted.name})
    steps = [
        json.loads((f / "config.json").read_text())["train"]["steps"] for f in (submitted, waiting)
    ]
    assert steps == [2, 3]


def test_failed_point_does_not_stop_the_rest(tmp_path, data_dir, experiment):
    text = experiment.read_text().replace(
        '[{"arg": "loss=msce"}, {"arg": "loss=mse"}], seed=[0, 1]',
        '[{"arg": "broken"}, {"arg": "loss=msce"}], seed=[0]',
    )
    experiment.write_text(text)
    folder = tmp_path / "sweep"
    with pytest.raises(Interrupted, match="1 of 2 points failed.*not finite"):
        sweep.run(str(experiment), {"data.data_dir": str(data_dir)}, folder, local.Local())
    broken, good = sweep.load_points(str(experiment))
    assert not (folder_of(folder, broken) / "metrics_validation.json").exists()
    assert (folder_of(folder, good) / "metrics_validation.json").exists()
    read = results.read(folder)["point fovea"]
    assert [row.label for row in read.rows] == ["loss=msce"]
    assert read.done == {"broken": (0, 1), "loss=msce": (1, 1)}


def test_other_sweep_is_refused(tmp_path, experiment):
    points = sweep.load_points(str(experiment))
    for _ in range(2):
        with sweep.open_folder(str(experiment), points, {}, tmp_path / "sweep"):
            pass
    with pytest.raises(UserError, match="holds another sweep"):
        with sweep.open_folder(str(experiment), points[:1], {}, tmp_path / "sweep"):
            pass


def test_argument_of_the_command_joins_those_of_the_points(experiment):
    points = sweep.load_points(f"{experiment}:broken=false")
    assert [p["arg"] for p in points[:2]] == ["broken=false,loss=msce"] * 2
    assert len({sweeps.point_id(p) for p in points}) == 4


class Recorded(sweep.Progress):
    """Progress that remembers what ended, and with what."""

    def __init__(self, *args):
        super().__init__(*args)
        self.ends = {}

    def ended(self, point, failure=None):
        super().ended(point, failure)
        self.ends[point["seed"]] = failure


CHILD = """
import os, pathlib, signal, sys, time
here, number = pathlib.Path(sys.argv[1]), sys.argv[2]
def stop(*unused):
    (here / f"{number}.saved").touch()
    sys.exit(1)
signal.signal(signal.SIGTERM, stop)
if number == "1":
    sys.exit("this one is wrong")
if number in ("9", "11", "19"):
    print("step 3: all is well", flush=True)
    os.kill(os.getpid(), int(number))
(here / f"{number}.begun").write_text(str(len(os.sched_getaffinity(0))))
wait = int(sys.argv[3])
while len(list(here.glob("*.begun"))) < wait:
    time.sleep(0.01)
"""


def children(tmp_path, seeds, wait):
    """A progress over points, and the command of a child that ends once `wait` have begun."""
    points = sweeps.product(seed=seeds)
    commands = {
        sweeps.point_id(p): [sys.executable, "-c", CHILD, str(tmp_path), str(p["seed"]), str(wait)]
        for p in points
    }
    return Recorded(tmp_path / "sweep", points), commands


def test_two_jobs_run_at_once_and_a_failed_one_leaves_the_rest(tmp_path, capsys):
    progress, commands = children(tmp_path, [0, 1, 2], wait=2)
    local.Children(2, []).run(progress, commands)  # 0 and 2 wait for one another
    assert progress.ends == {0: None, 1: "this one is wrong", 2: None}
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("3 points, 0 done, 3 to run; what each prints goes to ")
    assert len(lines) == 4
    done = [line for line in lines if line.startswith("done: ")]
    assert len(done) == 2 and all(re.search(r"\) in \d\d:\d\d \[[1-3]/3\]$", line) for line in done)
    assert sum(line.startswith("FAILED: ") and "seed 1" in line for line in lines) == 1
    with pytest.raises(Interrupted, match="1 of 3 points failed .*this one is wrong"):
        progress.conclude()
    text = status.of_points(progress.workdir, progress.points)
    assert "seed 1: failed: this one is wrong" in text
    assert text.endswith("3 points: 1 failed, 2 missing")


def test_a_killed_child_is_told_by_its_signal(tmp_path):
    progress, commands = children(tmp_path, [9, 11], wait=0)
    local.Children(2, []).run(progress, commands)
    folders = {p["seed"]: folder_of(progress.workdir, p) for p in progress.points}
    printed = {seed: f"; what it printed is in {folder}.txt" for seed, folder in folders.items()}
    assert progress.ends == {
        9: f"killed by SIGKILL (out of memory?){printed[9]}",
        11: f"killed by SIGSEGV{printed[11]}",
    }
    text = status.of_points(progress.workdir, progress.points)
    assert "seed 9: failed: killed by SIGKILL" in text


def test_a_child_that_is_stopped_for_too_long_is_killed_and_the_rest_go_on(tmp_path):
    assert signal.SIGSTOP == 19
    progress, commands = children(tmp_path, [19, 2], wait=0)
    local.Children(1, [], watchdog=0.5).run(progress, commands)
    assert progress.ends == {19: "stopped for more than 0.5 s, so killed", 2: None}


@pytest.mark.parametrize("sent", [(signal.SIGTERM,), (signal.SIGINT, signal.SIGHUP)])
def test_signal_stops_the_children_which_save(tmp_path, sent):
    progress, commands = children(tmp_path, [0, 2, 3], wait=9)
    process = os.getpid()

    def send():
        while len(list(tmp_path.glob("*.begun"))) < 2:
            time.sleep(0.01)
        for number in sent:
            os.kill(process, number)

    sender = threading.Thread(target=send)
    with local._signals() as asked:
        sender.start()
        with pytest.raises(Interrupted, match="stopped by a signal.*goes on"):
            local.Children(2, asked).run(progress, commands)
    sender.join()
    assert sorted(p.name for p in tmp_path.glob("*.saved")) == ["0.saved", "2.saved"]
    assert not progress.ends and not list((tmp_path / "sweep" / "points").glob("*.failed"))


def test_cores_are_shared_out(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 5}, raising=False)
    assert [local.cores_of(slot, 2) for slot in range(2)] == [{0, 2}, {1, 5}]
    assert [local.cores_of(slot, 5) for slot in range(5)] == [{0}, {1}, {2}, {5}, {0}]


def test_status_says_where_each_point_is(tmp_path):
    points = sweeps.product(seed=[0, 1, 2])
    begun, done = (folder_of(tmp_path, point) for point in points[:2])
    for folder in (begun, done):
        folder.mkdir(parents=True)
        (folder / "env.json").write_text('{"total_steps": 40}')
    (done / "metrics_validation.json").touch()
    (done / "done.json").write_text('{"table": 40}')
    assert "seed 0: at step 0 of 40" in status.of_points(tmp_path, points)
    row = '{"step": %d, "split": "train", "name": "loss", "value": 1.0, "count": 8.0}\n'
    (begun / "metrics.jsonl").write_text("".join(row % step for step in range(300)) + '{"st')
    lines = status.of_points(tmp_path, points).splitlines()
    assert [line.split(": ", 1)[1] for line in lines[:3]] == [
        "at step 299 of 40",
        "done",
        "missing",
    ]
    assert lines[3] == "3 points: 1 done, 1 begun, 1 missing"


def test_a_sweep_begun_on_other_data_does_not_go_on(tmp_path, data_dir, experiment):
    folder, extra = tmp_path / "sweep", {"data.data_dir": str(data_dir)}
    begun = folder_of(folder, sweep.load_points(str(experiment))[0])
    begun.mkdir(parents=True)
    (begun / "env.json").write_text(json.dumps({"data": {"digest": "c" * 64}}))
    with pytest.raises(UserError, match=f"{begun}: was trained on data of digest cccccccccccc"):
        sweep.run(str(experiment), extra, folder, local.Local())


def test_a_sweep_goes_on_with_its_data_elsewhere(tmp_path):
    points, folder = [{"seed": 0}], tmp_path / "sweep"
    with sweep.open_folder("f.py", points, {"data.data_dir": "here", "train.steps": "2"}, folder):
        pass
    before = (folder / sweep.MANIFEST).read_bytes()
    there = {"data.data_dir": "there", "data.cache_dir": "cache", "train.steps": "2"}
    with sweep.open_folder("f.py", points, there, folder):
        pass
    assert (folder / sweep.MANIFEST).read_bytes() == before
    with (
        pytest.raises(UserError, match="another sweep"),
        sweep.open_folder("f.py", points, there | {"train.steps": "3"}, folder),
    ):
        pass


def test_status_tells_of_damaged_files_and_changes_nothing(tmp_path):
    points = sweeps.product(seed=[0])
    folder = folder_of(tmp_path, points[0])
    folder.mkdir(parents=True)
    (folder / "env.json").write_text('{"total_steps": 40}')
    row = b'{"step": 7, "split": "train", "name": "loss", "value": 1.0, "count": 8.0}\n'
    for damaged in (b"12\n", b"\xff\xfe\n", b'{"step": \n', b'{"name": "loss"}\n'):
        (folder / "metrics.jsonl").write_bytes(row + damaged)
        (line, _) = status.of_points(tmp_path, points).splitlines()
        assert line.endswith("at step 7 of 40 (metrics.jsonl: damaged lines near its end)")
        assert (folder / "metrics.jsonl").read_bytes() == row + damaged
    (folder / "metrics.jsonl").write_bytes(row)
    (folder / "env.json").write_text("")
    (line, _) = status.of_points(tmp_path, points).splitlines()
    assert line.endswith("at step 7 of ? (env.json is damaged)")
