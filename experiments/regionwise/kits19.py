"""Outlines kidneys and their tumours in CT (KiTS 2019), as in table 4 of the region-wise paper.

Command:   segjax data prepare kits19 --manual_dir DOWNLOADS/kits19
           segjax train --config experiments/regionwise/kits19.py:rrw --workdir work/kits19
Arguments: those of acdc.py
Hardware:  one GPU, 100 epochs of 250 batches; cpu: two cores.
Expected:  not measured here (the data set is not at hand); the paper's figures stand in the report.
"""

from experiments.regionwise import common, paper
from segjax.recipes.nnunet import Size

CLASSES, MODALITIES = ("kidney", "tumor"), ("CT",)
# Slices are resized to 256 x 256 when the set is prepared, and kept in that grid.
FULL = Size(patch=(256, 256), pools=(6, 6), batch_size=50)
CPU = Size(patch=(128, 128), pools=(4, 4), batch_size=8, features=16, most_features=128)


def get_config(arg=None):
    return common.table_row(
        arg, "kits19", CLASSES, MODALITIES, full=FULL, cpu=CPU, table=paper.TABLE4, epochs=100
    )
