"""Outlines three nested structures in synthetic cardiac MR, with any loss of the paper.

Command:   segjax train --config experiments/regionwise/demo.py --workdir work/regionwise
Arguments: a loss by its word, as in demo.py:rrw or demo.py:boundary (LOSSES in
           segjax/recipes/region_wise.py);
           on_patch, by_step: see acdc.py
Hardware:  two CPU cores.
Expected:  mean Dice 0.88 to 0.90 over the held-out volumes with rrw (measured: six trainings,
           docs/benchmarks.md), in a minute and a half.
"""

from experiments.regionwise import common
from segjax.recipes.nnunet import Size
from segjax.recipes.training import short_volume_training

CLASSES, MODALITIES = ("RV", "M", "LV"), ("MR",)
SIZE = Size(patch=(64, 64), pools=(3, 3), batch_size=8, features=16, most_features=64)


def get_config(arg=None):
    args = common.arguments(arg)
    config = common.volumes("synthetic_cardiac", CLASSES, MODALITIES, args, full=SIZE, cpu=SIZE)
    # At twice the rate some trainings never draw the right ventricle: it hangs on the seed, and on
    # how a processor rounds
    return short_volume_training(config, steps=600, learning_rate=2.5e-3)
