"""Statistics on the host: tests and intervals of finished runs, of ROC areas, and agreement."""

from segjax.stats.agreement import cohen_kappa, fleiss_kappa, set_jaccard
from segjax.stats.resampling import (
    bootstrap_interval,
    crossed_bootstrap_interval,
    holm,
    paired_permutation_test,
    paired_statistic_test,
)
from segjax.stats.roc import delong_interval, delong_test

__all__ = [
    "bootstrap_interval",
    "cohen_kappa",
    "crossed_bootstrap_interval",
    "delong_interval",
    "delong_test",
    "fleiss_kappa",
    "holm",
    "paired_permutation_test",
    "paired_statistic_test",
    "set_jaccard",
]
