"""Stopped at any moment, then killed, a run writes the rows that it would have written undisturbed.

In one process: a stop answers as after a signal, a kill is an exception that nothing catches.
"""

import json

import pytest

from segjax.config import files
from segjax.errors import Interrupted
from segjax.launch import job
from segjax.train import fit, parallel
from segjax.train.loop import Stop
from segjax.train.runs import Run
from tests.train import runs

pytestmark = pytest.mark.usefixtures("command_settings")
# Logged at 5, 6, 10, 12; evaluated and saved at 6 and 12.
EVERY = {"train.steps": 12, "log.every_steps": 5}
EVERY |= {"evaluate.every_steps": 6, "checkpoint.every_steps": 6}


class Killed(BaseException):
    """What no code of the run sees coming."""


class StopAt(Stop):
    """Asks to stop before a step, or kills there."""

    def __init__(self, step=None, kill=None):
        super().__init__()
        self.step, self.kill = step, kill

    def at(self, step):
        if step == self.kill:
            raise Killed
        self._asked = self._asked or step == self.step
        return self._asked


class StopInEvaluation(Stop):
    """Asks to stop when the evaluation at a step looks for the first time."""

    def __init__(self, step):
        super().__init__()
        self.step, self.before = step, None

    def at(self, step):
        self.before = step
        return self._asked

    def now(self):
        self._asked = self._asked or self.before == self.step
        return self._asked


@pytest.fixture(scope="module")
def made(data_dir, tmp_path_factory, command_settings):
    settings = runs.SMALL | EVERY | {"data.data_dir": data_dir}
    demo = str(runs.ROOT / "experiments" / "fovea" / "demo.py")
    config = files.load(demo, {key: str(value) for key, value in settings.items()})
    return job.check(config, tmp_path_factory.mktemp("stops") / "new")


def rows_of(folder):
    """(step, split, name) -> value and count, but for the speed; every row comes once."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if line["name"] != "images_per_second"]
    rows = {
        (line["step"], line["split"], line["name"]): (line["value"], line["count"])
        for line in lines
    }
    assert len(rows) == len(lines), "a row stands there twice"
    return rows


def train(made, folder, *stops):
    """Trains until each stop or kill in turn, and then to the end; the rows."""
    devices = parallel.make(made.config.parallel)
    folder.mkdir(exist_ok=True)
    for stop in stops:
        with pytest.raises((Killed, Interrupted)):
            fit.fit(made, [Run(made, folder)], devices, stop=stop)
    fit.fit(made, [Run(made, folder)], devices)
    return rows_of(folder)


@pytest.fixture(scope="module")
def undisturbed(made, tmp_path_factory):
    rows = train(made, tmp_path_factory.mktemp("undisturbed") / "run")
    trained = {step for step, split, _ in rows if split == "train"}
    assert trained == {5, 6, 10, 12} and rows[10, "train", "loss"][1] == 4 * 8
    return rows


def test_stop_between_two_logs_loses_no_sums(tmp_path, made, undisturbed):
    assert train(made, tmp_path / "run", StopAt(8), StopAt(9)) == undisturbed


def test_stop_within_an_evaluation_and_a_kill_double_no_rows(tmp_path, made, undisturbed):
    stops = StopInEvaluation(6), StopAt(kill=8)
    assert train(made, tmp_path / "run", *stops) == undisturbed
