"""Outlines the vessels of the DRIVE photographs, with losses of overlap and of topology.

Command:   segjax data prepare drive --manual_dir DOWNLOADS/DRIVE
           segjax train --config experiments/segmentation/drive.py --workdir work/drive
Arguments: loss=NAME, a sum such as dice+topological, or a loss in the form of its paper
           (common.RECIPES): soft_cl_dice is half Dice, half clDice; in any sum, topological is
           added after a third of the training, with weight 0.005, on tiles of 64 pixels;
           weight=NUMBER (of topological), alone (the loss without its partner),
           full (576 pixels, about the photographs' own size, and cellpose's widths), steps=N
Hardware:  two CPU cores, five to ten minutes (estimated); full: one GPU or TPU.
Expected:  not measured yet. Besides Dice the table has clDice and the errors of the Betti numbers;
           labels are pixels at least a fifth covered, lest thin vessels break when they shrink.
"""

from experiments.recipes import quick_optimizer
from experiments.segmentation import common
from segjax.config.arguments import parse_arg

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
    config.task_options = {**config.task_options, "within": "field_of_view", "topology": True}
    config.task_options.cover = 0.2  # keeps thin vessels in one piece
    if "topological" in config.loss and not args["alone"]:
        config.loss.update(late_topology(args["weight"]))
    config.data.batch_size = 4
    config.data.augment = common.augment(
        flip_horizontal=0.5, flip_vertical=0.5, rotate=20.0, brightness=0.1, contrast=0.2
    )
    config.evaluate.every_epochs, config.evaluate.batch_size = 10, 4
    return quick_optimizer(config, args["steps"], learning_rate=3e-3)


def late_topology(weight):
    """The topological term once the pixels are about right: its gradient sits on few of them."""
    late = common.warmed_up("topological", weight)["topological"]
    late.patch = TILE
    return {"topological": late}
