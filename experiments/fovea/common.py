"""What the fovea experiments share: the model, the three losses of the paper, their decoding."""

from segjax.config.defaults import base
from segjax.config.lookup import spec
from segjax.errors import UserError
from segjax.recipes.augmentation import augmentations
from segjax.recipes.localization import AXES, localization_loss
from segjax.recipes.tasks import task_options
from segjax.recipes.training import fovea_paper_training, quick_optimizer

LOSSES = ("mse", "sce", "msce")
FULL = (32, 64, 128, 256)  # the widths of cellpose
SMALL = (8, 16, 32, 64)  # for two CPU cores
NETWORKS = tuple(AXES)


# Table 1 of the paper: R-AED by (loss, network, batch size), on its own photographs (REFUGE2).
TABLE_1 = {
    ("mse", "ave/mean", 8): 5.69,
    ("sce", "ave/mean", 8): 3.45,
    ("msce", "ave/mean", 8): 4.36,
    ("mse", "max/sum", 16): 5.18,
    ("sce", "max/sum", 16): 4.16,
    ("msce", "max/sum", 16): 5.31,
    ("mse", "max/sum", 8): 5.53,
    ("sce", "max/sum", 8): 4.99,
    ("msce", "max/sum", 8): 6.12,
}


def paper_figure(args):
    """The paper's own R-AED for a row of its table, if it has the row."""
    row = (args["loss"], args["network"], args["batch"])
    return {"r_aed": TABLE_1[row]} if row in TABLE_1 else {}


def experiment(data, args):
    """The experiment that the arguments cpu, paper, loss, network and batch describe."""
    size, features = (128, SMALL) if args["cpu"] else (256, FULL)
    config = localization(data, args["loss"], args["network"], features, size)
    config.data.batch_size = args["batch"]
    config.paper = paper_figure(args)
    if args["paper"]:
        return fovea_paper_training(config)
    config.data.augment.update(flip_horizontal=0.5, translate=0.08, brightness=0.15, contrast=0.15)
    if args["cpu"]:
        return quick_optimizer(config, steps=1000, learning_rate=3e-3)
    config.data.augment.update(rotate=10.0, scale=0.1)
    return quick_optimizer(config, steps=8000, learning_rate=1e-3)


def localization(data, loss, network, features, image_size):
    """A config for finding the fovea on `data` with one of the paper's losses and networks."""
    if network not in NETWORKS:
        raise UserError(f"network={network!r}: takes one of {', '.join(NETWORKS)}")
    if loss not in LOSSES:
        raise UserError(f"loss={loss!r}: takes one of {', '.join(LOSSES)}")
    terms, decoding = localization_loss(f"{loss}+{network}")
    config = base()
    config.task = "localization"
    config.task_options = task_options(config.task, **decoding)
    config.model = spec("models", "CellposeUNet", features=features)
    config.loss.update(terms)
    config.data.name = data
    config.data.image_size = (image_size, image_size)
    config.data.augment = augmentations(config.task)
    return config
