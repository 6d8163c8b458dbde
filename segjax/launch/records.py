"""What the records of a set say, by which `segjax new` writes its experiment file."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from segjax.data import fields, store

LOOKED_AT = 50  # photographs, by which classes are ordered


def largest_first(made: Any, masks: Sequence[str]) -> list[str]:
    """Masks by their mean area, so that one within another comes later, and is not painted over."""
    if len(masks) < 2:
        return list(masks)
    source = store.open_split(made, "train", tuple(masks))
    some = range(0, len(source), max(1, len(source) // LOOKED_AT))
    areas = dict.fromkeys(masks, 0.0)
    for example in (source[index] for index in some):
        for name in masks:
            areas[name] += float((example[name] > 0).mean())
    return sorted(masks, key=lambda name: -areas[name])


def lacks_points(made: Any) -> bool:
    """Whether a photograph has no points, as one without a marked finding may."""
    names = fields.points(made)
    for split in made.info.splits:
        source = store.open_split(made, split, ())
        for index in range(len(source)):
            example = source[index]
            if not all(np.isfinite(example[name]).all() for name in names):
                return True
    return False


def first_finding(made: Any) -> str:
    """The first finding that training and validation have photographs with and without.

    The first one of all where there is none such: training says what it lacks.
    """
    names = fields.findings(made)
    found = {name: [set(), set()] for name in names}
    for place, split in enumerate(("train", "validation")):
        # A fifth of `train` where none is validation
        split = split if split in made.info.splits else "train"
        source = store.open_split(made, split, ())
        for index in range(len(source)):
            example = source[index]
            for name in names:
                found[name][place].add(int(example[f"{name}{fields.LABEL}"]))
    both = [name for name in names if all({0, 1} <= labels for labels in found[name])]
    return (both or names)[0]
