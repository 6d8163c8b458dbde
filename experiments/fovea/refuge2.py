"""Finds the fovea on the photographs of REFUGE2, the data of the paper.

Command:   segjax data prepare refuge2 --manual_dir DOWNLOADS/REFUGE2
           segjax train --config experiments/fovea/refuge2.py:paper --workdir work/refuge2
Arguments: paper   the paper's recipe: SGD 0.01, decay 0.9 every 400 steps, no augmentation,
                   1000 epochs at most, patience 100 epochs, batch 8, 256 pixels
           cpu     a small network at 128 pixels, for two CPU cores
           loss=mse|sce|msce, network=ave/mean|max/sum, batch=N
           (neither: our own recipe at 256 pixels)
Data:      1200 labelled photographs (the three parts of REFUGE1) train, as in the paper; the 400 of
           the validation part of REFUGE2 take the place of its test set, whose labels are not
           public.
Hardware:  one GPU or TPU; with cpu, two cores.
Expected:  the paper's own figure is R-AED 6.12 (MSCE, max/sum, batch 8). Not measured here: these
           photographs are given out on registration only.
"""

from experiments.fovea import common
from segjax.config.arguments import parse_arg


def get_config(arg=None):
    args = parse_arg(arg, cpu=False, paper=False, loss="msce", network="max/sum", batch=8)
    config = common.experiment("refuge2", args)
    config.data.splits = {
        "train": "train+validation+test",
        "validation": "refuge2_validation",
        "test": "refuge2_test",
    }
    return config
