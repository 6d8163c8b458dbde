"""Dropout, collections of a network's own, and auxiliary logits, through the command."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.cli import main
from segjax.config import files
from segjax.inference.open import load_trained
from segjax.train import experiment
from segjax.train.checkpoint import parameters_digest
from segjax.train.loop import Stop
from tests.extending.settings import as_command
from tests.train import runs
from tests.train.test_endings import Killed, kill

pytestmark = pytest.mark.usefixtures("command_settings")
FILE = pathlib.Path(__file__).with_name("classification.py")
SETTINGS = {
    "data.name": runs.DATA,
    "data.image_size": "(16, 16)",
    "train.steps": 6,
    "evaluate.every_steps": 3,
    "checkpoint.every_steps": 2,
    "log.every_steps": 1,
    "log.tensorboard": False,
}


def words(folder, data_dir, config, **settings):
    chosen = SETTINGS | {"data.data_dir": data_dir}
    chosen |= {key.replace("__", "."): value for key, value in settings.items()}
    flags = [f"--config.{key}={value}" for key, value in chosen.items()]
    return ["train", "--config", str(config), "--workdir", str(folder), *flags]


def written(folder, model, more=""):
    """The classification experiment with another network, and lines that change its config."""
    (folder / "classification.py").write_text(FILE.read_text())
    path = folder / "variant.py"
    path.write_text(
        "import classification\n"
        "from ml_collections import ConfigDict\n"
        "from segjax.config.lookup import spec\n"
        "def get_config(arg=None):\n"
        "    config = classification.get_config()\n"
        f"    config.model = spec('models', 'tests.extending.networks:{model}')\n"
        f"{more}"
        "    return config\n"
    )
    return path


def parameters(folder, kind="latest"):
    return parameters_digest(load_trained(folder, kind).state)


# --- dropout and a collection ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def noisy(tmp_path_factory, data_dir):
    """The experiment of a network with dropout, and a work folder of it."""
    folder = tmp_path_factory.mktemp("noisy")
    path = written(folder, "Noisy", SEEDS)
    with as_command():
        assert main(words(folder / "run", data_dir, path)) == 0
    return path, folder / "run"


SEEDS = """\
    return config
def sweep():
    return [{"seed": 0}, {"seed": 1}]
def unused(config):
"""


def test_its_collection_is_trained_saved_and_left_alone_by_evaluation(noisy):
    assert calls(noisy[1]) == 6


def test_it_resumes_exactly(noisy, tmp_path, data_dir, monkeypatch):
    """Stopped before step 3, killed before step 5, which loses the step after the last save."""
    path, folder = noisy
    given = words(tmp_path / "run", data_dir, path)
    with monkeypatch.context() as patch:
        patch.setattr(Stop, "at", lambda self, step: step == 3)
        assert main(given) == 1
        assert calls(tmp_path / "run") == 3
        patch.setattr(Stop, "at", lambda self, step: kill() if step == 5 else False)
        with pytest.raises(Killed):
            main(given)
        assert calls(tmp_path / "run") == 4
    assert main(given) == 0
    for kind in ("latest", "best"):
        assert parameters(folder, kind) == parameters(tmp_path / "run", kind)
    assert runs.logged(folder, "train", "loss") == runs.logged(tmp_path / "run", "train", "loss")
    assert calls(tmp_path / "run") == 6


def calls(folder):
    """What the collection has counted; the steps of the state agree."""
    state = load_trained(folder, "latest").state
    assert int(state.step) == int(state.collections["counter"]["calls"])
    return int(state.step)


def test_every_step_and_seed_drop_others(noisy, data_dir):
    """The same batch and parameters at two steps, twice at one, and under another seed."""
    path, _ = noisy
    given = {"data.data_dir": str(data_dir), "data.name": runs.DATA}
    losses = {}
    for seed in ("0", "1"):
        made = experiment.build(files.load(str(path), given | {"seed": seed}), devices=1)
        if not losses:
            fields, state = made.task.probe(made, "train", 8), made.initial_state()
        batch = fields | {"weight": jnp.ones(8), "slot": jnp.arange(8, dtype=jnp.int32)}
        step = jax.jit(made.train_step(None))
        for number in (0, 1):
            began = state.replace(step=jnp.int32(number))
            losses[seed, number] = float(step(began, {}, batch)[1]["loss"][0])
            assert float(step(began, {}, batch)[1]["loss"][0]) == losses[seed, number]
    assert len({*losses.values()}) == 4


def test_evaluation_has_no_dropout(noisy, data_dir):
    _, folder = noisy
    trained = load_trained(folder)
    made, params = trained.experiment, jax.device_get(trained.state.params)
    fields = made.task.probe(made, "validation", 10)
    colours = np.mean(np.asarray(fields["image"], np.float64) / 255, axis=(1, 2))
    one, two = params["Dense_0"], params["Dense_1"]
    hidden = np.maximum(colours @ one["kernel"] + one["bias"], 0)
    wanted = 1 / (1 + np.exp(-(hidden @ two["kernel"] + two["bias"])[:, 0]))
    rows = (folder / "predictions_validation.csv").read_text().splitlines()[1:]
    found = [float(row.split(",")[1]) for row in rows]
    np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_a_population_drops_as_each_run_alone(noisy, tmp_path, data_dir):
    path, folder = noisy
    given = words(tmp_path / "sweep", data_dir, path)
    assert main(["sweep", *given[1:], "--engine", "population"]) == 0
    points = json.loads((tmp_path / "sweep" / "sweep.json").read_text())["points"]
    places = {point["seed"]: tmp_path / "sweep" / "points" / name for name, point in points.items()}
    assert calls(places[0]) == calls(places[1]) == 6
    alone, first, second = (
        np.concatenate([x.ravel() for x in jax.tree.leaves(load_trained(f, "latest").state.params)])
        for f in (folder, places[0], places[1])
    )
    np.testing.assert_allclose(first, alone, rtol=1e-5, atol=2e-6)
    assert np.abs(second - alone).max() > 0.1


def test_pmap_trains_it_too(noisy, tmp_path, data_dir):
    path, _ = noisy
    assert main(words(tmp_path / "run", data_dir, path, parallel="pmap", train__steps=2)) == 0
    assert calls(tmp_path / "run") == 2


# --- a term of auxiliary logits -------------------------------------------------------------------

AUXILIARY = """\
    for name, loss in (("auxiliary", "focal"), ("pooled", "top_k_cross_entropy")):
        config.loss[name] = spec("losses", loss)
        config.loss[name].inputs = ConfigDict({"logits": "auxiliary_logits"})
    config.loss.auxiliary.weight, config.loss.pooled.weight = 0.4, 0.25
    config.loss.pooled.over, config.loss.pooled.fraction = "batch", 0.5
"""


def test_auxiliary_logits_by_hand(tmp_path, data_dir):
    """The loss of a step is the weighted sum, of the real rows alone; the gradient goes on."""
    path = written(tmp_path, "TwoHeads", AUXILIARY)
    config = files.load(str(path), {"data.data_dir": str(data_dir), "data.name": runs.DATA})
    made = experiment.build(config, devices=1)
    state, fields = made.initial_state(), made.task.probe(made, "train", 8)
    weight = jnp.array([1, 1, 1, 1, 1, 1, 0, 0], jnp.float32)
    batch = fields | {"weight": weight, "slot": jnp.arange(8, dtype=jnp.int32)}
    outputs = made.model.apply({"params": state.params}, made.task.inputs(fields), train=False)
    label = np.asarray(fields["label"])[:6]
    names = ("logits", "auxiliary_logits")
    whole, auxiliary = (log_likelihood(outputs[name], label) for name in names)
    wanted = {
        "loss/cross_entropy": -np.mean(whole),
        "loss/auxiliary": np.mean(-((1 - np.exp(auxiliary)) ** 2) * auxiliary),
        "loss/pooled": np.mean(np.sort(-auxiliary)[-3:]),
    }
    shares = (1, 0.4, 0.25)
    wanted["loss"] = sum(w * v for w, v in zip(shares, wanted.values(), strict=True))
    for sums in (
        jax.jit(made.train_step(None))(state, {}, batch)[1],
        jax.jit(made.evaluation_step(None))(state, {}, batch)[0],
    ):
        found = {name: float(sums[name][0] / sums[name][1]) for name in wanted}
        assert found == pytest.approx(wanted, rel=1e-5)
    trained = jax.jit(made.train_step(None))(state, {}, batch)[0]
    moved = trained.params["auxiliary"]["kernel"] - state.params["auxiliary"]["kernel"]
    assert np.abs(moved).max() > 0


def log_likelihood(logits, label):
    z = np.asarray(logits, np.float64)[:6]
    return (z - np.log(np.exp(z).sum(axis=1, keepdims=True)))[np.arange(6), label]


def test_auxiliary_logits_through_the_command(tmp_path, data_dir):
    path = written(tmp_path, "TwoHeads", AUXILIARY)
    assert main(words(tmp_path / "run", data_dir, path)) == 0
    values = json.loads((tmp_path / "run" / "metrics_validation.json").read_text())["metrics"]
    shares = {"cross_entropy": 1, "auxiliary": 0.4, "pooled": 0.25}
    wanted = sum(share * values[f"loss/{name}"] for name, share in shares.items())
    assert values["loss"] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    "line, message",
    [
        (
            "auxiliary.inputs.logits = 'auxilliary'",
            "loss.auxiliary.inputs.logits='auxilliary': neither task nor model has it, did you "
            "mean 'auxiliary_logits'? They are: logits, labels, auxiliary_logits",
        ),
        (
            "auxiliary.inputs = ConfigDict({'logit': 'labels'})",
            "loss.auxiliary.inputs.logit: focal",
        ),
        (
            "auxiliary.inputs = ConfigDict({'logits': 3})",
            "loss.auxiliary.inputs.logits=3: takes the name of a field",
        ),
    ],
)
def test_an_output_that_is_missing_is_refused(tmp_path, data_dir, capfd, line, message):
    path = written(tmp_path, "TwoHeads", f"{AUXILIARY}    config.loss.{line}\n")
    assert main(words(tmp_path / "run", data_dir, path)) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and message in errors
    assert not (tmp_path / "run").exists()


def test_what_devices_saw_apart_is_one_state(tmp_path, data_dir):
    """Under pmap each device has seen other images: the state is their mean, saved and read."""
    path = written(tmp_path, "Remembering")
    means = {}
    for parallel in ("sharding", "pmap"):
        folder = tmp_path / parallel
        assert main(words(folder, data_dir, path, parallel=parallel, train__steps=3)) == 0
        means[parallel] = load_trained(folder, "latest").state.collections["seen"]["mean"]
        assert main(["evaluate", "--workdir", str(folder)]) == 0
    assert np.all(means["sharding"] > 0.01)
    np.testing.assert_allclose(means["pmap"], means["sharding"], rtol=1e-5)
