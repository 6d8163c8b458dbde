"""Table 5 of the region-wise paper: the variant for the test set of ACDC, by phase of the heart.

Command:   segjax sweep --config experiments/regionwise/table5.py --workdir work/table5
Arguments: seeds=N, and those of acdc.py
Hardware:  three trainings on one GPU, 300 epochs of 250 batches; cpu: two cores.
Expected:  not measured here: the official test set is judged online. The figures are of the
           validation patients, ED and ES apart; the paper's stand beside them, marked as such.

48 channels at full resolution, batch normalisation, batches of 10 slices of one pixel size. The
paper's own size of patches cannot be halved six times, and it does not say which it took instead:
320 x 320 can, at the 1.25 mm of Isensee et al. (2017).
"""

from experiments.regionwise import acdc, common, paper
from segjax.config.sweeps import product
from segjax.recipes.nnunet import Size

FULL = Size(patch=(320, 320), pools=(6, 6), pixel_spacing=(1.25, 1.25), batch_size=10, features=48)


def get_config(arg=None):
    sizes = {"full": FULL, "cpu": acdc.CPU}
    config = common.table_row(
        arg, "acdc", acdc.CLASSES, acdc.MODALITIES, **sizes, table=paper.TABLE5, epochs=300
    )
    config.model.norm = "batch"
    config.task_options.groups = ("ED", "ES")
    return config


def sweep(arg=None):
    return product([{"arg": "rrw"}], seed=common.seeds(arg, 3))
