"""Table 3 of the region-wise paper, BraTS 2018: gliomas: five losses, three seeds each.

Command:   segjax sweep --config experiments/regionwise/table3.py:cpu --workdir work/table3
           segjax report work/table3 --against rrw
Arguments: seeds=N, and those of brats18.py
Hardware:  15 trainings of brats18.py.
Expected:  the paper's own figures stand beside ours in the report, marked as such.
"""

from experiments.regionwise import brats18, common
from segjax.config.sweeps import product

get_config = brats18.get_config


def sweep(arg=None):
    return product([{"arg": loss} for loss in common.ROWS], seed=common.seeds(arg, 3))
