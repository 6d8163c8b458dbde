"""Sweeps of many points: what is read of each, without JAX where nothing is trained.

`benchmarks/sweep_scale.py` lays the points out and times the commands at 10,000 of them.
"""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from tests.train import runs

COUNT = 300
# Runs a command and says how often it opened or listed something in the sweep's folder: numbers
# that a loaded machine does not change
COUNTING = """
import json, sys
workdir, most, *words = sys.argv[1:]
opened = []
def hook(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and str(arguments[0]).startswith(workdir):
        opened.append(str(arguments[0]))
sys.addaudithook(hook)
from segjax.cli import main
if most:
    from segjax.report import comparison
    comparison.MOST = int(most)
code = main(words)
print(json.dumps({"code": code, "opened": len(opened), "jax": "jax" in sys.modules}))
"""


@pytest.fixture(scope="module")
def scale():
    path = runs.ROOT / "benchmarks" / "sweep_scale.py"
    specification = importlib.util.spec_from_file_location("sweep_scale", path)
    module = importlib.util.module_from_spec(specification)
    sys.modules["sweep_scale"] = module  # where dataclasses look it up
    specification.loader.exec_module(module)
    yield module
    del sys.modules["sweep_scale"]


@pytest.fixture(scope="module")
def workdir(scale, trained, tmp_path_factory):
    """A sweep of many points in all states."""
    return scale.lay_out(tmp_path_factory.mktemp("many"), trained, COUNT)


def counted(workdir, *words, path="", most=""):
    """What a command said, and what it counted."""
    environment = runs.environment() | {"PYTHONPATH": str(runs.ROOT)}
    if path:
        environment["PATH"] = f"{path}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-c", COUNTING, str(workdir), str(most), *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    *lines, last = done.stdout.splitlines()
    found = json.loads(last)
    assert found["code"] == 0, done.stderr[-2000:]
    return lines, found


def test_status_reads_a_few_files_of_each_point_and_does_without_jax(workdir, scale):
    words = ["sweep", "--status", "--workdir", workdir]
    lines, found = counted(workdir, *words)
    assert lines[-1] == "300 points: 270 done, 12 failed, 9 begun, 9 missing"
    assert not found["jax"] and found["opened"] <= 5 * COUNT
    programs = scale.submit(workdir, COUNT, size=100)
    lines, asked = counted(workdir, *words, path=programs)
    assert lines[-1] == "300 points: 270 done, 30 queued"
    # Three jobs, of which Slurm is asked once
    assert not asked["jax"] and asked["opened"] <= found["opened"] + 10


def test_a_report_reads_each_file_once(workdir, scale):
    lines, found = counted(workdir, "report", workdir, most=3)
    assert lines[-1] == f"wrote {workdir / 'report.md'}"
    # To see that it is done: four; then config, environment twice, table, metrics, curves
    assert found["opened"] <= 11 * COUNT
    rows = (workdir / "report.csv").read_text().splitlines()[1:]
    settings = {row.partition(",")[0] for row in rows}
    assert len(settings) == COUNT // scale.SEEDS
    assert "**Shown are 4 of 60 settings" in (workdir / "report.md").read_text()


@pytest.mark.slow
def test_the_commands_are_timed(scale, trained, tmp_path):
    workdir = scale.lay_out(tmp_path, trained, 10)
    lines = list(scale.timings(workdir, 10, 1))
    assert [line.count("|") for line in lines] == [6] * 6
    assert "9 done" in lines[2] and "1 to run" in lines[3] and "wrote" in lines[4]
    assert [line.split("|")[1:3] for line in scale.sizes(workdir, trained)][2][0] == " a point "
