"""benchmarks/device.py where little more than JAX, flax and optax is installed."""

import os
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from segjax.models.plain_unet import deep_supervision_weights

BENCHMARKS = pathlib.Path(__file__).resolve().parents[1] / "benchmarks"
# What a machine with a GPU may lack.
MISSING = (
    "PIL",
    "cv2",
    "grain",
    "matplotlib",
    "ml_collections",
    "nibabel",
    "orbax",
    "tensorflow_datasets",
    "tqdm",
)
# Python imports a module of this name at its start, in every process.
HOOK = """
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refuse())
"""


@pytest.fixture
def started(tmp_path):
    """Runs the script where some libraries cannot be imported."""

    def run(*words, refused=MISSING):
        (tmp_path / "sitecustomize.py").write_text(HOOK.format(refused=refused))
        return subprocess.run(
            [sys.executable, str(BENCHMARKS / "device.py"), "--small", *words],
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture
def benchmarks(monkeypatch):
    """The folder of the script, importable."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_every_section_runs_without_the_libraries_of_data_and_training(started, tmp_path):
    written = tmp_path / "device.md"
    some = ("--losses", "dice", "hausdorff_dt", "topological")
    done = started("--output", str(written), "--total-seconds", "600", *some)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout and "FAR" not in done.stdout
    text = written.read_text()
    for head in ("date: 20", "device: 1 x cpu", "versions: Python 3", "commit: ", "command: "):
        assert f"- {head}" in text
    tables = {part.split("\n")[0]: part for part in text.split("\n## ")[1:]}
    rows = {title: len(re.findall(r"^\| ", part, re.M)) - 2 for title, part in tables.items()}
    assert list(rows) == [
        "Distance transforms",
        "Persistence",
        "Agreement with the CPU",
        "Losses, value and gradient",
        "Augmentation in a training step",
        "A population against single runs",
        "Training steps",
    ]
    assert rows["Losses, value and gradient"] == len(some) - 1 and rows["Training steps"] == 4
    assert all(count >= 2 for count in rows.values()), rows


def test_the_libraries_are_really_refused(started):
    done = started("--only", "distance", "population", refused=("optax",))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "failed: population"
    failure = "FAILED: ModuleNotFoundError: No module named 'optax'"
    assert done.stdout.count(failure) == 1 and "Traceback" not in done.stderr
    assert len(re.findall(r"^edt \w+_[23]d ", done.stdout, re.M)) == 4


def test_a_section_without_time_is_left_out(started):
    done = started("--only", "distance", "--total-seconds", "0.2")
    assert done.returncode == 1
    assert "Distance transforms: FAILED: stopped" in done.stdout


def test_an_unknown_loss_is_named(started):
    done = started("--only", "losses", "--losses", "dice", "dise")
    assert done.returncode == 1
    assert "FAILED: ValueError: no loss `dise`; takes cross_entropy, focal, " in done.stdout


def test_an_unknown_section_is_the_users_error(started):
    done = started("--only", "speed")
    assert done.returncode == 2 and "invalid choice: 'speed'" in done.stderr


@pytest.mark.parametrize(
    "here, there, expected",
    [
        ([[1.0, 2.0]], [[1.0, 2.0]], 0.0),
        ([[1.0, 2.0], [3.0]], [[1.0, 2.0], [4.0]], 0.25),
        ([[0.0]], [[0.0]], 0.0),
        ([[1.0]], [[0.0]], np.inf),
        ([[np.nan]], [[1.0]], np.inf),
        ([[1.0]], [[np.nan]], np.inf),
    ],
)
def test_a_difference_is_relative_to_the_largest_entry(benchmarks, here, there, expected):
    from device_agreement import difference

    here, there = ([np.array(array) for array in side] for side in (here, there))
    assert difference(here, there) == expected


def test_a_value_beyond_its_tolerance_is_far(benchmarks, capsys):
    from device_agreement import compare
    from device_report import Reporter

    report = Reporter("agreement", ends=np.inf)
    there = {"value: dice": [np.ones(3)], "distance: edt": [np.ones(3)]}
    here = {"value: dice": [np.ones(3)], "distance: edt": [np.array([1, 1, 1.01])]}
    compare(report, here, there)
    assert len(report.failures) == 1 and "edt: FAR" in report.failures[0]
    assert capsys.readouterr().out.count('"FAR"') == 1


def test_the_heads_weigh_what_those_of_the_model_do(benchmarks):
    from device_sizes import Network

    for heads in (1, 2, 5):
        network = Network("PlainUNet", (4,) * (heads + 1), batch=1, pixels=32)
        assert network.head_weights == deep_supervision_weights(heads)


def test_the_twins_of_pytorch_have_as_many_parameters(benchmarks):
    pytest.importorskip("torch")
    import device_networks
    import device_torch
    from device_sizes import FULL, SMALL

    for network in (*FULL.networks, *SMALL.networks, FULL.population):
        twin = sum(p.numel() for p in device_torch.build(network).parameters())
        assert device_networks.parameters(device_networks.initial_state(network)) == twin


def test_the_plain_unet_of_pytorch_computes_the_same(benchmarks):
    torch = pytest.importorskip("torch")
    import device_networks
    import device_torch
    from device_sizes import Network

    network = Network("PlainUNet", (4, 6, 8), batch=2, pixels=16)
    params = device_networks.initial_state(network)["params"]
    image, labels = device_networks.batch_of(network)
    net = device_torch.build(network)
    units = [(f"down_{i}_{t}", net.down[i][t]) for i in range(3) for t in range(2)]
    units += [(f"decode_{1 - k}_{t}", net.decode[k][t]) for k in range(2) for t in range(2)]
    layers = [(params[name]["conv"], unit[0]) for name, unit in units]
    layers += [(params[f"head_{1 - k}"], net.heads[k]) for k in range(2)]
    with torch.no_grad():
        for own, layer in layers:
            layer.weight.copy_(torch.from_numpy(own["kernel"].transpose(3, 2, 0, 1).copy()))
            layer.bias.copy_(torch.from_numpy(own["bias"]))
        for k in range(2):
            own = params[f"up_{1 - k}"]
            net.up[k].weight.copy_(torch.from_numpy(own["kernel"].transpose(2, 3, 0, 1).copy()))
            net.up[k].bias.copy_(torch.from_numpy(own["bias"]))
    variables = {"params": params}
    outputs = device_networks.build(network).apply(variables, image, train=False)
    found = net(torch.from_numpy(image.transpose(0, 3, 1, 2).copy()))
    for ours, theirs in zip((outputs["logits"], *outputs["deep_logits"]), found, strict=True):
        theirs = theirs.detach().numpy().transpose(0, 2, 3, 1)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    target = torch.from_numpy(labels.astype(np.int64))
    loss = device_torch.loss_of(network, net)(
        torch.from_numpy(image.transpose(0, 3, 1, 2).copy()), target
    )
    ours = jax.jit(lambda: device_networks.loss_of(network, outputs, labels))()
    np.testing.assert_allclose(ours, loss.item(), rtol=1e-4)
