"""Operating points, chosen on the validation split."""

import numpy as np


def operating_point(probability: np.ndarray, label: np.ndarray) -> float:
    """The probability from which on a case is called positive: the best harmonic mean.

    Of sensitivity and specificity, over all cuts between two neighbouring probabilities; the first
    of equals. 0.5 where there is nothing to choose: one class only, or one probability.

    Source: Son et al. (2018), table 1: "specificity and sensitivity that yield the best harmonic
    mean are chosen". Departures: chosen on the validation split, and reported on any.
    """
    values = np.unique(probability)
    positive = label > 0.5
    if len(values) < 2 or positive.all() or not positive.any():
        return 0.5
    # In float64: between two neighbours of float32 there is no third
    cuts = (values[:-1].astype(np.float64) + values[1:]) / 2
    sensitivity = np.array([np.mean(probability[positive] >= cut) for cut in cuts])
    specificity = np.array([np.mean(probability[~positive] < cut) for cut in cuts])
    total = sensitivity + specificity
    harmonic = 2 * sensitivity * specificity / np.where(total > 0, total, 1)
    return float(cuts[np.argmax(harmonic)])
