"""Outlines the heart's chambers in cardiac MRI (ACDC), as in table 2 of the region-wise paper.

Command:   segjax data prepare acdc --manual_dir DOWNLOADS/ACDC
           segjax train --config experiments/regionwise/acdc.py:rrw,cpu --workdir work/acdc
Arguments: a loss by its word: rrw, weighted_cross_entropy, dice, focal, boundary (table 2),
           rw_boundary, and combinations such as rrw+gradual_dice (LOSSES in
           segjax/recipes/region_wise.py);
           cpu       a small network on coarser slices, for two CPU cores
           on_patch  maps from the patch, not from the whole volume
           by_step   scheduled weights move every step, not every epoch
           plan=FILE a plan that `segjax plan acdc` wrote, in place of the published one
Hardware:  cpu: two cores, ten minutes; otherwise one GPU, 300 epochs of 250 batches.
Expected:  rrw,cpu: mean Dice 0.81 to 0.84 on the validation patients at hand (measured: six
           trainings, docs/benchmarks.md); the full size is not measured. The paper's figures stand
           beside ours in the report, marked as such.
"""

from experiments.regionwise import common, paper
from segjax.recipes.nnunet import Size

CLASSES, MODALITIES = ("RV", "M", "LV"), ("MR",)
# The plan that nnU-Net made of the paper's 100 training volumes.
FULL = Size(patch=(256, 224), pools=(6, 5), pixel_spacing=(1.5625, 1.5625), batch_size=57)
CPU = Size(
    patch=(96, 96),
    pools=(4, 4),
    pixel_spacing=(2.5, 2.5),
    batch_size=8,
    features=16,
    most_features=128,
)


def get_config(arg=None):
    return common.table_row(
        arg, "acdc", CLASSES, MODALITIES, full=FULL, cpu=CPU, table=paper.TABLE2, epochs=300
    )
