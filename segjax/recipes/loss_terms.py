"""A segmentation loss as one term of a config, with the map that it is defined with."""

from ml_collections import ConfigDict

from segjax import losses
from segjax.config import lookup
from segjax.config.lookup import array_parameters, spec

# The map of segjax.maps that a loss of maps is defined with, and takes unless told otherwise.
#
# `boundary` has two candidates, which differ by one pixel inside the class. Its map is `signed`,
# because the loss is Kervadec's, and its paper defines it on the level set of the boundary: phi is
# negative inside, and 0 on the boundary itself. The authors' code (LIVIAETS/boundary-loss,
# `one_hot2dist`) and MONAI's compute -(d - 1) inside, so that the outermost pixels of the class are
# that zero level. `maps.boundary` has no zero level (-1 and +1 pixel on either side); it is the
# reading of the region-wise paper, equation (3), whose "boundary loss" is therefore written as
# `region_wise` with `maps: boundary` (recipes/region_wise.py).
DEFAULT_MAPS = {
    "boundary": "signed",
    "region_wise": "rectified",
    "region_wise_cross_entropy": "rectified",
}
SEGMENTATION_ARRAYS = {"logits", "labels", "maps"}


def default_map(name: str) -> str:
    """The map that a loss of maps takes unless told otherwise; `rectified` for one not of segjax.

    A rectified map asks for nothing else: no schedule, no second loss, no scaling.
    """
    return DEFAULT_MAPS.get(name, "rectified")


def segmentation_losses() -> list[str]:
    """The losses of segjax that can train a segmentation: those of logits with labels or maps."""
    # By their parameter names, so that a new loss is found without being listed here: logits first,
    # and then only what a segmentation can give.
    names = (name for name in losses.__all__ if callable(getattr(losses, name)))
    arrays = {name: array_parameters(getattr(losses, name)) for name in names}
    return [
        name
        for name, taken in arrays.items()
        if taken[:1] == ("logits",) and len(taken) > 1 and {*taken} <= SEGMENTATION_ARRAYS
    ]


def term(
    name: str, weight: float | ConfigDict = 1.0, maps: str | None = None, **options: object
) -> ConfigDict:
    """One term of `config.loss`: a segmentation loss with every option, its weight and its map.

    Args:
        name: of the loss in segjax.losses.
        weight: a number, or a schedule: `lookup.spec("weights", …)`.
        maps: which map of segjax.maps a loss of maps takes; none is `default_map`.
        options: of the loss, those that differ from their defaults.

    Raises: UserError for a loss that does not exist and an option that it does not take.
    """
    section = spec("losses", name, **options)
    section.weight = weight
    if "maps" in array_parameters(lookup.find("losses", name)):
        section.maps = maps or default_map(name)
    return section
