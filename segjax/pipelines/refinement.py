"""Patches slid over what a map proposes: where they are taken, and what their values become."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

# `score(pixels [n, 2]) -> probabilities [n]`
Score = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Cost:
    """What a refinement took.

    Attributes:
        candidates: pixels above the threshold of a proposal.
        patches: that were judged.
        left: candidates that were not, for the bound on patches; they are 0.
    """

    candidates: int
    patches: int
    left: int


def refined(
    strength: np.ndarray,
    inside: np.ndarray,
    score: Score,
    *,
    strides: Sequence[int] = (1,),
    above: float = 0.1,
    most: int = 0,
) -> tuple[np.ndarray, Cost]:
    """The map of a network of patches, at the candidates of a proposal; 0 elsewhere.

    With a stride s each cell of s by s pixels that holds candidates is judged once, at its pixel of
    the largest strength, and all its candidates take that value. Of several strides the cells of
    the next are judged where the value of the one before is at least `above`. Where more patches
    would be needed than `most`, those of the largest strength come first: in the first stride the
    other cells are 0, in later ones they keep the coarser value.

    Source: Sarhan et al. (2019), section 3.3, which slides over every candidate.
    Departures: strides above 1, and the bound.

    Args:
        strength: `[h, w]`, what proposes.
        inside: `[h, w]` bool, the candidates.
        score: gives the probability of a lesion at pixels (y, x).
        strides: pixels between patches, falling.
        above: see above.
        most: how many patches at most; 0 for no bound.

    Returns: the map, float32 `[h, w]`, and its cost.
    Empty cases: no candidates: 0 everywhere, and no patch.
    Raises: ValueError on strides that are not falling whole numbers of at least 1.
    Cost: that of `score`, and a sort of the candidates.
    """
    if not strides or any(a <= b for a, b in zip(strides, [*strides[1:], 0], strict=True)):
        raise ValueError(f"`strides` takes falling whole numbers of at least 1, got {strides}")
    values = np.zeros(inside.shape, np.float32)
    pixels = np.argwhere(inside)
    order = strength[inside]
    used, left = 0, 0
    for level, stride in enumerate(strides):
        if not len(pixels):
            break
        cell, chosen = _cells(pixels, order, stride, inside.shape)
        # From the strongest on: the bound cuts off the weakest
        rank = np.argsort(-order[chosen], kind="stable")
        room = len(rank) if not most else max(0, most - used)
        judged = np.zeros(len(chosen), bool)
        judged[rank[:room]] = True
        found = np.zeros(len(chosen), np.float32)
        found[judged] = score(pixels[chosen[judged]])
        used += int(judged.sum())
        known = judged[cell]
        if level == 0:
            left = int(np.count_nonzero(~known))
        values[tuple(pixels[known].T)] = found[cell[known]]
        again = known & (found[cell] >= above)
        # In later strides cells are ranked by what the coarser one found
        pixels, order = pixels[again], found[cell[again]] + order[again] * 1e-6
    return values, Cost(int(np.count_nonzero(inside)), used, left)


def _cells(
    pixels: np.ndarray, order: np.ndarray, stride: int, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The cell of each pixel `[n]`, and for each cell the number of its strongest pixel."""
    columns = -(-shape[1] // stride)
    name = pixels[:, 0] // stride * columns + pixels[:, 1] // stride
    _, cell = np.unique(name, return_inverse=True)
    # The last of a cell in rising order of strength is its strongest
    ranked = np.lexsort((order, cell))
    ends = np.flatnonzero(np.append(np.diff(cell[ranked]) > 0, True))
    return cell, ranked[ends]
