"""Classification of patches by their middle pixel."""

from segjax.tasks.patch_refinement.task import PatchRefinement

__all__ = ["PatchRefinement"]
