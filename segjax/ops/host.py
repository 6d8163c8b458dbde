"""Calls of host code from inside compiled programs, and what the host routes share."""

import concurrent.futures
import os
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
from jax.experimental.buffer_callback import buffer_callback

from segjax.types import Array

ROUTES = ("auto", "host", "device")


def call(function: Callable, result: object, array: Array, *options) -> object:
    """`function(array, *options)` of NumPy arrays, from inside a program; no gradient.

    It runs under jit, vmap (which adds leading axes to the array), pmap and sharding; a program
    sharded by the compiler gathers the array, and each device calls with the whole of it.

    Args:
        function: pure; returns an array, or a tuple of them.
        result: `jax.ShapeDtypeStruct`, or a tuple of them.
        array: what is handed over.
        options: hashable.
    """
    if jax.default_backend() == "cpu":
        # `pure_callback` copies its arguments in a thread of the pool that runs the programs, and
        # waits for ever where these hold all threads: on one core, or on as many devices as cores.
        written = buffer_callback(_Written(function, options), result, vmap_method="expand_dims")
        return written(array)
    return jax.pure_callback(
        lambda x: function(np.asarray(x), *options), result, array, vmap_method="expand_dims"
    )


@dataclass(frozen=True)
class _Written:
    """A function whose results are written into buffers; equal ones share a compiled program."""

    function: Callable
    options: tuple

    def __call__(self, context: object, buffers: object, array: object) -> None:
        found = self.function(np.asarray(array), *self.options)
        pairs = zip(jax.tree.leaves(buffers), jax.tree.leaves(found), strict=True)
        for buffer, values in pairs:
            np.asarray(buffer)[...] = values


def sort_with_places(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unsigned keys `[n]` in ascending order and their places before, ties by place.

    Of 32 bits, key and place travel in one integer: NumPy sorts integers with vector instructions,
    several times faster than it finds an order.
    """
    if keys.dtype != np.uint32 or keys.size >= 2**32:
        places = np.argsort(keys, kind="stable")
        return keys[places], places
    packed = keys.astype(np.uint64)
    packed <<= np.uint64(32)
    packed |= np.arange(keys.size, dtype=np.uint64)
    packed.sort()
    # The cast to 32 bits keeps the lower half: the place.
    return (packed >> np.uint64(32)).astype(np.uint32), packed.astype(np.uint32).astype(np.intp)


def map_rows(function: Callable, rows: np.ndarray) -> list:
    """The function of each row, on all cores: NumPy and GUDHI work without the interpreter lock."""
    if len(rows) == 1:
        return [function(rows[0])]
    with concurrent.futures.ThreadPoolExecutor(min(len(rows), os.cpu_count() or 1)) as pool:
        return list(pool.map(function, rows))
