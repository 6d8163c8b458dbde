"""What the experiments on findings share: a config that classifies one of them."""

from segjax.checks import nearest
from segjax.config.defaults import base
from segjax.errors import UserError
from segjax.recipes import findings
from segjax.recipes.augmentation import augmentations
from segjax.recipes.tasks import task_options
from segjax.recipes.training import quick_optimizer


def classification(data, finding, known, *, model="guided", guidance=findings.GUIDANCE, form="log"):
    """A config for telling whether a photograph of `data` shows a finding among those `known`."""
    if finding not in known:
        raise UserError(
            f"finding={finding!r}: takes one of {', '.join(known)}{nearest(finding, known)}"
        )
    config = base()
    config.task = findings.TASK
    config.task_options = task_options(config.task, finding=finding)
    config.data.name = data
    config.data.augment = augmentations(config.task)
    findings.choose_model(config, model, finding, guidance, form)
    return config


def small(config, size, steps, learning_rate):
    """A narrow network on small photographs, for two CPU cores."""
    config.data.image_size = (size, size)
    if config.model.name == "GuidedClassifier":
        config.model.features, config.model.branch = (8, 16, 32), 32
    config.data.batch_size = 16
    config.data.augment.update(flip_horizontal=0.5, rotate=10.0, translate=0.05, brightness=0.1)
    quick_optimizer(config, steps=steps, learning_rate=learning_rate)
    # With a shorter one, small lesions were learned under some seeds and not under others
    config.schedule.warmup_percent = 20.0
    config.evaluate.best, config.evaluate.best_mode = "loss", "min"
    return config
