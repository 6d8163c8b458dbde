"""Outlines the disc, vessels or lesions of synthetic photographs, with any loss of the library.

Command:   segjax train --config experiments/segmentation/demo.py --workdir work/segmentation
Arguments: loss=NAME, a sum such as dice+focal, or a loss in the form of its paper
           (PUBLISHED in segjax/recipes/combinations.py);
           target=disc|vessels|lesions|disc_cup, alone (the loss without its partner)
Hardware:  two CPU cores, two minutes.
Expected:  Dice on the held-out photographs with loss=dice (measured: six trainings each,
           docs/benchmarks.md): disc 0.86 to 0.92, where calling every pixel disc gives 0.03;
           vessels 0.67 to 0.67; lesions, of a pixel or two at this size, 0.27 to 0.30.
"""

from experiments.segmentation import common
from segjax.config.arguments import parse_arg
from segjax.recipes.training import quick_optimizer


def get_config(arg=None):
    args = parse_arg(arg, loss="dice", target="disc", alone=False)
    config = common.segmentation(
        "synthetic_fundus/64px_240_60_60",
        args["loss"],
        args["target"],
        image_size=64,
        features=(8, 16, 32, 64),
        alone=args["alone"],
    )
    config.data.augment.update(flip_horizontal=0.5, rotate=10.0, brightness=0.1)
    return quick_optimizer(config, steps=600, learning_rate=3e-3)
