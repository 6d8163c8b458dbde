"""Metrics: pure functions that score predictions, one file per family."""

from segjax.metrics.localization import euclidean_distance, r_aed, r_aed_from_mean_distance

__all__ = ["euclidean_distance", "r_aed", "r_aed_from_mean_distance"]
