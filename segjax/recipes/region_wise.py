"""The losses that the region-wise paper compares, by the words of its experiments.

Valverde and Tohka, Region-wise Loss for Biomedical Image Segmentation. RRW is the region-wise loss
with rectified maps, equation (4). What the paper calls boundary loss is the same loss with
RW-boundary maps, equation (3), to which Dice gives way (section 4.1).
"""

from collections.abc import Callable

from segjax import checks
from segjax.recipes.combinations import Terms, equal, gradual
from segjax.recipes.loss_terms import term

# Epochs over which the weight of a gradual loss goes from its partner to the loss itself.
GRADUAL_EPOCHS = 100
RRW, RW_BOUNDARY = "rectified", "boundary"  # the two maps


def _alone(maps: str) -> Terms:
    return {"region_wise": term("region_wise", maps=maps)}


def _beside(partner: str, maps: str) -> Terms:
    return equal(partner) | _alone(maps)


def _gradual(partner: str, maps: str, every: str) -> Terms:
    schedule = {"over_epochs": GRADUAL_EPOCHS, "every": every}
    return gradual(partner, "region_wise", maps=maps, **schedule)


# By word: the terms, from how often scheduled weights move (epoch or step).
LOSSES: dict[str, Callable[[str], Terms]] = {
    "rrw": lambda every: _alone(RRW),
    "weighted_cross_entropy": lambda every: equal("region_wise_cross_entropy"),
    "dice": lambda every: equal("dice"),
    "focal": lambda every: {"focal": term("focal", gamma=2.0)},
    "boundary": lambda every: _gradual("dice", RW_BOUNDARY, every),
    # RW-boundary maps alone, section 4.3, and what rescues them, section 4.4.
    "rw_boundary": lambda every: _alone(RW_BOUNDARY),
    "rw_boundary+dice": lambda every: _beside("dice", RW_BOUNDARY),
    "rw_boundary+cross_entropy": lambda every: _beside("cross_entropy", RW_BOUNDARY),
    "rw_boundary+gradual_dice": lambda every: _gradual("dice", RW_BOUNDARY, every),
    "rw_boundary+gradual_cross_entropy": lambda every: _gradual(
        "cross_entropy", RW_BOUNDARY, every
    ),
    "rrw+dice": lambda every: _beside("dice", RRW),
    "rrw+cross_entropy": lambda every: _beside("cross_entropy", RRW),
    "rrw+gradual_dice": lambda every: _gradual("dice", RRW, every),
    "rrw+gradual_cross_entropy": lambda every: _gradual("cross_entropy", RRW, every),
}


def region_wise_loss(word: str, every: str = "epoch") -> Terms:
    """The terms that one of the paper's words stands for.

    Args:
        word: one of `LOSSES`.
        every: `epoch` moves scheduled weights as the paper does; `step` smoothly, for an epoch is
            longer on larger sets.

    Raises: UserError for another word.
    """
    checks.require("loss", word, checks.choice(LOSSES))
    return LOSSES[word](every)
