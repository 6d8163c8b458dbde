"""A machine without the device that JAX was asked for."""

import subprocess
import sys

import pytest

from tests.train import runs


@pytest.mark.parametrize(
    "name, value",
    [
        ("JAX_NUM_CPU_DEVICES", "abc"),
        ("JAX_NUM_CPU_DEVICES", "0"),
        ("JAX_PLATFORMS", "nonsense"),
        ("JAX_PLATFORMS", "cuda"),
    ],
)
def test_a_device_that_is_not_there(name, value):
    environment = runs.environment() | {name: value, "CUDA_VISIBLE_DEVICES": ""}
    words = [sys.executable, "-m", "segjax.cli", "check", "dice"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 2, done.stderr
    assert last.startswith("segjax: JAX finds no device (") and f"{name}='{value}'" in last
    assert "Traceback" not in done.stderr
