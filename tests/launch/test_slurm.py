"""Sweeps under a real Slurm: submitted, cancelled, preempted, failed, submitted again."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from segjax.inference.open import load_trained
from segjax.launch import submissions
from segjax.train.checkpoint import parameters_digest
from tests import pictures
from tests.launch import slurm_cluster
from tests.train import runs

pytestmark = [pytest.mark.usefixtures("command_settings"), pytest.mark.pictures]

EXPERIMENT = """
from experiments.fovea import common
from segjax.config.arguments import parse_arg
from segjax.config.sweeps import product
from segjax.recipes.training import quick_optimizer

def get_config(arg=None):
    args = parse_arg(arg, rate=1e-3)
    config = common.localization("{data}", "mse", "max/sum", (4,), 32)
    config.model.name = "tests.train.tiny:Normed"
    quick_optimizer(config, steps={steps}, learning_rate=args["rate"])
    config.train.clip_norm = None
    config.evaluate.batch_size = 8
    config.log.every_steps = 1
    config.log.tensorboard = False
    config.checkpoint.every_percent = 10
    return config

def sweep():
    return {points}
"""
FOUR = "product(seed=[0, 1, 2, 3])"
ONE = "product(seed=[0])"
URGENT = "sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 2"


@pytest.fixture(scope="module")
def cluster():
    """The environment of commands that reach a running Slurm."""
    slurm_cluster.require()
    with slurm_cluster.started() as config:
        own = runs.environment() | {"SLURM_CONF": str(config), "PYTHONPATH": str(runs.ROOT)}
        own |= {pictures.VARIABLE: pictures.CHILDREN, "PATH": slurm_cluster.SYSTEM}
        yield own


@pytest.fixture
def sweep(cluster, tmp_path, data_dir):
    return Sweep(cluster, tmp_path, data_dir)


class Sweep:
    """A sweep in a folder, by the command line."""

    def __init__(self, environment, folder, data_dir):
        self.environment, self.here, self.data_dir = environment, folder, data_dir
        self.folder = folder / "sweep"

    def write(self, points, steps):
        text = EXPERIMENT.format(data=runs.DATA, points=points, steps=steps)
        (self.here / "experiment.py").write_text(textwrap.dedent(text))

    def words(self, *more, engine="slurm", folder=None):
        head = [sys.executable, "-P", "-m", "segjax.cli", "sweep", "--config", "experiment.py"]
        head += ["--workdir", str(folder or "sweep"), f"--config.data.data_dir={self.data_dir}"]
        return [*head, "--engine", engine, *more]

    def run(self, *more, status=0, **options):
        devices = {"JAX_NUM_CPU_DEVICES": str(options.pop("devices", 1))}
        done = subprocess.run(
            self.words(*more, **options),
            env=self.environment | devices,
            cwd=self.here,
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout if status == 0 else done.stderr

    def asked(self, *words):
        return subprocess.run(words, env=self.environment, capture_output=True, text=True).stdout

    def status(self):
        return self.run("--status")

    def jobs(self):
        return [one.job for one in submissions.read(self.folder)]

    def printed(self):
        return {path.stem: path.read_text() for path in (self.folder / "points").glob("*.txt")}

    def wait(self, condition, seconds=180):
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < seconds, self.status() + str(self.printed())
            time.sleep(0.2)
        return time.monotonic() - began

    def idle(self):
        return not self.asked("squeue", "--noheader", "--me").strip()

    def trains(self, step, points=1):
        """Whether so many points are beyond a step."""
        rows = [path.read_text() for path in (self.folder / "points").glob("*/metrics.jsonl")]
        return sum(f'"step": {step},' in text for text in rows) >= points


def results(folder):
    """By point, what a training comes to: parameters to the last bit, and all losses."""
    found = {}
    for path in sorted((folder / "points").iterdir()):
        if path.is_dir():
            digests = [parameters_digest(load_trained(path, k).state) for k in ("latest", "best")]
            found[path.name] = digests, runs.logged(path, "train", "loss")
    return found


def test_four_points_of_two_processes_cancelled_and_run_again_are_those_of_the_local_engine(sweep):
    sweep.write(FOUR, steps=120)
    output = sweep.run("--tasks_per_node=2")
    assert "submitted 4 points as job " in output and "--status --workdir sweep" in output
    sweep.wait(lambda: sweep.trains(25))
    text = sweep.status()
    assert "4 points: 4 running" in text and "on " in text and "at step " in text
    (job,) = sweep.jobs()
    sweep.asked("scancel", str(job))
    took = sweep.wait(sweep.idle)
    assert took < 30, took
    stopped = [text for text in sweep.printed().values() if "stopped by a signal at step" in text]
    # The others may not have begun to train
    assert stopped and not list((sweep.folder / "points").glob("*.failed"))
    assert f"job {job}_0: CANCELLED" in sweep.status()
    output = sweep.run("--tasks_per_node=2")
    assert "submitted 4 points as job " in output
    assert len(sweep.jobs()) == 2
    # Once more, while they wait or run, or some are done: nothing is submitted twice
    output = sweep.run("--tasks_per_node=2")
    assert "in Slurm's queue already, or run" in output and len(sweep.jobs()) == 2
    sweep.wait(sweep.idle)
    assert "4 points: 4 done" in sweep.status()
    assert "report.md" in sweep.run("--tasks_per_node=2")
    # Sums over two devices of one process and over two processes are of the same two numbers
    sweep.run("--jobs=2", engine="local", folder="local", devices=2)
    assert results(sweep.folder) == results(sweep.here / "local")
    folders = sweep.folder, sweep.here / "local"
    tables = [(folder / "report.csv").read_text() for folder in folders]
    assert tables[0] == tables[1]


def test_a_failed_point_leaves_the_others_and_is_submitted_again(sweep):
    sweep.write("product(arg=['rate=1e-3', 'rate=1e30'])", steps=5)
    sweep.run("--time=10")
    sweep.wait(sweep.idle)
    text = sweep.status()
    assert "2 points: 1 done, 1 failed" in text
    assert "failed: segjax: loss or gradient is not finite at step " in text
    assert "submitted 1 points as job " in sweep.run()


def test_preempted_points_are_queued_again_and_go_on(sweep):
    sweep.write(ONE, steps=2500)
    sweep.run()
    sweep.wait(lambda: sweep.trains(25))
    sweep.asked(*URGENT)
    sweep.wait(lambda: "queued as job " in sweep.status() or "done" in sweep.status())
    (printed,) = sweep.printed().values()
    assert "stopped by a signal at step " in printed
    # Slurm lets two minutes pass before a job begins once more
    (job,) = sweep.jobs()
    sweep.asked("scontrol", "update", f"JobId={job}_0", "StartTime=now")
    sweep.wait(sweep.idle)
    (printed,) = sweep.printed().values()
    assert "1 points: 1 done" in sweep.status() and printed.count("compiled the training") == 2
    assert len(sweep.jobs()) == 1


def test_without_requeue_a_preempted_point_is_submitted_by_the_same_command(sweep):
    sweep.write(ONE, steps=2500)
    sweep.run("--partition=cancelled", "--no-requeue")
    sweep.wait(lambda: sweep.trains(25))
    sweep.asked(*URGENT)
    sweep.wait(sweep.idle)
    text = sweep.status()
    assert "1 points: 1 begun" in text and not list((sweep.folder / "points").glob("*.failed"))
    assert "submitted 1 points" in sweep.run("--partition=cancelled")
    sweep.wait(sweep.idle)
    assert "1 points: 1 done" in sweep.status()


def test_of_two_submitters_one_submits(sweep):
    sweep.write(FOUR, steps=50000)
    both = [
        subprocess.Popen(
            sweep.words("--array_limit=1"),
            env=sweep.environment,
            cwd=sweep.here,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate()[0] for process in both]
    # The second one comes while the first submits, or finds all in the queue
    assert sorted(process.returncode for process in both) in ([0, 0], [0, 2]), outputs
    submitted = "".join(outputs).count("submitted 4 points as job ")
    queue = sweep.asked("squeue", "--array", "--states=all", "--format=%F|%K|%T|%r")
    assert submitted == 1, "\n".join([*outputs, queue])
    assert len(json.loads((sweep.folder / "sweep.json").read_text())["points"]) == 4
    (job,) = sweep.jobs()
    # The number was not kept, as where the submitter was killed: found by the job's name
    (one,) = submissions.read(sweep.folder)
    one.keep(None)
    assert "4 queued" in sweep.status() or "running" in sweep.status()
    assert "4 points are in Slurm's queue already" in sweep.run("--array_limit=1")
    assert sweep.jobs() == [job]
    sweep.asked("scancel", str(job))
    sweep.wait(sweep.idle)


def test_what_slurm_refuses_is_told_before_anything_is_written(sweep):
    sweep.write(ONE, steps=2)
    error = sweep.run("--partition=nowhere", status=2)
    assert error == "segjax: --engine slurm: sbatch: invalid partition specified: nowhere\n"
    more = slurm_cluster.CORES + 1
    error = sweep.run(f"--tasks_per_node={more}", f"--config.data.batch_size={more}", status=2)
    assert error.startswith("segjax: --engine slurm: sbatch: ") and error.count("\n") == 1
    assert not sweep.folder.exists()


def test_more_processes_than_tasks_are_told(sweep):
    words = runs.command(sweep.folder, sweep.data_dir, "--coordinator=localhost:1", "--processes=3")
    process = '--process="$SLURM_PROCID"'
    done = subprocess.run(
        ["srun", "--ntasks=2", "bash", "-c", f"exec {shlex.join(words)} {process}"],
        env=sweep.environment,
        cwd=sweep.here,
        capture_output=True,
        text=True,
    )
    line = "segjax: --processes 3: this step of Slurm has 2 tasks; srun --ntasks=3 starts as many"
    assert done.returncode == 2 and done.stderr.count(line) == 2, done.stderr
    assert not sweep.folder.exists()


def test_a_stopped_process_is_killed_with_its_step(sweep):
    sweep.write(ONE, steps=50000)
    sweep.run("--tasks_per_node=2", "--watchdog=15")
    sweep.wait(lambda: sweep.trains(25))
    found = subprocess.run(
        ["pgrep", "-f", "--", "--distributed"], capture_output=True, text=True
    ).stdout.split()
    head = f"{sys.executable} -P -m segjax.cli train"
    own = [int(pid) for pid in found if _command(pid).startswith(head)]
    own = [pid for pid in own if str(sweep.folder) in _command(pid)]
    started = [pid for pid in own if _parent(pid) not in own]
    assert len(started) == 2, started
    os.kill(started[1], signal.SIGSTOP)
    sweep.wait(sweep.idle, 150)
    assert "1 points: 1 failed" in sweep.status()
    assert not [pid for pid in own if os.path.exists(f"/proc/{pid}")]


def _command(pid):
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read().replace("\0", " ")
    except OSError:
        return ""


def _parent(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def test_a_machine_without_slurm_is_told(tmp_path, data_dir):
    python = tmp_path / "bin"
    python.mkdir()
    own = Sweep(runs.environment() | {"PATH": str(python)}, tmp_path, data_dir)
    own.environment["PYTHONPATH"] = str(runs.ROOT)
    own.write(ONE, steps=2)
    error = own.run(status=2)
    assert error.startswith("segjax: --engine slurm: no sbatch on this machine; ")
    assert not own.folder.exists() and shutil.which("sbatch", path=str(python)) is None
