"""What the experiments on microaneurysms share: sets, their splits, small networks."""

from segjax.checks import nearest
from segjax.errors import UserError
from segjax.recipes.training import quick_optimizer

IDRID = "idrid/lesions"
# How photographs are shared out, with lesions and healthy: (train, validation); the rest is test.
# The paper's (Table 1) takes the official test photographs.
SPLITS = {
    "paper": {
        "train": "train[:44]+healthy[:80]",
        "validation": "train[44:]+healthy[80:89]",
        "test": "test+healthy[89:]",
    },
    # Without the official test photographs: shares of what there is
    "part": {
        "train": "train[:56%]+healthy[:57%]",
        "validation": "train[56%:75%]+healthy[57%:79%]",
        "test": "train[75%:]+healthy[79%:]",
    },
}


def on_idrid(config, splits):
    """IDRiD at full resolution; splits are the paper's, or shares of the official training set."""
    if splits not in SPLITS:
        raise UserError(
            f"splits={splits!r}: takes one of {', '.join(SPLITS)}{nearest(splits, SPLITS)}"
        )
    config.data.splits = dict(SPLITS[splits])
    return config


def small_hypotheses(config, *, patch, steps):
    """A narrow network that proposes lesions, for two CPU cores."""
    config.model.base, config.model.lanes = 8, 8
    config.data.image_size, config.data.batch_size = (patch, patch), 8
    config.task_options.tile, config.task_options.tile_step = 256, 0.75
    return _quick(config, steps, learning_rate=3e-3)


def small_refinement(config, *, patch, steps, pool):
    """A narrow network of patches, for two CPU cores: ten epochs, scored again after each."""
    # The cheapest of the networks with one reduction left out
    config.model.width, config.model.omitted = 8, "last"
    config.data.image_size, config.data.batch_size = (patch, patch), 16
    config.task_options.epoch_batches = max(1, steps // 10)
    config.task_options.rescore_epochs = 1
    config.task_options.pool = pool
    config.task_options.judged_patches = 100
    return _quick(config, steps, learning_rate=2e-3)


def _quick(config, steps, learning_rate):
    quick_optimizer(config, steps=steps, learning_rate=learning_rate)
    config.train.epochs = None
    config.evaluate.every_percent = 50
    return config
