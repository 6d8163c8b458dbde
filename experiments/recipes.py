"""Recipes of training that experiments share."""

from segjax.config.lookup import spec


def quick_optimizer(config, steps, learning_rate):
    """AdamW with a cosine: a small network learns in minutes."""
    config.optimizer = spec("optimizers", "adamw", learning_rate=learning_rate)
    config.schedule = spec("schedules", "cosine_decay", warmup_percent=5.0)
    config.train.steps = steps
    config.train.clip_norm = 1.0
    return config
