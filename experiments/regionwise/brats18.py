"""Outlines the parts of gliomas in four MRI sequences (BraTS 2018), as in table 3 of the paper.

Command:   segjax data prepare brats18 --manual_dir DOWNLOADS/MICCAI_BraTS_2018_Data_Training
           segjax train --config experiments/regionwise/brats18.py:rrw --workdir work/brats18
Arguments: those of acdc.py
Hardware:  one GPU, 100 epochs of 250 batches; cpu: two cores.
Expected:  not measured here (the data set is not at hand); the paper's figures stand in the report.
"""

from experiments.regionwise import common, paper
from segjax.recipes.nnunet import Size

CLASSES, MODALITIES = ("NCR_NET", "ED", "ET"), ("T2", "T1", "T1ce", "FLAIR")
FULL = Size(patch=(192, 160), pools=(5, 5), batch_size=107)
CPU = Size(
    patch=(96, 80),
    pools=(4, 4),
    pixel_spacing=(2.0, 2.0),
    batch_size=8,
    features=16,
    most_features=128,
)


def get_config(arg=None):
    config = common.table_row(
        arg, "brats18", CLASSES, MODALITIES, full=FULL, cpu=CPU, table=paper.TABLE3, epochs=100
    )
    # Skull-stripped: a quarter of the volume is not zero, so scores are taken there.
    config.task_options.slice_axis = 0
    config.task_options.within_nonzero = (True,) * len(MODALITIES)
    return config
