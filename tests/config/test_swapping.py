"""Another name in a section brings its own options."""

import pytest

from segjax.config import files
from segjax.errors import UserError
from segjax.train import experiment
from tests.train import runs

pytestmark = pytest.mark.usefixtures("command_settings")

DEMO = str(runs.ROOT / "experiments" / "segmentation" / "demo.py")


def test_an_optimiser_has_its_own_options_and_keeps_the_learning_rate():
    config = files.load(DEMO, {"optimizer.momentum": "0.9", "optimizer.name": "sgd"})
    rate = files.load(DEMO).optimizer.learning_rate
    assert config.optimizer.to_dict() == {
        "name": "sgd",
        "learning_rate": rate,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 0.0,
    }
    assert config.is_locked and config.optimizer.is_locked


def test_the_same_name_changes_nothing():
    assert files.load(DEMO, {"optimizer.name": "adamw"}).to_dict() == files.load(DEMO).to_dict()


def test_a_schedule():
    config = files.load(DEMO, {"schedule.name": "exponential_decay", "schedule.decay_steps": "7"})
    assert config.schedule.decay_steps == 7 and "warmup_percent" not in config.schedule


def test_a_model_keeps_the_channels_of_its_logits():
    config = files.load(f"{DEMO}:target=disc_cup", {"model.name": "PlainUNet"})
    assert (config.model.classes, config.model.features[:2]) == (3, (32, 64))
    assert "outputs" not in config.model
    assert experiment.build(config, devices=1, examples=8).parameters > 1e6


def test_a_loss_keeps_its_weight_and_its_place():
    values = {"loss.dice.name": "focal", "loss.dice.weight": "0.5", "loss.dice.gamma": "3"}
    config = files.load(DEMO, values)
    assert list(config.loss) == ["dice"] and "squared" not in config.loss.dice
    assert (config.loss.dice.name, config.loss.dice.weight) == ("focal", 0.5)
    assert config.loss.dice.gamma == 3.0
    assert experiment.build(config, devices=1, examples=8).terms[0].name == "dice"


def test_a_loss_of_maps_asks_for_them_and_takes_them():
    config = files.load(DEMO, {"loss.dice.name": "region_wise"})
    with pytest.raises(UserError, match="config.loss.dice.maps: missing; takes one of"):
        experiment.build(config, devices=1, examples=8)
    config = files.load(DEMO, {"loss.dice.name": "region_wise", "loss.dice.maps": "rectified"})
    assert experiment.build(config, devices=1, examples=8).terms[0].maps is not None
    back = files.load(f"{DEMO}:loss=boundary", {"loss.boundary.name": "dice"})
    assert "maps" not in back.loss.boundary


def test_a_weight_that_follows_a_schedule():
    text = f"{DEMO}:loss=boundary"
    weight = files.load(text).loss.boundary.weight
    assert weight.name == "gradual"
    config = files.load(text, {"loss.boundary.weight.name": "constant"})
    assert config.loss.boundary.weight.to_dict() == {"name": "constant", "value": 1.0}


@pytest.mark.parametrize(
    "path, name, message",
    [
        ("optimizer.name", "sdg", "config.optimizer.name='sdg': .* did you mean 'sgd'"),
        ("model.name", "Unet", "config.model.name='Unet': segjax has no such name"),
        ("loss.dice.name", "none", "config.loss.dice.name=None"),
        ("model.name", "nowhere:Net", "config.model.name='nowhere:Net': "),
    ],
)
def test_a_name_that_is_none(path, name, message):
    with pytest.raises(UserError, match=message):
        files.load(DEMO, {path: name})
