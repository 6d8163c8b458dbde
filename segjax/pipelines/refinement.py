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
        coarse: candidates that keep the value of a coarser stride, for the same reason.
    """

    candidates: int
    patches: int
    left: int
    coarse: int = 0

    def capped(self, most: int) -> str:
        """What the bound has left out, in words; empty where it has left out nothing."""
        parts = [f"{self.left} of {self.candidates} candidates were left out"] * (self.left > 0)
        if self.coarse:
            parts.append(f"{self.coarse} keep the value of a coarser stride")
        return f"{' and '.join(parts)} (refine.most_patches={most})" if parts else ""


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
    would be needed than `most`, those of the largest strength come first in every stride: in the
    first one the other cells are 0, in later ones they keep the coarser value. Of equal strengths
    the pixel comes first that is met first along rows, and so does the cell.

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
    Raises: ValueError on shapes that differ, and on strides that are not falling whole numbers of
        at least 1.
    Cost: that of `score`, and a sort of the candidates.
    """
    if not falls(strides):
        raise ValueError(f"`strides` takes falling whole numbers of at least 1, got {strides}")
    if strength.shape != inside.shape or inside.dtype != bool:
        raise ValueError(
            f"`inside` takes bool of shape {strength.shape}, got {inside.dtype} {inside.shape}"
        )
    values = np.zeros(inside.shape, np.float32)
    pixels = np.argwhere(inside)
    order = strength[inside]
    used = left = coarse = 0
    for level, stride in enumerate(strides):
        if not len(pixels):
            break
        cell, chosen = _cells(pixels, order, stride, inside.shape)
        # From the strongest on: the bound cuts off the weakest
        rank = np.argsort(-order[chosen], kind="stable")
        room = len(rank) if not most else max(0, most - used)
        judged = np.zeros(len(chosen), bool)
        judged[rank[:room]] = True
        known = judged[cell]
        missed = int(np.count_nonzero(~known))
        left, coarse = (missed, 0) if level == 0 else (left, coarse + missed)
        if not judged.any():
            break
        found = np.zeros(len(chosen), np.float32)
        found[judged] = score(pixels[chosen[judged]])
        used += int(judged.sum())
        values[tuple(pixels[known].T)] = found[cell[known]]
        again = known & (found[cell] >= above)
        pixels, order = pixels[again], order[again]
    return values, Cost(int(np.count_nonzero(inside)), used, left, coarse)


def falls(strides: Sequence[int]) -> bool:
    """Whether strides are falling whole numbers of at least 1."""
    if not strides or any(type(stride) is not int for stride in strides):
        return False
    return all(a > b for a, b in zip(strides, [*strides[1:], 0], strict=True))


def _cells(
    pixels: np.ndarray, order: np.ndarray, stride: int, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The cell of each pixel `[n]`, and for each cell the number of its strongest pixel."""
    columns = -(-shape[1] // stride)
    name = pixels[:, 0] // stride * columns + pixels[:, 1] // stride
    _, cell = np.unique(name, return_inverse=True)
    # The first of a cell in falling order of strength is its strongest
    ranked = np.lexsort((-order, cell))
    starts = np.flatnonzero(np.append(True, np.diff(cell[ranked]) > 0))
    return cell, ranked[starts]
