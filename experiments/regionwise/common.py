"""What the region-wise experiments share: the paper's losses, its training, and two sizes.

A loss goes by one of the words in LOSSES, as in `acdc.py:rrw,cpu`. Maps come from the whole label
volume before training, as the paper says; `on_patch` computes them on the patch inside the step, as
its code does. `by_step` moves scheduled weights smoothly, for an epoch is longer on larger sets.
"""

import dataclasses

from segjax.config.arguments import parse_arg
from segjax.config.defaults import base
from segjax.config.lookup import nearest, spec
from segjax.data.volumes.plan import read_plan
from segjax.errors import UserError

# Epochs over which the weight of a gradual loss goes from its partner to the loss itself.
GRADUAL_EPOCHS = 100


def term(name, weight=1.0, maps=None, **options):
    """One term of a loss, its options written out."""
    section = spec("losses", name, **options)
    section.weight = weight
    if maps:
        section.maps = maps
    return section


def rrw(weight=1.0):
    return {"region_wise": term("region_wise", weight, maps="rectified")}


def rw_boundary(weight=1.0):
    return {"region_wise": term("region_wise", weight, maps="boundary")}


def gradual(partner, loss, every):
    """alpha * partner + (1 - alpha) * loss, alpha = max((100 - epoch) / 100, 0.01)."""
    falling = spec("weights", "gradual", over_epochs=GRADUAL_EPOCHS, every=every)
    rising = spec("weights", "gradual", over_epochs=GRADUAL_EPOCHS, every=every, rising=True)
    return {partner: term(partner, falling), **loss(rising)}


def equal(partner, loss):
    """The plain sum."""
    return {partner: term(partner), **loss()}


# By word: what to train with, from how often scheduled weights move (epoch or step).
LOSSES = {
    "rrw": lambda every: rrw(),
    "weighted_cross_entropy": lambda every: {
        "region_wise_cross_entropy": term("region_wise_cross_entropy", maps="rectified")
    },
    "dice": lambda every: {"dice": term("dice")},
    "focal": lambda every: {"focal": term("focal", gamma=2.0)},
    "boundary": lambda every: gradual("dice", rw_boundary, every),
    # RW-boundary maps alone, section 4.3, and what rescues them, section 4.4.
    "rw_boundary": lambda every: rw_boundary(),
    "rw_boundary+dice": lambda every: equal("dice", rw_boundary),
    "rw_boundary+cross_entropy": lambda every: equal("cross_entropy", rw_boundary),
    "rw_boundary+gradual_dice": lambda every: gradual("dice", rw_boundary, every),
    "rw_boundary+gradual_cross_entropy": lambda every: gradual("cross_entropy", rw_boundary, every),
    "rrw+dice": lambda every: equal("dice", rrw),
    "rrw+cross_entropy": lambda every: equal("cross_entropy", rrw),
    "rrw+gradual_dice": lambda every: gradual("dice", rrw, every),
    "rrw+gradual_cross_entropy": lambda every: gradual("cross_entropy", rrw, every),
}
# The rows of the paper's tables 2 to 4.
ROWS = ("rrw", "weighted_cross_entropy", "dice", "focal", "boundary")
STRATEGIES = tuple(name for name in LOSSES if name.startswith(("rw_boundary+", "rrw+")))


@dataclasses.dataclass(frozen=True)
class Size:
    """A network and its patches.

    Attributes:
        patch: (height, width) in pixels.
        pools: how often each axis is halved.
        pixel_spacing: (height, width) of a pixel in mm; empty keeps that of the slices.
        batch_size: patches a step.
        features: channels at full resolution, doubled from stage to stage.
        most_features: up to this many.
    """

    patch: tuple
    pools: tuple
    pixel_spacing: tuple = ()
    batch_size: int = 16
    features: int = 32
    most_features: int = 480

    @property
    def strides(self):
        """The stride of each stage, the first one 1."""
        halvings = range(max(self.pools))
        return ((1, 1), *(tuple(2 if i < pool else 1 for pool in self.pools) for i in halvings))

    @property
    def widths(self):
        """The channels of each stage."""
        return tuple(
            min(self.features * 2**i, self.most_features) for i in range(len(self.strides))
        )


def arguments(arg):
    """The words behind the colon: a loss by its name alone, and what every experiment takes."""
    words = [word.strip() for word in (arg or "").split(",") if word.strip()]
    named = [f"loss={word}" if word in LOSSES else word for word in words]
    defaults = {"loss": "rrw", "cpu": False, "on_patch": False, "by_step": False, "plan": ""}
    values = parse_arg(",".join(named), **defaults, seeds=0)
    if values["loss"] not in LOSSES:
        raise UserError(
            f"loss={values['loss']!r}: takes one of {', '.join(LOSSES)}"
            f"{nearest(values['loss'], LOSSES)}"
        )
    return values


def seeds(arg, usual):
    """The seeds of a sweep: as many as the words behind the colon say, or the usual number."""
    return range(arguments(arg)["seeds"] or usual)


def volumes(data, classes, modalities, args, *, full, cpu):
    """The experiment on a set of volumes that the arguments describe, in one of two sizes."""
    size = cpu if args["cpu"] else full
    config = base()
    config.data.name = data
    config.task = "volume_segmentation"
    config.task_options = spec(
        "tasks",
        "volume_segmentation",
        classes=classes,
        channels=len(modalities),
        pixel_spacing=size.pixel_spacing,
        # The paper standardises images one by one; a plan brings the statistics that CT takes.
        normalization=("zscore",) * len(modalities),
    )
    del config.task_options["name"]
    config.model = spec(
        "models",
        "PlainUNet",
        features=size.widths,
        strides=size.strides,
        classes=len(classes) + 1,
        up_bias=False,
        head_bias=False,
    )
    config.data.image_size, config.data.batch_size = size.patch, size.batch_size
    if args["plan"]:
        follow(config, args["plan"], data)
    for name, section in LOSSES[args["loss"]]("step" if args["by_step"] else "epoch").items():
        config.loss[name] = section
    if not args["on_patch"]:
        used = {section.maps for section in config.loss.values() if "maps" in section}
        config.task_options.volume_maps = tuple(sorted(used))
    config.data.augment = augmentations()
    config.data.splits = {"train": "train", "validation": "validation"}
    config.evaluate.best, config.evaluate.best_mode = "dice", "max"
    return config


def augmentations():
    """nnU-Net's, with its probabilities and ranges."""
    from segjax.data.augment import default_options

    return default_options()


def follow(config, path, data):
    """Takes patch, batch, network and preprocessing from a plan that `segjax plan` wrote."""
    plan = read_plan(path)
    if plan.dataset != data:
        raise UserError(f"plan={path}: is a plan of {plan.dataset}, this experiment is on {data}")
    config.data.image_size, config.data.batch_size = plan.patch_size, plan.batch_size
    config.data.plan_digest = plan.data
    config.model.update(
        {
            "features": plan.features,
            "strides": plan.strides,
            "kernels": plan.kernels,
            "up_bias": plan.version == "v2",
            "head_bias": plan.version == "v2",
        }
    )
    config.task_options.update(
        {
            "slice_axis": plan.transposition[0],
            "pixel_spacing": plan.spacing[1:],
            "normalization": plan.normalization,
            "within_nonzero": plan.use_mask,
            "intensities": tuple(
                (row.mean, row.sd, row.percentile_00_5, row.percentile_99_5)
                for row in plan.intensities
            ),
        }
    )


def table_row(arg, data, classes, modalities, *, full, cpu, table, epochs):
    """A row of one of the paper's tables, in the size and with the training that `arg` says."""
    args = arguments(arg)
    config = volumes(data, classes, modalities, args, full=full, cpu=cpu)
    config.paper = dict(table.get(args["loss"], {}))
    return short_training(config, steps=2000) if args["cpu"] else paper_training(config, epochs)


def paper_training(config, epochs, learning_rate=1e-4):
    """Adam with poly decay and coupled L2, epochs of 250 batches, as the paper trains."""
    config.optimizer = spec("optimizers", "adam", learning_rate=learning_rate, weight_decay=3e-5)
    config.schedule = spec("schedules", "polynomial_decay", power=0.9)
    config.train.clip_norm = 12.0
    config.train.steps, config.train.epochs = None, epochs
    config.evaluate.every_epochs = 10
    config.checkpoint.every_percent, config.checkpoint.every_epochs = None, 10
    config.evaluate.batch_size = config.data.batch_size - config.data.batch_size % 8 or 8
    return config


def short_training(config, steps, learning_rate=3e-3):
    """The same with a higher rate, for small networks that have minutes. Epochs are 10 batches.

    Slices keep their orientation: a network that has to know them in every one learns later.
    """
    paper_training(config, epochs=1, learning_rate=learning_rate)
    config.data.augment.mirror, config.data.augment.rotate_degrees = 0.0, 30.0
    config.task_options.mirror = False
    # A partner gives way over the first third, as over 100 of the paper's 300 epochs.
    for section in config.loss.values():
        if not isinstance(section.weight, (int, float)):
            section.weight.over_epochs, section.weight.over_percent = None, 100 / 3
    config.task_options.epoch_batches = 10
    config.train.steps, config.train.epochs = steps, None
    config.evaluate.every_epochs, config.evaluate.every_percent = None, 20
    config.checkpoint.every_epochs, config.checkpoint.every_percent = None, 10
    config.evaluate.batch_size = 16
    return config
