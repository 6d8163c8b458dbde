"""Options that a saved config lacks are completed from what it names."""

import json
import sys
import types

import pytest

from segjax.config import files
from segjax.config.components import completed, filled
from segjax.config.lookup import spec
from segjax.recipes.loss_terms import term
from segjax.recipes.tasks import task_options


def whole():
    weight = spec("weights", "gradual", over_percent=50)
    loss = term("region_wise", weight)
    loss.maps = spec("maps", "hausdorff", alpha=1.0)
    return {
        "task": "segmentation",
        "task_options": task_options("segmentation", cover=0.2).to_dict(),
        "model": spec("models", "CellposeUNet", features=(4,)).to_dict(),
        "loss": {"mine": loss.to_dict(), "dice": term("dice").to_dict()},
        "optimizer": spec("optimizers", "sgd", learning_rate=0.1).to_dict(),
        "schedule": spec("schedules", "cosine_decay").to_dict(),
    }


def at(config, path):
    for key in path:
        config = config[key]
    return config


def paths(section, path=()):
    for key, value in section.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from paths(value, (*path, key))


def test_what_is_complete_stays_as_it_is():
    assert completed(whole()) == whole()


OPTIONS = [
    path
    for path in paths(whole())
    if len(path) > 1 and path[-1] not in ("name", "weight", "maps") and path != ("loss", "mine")
    if path != ("loss", "dice")
]
GIVEN = {
    ("task_options", "cover"): 0.5,
    ("model", "features"): (32, 64, 128, 256),
    ("loss", "mine", "maps", "alpha"): 2.0,
    ("loss", "mine", "weight", "over_percent"): None,
}


@pytest.mark.parametrize("path", OPTIONS, ids=".".join)
def test_each_option_comes_back_with_its_default(path):
    config = whole()
    *parents, name = path
    value = at(config, parents).pop(name)
    back = completed(config)
    if path == ("optimizer", "learning_rate"):
        assert name not in back["optimizer"]  # has no default: who builds it says that it lacks
    else:
        assert at(back, path) == GIVEN.get(path, value)
    assert name not in at(config, parents), "the config that was given has changed"


def test_a_duration_has_one_spelling():
    defaults = {"over_steps": None, "over_epochs": 100.0, "other": 1}
    assert filled({"over_steps": 5}, defaults) == {
        "over_steps": 5,
        "over_epochs": None,
        "other": 1,
    }
    assert filled({"over_steps": None}, defaults)["over_epochs"] == 100.0
    weight = completed({"loss": {"a": {"weight": {"name": "gradual", "over_percent": 9}}}})
    assert weight["loss"]["a"]["weight"]["over_epochs"] is None


@pytest.mark.parametrize(
    "section",
    [
        {"name": "no_such_model"},
        {"name": "gone_module:Model", "features": (4,)},
        {"name": None},
        {"name": ("CellposeUNet",)},
        {"features": (4,)},
        "CellposeUNet",
        None,
    ],
)
def test_what_cannot_be_found_is_left(section):
    config = {"task": section, "task_options": {"a": 1}, "model": section, "loss": section}
    assert completed(config) == config
    config = {"loss": {"a": section}}
    assert completed(config) == config


def test_the_users_own_things_are_completed(monkeypatch):
    def build(*, size=[1, 2], activation=max, needed, depth=3):  # noqa: B006
        pass

    own = types.ModuleType("own_models")
    own.build, own.constant = build, 3
    monkeypatch.setitem(sys.modules, "own_models", own)
    made = completed({"model": {"name": "own_models:build"}})["model"]
    # A function is no value of a config, and `needed` has no default.
    assert made == {"name": "own_models:build", "size": (1, 2), "depth": 3}
    assert completed({"model": {"name": "own_models:constant"}}) == {
        "model": {"name": "own_models:constant"}
    }


def test_a_saved_config_is_completed_when_it_is_read(tmp_path):
    config = whole()
    del config["task_options"]["topology"], config["schedule"]["end_fraction"]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    back = files.from_json(path)
    assert back.task_options.topology is False and back.schedule.end_fraction == 0.0
    assert back.task_options.cover == 0.2 and back.is_locked
