"""The topological losses by reduction of boundary matrices of cubical complexes, over Z / 2."""

import itertools

import numpy as np

from tests.losses.cases import Case

# Edges that enter with one pixel, by the side of the pixel on which they lie.
SIDES = {
    "vertices": [(0, 1), (1, 0), (0, -1), (-1, 0)],
    "top_cells": [(-1, 0), (0, -1), (1, 0), (0, 1)],
}


class Complex:
    """The cells of an image, in the order in which they enter as the threshold falls."""

    def __init__(self, image, construction):
        pixels = sorted(np.ndindex(image.shape), key=lambda pixel: (-image[pixel], pixel))
        self.rank = {pixel: place for place, pixel in enumerate(pixels)}
        self.image, self.construction = image, construction
        grow = -1 if construction == "vertices" else 1
        cells = itertools.product(*(range(2 * size + grow) for size in image.shape))
        self.cells = sorted(cells, key=self.place)
        self.order = {cell: place for place, cell in enumerate(self.cells)}

    def pixel(self, cell):
        """The pixel with which a cell enters: the last of its corners, or the first around it."""
        if self.construction == "vertices":
            reach = [(x // 2, (x + 1) // 2) for x in cell]
            return max(itertools.product(*reach), key=self.rank.get)
        reach = [
            [i for i in {(x - 1) // 2, x // 2} if 0 <= i < size]
            for x, size in zip(cell, self.image.shape, strict=True)
        ]
        return min(itertools.product(*reach), key=self.rank.get)

    def place(self, cell):
        pixel = self.pixel(cell)
        tie = cell
        if dimension(cell) == 1:
            centre = 0 if self.construction == "vertices" else 1
            side = tuple(x - 2 * i - centre for x, i in zip(cell, pixel, strict=True))
            tie = (SIDES[self.construction].index(side),) if len(side) == 2 else side
        return self.rank[pixel], dimension(cell), tie

    def value(self, cell):
        return 0.0 if cell is None else self.image[self.pixel(cell)]


def dimension(cell):
    return sum(x % 2 for x in cell)


def faces(cell):
    for axis, x in enumerate(cell):
        if x % 2:
            for step in (-1, 1):
                yield (*cell[:axis], x + step, *cell[axis + 1 :])


def reduce(births, deaths, dim):
    """Pairs (birth, death) of the map from complex `births` to complex `deaths`."""
    pivots = {}
    for cell in (c for c in deaths.cells if dimension(c) == dim + 1):
        column = set(faces(cell))
        while column:
            pivot = max(column, key=births.order.get)
            if pivot not in pivots:
                pivots[pivot] = (column, cell)
                break
            column = column ^ pivots[pivot][0]
    pairs = [(birth, death) for birth, (_, death) in pivots.items()]
    if dim == 0:
        pairs += [(c, None) for c in births.cells if dimension(c) == 0 and c not in pivots]
    return pairs


def bars(complex_, dim):
    """Birth cell -> (birth cell, death cell), of features that live for a while."""
    found = {pair[0]: pair for pair in reduce(complex_, complex_, dim)}
    value = complex_.value
    return {b: p for b, p in found.items() if p[1] is None or value(p[0]) > value(p[1])}


def foregrounds(logits, labels):
    """Foreground probability and target share, of each image a list over the classes."""
    logits = np.asarray(logits, np.float64)
    if logits.shape[-1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], -1)
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    probs = raised / raised.sum(-1, keepdims=True)
    for p, t in zip(probs, labels, strict=True):
        shares = np.eye(p.shape[-1])[t] if t.ndim < p.ndim else t
        shares = np.concatenate([1 - shares, shares], -1) if shares.shape[-1] == 1 else shares
        yield [(p[..., k], shares[..., k]) for k in range(1, p.shape[-1])]


def tiles(image, patch):
    if patch is None:
        return [image]
    corners = itertools.product(*(range(0, size, patch) for size in image.shape))
    return [image[tuple(slice(i, i + patch) for i in corner)] for corner in corners]


def topological(
    logits,
    labels,
    dims=(0, 1),
    patch=None,
    threshold=0.0,
    frame=True,
    construction="top_cells",
    max_pairs=None,
    route="auto",
):
    values = []
    for pairs in foregrounds(logits, labels):
        costs = []
        for prob, share in pairs:
            for p, t in zip(tiles(prob, patch), tiles(1.0 * (share > 0.5), patch), strict=True):
                costs.append(0.0)
                for dim in dims:
                    grown = frame and dim > 0
                    both = [np.pad(x, 1, constant_values=1.0) if grown else x for x in (p, t)]
                    here, true = (Complex(x, construction) for x in both)
                    count = sum(true.value(b) > 0.5 for b in bars(true, dim))
                    count = count if max_pairs is None else min(count, max_pairs)
                    # None, the death that never comes, outlasts a death at probability 0.
                    lengths = sorted(
                        (
                            (d is None, here.value(b) - here.value(d), here.value(b), here.value(d))
                            for b, d in bars(here, dim).values()
                        ),
                        reverse=True,
                    )[:max_pairs]
                    for place, (_, length, birth, death) in enumerate(lengths):
                        if place < count:
                            costs[-1] += (1 - birth) ** 2 + death**2
                        elif length > threshold:
                            costs[-1] += length**2 / 2
                    costs[-1] += max(0, count - len(lengths)) / 2
        values.append(np.mean(costs))
    return np.array(values)


def betti_matching(logits, labels, dims=(0, 1), relative=False, construction="vertices"):
    values = []
    for pairs in foregrounds(logits, labels):
        costs = []
        for f, g in pairs:
            if relative:
                f, g = (np.pad(x, 1, constant_values=1.0) for x in (f, g))
            f, g, union = (Complex(x, construction) for x in (f, g, np.maximum(f, g)))
            costs.append(sum(matching_cost(f, g, union, dim) for dim in dims))
        values.append(np.mean(costs))
    return np.array(values)


def matching_cost(f, g, union, dim):
    sizes = {}
    matches = []  # for f and g: death in the union -> bar
    for image in (f, g):
        own = bars(image, dim)
        sizes[image] = dict(own)
        there = {death for _, death in bars(union, dim).values()}
        matches.append(
            {
                death: own[birth]
                for birth, death in reduce(image, union, dim)
                if death in there
                and birth in own
                and (death is None or image.value(birth) > union.value(death))
            }
        )
    total = 0.0
    for death in matches[0].keys() & matches[1].keys():
        one, other = matches[0][death], matches[1][death]
        total += 2 * (f.value(one[0]) - g.value(other[0])) ** 2
        total += 2 * (f.value(one[1]) - g.value(other[1])) ** 2
        del sizes[f][one[0]], sizes[g][other[0]]
    for image, left in sizes.items():
        total += sum((image.value(b) - image.value(d)) ** 2 for b, d in left.values())
    return total


ORACLES = {"betti_matching": betti_matching, "topological": topological}
CASES = [
    Case("topological", ordered=False, half=0.05),
    Case("topological", {"route": "device", "construction": "vertices"}, ((6, 8, 1),)),
    Case("topological", {"patch": 4, "threshold": 0.1, "max_pairs": 3, "frame": False}),
    Case("topological", {"dims": (2, 0)}, ((3, 5, 4, 2),)),
    Case("betti_matching", ordered=False, half=0.05),
    Case("betti_matching", {"construction": "top_cells", "relative": True}, ((6, 8, 1),)),
    Case("betti_matching", {"dims": (0,)}, ((3, 4, 5, 2),)),
]
