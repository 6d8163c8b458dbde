"""Several processes of one job refuse together what they cannot do together."""

import time

import pytest
import safetensors.numpy

from segjax.train import model_init
from tests.train import runs
from tests.train.test_devices import SETTINGS


def test_processes_with_different_configs_all_end(tmp_path, data_dir):
    began = time.monotonic()
    own = {"optimizer__learning_rate": 0.5}
    for job in runs.start_job(tmp_path / "run", data_dir, own=own, **SETTINGS):
        output, _ = job.communicate(timeout=120)
        assert job.returncode == 2, output
        line = "config.optimizer.learning_rate: 0.0001 in process 0, 0.5 in process 1"
        assert f"segjax: {line}; start all" in output and "Traceback" not in output
    assert time.monotonic() - began < 60
    assert not (tmp_path / "run").exists()


def test_processes_that_begin_with_different_parameters_all_end(trained, tmp_path, data_dir):
    arrays = model_init.read(str(trained))
    folders = tmp_path / "first", tmp_path / "second"
    for factor, folder in enumerate(folders, 1):
        folder.mkdir()
        changed = {name: array * factor for name, array in arrays.items()}
        safetensors.numpy.save_file(changed, folder / "start.safetensors")
    given = {"model_init": "start.safetensors"}
    for job in runs.start_job(tmp_path / "run", data_dir, folders=folders, **(SETTINGS | given)):
        output, _ = job.communicate(timeout=120)
        assert job.returncode == 2, output
        assert "segjax: content.model_init: '" in output and "Traceback" not in output
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_processes_train_a_network_with_loops_in_its_gradients(tmp_path, data_dir):
    """XLA on CPU runs sums over processes in loops in an order of each process's own."""
    settings = SETTINGS | {"train__steps": 4, "model__name": "CellposeUNet"}
    settings |= {"model__features": "(8, 16)", "data__image_size": "(64, 64)"}
    for job in runs.start_job(tmp_path / "run", data_dir, devices=1, **settings):
        output, _ = job.communicate(timeout=300)
        assert job.returncode == 0, output[-2000:]
