"""What the segmentation experiments share: structures of the eye, and a config that outlines them.

A loss goes by its name in segjax.losses, or as a sum: `dice+boundary` adds terms of weight 1. A
loss that is not meant to train a network alone stands for the combination of its paper, listed in
`segjax/recipes/combinations.py`; `alone` takes it as it is.
"""

from segjax.checks import nearest
from segjax.config.defaults import base
from segjax.config.lookup import spec
from segjax.errors import UserError
from segjax.recipes.augmentation import augmentations
from segjax.recipes.combinations import segmentation_loss
from segjax.recipes.tasks import task_options

TARGETS = {
    "disc": ("optic_disc",),
    "vessels": ("vessels",),
    "lesions": ("microaneurysms+haemorrhages+hard_exudates+soft_exudates",),
    "disc_cup": ("optic_disc", "optic_cup"),
}


def segmentation(data, text, target, image_size, features, alone=False):
    """A config that outlines `target` on `data`."""
    if target not in TARGETS:
        raise UserError(
            f"target={target!r}: takes one of {', '.join(TARGETS)}{nearest(target, TARGETS)}"
        )
    config = base()
    config.task = "segmentation"
    targets = TARGETS[target]
    config.task_options = task_options(config.task, targets=targets)
    outputs = 1 if len(targets) == 1 else len(targets) + 1
    config.model = spec("models", "CellposeUNet", features=features, outputs=outputs)
    for name, section in segmentation_loss(text, alone).items():
        config.loss[name] = section
    config.data.name = data
    config.data.image_size = (image_size, image_size)
    config.data.augment = augmentations(config.task)
    config.evaluate.best, config.evaluate.best_mode = "dice", "max"
    return config
