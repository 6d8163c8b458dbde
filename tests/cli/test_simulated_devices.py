"""Threads for simulated devices, however they are asked for."""

import os

import jax
import pytest

from segjax import cli


@pytest.fixture
def bare(monkeypatch):
    """No device is simulated, on two cores."""
    for name in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES", "NPROC"):
        monkeypatch.setenv(name, "")  # put back afterwards, also where a test adds it
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(cli, "sys", type("Sys", (), {"modules": {}}))
    return monkeypatch


@pytest.mark.parametrize(
    "name, value",
    [
        ("XLA_FLAGS", "--xla_dump_to=x --xla_force_host_platform_device_count=4"),
        ("JAX_NUM_CPU_DEVICES", "4"),
    ],
)
def test_simulated_devices_get_threads(bare, name, value):
    bare.setenv(name, value)
    cli.allow_simulated_devices()
    assert os.environ["NPROC"] == "24"


def test_devices_of_the_config_get_threads(bare):
    bare.setattr(cli.sys, "modules", {"jax": jax})  # eight of them, by tests/conftest.py
    cli.allow_simulated_devices()
    assert os.environ["NPROC"] == "48"


def test_the_users_own_number_of_threads_stays(bare):
    bare.setenv("JAX_NUM_CPU_DEVICES", "4")
    bare.setenv("NPROC", "5")
    cli.allow_simulated_devices()
    assert os.environ["NPROC"] == "5"


def test_more_cores_than_that_stay_in_use(bare):
    bare.setenv("JAX_NUM_CPU_DEVICES", "4")
    bare.setattr(os, "cpu_count", lambda: 64)
    cli.allow_simulated_devices()
    assert os.environ["NPROC"] == "64"


def test_one_device_changes_nothing(bare):
    bare.setenv("JAX_NUM_CPU_DEVICES", "1")
    cli.allow_simulated_devices()
    assert "NPROC" not in os.environ
