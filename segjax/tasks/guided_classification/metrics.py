"""What the table of a guided classification comes to: names, sentences and remarks."""

import numpy as np

from segjax.metrics import statistics
from segjax.stats import delong_interval
from segjax.tasks.guided_classification.cells import CUTS
from segjax.tasks.metric import Columns, Metric

AIR = (
    "The share of the activation that lies in the annotated regions (relevance mass accuracy, "
    "energy pointing game), by the map before it is upsampled; the mean over "
)
# What a case has only if it is positive, negative, or positive and found or missed.
OF_POSITIVES = ("air", "air_chance", "pointing", "pointing_chance", "iou")

METRICS = (
    Metric(
        "auroc",
        ("probability", "label"),
        statistics.roc_auc,
        title="AUROC",
        description="The probability that a photograph with the finding is ranked above one "
        "without it; 0.5 by chance.",
    ),
    Metric(
        "sensitivity",
        ("sensitive",),
        title="sensitivity",
        description="The share of photographs with the finding that are called positive, at the "
        "operating point: the probability with the best harmonic mean of sensitivity and "
        "specificity on the validation split.",
        is_of_some=True,
    ),
    Metric(
        "specificity",
        ("specific",),
        title="specificity",
        description="The share of photographs without the finding that are called negative, at "
        "the same operating point.",
        is_of_some=True,
    ),
    Metric(
        "air",
        ("air",),
        title="AIR",
        description=AIR + "all photographs with the finding.",
        is_of_some=True,
    ),
    Metric(
        "air_tp",
        ("air_tp",),
        title="AIR (TP)",
        description=AIR + "true positives at the operating point.",
        is_of_some=True,
    ),
    Metric(
        "air_fn",
        ("air_fn",),
        title="AIR (FN)",
        description=AIR + "false negatives.",
        is_of_some=True,
    ),
    Metric(
        "pointing",
        ("pointing",),
        title="pointing game",
        description="The share of photographs with the finding whose highest activation lies in "
        "an annotated region or within the tolerance of one.",
        is_of_some=True,
    ),
    Metric(
        "iou",
        ("iou",),
        title="IoU",
        description="The area that the regions and the activation map have in common, divided by "
        "the area of either; the map is cut at the share of its maximum that has the best mean on "
        "the validation split.",
        is_of_some=True,
    ),
)
# The table of paper 001 has the first of these; nothing but maps gives the others.
SCORED = ("probability", "label")
COLUMNS = (
    *SCORED,
    "sensitive",
    "specific",
    *OF_POSITIVES,
    "air_tp",
    "air_fn",
    "threshold",
    "cut",
)


def explained(crop: bool, tolerance: float) -> dict[str, str]:
    """Sentences on the columns, the baseline and the loss."""
    return {
        "baseline": "gives each photograph the same probability, and a map that is the same "
        "everywhere or, in the pointing game, points anywhere, without a network",
        "validation": "probabilities of whole photographs",
        "resolution": "activation maps have a sixteenth of the network's input size by default; "
        f"pointing tolerates {tolerance:.3g} of the shorter side"
        + ("; photographs are cropped to the field of view" if crop else ""),
        "probability": "that the photograph shows the finding",
        "label": "1 where it was annotated, 0 where not",
        "air_chance": "AIR of a map that is the same everywhere: the share of the map that the "
        "regions are; IoU of such a map",
        "pointing_chance": "the share of the map's cells that would count in the pointing game",
        "sensitive": "of photographs with the finding, whether they are called positive",
        "specific": "of photographs without it, whether they are called negative",
        "threshold": "the probability from which on a photograph is called positive",
        "cut": "the share of a map's maximum at which it is cut for IoU",
    }


def of_cases(columns: Columns, threshold: float) -> dict[str, np.ndarray]:
    """The columns that the operating point makes of the others."""
    probability, label = columns["probability"], columns["label"]
    called, positive = probability >= threshold, label > 0.5
    found = {
        "sensitive": np.where(positive, called, np.nan),
        "specific": np.where(positive, np.nan, ~called),
        "threshold": np.full(len(label), threshold),
    }
    if "air" in columns:
        found["air_tp"] = np.where(positive & called, columns["air"], np.nan)
        found["air_fn"] = np.where(positive & ~called, columns["air"], np.nan)
    return found


def remarks(columns: Columns) -> list[str]:
    """DeLong's interval, the operating point, and what AIR is worth by chance."""
    if not {"probability", "label"} <= {*columns}:
        return []
    label = np.asarray(columns["label"])
    positives, count = int(np.sum(label > 0.5)), len(label)
    lines = [f"{positives} of {count} photographs show the finding."]
    fewer = min(positives, count - positives)
    if not np.isfinite(columns["probability"]).all():
        lines.append("AUROC is not defined: a probability is no number.")
    elif fewer == 0:
        lines.append("AUROC is not defined: the photographs are of one class.")
    elif fewer == 1:
        lines.append("AUROC has no interval: there is one photograph of a class.")
    else:
        low, high = delong_interval(columns["probability"], label)
        told = f"the 95 % interval {low:.3f} to {high:.3f} by DeLong's variance"
        if low == high:
            told = "no interval: DeLong's variance is 0 here, and says nothing of other photographs"
        lines.append(f"AUROC has {told}.")
    if "threshold" in columns:
        called = np.asarray(columns["probability"]) >= columns["threshold"]
        found, missed = (int(np.sum(each & (label > 0.5))) for each in (called, ~called))
        lines.append(
            f"Operating point: a probability of {columns['threshold'][0]:.3g}, chosen on the "
            f"validation split: {found} true positives, {missed} false negatives. Figures of the "
            "validation split at it are optimistic."
        )
    if "cut" in columns and positives:
        edge = columns["cut"][0] in (CUTS[0], CUTS[-1])
        more = ", the last one that is tried" if edge else ""
        lines.append(f"IoU is of maps cut at {columns['cut'][0]:.2g} of their maximum{more}.")
    if "air_chance" in columns and positives:
        chance = np.nanmean(columns["air_chance"])
        wide = ": the regions are so wide that AIR, pointing game and IoU hardly tell maps apart"
        lines.append(
            f"A map that is the same everywhere has AIR {chance:.3f}{wide * bool(chance > 0.5)}."
        )
    return lines
