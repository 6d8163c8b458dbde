"""The order of training examples: a pure function of (seed, step), the same on every host."""

import functools

import numpy as np


# `example_at` asks for one position at a time; without the cache each would shuffle an epoch
@functools.lru_cache(maxsize=64)
def _permutation(seed: int, epoch: int, examples: int) -> np.ndarray:
    """A permutation of the examples that belongs to one epoch."""
    # Counter-based: (seed, epoch) is the whole key, so that no epoch needs the ones before it. Its
    # words have 64 bits, of which a seed may have more.
    generator = np.random.Generator(np.random.Philox(key=[seed % 2**64, epoch]))
    permutation = generator.permutation(examples)
    # The cache hands the same array to all
    permutation.setflags(write=False)
    return permutation


def example_at(seed: int, position: int, examples: int) -> int:
    """The example at one position of the endless sequence of shuffled epochs."""
    return int(_permutation(seed, position // examples, examples)[position % examples])


def batch_indices(seed: int, step: int, batch_size: int, examples: int) -> np.ndarray:
    """The examples `[batch_size]` of a step. Every example comes once an epoch.

    A batch may span two epochs, so that no example is ever dropped: batch k holds the positions
    [k * batch_size, (k + 1) * batch_size) of the shuffled epochs laid end to end.
    """
    start = step * batch_size
    positions = range(start, start + batch_size)
    return np.array([example_at(seed, position, examples) for position in positions], np.int32)


def evaluation_batches(examples: int, batch_size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(indices, weights) covering every example once; the tail is padded with weight 0."""
    batches = []
    for start in range(0, examples, batch_size):
        indices = np.arange(start, start + batch_size)
        weights = (indices < examples).astype(np.float32)
        # Padding repeats the last example: every batch has one shape, hence one compiled program
        batches.append((np.minimum(indices, examples - 1).astype(np.int32), weights))
    return batches
