"""Wrong words on the command line, in this process and in one of its own."""

import os
import subprocess
import sys

import pytest

from tests.wrong_input.words import DEMO, ROOT, TRAIN

pytestmark = pytest.mark.usefixtures("command_settings")


@pytest.mark.parametrize(
    "words, names",
    [
        ([], ["COMMAND"]),
        (["trian"], ["'trian'", "did you mean 'train'?", "evaluate"]),
        (["data", "prepar", "idrid"], ["'prepar'", "did you mean 'prepare'?"]),
        (["data"], ["VERB"]),
        (["train", "--confg", DEMO, "--workdir", "x"], ["--confg", "did you mean '--config'?"]),
        (["train", "--config", DEMO, "--wrokdir=x"], ["--wrokdir", "did you mean '--workdir'?"]),
        (["train", "--config", "x.py", "--work", "run"], ["--work", "did you mean '--workdir'?"]),
        (["train", "--config", "x.py"], ["--workdir"]),
        (["train", "--workdir", "run"], ["--config"]),
        (["train", "--config", DEMO, "--workdir"], ["--workdir", "expected one argument"]),
        ([*TRAIN, "stray"], ["stray"]),
        ([*TRAIN, "-x"], ["-x"]),
        ([*TRAIN, "--config.seed", "1"], ["--config.seed=1"]),
        ([*TRAIN, "--processes", "two"], ["--processes", "'two'"]),
        ([*TRAIN, "--processes", "2"], ["--coordinator: missing"]),
        ([*TRAIN, "--coordinator", "host:1"], ["--processes: missing"]),
        ([*TRAIN, "--coordinator=host", "--processes=2", "--process=0"], ["--coordinator host"]),
        ([*TRAIN, "--coordinator=host:1", "--processes=2", "--process=2"], ["--process 2"]),
        (["evaluate", "--workdir", "run", "--splt", "test"], ["--splt", "did you mean '--split'?"]),
        (["evaluate", "--workdir", "run", "--config.seed=1"], ["--config.seed=1", "as it is"]),
        (["evaluate", "--workdir", "run", "--checkpoint", "bst"], ["'bst'", "mean 'best'?"]),
        (["predict", "--workdir", "run", "--output", "out"], ["--input"]),
        (["predict", "--workdir", "run", "--input", "a.png"], ["--output"]),
        (["sweep", "--config", DEMO, "--workdir", "s", "--engine", "locl"], ["'locl'", "'local'?"]),
        (["data", "show", "synthetic_fundus", "--count", "many"], ["--count", "'many'"]),
        (["data", "show", "synthetic_fundus", "--count", "0"], ["--count 0", "at least 1"]),
        (["data", "show", "synthetic_fundus", "--count", "-3"], ["--count -3", "at least 1"]),
        (["bench", "--config", DEMO, "--seconds", "0"], ["--seconds 0"]),
        (["bench", "--config", DEMO, "--seconds", "soon"], ["--seconds", "'soon'"]),
        (["report"], ["DIR"]),
    ],
)  # fmt: skip
def test_words(refuses, words, names):
    refuses(*words, names=names)


def test_distributed_outside_a_cluster(refuses, monkeypatch):
    # As in a fresh process, where no device has been touched; JAX warns of a fork of this one.
    monkeypatch.setattr("segjax.cli.guard.run", lambda work, *unused: work(print))
    monkeypatch.setattr("jax._src.xla_bridge.backends_are_initialized", lambda: False)
    for name in [*os.environ]:
        if name.startswith(("SLURM_", "OMPI_", "PMIX_", "TPU_", "CLOUD_TPU_")):
            monkeypatch.delenv(name)
    refuses(*TRAIN, "--distributed", names=["--distributed", "no job", "--coordinator"])


def run(*words, folder):
    return subprocess.run(
        [sys.executable, "-m", "segjax.cli", *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_exit_status_reaches_the_shell(tmp_path):
    done = run("trian", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("segjax: ") and done.stderr.count("\n") == 1
    assert "'train'" in done.stderr
    assert run("--help", folder=tmp_path).returncode == 0


def test_a_wrong_value_is_one_line_in_the_shell_too(tmp_path):
    flag = "--config.loss.msce.name=mse"
    done = run("train", "--config", DEMO, "--workdir", "run", flag, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "config.loss.msce.name='mse'" in done.stderr
    assert not list(tmp_path.iterdir())
