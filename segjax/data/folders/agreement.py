"""How far the annotators of findings agree: on what is there, and in which regions."""

import itertools
import math

import numpy as np

from segjax import stats
from segjax.data.folders.annotations import Annotations, Finding


def fleiss(found: Annotations, finding: str) -> float | None:
    """Fleiss' kappa of marking a finding or not; nan where all do the same with every image.

    None where images have different numbers of annotators, or one, of which it is not defined.
    """
    if len(each := {len(everyone) for everyone in found.annotators.values()}) > 1 or 1 in each:
        return None
    marks = found.findings[finding].marks
    marked = np.array([len(marks.get(name, {})) for name in found.annotators])
    return stats.fleiss_kappa(np.stack([marked, each.pop() - marked], axis=1))


def cohen_pairs(found: Annotations, finding: str) -> dict[tuple[str, str], tuple[int, float]]:
    """Cohen's kappa of every two annotators who share images, and of how many; nan as there."""
    marks = found.findings[finding].marks
    people = dict.fromkeys(who for everyone in found.annotators.values() for who in everyone)
    values = {}
    for pair in itertools.combinations(people, 2):
        common = [name for name, who in found.annotators.items() if {*pair} <= {*who}]
        if common:
            rated = [[who in marks.get(name, {}) for name in common] for who in pair]
            values[pair] = len(common), stats.cohen_kappa(*rated)
    return values


def cohen(found: Annotations, finding: str) -> tuple[float, int]:
    """Mean of Cohen's kappa over pairs of annotators, each of the images of both; over how many.

    Pairs without a common image, or of whom it is not defined, do not count; without any the mean
    is nan.
    """
    values = [value for _, value in cohen_pairs(found, finding).values()]
    known = [value for value in values if not math.isnan(value)]
    return (float(np.mean(known)) if known else math.nan), len(known)


def kappa_text(found: Annotations, finding: str) -> str:
    """Cohen's kappa of two annotators, Fleiss' of more, the mean of Cohen's where numbers vary."""
    value, pairs = cohen(found, finding)
    several = len({who for everyone in found.annotators.values() for who in everyone}) > 2
    if several and (overall := fleiss(found, finding)) is not None:
        name, value = "Fleiss' kappa", overall
    elif several and pairs:
        name = f"Cohen's kappa, mean of {pairs} pair{'s' * (pairs > 1)} of annotators,"
    else:
        name = "Cohen's kappa"
    return f"{name} {'not defined' if math.isnan(value) else format(value, '.2f')}"


def same_regions(finding: Finding) -> tuple[float, int]:
    """Mean Jaccard index of the regions of two annotators who both marked it, and of how many.

    Pairs are counted over all images; without any the mean is nan.
    """
    found = [
        stats.set_jaccard(one, other)
        for marks in finding.marks.values()
        for one, other in itertools.combinations(marks.values(), 2)
    ]
    return (float(np.mean(found)) if found else math.nan), len(found)
