"""Metrics: pure functions that score predictions, one file per family."""

from segjax.metrics.activation import activation_in_region
from segjax.metrics.froc import froc_counts, match_lesions
from segjax.metrics.localization import euclidean_distance, r_aed, r_aed_from_mean_distance
from segjax.metrics.overlap import (
    dice,
    dice_from_counts,
    jaccard,
    jaccard_from_counts,
    overlap_counts,
)
from segjax.metrics.precision_recall import (
    average_precision_from_histogram,
    best_f1_threshold,
    counts_from_histogram,
    score_histogram,
)
from segjax.metrics.ranking import (
    average_precision,
    average_precision_from_counts,
    precision_recall_from_counts,
    roc_auc,
    sensitivity_specificity,
    threshold_counts,
)
from segjax.metrics.surface import average_surface_distance, hausdorff_distance, surface_dice
from segjax.metrics.topology import betti_error, betti_numbers, cl_dice, euler_number

__all__ = [
    "activation_in_region",
    "average_precision",
    "average_precision_from_counts",
    "average_precision_from_histogram",
    "average_surface_distance",
    "best_f1_threshold",
    "betti_error",
    "betti_numbers",
    "cl_dice",
    "counts_from_histogram",
    "dice",
    "dice_from_counts",
    "euclidean_distance",
    "euler_number",
    "froc_counts",
    "hausdorff_distance",
    "jaccard",
    "jaccard_from_counts",
    "match_lesions",
    "overlap_counts",
    "precision_recall_from_counts",
    "r_aed",
    "r_aed_from_mean_distance",
    "roc_auc",
    "score_histogram",
    "sensitivity_specificity",
    "surface_dice",
    "threshold_counts",
]
