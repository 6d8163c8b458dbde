"""`segjax export`: the files give back what the model computes, here and without segjax."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from segjax.cli import main
from segjax.config import files
from segjax.errors import UserError
from segjax.inference import export
from segjax.train import experiment as experiments
from segjax.train.checkpoint import Checkpoints
from segjax.train.loop_state import LoopState
from tests.train import runs, tiny

pytestmark = pytest.mark.usefixtures("command_settings")

NAMES = {"model.json", "model.stablehlo", "weights.safetensors"}
SIZE = (31, 26)  # an odd number of rows, which the network pads and crops
IMAGES = np.random.default_rng(0).uniform(0, 1, (5, *SIZE, 3)).astype(np.float32)


class Branching(tiny.Tiny):
    """Asks for the number of images, which a symbolic batch size does not answer."""

    @nn.compact
    def __call__(self, image, *, train):
        shift = 1.0 if image.shape[0] > 4 else 0.0
        return {"logits": nn.Conv(self.outputs, (3, 3))(image) + shift}


class CallsBack(tiny.Tiny):
    """Computes on the host, which no exported function can."""

    @nn.compact
    def __call__(self, image, *, train):
        logits = nn.Conv(self.outputs, (3, 3))(image)
        shape = jax.ShapeDtypeStruct(logits.shape, logits.dtype)
        logits = jax.pure_callback(np.asarray, shape, jax.lax.stop_gradient(logits))
        return {"logits": logits}


SETTINGS = {
    "segmentation": runs.SMALL | {"data.image_size": SIZE},
    "regionwise": {
        "data.image_size": (32, 32),
        "model.features": (4, 8),
        "model.strides": ((1, 1), (2, 2)),
        "model.norm": "batch",
    },
}


def saved(folder, kinds=("latest", "best"), experiment="segmentation", **settings):
    """A work folder with untrained, random states; its model; the variables of each kind."""
    chosen = SETTINGS[experiment] | {k.replace("__", "."): v for k, v in settings.items()}
    demo = str(runs.ROOT / "experiments" / experiment / "demo.py")
    config = files.load(demo, {key: str(value) for key, value in chosen.items()})
    folder.mkdir()
    (folder / "config.json").write_text(files.to_json(config))
    made = experiments.build(config, devices=jax.device_count(), examples=1000)
    began = jax.device_get(jax.jit(made.initial_state)())
    variables = {}
    with Checkpoints(folder, keep=1) as checkpoints:
        for step, kind in enumerate(kinds, start=1):
            # Other values in each: mixed up scales, biases, means and variances would show.
            generator = np.random.default_rng(step)
            params, collections = jax.tree.map(
                lambda leaf, g=generator: np.float32(g.uniform(0.2, 1.0, leaf.shape)) - leaf,
                (began.params, began.collections),
            )
            collections = jax.tree.map(np.abs, collections)
            state = began.replace(step=jnp.int32(step), params=params, collections=collections)
            checkpoints.save(kind, step, state, LoopState())
            variables[kind] = {"batch_stats": {}} | state.variables
    return made.model, variables


def assert_equal(found, expected):
    """Equal to 1e-6 of the largest value."""
    expected = np.asarray(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def run_child(program, *words, folder):
    """Runs a program in a process of its own, which must end well."""
    command = [sys.executable, "-W", "error", "-c", program, *words]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]


def apply(model):
    return jax.jit(lambda variables, image: model.apply(variables, image, train=False)["logits"])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A work folder with a real network, its export by the command, and what the network says."""
    folder = tmp_path_factory.mktemp("exported")
    real = {"model__name": "CellposeUNet", "model__features": (4, 8)}
    model, variables = saved(folder / "run", **real)
    assert main(["export", "--workdir", str(folder / "run"), "--output", str(folder / "out")]) == 0
    logits = {kind: np.asarray(apply(model)(variables[kind], IMAGES)) for kind in variables}
    return folder / "out", variables, logits


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A work folder with the smallest network, an export of it, the model and its variables."""
    folder = tmp_path_factory.mktemp("small")
    model, variables = saved(folder / "run", model__name="tests.train.tiny:Tiny")
    export.export(folder / "run", folder / "out")
    return folder / "run", folder / "out", model, variables


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_three_files_and_their_checksums(run):
    output, _, _ = run
    assert {path.name for path in output.iterdir()} == NAMES
    description = json.loads((output / "model.json").read_text())
    for name in NAMES - {"model.json"}:
        content = (output / name).read_bytes()
        entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        assert description["files"][name] == entry
    content = (output / "model.stablehlo").read_bytes()
    assert b".py" not in content, "paths of this machine travel with the file"


def test_the_description(run):
    output, variables, _ = run
    description = json.loads((output / "model.json").read_text())
    assert description["input"]["shape"] == ["b", *SIZE, 3]
    assert description["output"]["shape"] == ["b", *SIZE, 1]
    assert description["input"]["dtype"] == description["output"]["dtype"] == "float32"
    assert "[0, 1]" in description["input"]["meaning"]
    assert "most probable class" in description["output"]["prediction"]
    assert description["output"]["classes"] == ["background", "optic_disc"]
    assert description["platforms"] == ["cpu", "cuda", "tpu"]
    assert description["batch"] == "any size"
    assert (description["checkpoint"], description["step"]) == ("best", 2)
    assert description["model"]["name"] == "CellposeUNet"
    assert description["model"]["options"]["features"] == [4, 8]
    sizes = [leaf.size for leaf in jax.tree.leaves(variables["best"]["params"])]
    assert description["parameters"] == sum(sizes)
    assert description["versions"]["jax"] == jax.__version__


@pytest.mark.parametrize("batch", [1, 5])
def test_the_function_is_the_model_at_every_batch_size(run, batch):
    output, _, logits = run
    found = export.load_function(output)(IMAGES[:batch])
    assert found.dtype == jnp.float32 and found.shape == (batch, *SIZE, 1)
    assert_equal(found, logits["best"][:batch])
    assert np.abs(found - logits["latest"][:batch]).max() > 0.01 * np.abs(found).max()


def test_the_weights_are_the_variables_bit_for_bit(run):
    output, variables, _ = run
    for path in (output, str(output / "weights.safetensors")):
        loaded = export.load_weights(path)
        assert jax.tree.structure(loaded) == jax.tree.structure(variables["best"])
        jax.tree.map(np.testing.assert_array_equal, loaded, variables["best"])


def test_names_and_metadata_of_the_weights(run):
    output, _, _ = run
    with safetensors.safe_open(output / "weights.safetensors", framework="numpy") as file:
        names, metadata = set(file.keys()), file.metadata()
    assert "params/down_0/conv_0/conv/kernel" in names
    assert "batch_stats/down_0/conv_0/norm/mean" in names
    assert (metadata["model"], metadata["step"]) == ("CellposeUNet", "2")
    assert json.loads(metadata["options"])["features"] == [4, 8]
    assert set(metadata) == {"model", "options", "segjax", "step"}


def test_two_exports_are_equal_byte_for_byte(trained):
    """safetensors orders its metadata anew at every saving: one of 24 orders."""
    variables = {"params": {"w": np.ones((2, 3), np.float32)}}
    config = files.from_json(trained / "config.json")
    packed = {export._pack(variables, config, 3) for _ in range(12)}
    assert len(packed) == 1
    assert_equal(safetensors.numpy.load(packed.pop())["params/w"], variables["params"]["w"])


def test_a_process_with_nothing_but_jax(run, tmp_path):
    output, _, logits = run
    np.save(tmp_path / "image.npy", IMAGES[:3])
    program = """
import sys
import jax, jax.export, numpy as np
function = jax.export.deserialize(bytearray(open(sys.argv[1], "rb").read()))
np.save("logits.npy", function.call(np.load("image.npy")))
assert not {"segjax", "flax"} & set(sys.modules)
"""
    run_child(program, str(output / "model.stablehlo"), folder=tmp_path)
    assert_equal(np.load(tmp_path / "logits.npy"), logits["best"][:3])


def test_an_export_gives_way_to_one_of_the_same_run(small, tmp_path, monkeypatch):
    folder, output, model, variables = small
    target = tmp_path / "deep" / "out"
    replace, order = os.replace, []
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", lambda a, b: order.append(b.name) or replace(a, b))
        export.export(folder, target)
    # Killed after the first rename, the folder still counts as an export of this run.
    assert order[0] == "model.json" and set(order) == NAMES
    first = contents(target)
    assert first["model.stablehlo"] == contents(output)["model.stablehlo"]
    (target / ".export-of-a-killed-process").mkdir()
    paths = export.export(folder, target, "latest")
    assert {path.name for path in target.iterdir()} == {path.name for path in paths} == NAMES
    jax.tree.map(np.testing.assert_array_equal, export.load_weights(target), variables["latest"])
    assert json.loads((target / "model.json").read_text())["step"] == 1
    expected = apply(model)(variables["latest"], IMAGES[:1])
    assert_equal(export.load_function(target)(IMAGES[:1]), expected)


def test_a_failure_leaves_nothing_or_what_was_there(small, tmp_path, monkeypatch):
    folder, output, _, _ = small
    write, written = pathlib.Path.write_bytes, []

    def full_disk(path, data):
        written.append(path.name)
        if len(written) == 3:
            raise OSError(28, "No space left on device", str(path))
        return write(path, data)

    monkeypatch.setattr(pathlib.Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space"):
        export.export(folder, tmp_path / "out")
    assert set(written) == NAMES and not (tmp_path / "out").exists()
    before = contents(output)
    written.clear()
    with pytest.raises(OSError, match="No space"):
        export.export(folder, output, "latest")
    assert contents(output) == before


def test_killed_between_renames(small, tmp_path):
    folder, output, _, variables = small
    target = tmp_path / "out"
    export.export(folder, target, "latest")
    # What a process leaves that has renamed one file of three.
    shutil.copy(output / "model.json", target)
    (target / ".export-left").mkdir()
    with pytest.raises(UserError, match="model.stablehlo: damaged"):
        export.load_function(target)
    with pytest.raises(UserError, match="weights.safetensors: damaged"):
        export.load_weights(target)
    export.export(folder, target)
    assert {path.name for path in target.iterdir()} == NAMES
    jax.tree.map(np.testing.assert_array_equal, export.load_weights(target), variables["best"])


def test_latest_stands_in_where_no_best_was_kept(tmp_path):
    # A model without batch statistics, computing in bfloat16, trained under pmap.
    settings = {"model__name": "tests.train.tiny:Tiny", "dtype": "bfloat16", "parallel": "pmap"}
    model, variables = saved(tmp_path / "run", kinds=("latest",), **settings)
    export.export(tmp_path / "run", tmp_path / "out")
    description = json.loads((tmp_path / "out" / "model.json").read_text())
    assert (description["checkpoint"], description["model"]["dtype"]) == ("latest", "bfloat16")
    loaded = export.load_weights(tmp_path / "out")
    assert loaded["batch_stats"] == {}
    jax.tree.map(np.testing.assert_array_equal, loaded, variables["latest"])
    found = export.load_function(tmp_path / "out")(IMAGES)
    assert found.dtype == jnp.float32
    assert_equal(found, apply(model)(loaded, IMAGES))


def test_the_network_for_volumes(tmp_path):
    model, variables = saved(tmp_path / "run", kinds=("latest",), experiment="regionwise")
    export.export(tmp_path / "run", tmp_path / "out", "latest")
    description = json.loads((tmp_path / "out" / "model.json").read_text())
    assert description["input"]["shape"] == ["b", 32, 32, 1]
    assert description["output"]["shape"] == ["b", 32, 32, 4]
    assert description["output"]["classes"] == ["background", "RV", "M", "LV"]
    assert "normalised" in description["input"]["meaning"]
    assert description["task"]["options"]["normalization"] == ["zscore"]
    image = np.random.default_rng(1).normal(size=(3, 32, 32, 1)).astype(np.float32)
    expected = apply(model)(variables["latest"], image)
    assert_equal(export.load_function(tmp_path / "out")(image), expected)


def test_a_model_that_needs_its_batch_size_takes_single_images(tmp_path):
    name = f"{__name__}:Branching"
    model, variables = saved(tmp_path / "run", model__name=name)
    export.export(tmp_path / "run", tmp_path / "out")
    description = json.loads((tmp_path / "out" / "model.json").read_text())
    assert description["batch"].startswith("single images, because")
    assert description["input"]["shape"] == [1, *SIZE, 3]
    function = export.load_function(tmp_path / "out")
    assert_equal(function(IMAGES[:1]), apply(model)(variables["best"], IMAGES[:1]))
    with pytest.raises(ValueError, match="Shape mismatch"):
        function(IMAGES[:2])


def test_a_model_that_calls_back_is_refused(tmp_path):
    name = f"{__name__}:CallsBack"
    saved(tmp_path / "run", model__name=name)
    with pytest.raises(UserError, match="CallsBack.*cannot be exported.*callback"):
        export.export(tmp_path / "run", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("load", [export.load_function, export.load_weights])
def test_loading_what_is_no_export(small, tmp_path, load):
    _, output, _, _ = small
    with pytest.raises(UserError, match="absent: no such file"):
        load(tmp_path / "absent")
    with pytest.raises(UserError, match=f"{tmp_path}/.*: no such file"):
        load(tmp_path)
    with pytest.raises(UserError, match="model.json: not a"):
        load(output / "model.json")
    (tmp_path / "model.json").write_text('{"files": {"model.st')
    for name in NAMES - {"model.json"}:
        (tmp_path / name).write_bytes((output / name).read_bytes())
    with pytest.raises(UserError, match="model.json: damaged"):
        load(tmp_path)
    (tmp_path / "model.json").write_bytes((output / "model.json").read_bytes())
    load(tmp_path)
    for name in NAMES - {"model.json"}:
        content = bytearray((output / name).read_bytes())
        content[len(content) // 2] ^= 1
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="damaged: not the file that model.json describes"):
        load(tmp_path)


def test_the_page_loads_it_in_ten_lines(small, tmp_path):
    page = (runs.ROOT / "docs" / "export.md").read_text()
    program = page.split("```python\n")[1].split("```")[0]
    assert len(program.strip().splitlines()) <= 10
    _, output, model, variables = small
    (tmp_path / "exported").symlink_to(output)
    run_child(program + "np.save('logits.npy', logits)", folder=tmp_path)
    expected = apply(model)(variables["best"], jnp.zeros((2, *SIZE, 3)))
    assert_equal(np.load(tmp_path / "logits.npy"), expected)
