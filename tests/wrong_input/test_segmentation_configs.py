"""Wrong arguments, weights and maps of a segmentation experiment."""

import sys

import pytest

from tests.train import runs
from tests.wrong_input.words import ROOT

pytestmark = pytest.mark.usefixtures("command_settings")

DEMO = ROOT / "experiments" / "segmentation" / "demo.py"
HEAD = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
HEAD += "from experiments.segmentation import demo\nfrom segjax.config.lookup import spec\n"
HEAD += "def get_config(arg=None):\n    config = demo.get_config('loss=dice+focal')\n"


@pytest.mark.parametrize(
    "arg, names",
    [
        ("loss=dize", ["'dize'", "did you mean 'dice'?", "cross_entropy"]),
        ("loss=dice+bondary", ["'bondary'", "did you mean 'boundary'?"]),
        ("loss=dice+dice", ["'dice+dice'", "twice"]),
        ("loss=dice+", ["'dice+'"]),
        ("loss=multiscale_softmax_cross_entropy", ["no segmentation loss"]),
        ("target=vesels", ["target='vesels'", "did you mean 'vessels'?"]),
        ("los=dice", ["'los=dice'", "did you mean 'loss'?"]),
    ],
)
def test_arguments(refuses, arg, names):
    refuses("train", "--config", f"{DEMO}:{arg}", "--workdir", "run", names=names)


@pytest.mark.parametrize(
    "line, names",
    [
        ("config.loss.dice.maps = 'rectified'", ["config.loss.dice.maps='rectified'", "no maps"]),
        ("config.loss.dice.weight = 'gradual'", ["config.loss.dice.weight='gradual'"]),
        ("config.loss.dice.weight = {'over_epochs': 3}", ["config.loss.dice.weight.name: missing"]),
        ("config.loss.dice.weight = {'name': 'gradul'}",
         ["config.loss.dice.weight.name='gradul'", "did you mean 'gradual'?", "rebalance"]),
        ("config.loss.dice.weight = spec('weights', 'rebalance', against='fokal')",
         ["config.loss.dice.weight.against='fokal'", "did you mean 'focal'?"]),
        ("config.loss.dice.weight = spec('weights', 'gradual', floor=-1)",
         ["config.loss.dice.weight.floor=-1"]),
        ("config.loss.dice.weight = spec('weights', 'warm_up', until_percent='x')",
         ["config.loss.dice.weight.until_percent='x'", "above 0"]),
        ("config.loss.rw = {'name': 'region_wise', 'weight': 1.0}",
         ["config.loss.rw.maps: missing", "rectified"]),
        ("config.loss.rw = {'name': 'region_wise', 'weight': 1.0, 'maps': 'rectifed'}",
         ["config.loss.rw.maps='rectifed'", "did you mean 'rectified'?", "hausdorff"]),
        ("config.loss.rw = {'name': 'region_wise', 'weight': 1.0, 'maps': {'alpha': 2.0}}",
         ["config.loss.rw.maps.name: missing"]),
        ("config.loss.rw = {'name': 'region_wise', 'weight': 1.0, "
         "'maps': {'name': 'hausdorff', 'alfa': 2.0}}",
         ["config.loss.rw.maps.alfa", "did you mean 'alpha'?"]),
        ("config.loss.m = {'name': 'multiscale_softmax_cross_entropy', 'weight': 1.0}",
         ["config.loss.m", "wants heatmap, points", "it offers logits, labels"]),
    ],
)  # fmt: skip
def test_experiment_files(refuses, tmp_path, data_dir, line, names):
    path = tmp_path / "mine.py"
    path.write_text(f"{HEAD}    {line}\n    return config\n")
    sys.dont_write_bytecode, old = True, sys.dont_write_bytecode
    flags = [f"--config.data.data_dir={data_dir}", f"--config.data.name={runs.DATA}"]
    try:
        refuses("train", "--config", path, "--workdir", tmp_path / "run", *flags, names=names)
    finally:
        sys.dont_write_bytecode = old


@pytest.mark.parametrize(
    "arg, path, value, names",
    [
        ("", "task_options.targets", "('optic_disk',)",
         ["'optic_disk'", "did you mean 'optic_disc'?"]),
        ("", "task_options.targets", "('fovea',)", ["field 'fovea' is no mask"]),
        ("", "task_options.targets", "()", ["config.task_options.targets=()"]),
        ("", "task_options.within", "field_of_vew", ["did you mean 'field_of_view'?"]),
        ("", "task_options.within", "3", ["config.task_options.within=3"]),
        ("", "task_options.full_size", "(16, 64)",
         ["full_size=(16, 64)", "at least config.data.image_size=(32, 32), or none"]),
        ("", "task_options.full_size", "64", ["full_size=64", "(height, width)"]),
        ("", "task_options.full_size", "(64.0, 64)", ["full_size=(64.0, 64)"]),
        ("", "task_options.full_size", "(64, 64, 3)", ["full_size=(64, 64, 3)"]),
        ("", "model.outputs", "3", ["config.model", "3 outputs for 1 targets", "1 or 2"]),
        ("target=disc_cup", "model.outputs", "1", ["1 outputs for 2 targets; takes 3"]),
        ("", "loss.dice.smooth", "-1.0", ["config.loss.dice", "smooth"]),
        ("", "loss.dice.weight", "-1", ["config.loss.dice.weight=-1.0"]),
        ("", "evaluate.best", "dise", ["config.evaluate.best='dise'", "did you mean 'dice'?"]),
        ("loss=hausdorff_dt", "loss.dice.weight.against", "hausdorf_dt",
         ["weight.against='hausdorf_dt'", "did you mean 'hausdorff_dt'?"]),
        ("loss=hausdorff_dt", "loss.dice.weight.every_steps", "0",
         ["config.loss.dice.weight.every_steps=0", "above 0"]),
        ("loss=hausdorff_dt", "loss.dice.weight", "1.0", ["--config.loss.dice.weight", "section"]),
    ],
)  # fmt: skip
def test_values(refuses, data_dir, arg, path, value, names):
    settings = runs.SMALL | {"data.data_dir": data_dir, path: value}
    flags = [f"--config.{key}={value}" for key, value in settings.items()]
    refuses("train", "--config", f"{DEMO}:{arg}", "--workdir", "run", *flags, names=names)
