"""A population gives what single runs give, wherever it is interrupted."""

import json
import shutil
import textwrap

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from segjax.cli import main
from segjax.config import files, sweeps
from segjax.errors import Interrupted
from segjax.inference.open import load_trained
from segjax.launch import grouping, job, status, sweep
from segjax.launch.engines.population import Population
from segjax.report import run as report
from segjax.train import experiment, hyperparameters, programs
from segjax.train.loop import Stop
from segjax.train.sweepdir import failure_of, folder_of, output_of
from segjax.train.workdir import TABLE, is_done
from tests.train import runs
from tests.train.test_endings import Killed, forbid_steps, kill

pytestmark = pytest.mark.usefixtures("command_settings")

EXPERIMENT = """
from experiments.segmentation import demo

def get_config(arg=None):
    config = demo.get_config("loss=dice+cross_entropy")
    config.data.name, config.data.data_dir = "{data}", "{data_dir}"
    config.data.image_size = (16, 16)
    config.model.name, config.model.features = "tests.train.tiny:Tiny", (4,)
    config.data.batch_size = config.evaluate.batch_size = 8
    config.train.steps = 7
    config.train.clip_norm = None
    config.evaluate.every_epochs, config.evaluate.every_steps = None, 4
    config.checkpoint.every_percent, config.checkpoint.every_steps = None, 2
    config.log.every_steps = 3
    config.log.tensorboard = False
    return config

def sweep():
    rates = [(1e-3, 1.0), ({rate}, 0.3)]
    return [
        {{"seed": s, "optimizer.learning_rate": rate, "loss.dice.weight": weight}}
        for s in {seeds} for rate, weight in rates
    ]
"""
# The compiled programs differ in how they round: parameters are of size 0.1 to 1.
ABSOLUTE, RELATIVE = 2e-6, 1e-5


def written(folder, data_dir, rate=1e-2, seeds=(0, 1)):
    path = folder / "experiment.py"
    text = EXPERIMENT.format(data=runs.DATA, data_dir=data_dir, rate=rate, seeds=seeds)
    path.write_text(textwrap.dedent(text))
    return path


def folders(path, workdir):
    return [folder_of(workdir, point) for point in sweep.load_points(str(path))]


@pytest.fixture(scope="module")
def together(tmp_path_factory, data_dir, command_settings):
    """An experiment, and the folder of its sweep, trained as a population of four."""
    folder = tmp_path_factory.mktemp("together")
    path, workdir = written(folder, data_dir), folder / "sweep"
    words = ["sweep", "--config", str(path), "--workdir", str(workdir), "--engine", "population"]
    assert main(words) == 0
    return path, workdir


def same_run(left, right):
    """Parameters, rows of metrics.jsonl and the evaluation of two work folders agree."""
    for kind in ("latest", "best"):
        one, other = load_trained(left, kind).state, load_trained(right, kind).state
        assert int(one.step) == int(other.step)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=ABSOLUTE)
    rows = [
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (left, right)
    ]
    keys = [[(r["step"], r["split"], r["name"], r["count"]) for r in part] for part in rows]
    assert keys[0] == keys[1]
    for a, b in zip(*rows, strict=True):
        if a["name"] != "images_per_second":
            assert a["value"] == pytest.approx(b["value"], rel=RELATIVE, abs=ABSOLUTE), a
    contents = [json.loads((folder / TABLE).read_text()) for folder in (left, right)]
    assert contents[0]["metrics"] == pytest.approx(contents[1]["metrics"], rel=1e-4, abs=1e-5)
    names = [
        sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        for folder in (left, right)
    ]
    assert names[0] == names[1]


def test_members_are_the_single_runs(tmp_path, together):
    path, workdir = together
    for point, folder in zip(sweep.load_points(str(path)), folders(path, workdir), strict=True):
        config = files.load(str(path), {key: str(value) for key, value in point.items()})
        assert files.to_json(config) == (folder / "config.json").read_text()
        job.train(config, tmp_path / folder.name)
        same_run(tmp_path / folder.name, folder)
    digests = {(f / "metrics.jsonl").read_text() for f in folders(path, workdir)}
    assert len(digests) == 4


class StopAt(Stop):
    """A stop at one step: as a signal would."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def at(self, step):
        self._asked = self._asked or step >= self.step
        return self._asked


def jobs_of(path, workdir):
    points = sweep.load_points(str(path))
    configs = sweep.check_points(str(path), points, {})
    made = zip(configs, folders(path, workdir), strict=True)
    return [job.Job(config, folder, lambda line: None) for config, folder in made]


PATHS = ("seed", "loss.dice.weight", "optimizer.learning_rate")


def test_stopped_population_goes_on_from_the_newest_step_that_all_have(tmp_path, together):
    path, undisturbed = together
    workdir = tmp_path / "sweep"
    with pytest.raises(Interrupted, match="at step 5, saved"):
        job.train_together(jobs_of(path, workdir)[:2], PATHS, StopAt(5))
    mine = folders(path, workdir)[:2]
    text = status.of_points(workdir, sweep.load_points(str(path)))
    assert text.count(": at step 4 of 7") == 2 and "4 points: 2 begun, 2 missing" in text
    # Between two logs: the sums of step 5 are taken up again, also after a stop at the log itself.
    with pytest.raises(Interrupted, match="at step 6, saved"):
        job.train_together(jobs_of(path, workdir)[:2], PATHS, StopAt(6))
    # As if killed while saving: one member has no checkpoint of step 6, one has rows beyond.
    latest = mine[1] / "checkpoints" / "latest"
    assert sorted(p.name for p in latest.iterdir()) == ["5", "6"]
    (latest / "6").rename(tmp_path / "lost")
    job.train_together(jobs_of(path, workdir)[:2], PATHS, Stop())
    for left, right in zip(mine, folders(path, undisturbed)[:2], strict=True):
        same_run(left, right)
        assert runs.logged(left, "train", "loss").keys() == {2, 3, 4, 6, 7}


def test_a_member_left_alone_is_evaluated_with_its_own_hyperparameters(tmp_path, together):
    """Of two that differ in a weight one has ended: the other goes on alone, and is itself."""
    path, undisturbed = together
    workdir = tmp_path / "sweep"
    first, second = jobs_of(path, workdir)[:2]
    job.train_together([first], (), Stop())
    job.train_together([first, second], PATHS, Stop())
    same_run(folders(path, workdir)[1], folders(path, undisturbed)[1])


def test_diverging_member_leaves_the_other_and_finished_ones_rest(tmp_path, data_dir, together):
    path, workdir = written(tmp_path, data_dir, rate=1e30, seeds=(0,)), tmp_path / "sweep"
    with pytest.raises(Interrupted, match="1 of 2 points failed.*not finite"):
        sweep.run(str(path), {}, workdir, Population())
    good, bad = folders(path, workdir)
    same_run(good, folders(*together)[0])
    assert not (bad / TABLE).exists()
    state = load_trained(bad, "latest").state
    step = sweep.last_line(failure_of(bad)).split("saved at step ")[1].split()[0]
    assert int(state.step) == int(step) and not bool(state.halted)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
    assert "not finite at step" in sweep.last_line(output_of(bad))
    text = status.of_points(workdir, sweep.load_points(str(path)))
    assert text.endswith("2 points: 1 done, 1 failed")
    assert text.count("failed: loss or gradient is not finite at step") == 1

    done = (good / TABLE).stat().st_mtime_ns
    with pytest.raises(Interrupted, match="1 of 2 points failed"):
        sweep.run(str(path), {}, workdir, Population())
    assert (good / TABLE).stat().st_mtime_ns == done, "a finished member ran again"


def test_members_killed_before_their_reports_are_not_done_and_end_without_a_step(
    tmp_path, together, monkeypatch
):
    path, ended = together
    shutil.copytree(ended, tmp_path / "sweep")
    *mine, other = folders(path, tmp_path / "sweep")
    for folder in mine:
        (folder / "done.json").unlink()
        (folder / "metrics_validation.json").unlink()
    before = (other / "done.json").stat().st_mtime_ns
    forbid_steps(monkeypatch)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(report, "write", kill)
        sweep.run(str(path), {}, tmp_path / "sweep", Population())
    assert (mine[0] / "metrics_validation.json").exists()
    assert not any(map(is_done, mine))
    sweep.run(str(path), {}, tmp_path / "sweep", Population())
    assert all(map(is_done, mine))
    assert (other / "done.json").stat().st_mtime_ns == before


@pytest.fixture
def base(together):
    return files.load(str(together[0]))


def configs_of(base, points):
    made = []
    for point in points:
        config = base.copy_and_resolve_references()
        with config.unlocked():
            for key, value in point.items():
                files.override(config, key, value)
        made.append(config)
    return made


def test_points_are_grouped_by_everything_but_numbers(base):
    product = sweeps.product
    points = product(
        **{"data.batch_size": [8, 16], "seed": [0, 1], "optimizer.weight_decay": [1e-4, 1e-2]}
    )
    made = grouping.groups(configs_of(base, points), 8)
    assert [group.places for group in made] == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert set(made[0].paths) == {"seed", "optimizer.weight_decay"}

    made = grouping.groups(configs_of(base, points), 3)
    assert [group.places for group in made] == [(0, 1, 2), (3,), (4, 5, 6), (7,)]
    assert made[1].paths == ()


def test_numbers_that_cannot_be_arrays_keep_points_apart(base):
    points = sweeps.product(**{"optimizer.b2": [0.9, 0.999], "seed": [0, 1]})
    made = grouping.groups(configs_of(base, points), 8)
    assert [group.places for group in made] == [(0, 1), (2, 3)]
    assert {group.paths for group in made} == {("seed",)}


@pytest.mark.parametrize(
    "path, values, expected",
    [
        ("optimizer.learning_rate", [1e-3, 0.3, 1e30], True),
        ("optimizer.eps", [1e-8, 1e-3], True),
        ("optimizer.b2", [0.999], False),  # 1 - b2 in the precision of the array
        ("schedule.end_fraction", [0.0, 0.1], True),
        ("schedule.warmup_percent", [5.0, 10.0], False),  # a number of steps
        ("loss.dice.weight.floor", [0.01, 0.5], True),
        ("loss.dice.weight.over_percent", [50.0, 100.0], False),
        ("loss.cross_entropy.weight", [0.5], True),
    ],
)
def test_numbers_are_tried_as_arrays(base, path, values, expected):
    from segjax.config.lookup import spec

    config = base.copy_and_resolve_references()
    with config.unlocked(), config.ignore_type():
        config.loss.dice.weight = spec("weights", "gradual", over_percent=100.0)
    assert path in hyperparameters.candidates(config)
    assert hyperparameters.agree(config, path, values) is expected


def test_large_seeds_give_the_key_of_a_single_run():
    for seed in (7, 2**31 + 5, 2**40 + 3):
        traced = hyperparameters.arrays(ConfigDict({"seed": seed}), ["seed"])["seed"]
        made = jax.jit(jax.random.key)(traced)
        assert (jax.random.key_data(made) == jax.random.key_data(jax.random.key(seed))).all()


@pytest.mark.parametrize(
    "more, message",
    [
        (["--engine", "populaton"], "did you mean 'population'?"),
        (["--engine", "population", "--members", "0"], "--members 0: takes a whole number"),
        (["--engine", "population", "--jobs", "2"], "--jobs 2: goes with --engine local"),
        (["--members", "2"], "--members 2: goes with --engine population"),
        (["--jobs", "0"], "--jobs 0: takes a whole number of at least 1"),
        (
            ["--engine", "population", "--config.train.patience_steps=5"],
            "config.train.patience_steps=5: --engine population stops no member early",
        ),
        (
            ["--engine", "population", "--config.parallel=pmap"],
            "config.parallel='pmap': --engine population takes 'sharding'",
        ),
    ],
)
def test_wrong_words(tmp_path, together, capsys, more, message):
    words = ["sweep", "--config", str(together[0]), "--workdir", str(tmp_path / "new"), *more]
    assert main(words) == 2
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_program_gives_the_types_that_it_takes(base):
    """Else the second step would be compiled anew."""
    made = experiment.build(base, examples=24, devices=1)
    values = hyperparameters.arrays(base, PATHS)
    one = jax.eval_shape(lambda: made.initial_state().replace(hyperparameters=values))
    fields = made.task.blank((16, 16), 8)
    rows = {"weight": jax.ShapeDtypeStruct((8,), "float32")}
    rows |= {"slot": jax.ShapeDtypeStruct((8,), "int32")}
    states, batches = (
        jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), tree)
        for tree in (one, fields | rows)
    )
    out, _ = jax.eval_shape(programs.stacked_step(made, None), states, {}, batches)
    described = [jax.tree.map(lambda x: (x.shape, x.dtype), tree) for tree in (states, out)]
    assert described[0] == described[1]


def test_members_without_a_common_checkpoint_train_apart(tmp_path):
    saved = {0: (2, 4), 1: (4, 6), 2: (), 3: (8,), 4: (), 5: (4,)}
    folders = [tmp_path / str(place) for place in saved]
    for place, steps in saved.items():
        for step in steps:
            (folders[place] / "checkpoints" / "latest" / str(step)).mkdir(parents=True)
    parts = list(grouping.at_one_step(list(saved), folders))
    assert parts == [(0, 1, 5), (2, 4), (3,)]
