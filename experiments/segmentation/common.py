"""What the segmentation experiments share: structures, and losses in the form they are trained in.

A loss goes by its name in segjax.losses, or as a sum: `dice+boundary` adds terms of weight 1. A
loss that is not meant to train a network alone stands for the combination of its paper, listed in
`RECIPES`; `alone` takes it as it is.
"""

from segjax import losses
from segjax.checks import nearest
from segjax.config.defaults import base
from segjax.config.lookup import spec
from segjax.errors import UserError
from segjax.tasks.binding import array_parameters

TARGETS = {
    "disc": ("optic_disc",),
    "vessels": ("vessels",),
    "lesions": ("microaneurysms+haemorrhages+hard_exudates+soft_exudates",),
    "disc_cup": ("optic_disc", "optic_cup"),
}
# The map a loss takes unless told otherwise.
MAPS = {"boundary": "signed"}
ARRAYS = {"logits", "labels", "maps"}


def offered():
    """The losses that can train a segmentation: those of logits with labels or maps."""
    names = (name for name in losses.__all__ if callable(getattr(losses, name)))
    arrays = {name: array_parameters(getattr(losses, name)) for name in names}
    return [n for n, a in arrays.items() if a[:1] == ("logits",) and len(a) > 1 and {*a} <= ARRAYS]


def term(name, weight=1.0, **options):
    """One term: its loss with every option written out, its weight, and its map if it takes one."""
    section = spec("losses", name, **options)
    section.weight = weight
    if "maps" in array_parameters(getattr(losses, name)):
        section.maps = MAPS.get(name, "rectified")
    return section


def gradual(name, beside):
    """From `beside` to the loss itself, in a line over the training."""
    return {
        beside: term(beside, spec("weights", "gradual", over_percent=100)),
        name: term(name, spec("weights", "gradual", over_percent=100, rising=True)),
    }


def rebalanced(name):
    """Beside Dice of the same size, set anew after every epoch (Karimi and Salcudean)."""
    weight = spec("weights", "rebalance", against=name)
    return {name: term(name), "dice": term("dice", weight)}


def warmed_up(name, weight):
    """Cross entropy alone for the first third, the loss added after (Hu et al.)."""
    late = spec("weights", "warm_up", value=weight, until_percent=33)
    return {"cross_entropy": term("cross_entropy"), name: term(name, late)}


# How the papers train the losses that they do not train alone.
RECIPES = {
    "boundary": lambda name: gradual(name, "generalized_dice"),
    "hausdorff_dt": rebalanced,
    "hausdorff_er": rebalanced,
    "hausdorff_cv": rebalanced,
    "active_contour": lambda name: {
        "cross_entropy": term("cross_entropy"),
        name: term(name, weight=0.1),
    },
    "soft_cl_dice": lambda name: {"dice": term("dice", weight=0.5), name: term(name, weight=0.5)},
    "betti_matching": lambda name: {"dice": term("dice"), name: term(name, weight=0.5)},
    "topological": lambda name: warmed_up(name, 0.005),
}


def loss(text, alone=False):
    """The config's loss section for the words of the argument `loss`."""
    names, known = text.split("+"), offered()
    for name in names:
        if name not in known:
            raise UserError(
                f"loss={text!r}: no segmentation loss {name!r}{nearest(name, known)} "
                f"It takes a sum of: {', '.join(known)}"
            )
    if len(set(names)) < len(names):
        raise UserError(f"loss={text!r}: names a loss twice")
    if len(names) == 1 and not alone and text in RECIPES:
        return RECIPES[text](text)
    return {name: term(name) for name in names}


def segmentation(data, text, target, image_size, features, alone=False):
    """A config that outlines `target` on `data`."""
    if target not in TARGETS:
        raise UserError(
            f"target={target!r}: takes one of {', '.join(TARGETS)}{nearest(target, TARGETS)}"
        )
    config = base()
    config.task = "segmentation"
    targets = TARGETS[target]
    config.task_options = {"targets": targets, "within": None}
    outputs = 1 if len(targets) == 1 else len(targets) + 1
    config.model = spec("models", "CellposeUNet", features=features, outputs=outputs)
    for name, section in loss(text, alone).items():
        config.loss[name] = section
    config.data.name = data
    config.data.image_size = (image_size, image_size)
    config.data.augment = augment()
    config.evaluate.best, config.evaluate.best_mode = "dice", "max"
    return config


def augment(**strengths):
    """Every augmentation, off unless a strength is given."""
    from segjax.tasks.segmentation import Segmentation

    return Segmentation.augmentations() | strengths
