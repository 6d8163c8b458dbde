"""Calls of the host from compiled programs, and the sort that its routes share."""

import functools
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops import host

ON_ONE_CORE = """
import os
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
import jax
import numpy as np
from segjax.ops import host

def total(x):
    # Shifted views, so that not every one begins where the processor likes it.
    return sum(
        host.call(np.negative, jax.ShapeDtypeStruct(part.shape, part.dtype), part).sum()
        for part in (2 * x[:, k:] for k in range(4))
    )

x = np.ones((8, 65536), np.float32)
run = jax.jit(total)
print(float(run(x)), float(run(x)))
"""


def test_a_call_on_one_core_does_not_wait_for_ever():
    """A program and the copy of a callback's arguments shared one pool, here of one thread."""
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    environment["PYTHONPATH"] = str(pathlib.Path(__file__).parents[2])
    ended = subprocess.run(
        [sys.executable, "-c", ON_ONE_CORE],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.stdout.split() == [str(-16.0 * (4 * 65536 - 6))] * 2, ended.stderr


def scaled(x, factor):
    return x * factor, x > 0


def both(x):
    shapes = tuple(jax.ShapeDtypeStruct(x.shape, t) for t in (x.dtype, bool))
    return host.call(scaled, shapes, x, 3)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_results_options_and_leading_axes(monkeypatch, backend):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    x = np.random.default_rng(0).standard_normal((8, 5)).astype(np.float32)
    mapped = functools.partial(jax.pmap, devices=jax.devices()[:4])
    runs = [both, jax.jit(both), jax.jit(jax.vmap(jax.vmap(both))), mapped(both)]
    for run, given in zip(runs, [x, x, x.reshape(2, 4, 5), x.reshape(4, 2, 5)], strict=True):
        times, positive = run(jnp.asarray(given))
        np.testing.assert_array_equal(times, 3 * given)
        np.testing.assert_array_equal(positive, given > 0)


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_sort_with_places_is_stable(dtype):
    keys = np.random.default_rng(0).integers(0, 50, 999).astype(dtype)
    keys[3], keys[-1] = 0, np.iinfo(dtype).max
    order, places = host.sort_with_places(keys)
    np.testing.assert_array_equal(places, np.argsort(keys, kind="stable"))
    np.testing.assert_array_equal(order, keys[places])


def test_map_rows_keeps_the_order():
    for rows in (1, 7):
        assert host.map_rows(int, np.arange(rows)) == list(range(rows))
