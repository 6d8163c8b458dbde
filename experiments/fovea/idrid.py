"""Finds the fovea on the photographs of IDRiD, part C; 83 of the 413 are kept for validation.

Command:   segjax data prepare idrid --manual_dir DOWNLOADS/idrid
           segjax train --config experiments/fovea/idrid.py:cpu --workdir work/idrid
Arguments: cpu     a small network at 128 pixels, for two CPU cores
           paper   the paper's recipe: SGD 0.01, decay 0.9 every 400 steps, no augmentation,
                   1000 epochs at most, patience 100 epochs, batch 8, 256 pixels
           loss=mse|sce|msce, network=ave/mean|max/sum, batch=N
           (neither cpu nor paper: our own recipe at 256 pixels)
Sweep:     segjax sweep --config experiments/fovea/idrid.py:cpu --workdir work/idrid_losses
           (three losses, three seeds each)
Hardware:  cpu: two cores, seven minutes (the sweep: half an hour at 500 steps); the others: one
           GPU or TPU.
Expected:  cpu: R-AED 8.7 to 9.0 on validation (measured: six trainings, docs/benchmarks.md; the
           baseline has 5.1). The others have not been run to the end yet.
"""

from experiments.fovea import common
from segjax.config.arguments import parse_arg
from segjax.config.sweeps import product


def get_config(arg=None):
    args = parse_arg(arg, cpu=False, paper=False, loss="msce", network="max/sum", batch=8)
    config = common.experiment("idrid/localization", args)
    config.data.splits = {"train": "train[:330]", "validation": "train[330:]", "test": "test"}
    return config


def sweep():
    losses = [{"arg": f"loss={loss}"} for loss in common.LOSSES]
    return product(losses, seed=[0, 1, 2])
