"""The triplet loss from its equation, in NumPy float64, one triplet at a time."""

import math

import numpy as np

from tests.losses.cases import Case


def triplet(anchor, positive, negative, margin=0.5, distance="angular"):
    apart = {"angular": _angular, "cosine": _cosine, "euclidean": math.dist}[distance]
    values = [
        max(apart(a, p) - apart(a, n) + margin, 0.0)
        for a, p, n in zip(anchor, positive, negative, strict=True)
    ]
    return np.array(values)


def _cosine(u, v):
    return 1 - float(np.dot(u, v)) / (math.hypot(*u) * math.hypot(*v))


def _angular(u, v):
    return math.acos(1 - _cosine(u, v)) / math.pi


ORACLES = {"triplet": triplet}
CASES = [
    Case("triplet"),
    Case("triplet", {"margin": 2.5, "distance": "cosine"}),
    Case("triplet", {"margin": 5.0, "distance": "euclidean"}),
]
