"""Drawing in proportion to weights, of millions, in little memory."""

import numpy as np

BLOCK = 1024  # weights whose sum is kept; within a block they are added up when it is hit


class WeightedChoice:
    """Draws numbers 0 … n - 1 with probability w_i / sum w, with replacement.

    Args:
        weights: `[n]`, finite and >= 0, not all 0; kept as float32.

    Raises: ValueError for other weights.
    """

    def __init__(self, weights: np.ndarray):
        weights = np.ascontiguousarray(weights, np.float32)
        if weights.ndim != 1 or not len(weights):
            raise ValueError(f"`weights` takes [n] with n above 0, got shape {weights.shape}")
        if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
            raise ValueError("`weights` takes finite numbers >= 0, one of them above 0")
        self.weights = weights
        starts = np.arange(0, len(weights), BLOCK)
        self._until = np.cumsum(np.add.reduceat(weights, starts, dtype=np.float64))

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return self.weights.nbytes + self._until.nbytes

    def draw(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """`count` numbers, int64."""
        point = generator.random(count) * self._until[-1]
        # Below the end, whatever the rounding
        block = np.minimum(np.searchsorted(self._until, point, side="right"), len(self._until) - 1)
        point = point - np.where(block > 0, self._until[block - 1], 0.0)
        found = np.empty(count, np.int64)
        for number in np.unique(block):
            here, start = block == number, number * BLOCK
            sums = np.cumsum(self.weights[start : start + BLOCK], dtype=np.float64)
            # The last one that weighs anything takes what rounding leaves beyond the sum
            last = np.flatnonzero(self.weights[start : start + BLOCK])[-1]
            found[here] = start + np.minimum(np.searchsorted(sums, point[here], side="right"), last)
        return found
