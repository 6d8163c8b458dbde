"""Training recipes write whole sections, and one spelling of each duration."""

import pytest

from segjax.config.defaults import base
from segjax.config.durations import UNITS, key_of
from segjax.config.lookup import options_of, spec
from segjax.optim import optimizers, schedules
from segjax.recipes import training
from segjax.recipes.combinations import gradual
from segjax.recipes.nnunet import Size, take_size


def volumes():
    config = base()
    take_size(config, Size(patch=(64, 64), pools=(3, 3), batch_size=13), ("a", "b"), ("MR",))
    for name, section in gradual("dice", "focal", over_epochs=100).items():
        config.loss[name] = section
    return config


RECIPES = {
    "quick": lambda config: training.quick_optimizer(config, steps=7, learning_rate=0.1),
    "fovea": training.fovea_paper_training,
    "region_wise": lambda config: training.region_wise_paper_training(config, epochs=5),
    "short": lambda config: training.short_volume_training(config, steps=9),
}


@pytest.mark.parametrize("name", RECIPES)
def test_sections_are_complete_and_durations_single(name):
    config = volumes()
    assert RECIPES[name](config) is config
    for section, family in ((config.optimizer, optimizers), (config.schedule, schedules)):
        assert {*section} == {"name", *options_of(getattr(family, section.name))}
    for section, prefix in (("train", ""), ("evaluate", "every"), ("checkpoint", "every")):
        chosen = [config[section][key_of(prefix, unit)] for unit in UNITS]
        assert sum(value is not None for value in chosen) == 1, section


def test_the_papers_trainings():
    config = training.fovea_paper_training(base())
    assert (config.optimizer.name, config.optimizer.learning_rate) == ("sgd", 0.01)
    assert (config.schedule.decay_steps, config.schedule.decay_rate) == (400, 0.9)
    assert (config.train.epochs, config.train.patience_epochs) == (1000, 100)
    config = training.region_wise_paper_training(volumes(), epochs=300)
    assert (config.optimizer.name, config.optimizer.learning_rate) == ("adam", 1e-4)
    assert (config.schedule.name, config.schedule.power) == ("polynomial_decay", 0.9)
    assert (config.train.epochs, config.train.clip_norm) == (300, 12.0)
    assert config.evaluate.batch_size == 8  # of patches in batches of 13


def test_a_short_training_keeps_orientation_and_shortens_schedules():
    config = training.short_volume_training(volumes(), steps=40)
    assert (config.train.steps, config.train.epochs) == (40, None)
    assert config.task_options.epoch_batches == 10 and not config.task_options.mirror
    assert config.data.augment.mirror == 0.0 and config.data.augment.rotate_degrees == 30.0
    weight = config.loss.dice.weight
    assert weight.over_epochs is None and weight.over_percent == pytest.approx(100 / 3)
    assert spec("weights", "gradual").over_epochs == 100  # of another config
