"""What the table of a segmentation comes to: names, units and sentences."""

from collections.abc import Sequence

import numpy as np

from segjax.tasks.metric import Columns, Metric

# A remark is worth it below this mean.
LOW_LIMIT = 0.9

# Where masks are judged; the size is that of validations.
SIZES = "In tables at the size of the photograph; in validations during training at {size}."
WORKING = "the network's input size"
# Of each target: title, unit, whether higher is better, and what it is.
OVERLAP = {
    "dice": (
        "Dice",
        "",
        True,
        "Twice the common area by the sum of both areas, 1 where both are empty. " + SIZES,
    ),
}
JACCARD = "The common area by the united area, 1 where both are empty{over}. " + SIZES
# Of each target: how much of the annotation is left by the working size.
LIMIT = (
    "Dice limit",
    "",
    True,
    "The highest Dice that any mask at {size} can have: larger pixels follow an outline less "
    "closely.",
)
SMALL = " `task_options.full_size` trains on patches of larger photographs."
# Measured on the host, if a config asks, at the network's input size.
TOPOLOGY = {
    "cl_dice": (
        "clDice",
        "",
        True,
        "How far each mask covers the other one's centre line: the harmonic mean of both shares, "
        "at {size}.",
    ),
    "betti_error_0": (
        "b0 error",
        "components",
        False,
        "By how many the connected components of both masks differ, at {size}.",
    ),
    "betti_error_1": (
        "b1 error",
        "holes",
        False,
        "By how many the holes of both masks differ, at {size}.",
    ),
}


def working(full_size: Sequence[int] | None) -> str:
    """At what size masks are predicted, in words."""
    return "{} x {} pixels".format(*full_size) if full_size else WORKING


def of(targets: Sequence[str], *, topology: bool, size: str = WORKING) -> tuple[Metric, ...]:
    """The metrics of each target, and, of several, the means over them.

    `size` is that at which masks are predicted (`working`).
    """
    several, measured = len(targets) > 1, TOPOLOGY if topology else {}
    each = tuple(
        Metric(
            f"{kind}/{target}" if several else kind,
            (f"{kind}_{target}",),
            title=f"{title} {target}",
            unit=unit,
            higher_is_better=higher,
            description=description.format(size=size),
        )
        for kind, (title, unit, higher, description) in (OVERLAP | measured).items()
        for target in targets
    )
    title, unit, higher, description = LIMIT
    description = description.format(size=size) + SMALL * (size == WORKING)
    limits = tuple(
        Metric(
            f"limit/{target}" if several else "limit",
            (f"limit_{target}",),
            title=f"{title} {target}",
            higher_is_better=higher,
            reported=False,
            description=description,
        )
        for target in targets
    )
    jaccard = Metric(
        "jaccard",
        ("jaccard",),
        title="mean Jaccard" if several else f"Jaccard {targets[0]}",
        reported=False,
        description=JACCARD.format(
            over="; the mean over the targets" if several else "", size=size
        ),
    )
    if not several:
        return (*each, jaccard, *limits)
    over = "The mean of {} over the targets."
    dice = Metric("dice", ("mean_dice",), title="mean Dice", description=over.format("Dice"))
    means = tuple(
        Metric(
            kind,
            tuple(f"{kind}_{target}" for target in targets),
            title=f"mean {title}",
            unit=unit,
            higher_is_better=higher,
            reported=False,
            description=over.format(title),
        )
        for kind, (title, unit, higher, _) in measured.items()
    )
    return (*each, dice, jaccard, *means, *limits)


def limits(targets: Sequence[str], columns: Columns, size: str = WORKING) -> list[str]:
    """A line on each target that the size of predicted masks keeps far from Dice 1."""
    found = {name: columns.get(f"limit_{name}") for name in targets}
    means = {name: np.nanmean(column) for name, column in found.items() if column is not None}
    return [
        f"{name}: Dice cannot exceed {mean:.3f} on average, since masks are predicted at {size}, "
        "which is smaller than the photographs."
        for name, mean in means.items()
        if mean < LOW_LIMIT
    ]


def explained(targets: Sequence[str], size: str = WORKING) -> dict[str, str]:
    """Sentences on the areas of each target, on the baseline and on the loss."""
    areas = {"true_area": "annotated as", "area": "predicted to be"}
    patches = "" if size == WORKING else ", of patches in training"
    return {
        "baseline": "calls every pixel the class, without a network",
        "validation": f"masks at {size}",
        "table": "masks at the size of the photographs",
        "loss": f"It is taken of probabilities at {size}{patches}, and not of the masks that Dice "
        "is of: 1 - Dice is another number.",
        **{
            f"{name}_{target}": f"share of the image that is {what} {target}"
            for target in targets
            for name, what in areas.items()
        },
    }
