"""What the region-wise experiments share: the argument after the colon, and the paper's training.

A loss goes by one of the words in `segjax/recipes/region_wise.py`, as in `acdc.py:rrw,cpu`. Maps
come from the whole label volume before training, as the paper says; `on_patch` computes them on the
patch inside the step, as its code does. `by_step` moves scheduled weights smoothly, for an epoch is
longer on larger sets.
"""

from segjax.config.arguments import parse_arg
from segjax.config.defaults import base
from segjax.recipes.nnunet import follow, take_size
from segjax.recipes.region_wise import LOSSES, region_wise_loss
from segjax.recipes.training import region_wise_paper_training, short_volume_training

# The rows of the paper's tables 2 to 4.
ROWS = ("rrw", "weighted_cross_entropy", "dice", "focal", "boundary")
STRATEGIES = tuple(name for name in LOSSES if name.startswith(("rw_boundary+", "rrw+")))


def arguments(arg):
    """The argument after the colon: a loss by its name alone, and what every experiment takes."""
    words = [word.strip() for word in (arg or "").split(",") if word.strip()]
    named = [f"loss={word}" if word in LOSSES else word for word in words]
    defaults = {"loss": "rrw", "cpu": False, "on_patch": False, "by_step": False, "plan": ""}
    values = parse_arg(",".join(named), **defaults, seeds=0)
    region_wise_loss(values["loss"])  # refuses another word
    return values


def seeds(arg, usual):
    """The seeds of a sweep: as many as the argument after the colon says, or the usual number."""
    return range(arguments(arg)["seeds"] or usual)


def volumes(data, classes, modalities, args, *, full, cpu):
    """The experiment on a set of volumes that the arguments describe, in one of two sizes."""
    config = base()
    config.data.name = data
    take_size(config, cpu if args["cpu"] else full, classes, modalities)
    if args["plan"]:
        follow(config, args["plan"])
    every = "step" if args["by_step"] else "epoch"
    for name, section in region_wise_loss(args["loss"], every).items():
        config.loss[name] = section
    if not args["on_patch"]:
        used = {section.maps for section in config.loss.values() if "maps" in section}
        config.task_options.volume_maps = tuple(sorted(used))
    config.data.splits = {"train": "train", "validation": "validation"}
    config.evaluate.best, config.evaluate.best_mode = "dice", "max"
    return config


def table_row(arg, data, classes, modalities, *, full, cpu, table, epochs):
    """A row of one of the paper's tables, in the size and with the training that `arg` says."""
    args = arguments(arg)
    config = volumes(data, classes, modalities, args, full=full, cpu=cpu)
    config.paper = dict(table.get(args["loss"], {}))
    if args["cpu"]:
        return short_volume_training(config, steps=2000)
    return region_wise_paper_training(config, epochs)
