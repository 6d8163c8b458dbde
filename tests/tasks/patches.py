"""Networks of patches, as the tests of their task make them."""

from segjax.tasks.patch_refinement import PatchRefinement
from tests.tasks import lesions as shared

SIDE = (9, 7)
FULL = 10**6


def made(**options):
    chosen = {"image_size": SIDE, "gain": 0.0, "healthy": "grade=0", "epoch_batches": 4}
    chosen |= {"score_batch": 8, "pool": 300, "rescore_epochs": 1, "judged_patches": 20}
    return PatchRefinement(**(chosen | options))


def patch_oracle(image, centre, **options):
    return shared.patch_oracle(image, centre, SIDE, **options)


def state(slope=0.7, offset=-0.2):
    return shared.state(slope, offset)


def experiment(task, tmp_path, model=None, **more):
    return shared.experiment(task, tmp_path, model or shared.WholePatch(), **more)
