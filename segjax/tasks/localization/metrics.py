"""What the table of a localisation comes to: names, units, sentences and remarks."""

import numpy as np

from segjax.metrics import statistics
from segjax.tasks.localization.decoding import DECODERS
from segjax.tasks.metric import Columns, Metric

# Predicted points that vary less than this share of the annotated ones are worth a remark, of so
# many cases at least: two or three may lie close together by chance.
STILL, FEWEST = 1 / 3, 5
FROM_TO = "From the predicted to the annotated point, "

METRICS = (
    Metric(
        "r_aed",
        ("distance",),
        statistics.r_aed,
        title="R-AED",
        description="1 / (the mean distance + 0.1), where each side of a photograph counts 1; 10 "
        "where every point is hit.",
    ),
    Metric(
        "distance",
        ("distance",),
        higher_is_better=False,
        title="normalised distance",
        reported=False,
        description=FROM_TO + "where width and height of a photograph count 1 each; the mean over "
        "cases.",
    ),
    Metric(
        "distance_pixels",
        ("distance_pixels",),
        title="distance in pixels",
        higher_is_better=False,
        unit="px of the original",
        description=FROM_TO + "in pixels of the photograph as it is stored; the mean over cases.",
    ),
    Metric(
        "distance_widths",
        ("distance_widths",),
        title="distance in widths",
        higher_is_better=False,
        reported=False,
        unit="image widths",
        description=FROM_TO + "in widths of the photograph; the mean over cases.",
    ),
)


def explained(decode: str, image_size: tuple[int, int]) -> dict[str, str]:
    """Sentences on the columns, the baseline, and on how exact a point is.

    Args:
        decode: of `DECODERS`.
        image_size: height and width of the network's input.
    """
    whole, (height, width) = DECODERS[decode].whole, image_size
    place = "the middle of a pixel" if whole else "decoded below a pixel"
    exact = (
        "answers the middle of one: a smaller distance is not resolved"
        if whole
        else "goes below one"
    )
    return {
        "validation": "distances measured on the original photographs",
        "baseline": "always answers the mean position of the training points, without a network",
        "resolution": f"one pixel of the network's input is 1/{width} of the width and 1/{height} "
        f"of the height of a photograph, and decoding by `{decode}` {exact}",
        "true_x": "x of the annotated point, in px of the original from its left edge",
        "true_y": "y of the annotated point, in px of the original from its upper edge",
        "predicted_x": f"x of the predicted point, in px of the original, {place} of the network's "
        "input",
        "predicted_y": "y of the predicted point, in px of the original",
    }


def remarks(columns: Columns) -> list[str]:
    """A line where the predicted points hardly vary beside the annotated ones."""
    names = [f"{kind}_{axis}" for kind in ("predicted", "true") for axis in "xy"]
    if not {*names} <= {*columns}:
        return []
    table = np.stack([np.asarray(columns[name], np.float64) for name in names])
    table = table[:, np.isfinite(table).all(axis=0)]
    if table.shape[1] < FEWEST:
        return []
    found, there = np.std(table, axis=1, ddof=1).reshape(2, 2)
    if not (found < STILL * there).all():
        return []
    return [f"Predicted points hardly vary: sd {_in_pixels(found)}, annotated {_in_pixels(there)}."]


def _in_pixels(sd: np.ndarray) -> str:
    return "{:.2g} x {:.2g} px".format(*sd) if sd.max() < 1 else "{:.0f} x {:.0f} px".format(*sd)
