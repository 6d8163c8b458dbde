"""What the fields of a prepared set are: masks, points, or those of labelled volumes."""

from typing import Any

import numpy as np
import tensorflow_datasets as tfds

# Which pixels somebody has labelled, in sets made of a folder
ANNOTATED = "annotated"


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


def is_volumes(made: Any) -> bool:
    """Whether examples are labelled volumes."""
    return {"labels", "spacing", "affine"} <= set(made.info.features)


def has_annotated(made: Any) -> bool:
    """Whether some pixels are left out."""
    return ANNOTATED in made.info.features


def has_ignored(made: Any) -> bool:
    """Whether a set of volumes says that some voxels are labelled 255, and count nowhere."""
    return "ignored" in (made.info.metadata or {})
