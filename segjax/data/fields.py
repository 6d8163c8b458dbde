"""What the fields of a prepared set are: masks, points, or those of labelled volumes."""

from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from segjax.data import shards
from segjax.data.regions import REGIONS as NAMED_REGIONS

# Which pixels somebody has labelled, in sets made of a folder
ANNOTATED = "annotated"
# What the fields of a finding end in: is it there, and in which regions
LABEL, REGIONS = "_label", "_regions"


def masks(made: Any) -> list[str]:
    """Fields of masks: those that the set names as classes, or all."""
    features = made.info.features
    named = getattr(made, "CLASSES", ()) or [
        name
        for name, feature in features.items()
        if isinstance(feature, tfds.features.Image) and feature.shape[-1] == 1
    ]
    return [name for name in named if name in features and name != ANNOTATED]


def points(made: Any) -> list[str]:
    """Fields that are a point (x, y)."""
    return [
        name
        for name, feature in made.info.features.items()
        if feature.shape == (2,) and np.issubdtype(feature.np_dtype, np.floating)
    ]


def findings(made: Any) -> list[str]:
    """Findings that have a label and regions, in the order of the alphabet."""
    shapes = {name: feature.shape for name, feature in made.info.features.items()}
    # The description of a prepared set keeps no order of its fields
    found = sorted(name.removesuffix(LABEL) for name in shapes if name.endswith(LABEL))
    return [name for name in found if shapes.get(f"{name}{REGIONS}") == (len(NAMED_REGIONS),)]


def labelled(made: Any) -> dict[str, tuple[int, int]]:
    """By finding in how many examples it is present, and absent."""
    names = findings(made)
    counts = {name: [0, 0] for name in names}
    for split in made.info.splits if names else ():
        source = shards.open_split(made, split, tuple(f"{name}{LABEL}" for name in names))
        for index in range(len(source)):
            example = source[index]
            for name in names:
                if (label := int(example[f"{name}{LABEL}"])) >= 0:
                    counts[name][1 - label] += 1
    return {name: (present, absent) for name, (present, absent) in counts.items()}


def is_volumes(made: Any) -> bool:
    """Whether examples are labelled volumes."""
    return {"labels", "spacing", "affine"} <= set(made.info.features)


def has_annotated(made: Any) -> bool:
    """Whether some pixels are left out."""
    return ANNOTATED in made.info.features


def has_ignored(made: Any) -> bool:
    """Whether a set of volumes says that some voxels are labelled 255, and count nowhere."""
    return "ignored" in (made.info.metadata or {})
