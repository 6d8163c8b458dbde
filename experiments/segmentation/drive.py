"""Outlines the vessels of the DRIVE photographs, with losses of overlap and of topology.

Command:   segjax data prepare drive --manual_dir DOWNLOADS/DRIVE
           segjax train --config experiments/segmentation/drive.py --workdir work/drive
Arguments: loss=NAME, a sum such as dice+topological, or a loss in the form of its paper
           (PUBLISHED in segjax/recipes/combinations.py): soft_cl_dice is half Dice, half clDice; in
           any sum, soft_cl_dice and topological set in after a third of the training, the latter
           with weight 0.005 on tiles of 64 pixels; weight=NUMBER (of topological), alone (the loss
           without its partner), full (576 pixels, about the photographs' own size, and cellpose's
           widths), steps=N
Hardware:  two CPU cores, four minutes for 200 steps; full: one GPU or TPU.
Expected:  steps=200: Dice 0.64 to 0.69 at the size of the photographs (six trainings). At the
           network's input size, of one training each: Dice 0.774, clDice 0.814 with dice; 0.753 and
           0.829 with soft_cl_dice, and a third of the wrong components (docs/benchmarks.md). The
           table has clDice and the errors of the Betti numbers; labels are pixels at least a fifth
           covered, lest thin vessels break when they shrink.
"""

from experiments.segmentation import common
from segjax.config.arguments import parse_arg
from segjax.config.lookup import spec
from segjax.recipes.training import quick_optimizer

TILE = 64  # divides both working sizes


def get_config(arg=None):
    args = parse_arg(arg, loss="dice", weight=0.005, alone=False, full=False, steps=400)
    config = common.segmentation(
        "drive",
        args["loss"],
        "vessels",
        image_size=576 if args["full"] else 256,
        features=(32, 64, 128, 256) if args["full"] else (8, 16, 32, 64),
        alone=args["alone"],
    )
    config.task_options.update(within="field_of_view", topology=True)
    config.task_options.cover = 0.2  # keeps thin vessels in one piece
    if not args["alone"]:
        add_late(config.loss, args["weight"])
    config.data.batch_size = 4
    config.data.augment.update(
        flip_horizontal=0.5, flip_vertical=0.5, rotate=20.0, brightness=0.1, contrast=0.2
    )
    config.evaluate.every_epochs, config.evaluate.batch_size = 10, 4
    return quick_optimizer(config, args["steps"], learning_rate=3e-3)


def add_late(terms, weight):
    """Terms of topology wait until the pixels are about right.

    The gradient of `topological` sits on few pixels, and `soft_cl_dice` is nearly 0 where vessels
    are seen everywhere, for the soft centre line of a flat prediction is empty.
    """
    if "topological" in terms:
        terms.topological.patch, terms.topological.weight = TILE, weight
    for name in ("topological", "soft_cl_dice"):
        if name in terms:
            late = spec("weights", "warm_up", value=terms[name].weight, until_percent=33)
            terms[name].weight = late
