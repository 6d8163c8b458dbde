"""Several processes of one job refuse together what they cannot do together."""

import time

from tests.train.test_devices import start_two


def test_processes_with_different_configs_all_end(tmp_path, data_dir):
    began = time.monotonic()
    own = {"optimizer__learning_rate": 0.5}
    for job in start_two(tmp_path / "run", data_dir, own):
        output, _ = job.communicate(timeout=120)
        assert job.returncode == 2, output
        line = "config.optimizer.learning_rate: 0.0001 in process 0, 0.5 in process 1"
        assert f"segjax: {line}; start all" in output and "Traceback" not in output
    assert time.monotonic() - began < 60
    assert not (tmp_path / "run").exists()
