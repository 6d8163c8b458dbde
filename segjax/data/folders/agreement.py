"""How far the annotators of findings agree: on what is there, and in which regions."""

import itertools

import numpy as np

from segjax import stats
from segjax.data.folders.annotations import Annotations, Finding


def kappa(found: Annotations, finding: str) -> float | None:
    """Fleiss' kappa of marking a finding or not; nan where all do the same with every image.

    None where images have different numbers of annotators, or one, of which it is not defined.
    """
    if len(each := {len(everyone) for everyone in found.annotators.values()}) > 1 or 1 in each:
        return None
    marks = found.findings[finding].marks
    marked = np.array([len(marks.get(name, {})) for name in found.annotators])
    return stats.fleiss_kappa(np.stack([marked, each.pop() - marked], axis=1))


def same_regions(finding: Finding) -> tuple[float, int]:
    """Mean Jaccard index of the regions of two annotators who both marked it, and of how many.

    Pairs are counted over all images; without any the mean is nan.
    """
    found = [
        stats.set_jaccard(one, other)
        for marks in finding.marks.values()
        for one, other in itertools.combinations(marks.values(), 2)
    ]
    return (float(np.mean(found)) if found else float("nan")), len(found)
