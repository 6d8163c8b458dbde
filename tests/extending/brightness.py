"""The experiment of the fakes. Command: segjax train --config tests/extending/brightness.py …"""

from segjax.config.defaults import base
from segjax.config.lookup import spec
from segjax.config.sweeps import product, zipped


def get_config(arg=None):
    config = base()
    config.task = "tests.extending.fakes:Brightness"
    config.model = spec("models", "tests.extending.fakes:Regressor")
    config.loss.squared_error = spec("losses", "tests.extending.fakes:squared_error")
    config.loss.squared_error.weight = 1.0
    config.data.name, config.data.image_size = "synthetic_fundus/48px_24_10_8", (16, 16)
    config.optimizer = spec("optimizers", "sgd", learning_rate=0.1)
    config.schedule = spec("schedules", "constant")
    config.train.steps = 9
    config.evaluate.every_epochs, config.evaluate.every_steps = None, 4
    config.evaluate.best, config.evaluate.best_mode = "correlation", "max"
    config.checkpoint.every_percent, config.checkpoint.every_steps = None, 2
    config.log.every_steps, config.log.tensorboard = 1, False
    return config


def sweep():
    return product(zipped(optimizer__learning_rate=[0.1, 0.02]), seed=[0, 1])
