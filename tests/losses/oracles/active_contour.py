"""The active contour loss from its equation, in NumPy float64, one image at a time."""

import numpy as np

from tests.losses.cases import Case

from .hausdorff_morphology import _planes


def _step(index, axis, by):
    return tuple(i + by * (a == axis) for a, i in enumerate(index))


def _length(u, alignment):
    first = 0 if alignment == "pixel" else 1
    sizes = []
    for i in np.ndindex(*(n - 1 - first for n in u.shape)):
        ends = ((_step(i, a, first + 1), _step(i, a, first)) for a in range(u.ndim))
        sizes.append(np.sqrt(sum((u[far] - u[near]) ** 2 for far, near in ends) + 1e-8))
    return np.mean(sizes)


def _bending(u):
    """By explicit derivatives at each pixel, the formula in matrix form."""

    def derivative(i, a, b):
        if a == b:
            return u[_step(i, a, 1)] - 2 * u[i] + u[_step(i, a, -1)]
        signs = [(s, t) for s in (1, -1) for t in (1, -1)]
        return sum(s * t * u[_step(_step(i, a, s), b, t)] for s, t in signs) / 4

    terms, axes = [], range(u.ndim)
    for corner in np.ndindex(*(n - 2 for n in u.shape)):
        i = tuple(n + 1 for n in corner)
        g = np.array([u[_step(i, a, 1)] - u[_step(i, a, -1)] for a in axes]) / 2
        h = np.array([[derivative(i, a, b) for b in axes] for a in axes])
        kappa = (g @ g * np.trace(h) - g @ h @ g) / (g @ g + 1e-3) ** 1.5
        terms.append(kappa**2 * np.sqrt(g @ g + 1e-8))
    return np.mean(terms)


def active_contour(logits, labels, length=1.0, region=1.0, curvature=0.0, alignment="pixel"):
    values = []
    for planes in _planes(logits, labels, False):
        each = []
        for u, v in planes:
            total = length * _length(u, alignment)
            total += region * (np.mean(u * (v - 1) ** 2) + np.mean((1 - u) * v**2))
            if curvature:
                total += curvature * _bending(u)
            each.append(total)
        values.append(np.mean(each))
    return np.array(values)


ORACLES = {"active_contour": active_contour}
SHAPES = ((5, 6, 7, 3), (8, 8, 1))
CASES = [
    Case("active_contour", shapes=((8, 8, 3), *SHAPES)),
    Case("active_contour", {"alignment": "repo", "length": 0.5}, shapes=SHAPES),
    Case("active_contour", {"curvature": 2.0, "region": 0.25}, shapes=((8, 8, 3), *SHAPES)),
]
