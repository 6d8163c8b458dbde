"""Trainings that begin with parameters of somebody else."""

import json
import os

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax.traverse_util import flatten_dict

from segjax.cli import main
from segjax.inference.open import load_trained
from segjax.train import model_init
from tests.train import runs

pytestmark = pytest.mark.usefixtures("command_settings")


def began_with(folder, monkeypatch, data_dir, source, **settings):
    """The variables at step 0 of a training that begins with `source`."""
    seen, usual = [], model_init.applied

    def watched(text, state):
        seen.append(usual(text, state))
        return seen[-1]

    monkeypatch.setattr(model_init, "applied", watched)
    words = runs.words(folder, data_dir, model_init=source, seed=5, **settings)
    assert main(words) == 0
    (state,) = seen
    return flatten_dict(state.variables, sep="/")


@pytest.fixture
def source(request, trained, tmp_path):
    """The same parameters as a work folder, an export, and a file."""
    if request.param == "run":
        return trained
    assert main(["export", "--workdir", str(trained), "--output", str(tmp_path / "export")]) == 0
    export = tmp_path / "export"
    return export if request.param == "export" else export / "weights.safetensors"


@pytest.mark.parametrize("source", ["run", "export", "file"], indirect=True)
def test_all_parameters_and_statistics_are_taken(
    source, trained, tmp_path, data_dir, monkeypatch, capfd
):
    found = began_with(tmp_path / "run", monkeypatch, data_dir, source)
    wanted = flatten_dict(jax.device_get(load_trained(trained).state.variables), sep="/")
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)
    assert "begin at random" not in capfd.readouterr().err
    assert len(json.loads((tmp_path / "run" / "env.json").read_text())["model_init"]) == 64


def test_what_does_not_fit_begins_at_random_and_is_said(
    trained, tmp_path, data_dir, monkeypatch, capfd
):
    arrays = model_init.read(str(trained))
    changed = next(name for name in arrays if name.endswith("kernel"))
    arrays[changed] = np.zeros((*arrays[changed].shape, 2), np.float32)
    path = tmp_path / "other.safetensors"
    safetensors.numpy.save_file(arrays, path)
    found = began_with(tmp_path / "run", monkeypatch, data_dir, path)
    assert f"{changed} begin at random" in capfd.readouterr().err
    assert np.any(found[changed])
    for name in set(arrays) - {changed}:
        np.testing.assert_array_equal(found[name], arrays[name])


def test_a_run_that_goes_on_needs_it_no_more(trained, tmp_path, data_dir, capfd):
    path = tmp_path / "start.safetensors"
    safetensors.numpy.save_file(model_init.read(str(trained)), path)
    words = runs.words(tmp_path / "run", data_dir, model_init=path)
    assert main(words) == 0
    began = json.loads((tmp_path / "run" / "env.json").read_text())["model_init"]
    path.unlink()
    (tmp_path / "run" / "done.json").unlink()
    assert main(words) == 0
    assert json.loads((tmp_path / "run" / "env.json").read_text())["model_init"] == began
    assert main(runs.words(tmp_path / "new", data_dir, model_init=path)) == 2
    assert "start.safetensors': no such file or folder" in capfd.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda folder: folder, "neither a work folder nor an export"),
        (lambda folder: write(folder / "a.safetensors", b"{"), "not a safetensors file"),
        (lambda folder: write(folder / "weights.pth", b"no weights"), "holds no weights"),
        (lambda folder: write(folder / "weights.pth", b"PK\x03\x04"), "PyTorch"),
        (lambda folder: pipe(folder / "weights.pth"), "nor a file"),
        (lambda folder: saved(folder / "b.safetensors"), "none of its 1 arrays has name and shape"),
    ],
)
def test_what_cannot_be_begun_with(tmp_path, data_dir, capfd, make, message):
    (tmp_path / "given").mkdir()
    words = runs.words(tmp_path / "run", data_dir, model_init=make(tmp_path / "given"))
    assert main(words) == 2
    errors = capfd.readouterr().err
    assert message in errors and errors.count("\n") == 1 and "config.model_init=" in errors
    assert not (tmp_path / "run").exists()


def pipe(path):
    os.mkfifo(path)
    return path


def write(path, content):
    path.write_bytes(content)
    return path


def saved(path):
    safetensors.numpy.save_file({"params/kernel": np.zeros(3, np.float32)}, path)
    return path
