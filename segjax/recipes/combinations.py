"""Losses combined: plain sums, partners that give way, and what each paper trains its loss with.

All give the terms of `config.loss` by name; a loss of segjax.losses goes by its own name.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from segjax.checks import nearest
from segjax.config.lookup import spec
from segjax.errors import UserError
from segjax.recipes.loss_terms import segmentation_losses, term

Terms = dict[str, ConfigDict]


def equal(*names: str) -> Terms:
    """The plain sum: every term of weight 1."""
    return {name: term(name) for name in names}


def gradual(partner: str, name: str, *, maps: str | None = None, **schedule: object) -> Terms:
    """a partner + (1 - a) loss, a falling from 1: the partner gives way to the loss.

    Source: Kervadec et al., Boundary loss for highly unbalanced segmentation (2019), with
    generalised Dice; Valverde and Tohka, Region-wise Loss, sections 4.1 and 4.4.

    Args:
        partner: a region loss, which finds the structure.
        name: the loss that takes over.
        maps: of the loss, where it takes one.
        schedule: options of the weight schedule `gradual`, such as over_percent=100.
    """
    # Two schedules, not one and its complement: each term of a config has a weight of its own
    falling = spec("weights", "gradual", **schedule)
    rising = spec("weights", "gradual", **schedule, rising=True)
    return {partner: term(partner, falling), name: term(name, rising, maps)}


def rebalanced(name: str, partner: str = "dice") -> Terms:
    """A partner of the loss's own size, set anew after every epoch.

    Source: Karimi and Salcudean, Reducing the Hausdorff Distance (2019), with Dice.
    """
    return {name: term(name), partner: term(partner, spec("weights", "rebalance", against=name))}


def warmed_up(
    name: str, weight: float, *, until_percent: float = 33, partner: str = "cross_entropy"
) -> Terms:
    """The partner alone for a share of the training, the loss added after.

    Source: Hu et al., Topology-Preserving Deep Image Segmentation (2019).
    """
    late = spec("weights", "warm_up", value=weight, until_percent=until_percent)
    return {partner: term(partner), name: term(name, late)}


def _weighted(name: str, weight: float, partner: str, share: float = 1.0) -> Terms:
    return {partner: term(partner, share), name: term(name, weight)}


# How the papers train the losses that they do not train alone.
PUBLISHED: dict[str, Callable[[str], Terms]] = {
    # Kervadec: the weight of the region loss falls over the whole training
    "boundary": lambda name: gradual("generalized_dice", name, over_percent=100),
    "hausdorff_dt": rebalanced,
    "hausdorff_er": rebalanced,
    "hausdorff_cv": rebalanced,
    "active_contour": lambda name: _weighted(name, 0.1, "cross_entropy"),
    # (1 - a) Dice + a clDice with a = 1/2
    "soft_cl_dice": lambda name: _weighted(name, 0.5, "dice", 0.5),
    # Dice + a Betti matching with a = 1/2
    "betti_matching": lambda name: _weighted(name, 0.5, "dice"),
    "topological": lambda name: warmed_up(name, 0.005),
}


def segmentation_loss(text: str, alone: bool = False) -> Terms:
    """The terms that an argument `loss=…` of an experiment file stands for.

    Args:
        text: a loss by its name, with the partner that `PUBLISHED` gives it; or a sum, as in
            `dice+boundary`: terms of weight 1.
        alone: take a single loss without its partner.

    Raises: UserError for a name that is no segmentation loss, or stands there twice.
    """
    names, known = text.split("+"), segmentation_losses()
    for name in names:
        if name not in known:
            raise UserError(
                f"loss={text!r}: no segmentation loss {name!r}{nearest(name, known)} "
                f"It takes a sum of: {', '.join(known)}"
            )
    if len(set(names)) < len(names):
        raise UserError(f"loss={text!r}: names a loss twice")
    # Who names the partners wants these and no others
    if len(names) == 1 and not alone and text in PUBLISHED:
        return PUBLISHED[text](text)
    return equal(*names)
