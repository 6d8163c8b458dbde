"""Times the compiled step alone, the input alone, and both together, in one run."""

import itertools
import time
from collections.abc import Callable

import jax
from ml_collections import ConfigDict

from segjax.data.pipeline import share_of
from segjax.tasks.base import taken
from segjax.train import experiment as experiments
from segjax.train import parallel
from segjax.train.logs import environment


def measure(config: ConfigDict, seconds: float) -> str:
    """A table of images per second. Parts are timed in turn, three rounds each, the best kept.

    The input is what a step works on: examples gathered, or patches cut, out of resident data too.
    """
    # As `segjax train` does: the batch has to divide over all devices, of all processes
    made = experiments.build(config, devices=jax.device_count())
    devices = parallel.make(config.parallel)
    source = made.task.source(made)
    train_step = devices.compile_train(made.train_step(devices.axis_name))
    size = config.data.batch_size
    rows = share_of(size, jax.process_index(), jax.process_count())
    arrays = devices.replicate(source.arrays)
    state = devices.replicate(jax.device_get(jax.jit(lambda: made.initial_state())()))
    batches = source.train_batches(config.seed, 0, size, rows)
    # Compiled as an evaluation: what it gives lies as the batch does
    take = devices.compile_evaluate(lambda _, *given: ({}, taken(made.task, *given)))
    fixed = devices.place(next(batches))

    def step_alone():
        nonlocal state
        state, sums = train_step(state, arrays, fixed)
        return sums

    def input_alone():
        return take({}, arrays, devices.place(next(batches)))

    def both():
        nonlocal state
        state, sums = train_step(state, arrays, devices.place(next(batches)))
        return sums

    parts = {"step alone": step_alone, "input alone": input_alone, "both": both}
    # One call of each first: compilation stays out of the rates
    for part in parts.values():
        jax.block_until_ready(part())
    rates = dict.fromkeys(parts, 0.0)
    # In turn, so that a machine that slows down for a while slows all parts alike. Other load can
    # only make a part slower, so its best round is nearest to the truth.
    for _, (name, part) in itertools.product(range(3), parts.items()):
        rates[name] = max(rates[name], _rate(part, seconds / 3) * size)
    return _table(config, made.parameters, rates, resident=bool(source.arrays))


def _rate(part: Callable, seconds: float) -> float:
    """Calls per second, the device drained at the end."""
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        result = part()
        calls += 1
        if calls % 4 == 0:  # keeps the queue short, so that the clock sees the device
            jax.block_until_ready(result)
    jax.block_until_ready(result)
    return calls / (time.perf_counter() - began)


def _table(config: ConfigDict, parameters: int, rates: dict[str, float], *, resident: bool) -> str:
    described = environment()
    lines = [
        f"{config.model.name} {config.model.get('features', '')}, {parameters:,} parameters, "
        f"batch {config.data.batch_size}, {config.data.image_size} pixels, {config.dtype}, "
        f"{config.parallel}, data {'resident' if resident else 'streamed'}",
        f"{len(described['devices'])} x {described['device_kind']}, {described['cores']} cores, "
        f"jax {described['libraries']['jax']}, commit {described['commit']}",
        *(f"{name:12} {rate:12.1f} images/s" for name, rate in rates.items()),
        # Above 1 is chance: the step is a part of the training
        f"training reaches {min(1.0, rates['both'] / rates['step alone']):.1%} of the step alone",
    ]
    return "\n".join(lines)
