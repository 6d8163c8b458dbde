"""Optimiser, schedule, length and intervals of a training. All write into a config and give it."""

from ml_collections import ConfigDict

from segjax.config.lookup import spec


def quick_optimizer(config: ConfigDict, steps: int, learning_rate: float) -> ConfigDict:
    """AdamW with a cosine: a small network learns in minutes."""
    config.optimizer = spec("optimizers", "adamw", learning_rate=learning_rate)
    config.schedule = spec("schedules", "cosine_decay", warmup_percent=5.0)
    config.train.steps = steps
    config.train.clip_norm = 1.0
    return config


def fovea_paper_training(config: ConfigDict) -> ConfigDict:
    """SGD 0.01, decay 0.9 every 400 steps, at most 1000 epochs, patience 100 epochs.

    Source: Wu, Walter, Merhof, Multiscale Softmax Cross Entropy for Fovea Localization on Color
    Fundus Photography, section 2.4.
    """
    config.optimizer = spec("optimizers", "sgd", learning_rate=0.01)
    config.schedule = spec("schedules", "exponential_decay", decay_steps=400, decay_rate=0.9)
    # A duration takes one spelling only; `base()` has set this one
    config.train.steps = None
    config.train.epochs = 1000
    config.train.patience_epochs = 100
    return config


def region_wise_paper_training(
    config: ConfigDict, epochs: int, learning_rate: float = 1e-4
) -> ConfigDict:
    """Adam with poly decay and coupled L2, epochs of 250 batches.

    Evaluation takes the largest batch up to the training's that eight devices divide.

    Source: Valverde and Tohka, Region-wise Loss for Biomedical Image Segmentation, section 4.1, and
    the authors' code.
    """
    config.optimizer = spec("optimizers", "adam", learning_rate=learning_rate, weight_decay=3e-5)
    config.schedule = spec("schedules", "polynomial_decay", power=0.9)
    # nnU-Net's bound of the gradient's norm
    config.train.clip_norm = 12.0
    config.train.steps, config.train.epochs = None, epochs
    config.evaluate.every_epochs = 10
    config.checkpoint.every_percent, config.checkpoint.every_epochs = None, 10
    # `or 8`: what is left of a batch below 8 is 0
    config.evaluate.batch_size = config.data.batch_size - config.data.batch_size % 8 or 8
    return config


def short_volume_training(
    config: ConfigDict, steps: int, learning_rate: float = 3e-3
) -> ConfigDict:
    """`region_wise_paper_training` for small networks that have minutes: with a higher rate.

    Epochs are 10 batches. Slices keep their orientation: a network that has to know them in every
    one learns later.
    """
    region_wise_paper_training(config, epochs=1, learning_rate=learning_rate)
    config.data.augment.mirror, config.data.augment.rotate_degrees = 0.0, 30.0
    # Predictions are no longer averaged over mirror images, either: these were never seen
    config.task_options.mirror = False
    # A partner gives way over the first third, as over 100 of the paper's 300 epochs.
    for section in config.loss.values():
        if not isinstance(section.weight, (int, float)):
            section.weight.over_epochs, section.weight.over_percent = None, 100 / 3
    config.task_options.epoch_batches = 10
    config.train.steps, config.train.epochs = steps, None
    config.evaluate.every_epochs, config.evaluate.every_percent = None, 20
    config.checkpoint.every_epochs, config.checkpoint.every_percent = None, 10
    config.evaluate.batch_size = 16
    return config
