"""Table 4 of the region-wise paper, KiTS 2019: kidneys and tumours: five losses, three seeds each.

Command:   segjax sweep --config experiments/regionwise/table4.py:cpu --workdir work/table4
           segjax report work/table4 --against rrw
Arguments: seeds=N, and those of kits19.py
Hardware:  15 trainings of kits19.py.
Expected:  the paper's own figures stand beside ours in the report, marked as such.
"""

from experiments.regionwise import common, kits19
from segjax.config.sweeps import product

get_config = kits19.get_config


def sweep(arg=None):
    return product([{"arg": loss} for loss in common.ROWS], seed=common.seeds(arg, 3))
