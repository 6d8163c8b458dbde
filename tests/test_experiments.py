"""Every experiment file, with every argument and sweep point, is built shape-only."""

import inspect
import json
import pathlib
import re

import pytest

from segjax.config import files, lookup
from segjax.launch import sweep
from segjax.pipelines import definition
from segjax.train import experiment, workdir

pytestmark = pytest.mark.usefixtures("command_settings")

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Points of a sweep differ in losses and training, so networks of two layers show what they should.
SMALL_MODELS = {
    "CellposeUNet": {"model.name": "tests.train.tiny:Normed", "model.features": "(4,)"},
    "PlainUNet": {
        "model.features": "(4, 8)",
        "model.strides": "((1, 1), (2, 2))",
        "model.kernels": "((3, 3), (3, 3))",
    },
    "GuidedClassifier": {"model.features": "(4,)", "model.branch": "4"},
    "InceptionV3": {"model.name": "tests.train.tiny:Classifier"},
}
# Sweeps that have one size, and no word for a smaller one.
NO_CPU = ("findings/demo.py", "findings/sanity.py", "findings/table1.py")
FILES = sorted(
    path
    for path in (ROOT / "experiments").rglob("*.py")
    if re.search(r"^(def get_config\(|get_config = )", path.read_text(), re.MULTILINE)
)
ARGUMENTS = {
    "findings/demo.py": ("finding=macular_hole", "guidance=0"),
    "findings/idrid.py": ("hard_exudate,cpu", "model=inception"),
    "findings/sanity.py": ("case=shuffled",),
    "findings/table1.py": ("model=inception",),
    "fovea/idrid.py": ("cpu", "paper"),
    "fovea/refuge2.py": ("cpu", "paper"),
    "fovea/table1.py": ("paper", "data=idrid,cpu"),
    "microaneurysms/hgn.py": ("scale=0.5,cpu",),
    "microaneurysms/prn.py": ("cls,cpu",),
    "regionwise/acdc.py": ("rrw,cpu", "boundary,by_step", "dice", "focal,on_patch"),
    "regionwise/brats18.py": ("weighted_cross_entropy,cpu",),
    "regionwise/kits19.py": ("boundary,cpu",),
    "regionwise/convergence.py": ("cpu", "rw_boundary"),
    "regionwise/strategies.py": ("cpu,rw_boundary+gradual_dice",),
    "regionwise/table5.py": ("cpu",),
    "segmentation/drive.py": ("loss=soft_cl_dice", "loss=dice+topological", "full"),
    "segmentation/demo.py": ("loss=hausdorff_dt", "loss=dice+focal,target=disc_cup"),
}
CASES = [
    f"{path}{':' + arg if arg else ''}"
    for path in FILES
    for arg in ("", *ARGUMENTS.get(f"{path.parent.name}/{path.name}", ()))
]
PIPELINES = {
    "microaneurysms/demo.py": ("",),
    "microaneurysms/table2.py": ("", "cpu", "cpu,splits=paper"),
}
SWEEPS = [str(path) for path in FILES if "def sweep" in path.read_text()]


def test_experiments_are_found():
    names = {path.name for path in FILES}
    assert names >= {"demo.py", "idrid.py", "refuge2.py", "table1.py", "table2.py"}


@pytest.fixture(scope="module")
def traced():
    """Networks and sizes that were built already."""
    return set()


@pytest.mark.parametrize("text", CASES, ids=lambda text: pathlib.Path(text).name)
def test_experiment_builds_and_opens_with_its_command(text, traced, tmp_path):
    path, _ = files.split_name(text)
    head = path.read_text().split('"""')[1]
    for word in ("Command:", "Hardware:", "Expected:", f"{path.relative_to(ROOT)}"):
        assert word in head
    config = files.load(text)
    # Networks are traced at their size once each, and others than the file's own not at all
    network = json.dumps([config.model.to_dict(), config.data.image_size, config.task])
    other = text != str(path) and config.model.name == files.load(str(path)).model.name
    if other or network in traced:
        config = files.load(text, SMALL_MODELS.get(config.model.name, {}))
    traced.add(network)
    plan = experiment.build(config, examples=330, devices=1)
    assert plan.parameters > 0 and plan.total_steps >= 1
    (tmp_path / "config.json").write_text(files.to_json(config))
    assert files.from_json(tmp_path / "config.json").to_dict() == config.to_dict()


# The parts of a config that name a thing, with what it is looked up among.
NAMED = {"model": "models", "optimizer": "optimizers", "schedule": "schedules"}


def named_parts(saved):
    """(path, what it names, the options there) for each part of a saved config that names one."""
    yield ("task_options",), lookup.find("tasks", saved["task"]), saved["task_options"]
    for key, family in NAMED.items():
        yield (key,), lookup.find(family, saved[key]["name"]), saved[key]
    for name, term in saved["loss"].items():
        yield ("loss", name), lookup.find("losses", term["name"]), term
        if isinstance(term["weight"], dict):
            path = ("loss", name, "weight")
            yield path, lookup.find("weights", term["weight"]["name"]), term["weight"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_options_are_written_out_and_come_back_when_a_saved_config_lacks_them(path, tmp_path):
    config = files.load(str(path))
    saved = json.loads(files.to_json(config))
    known = lookup.find("tasks", config.task).augmentations()
    assert set(config.data.augment) == set(known)
    path = tmp_path / "config.json"
    for where, target, section in list(named_parts(saved)):
        options = lookup.options_of(target)
        assert set(options) <= set(section), f"{'.'.join(where)} is not complete"
        for name, default in options.items():
            if default is inspect.Parameter.empty:
                continue
            value = section.pop(name)
            path.write_text(json.dumps(saved))
            back = files.from_json(path)
            for key in where:
                back = back[key]
            if value == json.loads(json.dumps(default)) or value is None:
                assert back[name] == (default if value is not None else None)
                workdir.check_new(tmp_path, config)
            else:
                assert back[name] in (default, None)
            section[name] = value


@pytest.mark.parametrize("text", SWEEPS, ids=lambda text: pathlib.Path(text).name)
def test_sweep_points_build(text):
    points = sweep.load_points(text)
    built = set()
    for point in {point["arg"]: point for point in points}.values():
        short = pathlib.Path(text).relative_to(ROOT / "experiments").as_posix()
        words = f"{text}:{'' if short in NO_CPU else 'cpu,'}{point['arg']}"
        small = SMALL_MODELS[files.load(words).model.name]
        config = files.load(words, small)
        experiment.name_parts(config)
        config.seed = 0  # which changes no shape
        if (content := files.to_json(config)) not in built:
            assert experiment.build(config, examples=330, devices=1).parameters > 0
            built.add(content)


def test_pipelines_are_found():
    there = {
        path.relative_to(ROOT / "experiments").as_posix()
        for path in (ROOT / "experiments").rglob("*.py")
        if "def get_pipeline(" in path.read_text()
    }
    assert there == {*PIPELINES}


@pytest.mark.parametrize("text", [f"{p}:{arg}" for p, args in PIPELINES.items() for arg in args])
def test_a_pipeline_is_read_with_its_stages(text):
    path = ROOT / "experiments" / text.partition(":")[0]
    head = path.read_text().split('"""')[1]
    for word in ("Command:", "Hardware:", "Expected:", f"{path.relative_to(ROOT)}"):
        assert word in head
    made = definition.load(f"{ROOT / 'experiments'}/{text}".removesuffix(":"))
    assert [*made.stages] == ["hgn_1x", "hgn_05x", "cls", "prn"]
    for config in made.stages.values():
        experiment.name_parts(config)
    scales = [config.task_options.scale for config in made.stages.values()]
    assert scales == [1.0, 0.5, 1.0, 1.0]
    assert [made.stages[name].task_options.triplets for name in ("cls", "prn")] == [False, True]


def test_table1_has_the_nine_rows_of_the_paper():
    points = sweep.load_points(str(ROOT / "experiments" / "fovea" / "table1.py"))
    figures = {}
    for point in points:
        config = files.load(f"{ROOT / 'experiments' / 'fovea' / 'table1.py'}:{point['arg']}")
        figures[point["arg"]] = (config.data.batch_size, config.paper.r_aed)
    assert len(points) == 27 and len(figures) == 9
    assert sorted(figures.values()) == sorted(
        [
            *[(8, v) for v in (5.69, 3.45, 4.36, 5.53, 4.99, 6.12)],
            *[(16, v) for v in (5.18, 4.16, 5.31)],
        ]
    )


def test_paper_recipe_is_the_papers():
    config = files.load(str(ROOT / "experiments" / "fovea" / "idrid.py") + ":paper")
    plan = experiment.build(config, examples=330, devices=1)
    assert plan.parameters == 6_601_101
    assert config.data.image_size == (256, 256) and config.data.batch_size == 8
    assert config.optimizer.name == "sgd" and plan.total_steps == 41_250
    assert plan.patience == 4125 and plan.augment is None
    assert float(plan.schedule(0)) == pytest.approx(0.01)
    assert float(plan.schedule(400)) == pytest.approx(0.009)
    assert plan.terms[0].options == {
        "scales": None,
        "pool": "max",
        "reduce": "sum",
        "scale_weights": None,
    }
