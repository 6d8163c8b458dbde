"""Killed, stopped and damaged runs go on as if nothing had happened."""

import os
import random
import shutil
import signal
import time

import jax
import numpy as np
import pytest

from segjax.inference.open import load_trained
from segjax.train.checkpoint import parameters_digest
from segjax.train.loop import Stop
from tests.train import runs

pytestmark = pytest.mark.usefixtures("command_settings")
SETTINGS = {
    "train__steps": 200,
    "evaluate__every_steps": 50,
    "checkpoint__every_steps": 20,
    "optimizer__learning_rate": 1e-3,
}


def start(workdir, data_dir, **settings):
    return runs.start(runs.command(workdir, data_dir, **(SETTINGS | settings)))


def last_step(workdir):
    path = workdir / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return int(lines[-1].split('"step": ')[1].split(",")[0]) if lines else 0


def wait_until_training(process, workdir, beyond):
    for _ in range(2400):
        if process.poll() is not None or last_step(workdir) > beyond:
            return
        time.sleep(0.05)
    raise AssertionError("the run did not begin to train")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, data_dir):
    workdir = tmp_path_factory.mktemp("undisturbed") / "run"
    runs.train(runs.command(workdir, data_dir, **SETTINGS))
    return workdir


def digests(workdir):
    return [parameters_digest(load_trained(workdir, kind).state) for kind in ("latest", "best")]


def same_rows(workdir, other):
    for split in ("train", "validation"):
        assert runs.logged(workdir, split, "loss") == runs.logged(other, split, "loss")


def test_killed_three_times_ends_bitwise_the_same(tmp_path, data_dir, undisturbed):
    workdir, moments, kills = tmp_path / "run", random.Random(7), 0
    while kills < 3:
        process = start(workdir, data_dir)
        wait_until_training(process, workdir, last_step(workdir))
        time.sleep(moments.uniform(0.0, 0.12))
        process.kill()
        process.communicate()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
    assert kills == 3, "the run ended before it could be killed three times: make it longer"
    runs.train(runs.command(workdir, data_dir, **SETTINGS))
    assert digests(workdir) == digests(undisturbed)
    same_rows(workdir, undisturbed)


def test_terminated_run_saves_and_goes_on(tmp_path, data_dir, undisturbed):
    workdir = tmp_path / "run"
    process = start(workdir, data_dir)
    wait_until_training(process, workdir, 20)
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - asked < 30
    assert process.returncode == 1
    assert "stopped by a signal at step" in errors and "Traceback" not in errors
    step = int(errors.split("at step ")[1].split(",")[0])
    assert (workdir / "checkpoints" / "latest" / str(step)).is_dir()
    assert not (workdir / "done.json").exists()
    runs.train(runs.command(workdir, data_dir, **SETTINGS))
    assert digests(workdir) == digests(undisturbed)


def test_second_signal_ends_at_once():
    # A test begun in the background of a shell has SIGINT ignored.
    for number in signal.SIGINT, signal.SIGTERM:
        before = signal.signal(number, signal.default_int_handler)
        with Stop() as stop:
            assert not stop.at(1)
            os.kill(os.getpid(), number)
            assert stop.now() and stop.at(2)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
        assert signal.signal(number, before) is signal.default_int_handler


def test_damaged_newest_checkpoint_is_named_and_the_one_before_is_used(
    tmp_path, data_dir, undisturbed
):
    workdir = tmp_path / "run"
    shutil.copytree(undisturbed, workdir)
    (workdir / "done.json").unlink()
    steps = sorted(int(p.name) for p in (workdir / "checkpoints" / "latest").iterdir())
    newest = workdir / "checkpoints" / "latest" / str(steps[-1])
    for file in newest.rglob("*"):
        if file.is_file() and file.stat().st_size > 1000:
            file.write_bytes(file.read_bytes()[:500])
    errors = runs.train(runs.command(workdir, data_dir, **SETTINGS))
    assert f"damaged checkpoint {newest}" in errors
    assert digests(workdir) == digests(undisturbed)
    same_rows(workdir, undisturbed)


def test_checkpoint_goes_on_with_another_number_of_devices(tmp_path, data_dir):
    workdir, shorter = tmp_path / "run", SETTINGS | {"train__steps": 100}
    process = start(workdir, data_dir, **shorter)
    wait_until_training(process, workdir, 20)
    process.send_signal(signal.SIGINT)  # saves as SIGTERM does
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and "stopped by a signal at step" in errors
    # Nothing is compared: no need to optimise what compiles eight times as much
    runs.train(runs.command(workdir, data_dir, **shorter), devices=8, optimised=False)
    assert sorted(runs.logged(workdir, "train", "loss")) == list(range(1, 101))


def test_step_that_is_not_finite_stops_and_keeps_the_last_good_state(tmp_path, data_dir):
    workdir = tmp_path / "run"
    settings = {
        "optimizer__learning_rate": 1e30,
        "train__clip_norm": None,
        "log__every_steps": 5,
        "train__steps": 60,
    }
    process = start(workdir, data_dir, **settings)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1 and "Traceback" not in errors
    assert "not finite at step" in errors
    good = int(errors.split("saved at step ")[1].split()[0])
    state = load_trained(workdir, "latest").state
    assert int(state.step) == good
    parameters_digest(state)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(state.params)))
