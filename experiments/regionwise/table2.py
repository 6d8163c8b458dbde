"""Table 2 of the region-wise paper, ACDC: cardiac MRI: five losses, three seeds each.

Command:   segjax sweep --config experiments/regionwise/table2.py:cpu --workdir work/table2
           segjax report work/table2 --against rrw
Arguments: seeds=N, and those of acdc.py
Hardware:  15 trainings of acdc.py.
Expected:  the paper's own figures stand beside ours in the report, marked as such.
"""

from experiments.regionwise import acdc, common
from segjax.config.sweeps import product

get_config = acdc.get_config


def sweep(arg=None):
    return product([{"arg": loss} for loss in common.ROWS], seed=common.seeds(arg, 3))
