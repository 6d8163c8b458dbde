"""What the table of a segmentation of volumes comes to: names, units and sentences."""

from collections.abc import Sequence

from segjax.metrics import statistics
from segjax.tasks.metric import Metric


def of(classes: Sequence[str], groups: Sequence[str]) -> tuple[Metric, ...]:
    """Dice, Hausdorff distance and missing classes, over all cases and over each group.

    With `groups`, the report of a sweep shows those of each group instead of all.
    """
    found = []
    for name in classes:
        for group in ("", *groups):
            found += _metrics_of(name, group, reported=bool(group) or not groups)
    mean = "The mean of Dice over the classes, without the background."
    return (*found, Metric("dice", ("mean_dice",), title="mean Dice", description=mean))


def explained(classes: Sequence[str], pixel_spacing: Sequence[float]) -> dict[str, str]:
    """Sentences on the volumes of each class and on the loss; the spacing is (y, x) in mm."""
    grid = "the resampled grid"
    if pixel_spacing:
        grid += f" (pixels of {' x '.join(f'{side:g}' for side in pixel_spacing)} mm)"
    volumes = {"true_volume": "annotated", "volume": "predicted"}
    told = {
        "validation": f"volumes in {grid}",
        "table": "volumes in the grid of their files",
        "loss": f"It is taken of probabilities of 2-D patches in {grid}, and not of the volumes "
        "that Dice is of: 1 - Dice is another number.",
    }
    return told | {
        f"{name}_{label}": f"{what} volume of {label}, in mL"
        for label in classes
        for name, what in volumes.items()
    }


def _metrics_of(name: str, group: str, reported: bool) -> tuple[Metric, ...]:
    """The metrics of a class, over the cases of a group."""
    ending, title = f"/{group}" if group else "", f"{name} {group}".strip()
    distance = (f"hausdorff_{name}",)
    shown = {"cases": group, "reported": reported}
    return (
        Metric(
            f"dice/{name}{ending}",
            (f"dice_{name}",),
            title=f"Dice {title}",
            description="Twice the common volume by the sum of both volumes, 1 where both are "
            "empty. In tables in the voxel grid of the files; in validations during training in "
            "the resampled one.",
            **shown,
        ),
        Metric(
            f"hausdorff/{name}{ending}",
            distance,
            title=f"HD {title}",
            unit="mm",
            higher_is_better=False,
            description="Hausdorff distance in three dimensions, with the spacing of the file: "
            "how far the point of one surface that is farthest from the other lies from it; a few "
            "stray voxels decide it. A case where one of the two is empty has none, and is left "
            "out of the mean.",
            **shown,
        ),
        Metric(
            f"missing/{name}{ending}",
            distance,
            statistics.not_finite,
            title=f"without HD {title}",
            unit="cases",
            higher_is_better=False,
            cases=group,
            reported=False,
            description="How many cases have no Hausdorff distance: the structure is missing from "
            "the prediction or from the truth.",
        ),
    )
