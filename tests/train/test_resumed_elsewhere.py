"""A job of four processes that was killed goes on with other processes and devices."""

import shutil
import time

import numpy as np
import pytest

from tests.train import runs

# Relative: sums over the batch are taken in another order, and float32 rounding grows from step to
# step.
TOLERANCE = 1e-5
SAVED, STEPS = 20, 120
SETTINGS = {
    "model__name": "tests.train.tiny:Unbiased",
    "train__steps": STEPS,
    "evaluate__every_steps": 10,
    "checkpoint__every_steps": SAVED,
}
# Processes, and devices of each
ELSEWHERE = {
    "one process": (1, 1),
    "two processes": (2, 1),
    "another mesh": (1, 8),
}


def run(workdir, data_dir, processes, devices):
    if processes == 1:
        runs.train(runs.command(workdir, data_dir, **SETTINGS), devices, optimised=False)
        return
    for job in runs.start_job(workdir, data_dir, processes, devices, **SETTINGS):
        output, _ = job.communicate(timeout=300)
        assert job.returncode == 0, output[-3000:]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, data_dir):
    workdir = tmp_path_factory.mktemp("undisturbed") / "run"
    run(workdir, data_dir, 4, 1)
    return workdir


@pytest.fixture(scope="module")
def killed(tmp_path_factory, data_dir):
    """With a checkpoint from which more than 50 steps follow."""
    workdir = tmp_path_factory.mktemp("killed") / "run"
    jobs = runs.start_job(workdir, data_dir, 4, 1, **SETTINGS)
    until = time.monotonic() + 120
    while not saved(workdir):
        assert time.monotonic() < until and all(job.poll() is None for job in jobs)
        time.sleep(0.01)
    for job in jobs:
        job.kill()
    for job in jobs:
        job.communicate(timeout=60)
    assert 0 < saved(workdir) <= STEPS - 50
    return workdir


def saved(workdir):
    """The step of the latest checkpoint, 0 for none."""
    folders = (workdir / "checkpoints" / "latest").glob("*")
    return max((int(path.name) for path in folders if path.name.isdigit()), default=0)


@pytest.mark.parametrize("way", ELSEWHERE)
def test_losses_are_those_of_the_job_that_was_not_killed(
    killed, undisturbed, data_dir, tmp_path, way
):
    workdir = tmp_path / "run"
    shutil.copytree(killed, workdir)
    run(workdir, data_dir, *ELSEWHERE[way])
    for split, steps in {"train": STEPS, "validation": STEPS // 10}.items():
        got, wanted = (runs.logged(path, split, "loss") for path in (workdir, undisturbed))
        assert sorted(got) == sorted(wanted) and len(wanted) == steps
        np.testing.assert_allclose(
            [got[step] for step in sorted(got)],
            [wanted[step] for step in sorted(wanted)],
            rtol=TOLERANCE,
        )
