"""What the table of a segmentation comes to: names, units and sentences."""

from collections.abc import Sequence

import numpy as np

from segjax.tasks.metric import Columns, Metric

# A remark is worth it below this mean.
LOW_LIMIT = 0.9

# Of each target: title, unit, whether higher is better, and what it is.
OVERLAP = {
    "dice": (
        "Dice",
        "",
        True,
        "Twice the common area by the sum of both areas, 1 where both are empty. In this table at "
        "the size of the photograph; validations during training are at the network's input size.",
    ),
}
# Of each target: how much of the annotation is left by the working size.
LIMIT = (
    "Dice limit",
    "",
    True,
    "The highest Dice that any mask with as few pixels as the network's input can have: larger "
    "pixels follow an outline less closely. `task_options.full_size` trains on patches of larger "
    "photographs.",
)
# Measured on the host, if a config asks, at the network's input size.
TOPOLOGY = {
    "cl_dice": (
        "clDice",
        "",
        True,
        "How far each mask covers the other one's centre line: the harmonic mean of both shares.",
    ),
    "betti_error_0": (
        "b0 error",
        "components",
        False,
        "By how many the connected components of both masks differ.",
    ),
    "betti_error_1": ("b1 error", "holes", False, "By how many the holes of both masks differ."),
}


def of(targets: Sequence[str], *, topology: bool) -> tuple[Metric, ...]:
    """The metrics of each target, and, of several, the means over them."""
    several, measured = len(targets) > 1, TOPOLOGY if topology else {}
    each = tuple(
        Metric(
            f"{kind}/{target}" if several else kind,
            (f"{kind}_{target}",),
            title=f"{title} {target}",
            unit=unit,
            higher_is_better=higher,
            description=description,
        )
        for kind, (title, unit, higher, description) in (OVERLAP | measured).items()
        for target in targets
    )
    title, unit, higher, description = LIMIT
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
        description="The common area by the united area, at the sizes of Dice"
        + ("; the mean over the targets." if several else "."),
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


def limits(targets: Sequence[str], columns: Columns) -> list[str]:
    """A line on each target that the network's input size keeps far from Dice 1."""
    found = {name: columns.get(f"limit_{name}") for name in targets}
    means = {name: np.nanmean(column) for name, column in found.items() if column is not None}
    return [
        f"{name}: Dice cannot exceed {mean:.3f} on average, since the network's input is smaller "
        "than the photographs."
        for name, mean in means.items()
        if mean < LOW_LIMIT
    ]


def explained(targets: Sequence[str]) -> dict[str, str]:
    """Sentences on the areas of each target and on the baseline."""
    areas = {"true_area": "annotated as", "area": "predicted to be"}
    return {
        "baseline": "calls every pixel the class, without a network",
        "validation": "masks at the network's input size",
        "table": "masks at the size of the photographs",
        **{
            f"{name}_{target}": f"share of the image that is {what} {target}"
            for target in targets
            for name, what in areas.items()
        },
    }
