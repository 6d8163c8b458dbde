"""Finds the fovea on synthetic fundus photographs: the main job of `make demo`.

Command:   segjax train --config experiments/fovea/demo.py --workdir work/demo
Arguments: loss=mse|sce|msce
Hardware:  two CPU cores, four minutes.
Expected:  R-AED 8.4 to 8.6 on the held-out photographs (measured: six trainings,
           docs/benchmarks.md; the baseline has 4.8).
"""

from experiments.fovea import common
from segjax.config.arguments import parse_arg
from segjax.recipes.training import quick_optimizer


def get_config(arg=None):
    args = parse_arg(arg, loss="msce")
    config = common.localization(
        "synthetic_fundus/small", args["loss"], "ave/mean", features=(8, 16, 32, 64), image_size=128
    )
    config.data.augment.update(flip_horizontal=0.5, translate=0.1, brightness=0.1)
    quick_optimizer(config, steps=500, learning_rate=3e-3)
    return config
