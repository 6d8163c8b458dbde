"""Sections of benchmarks/device.py that train: steps, a population, the share of augmentation."""

import functools
import math
import time
from collections.abc import Callable

import device_networks as networks
import jax
import jax.numpy as jnp
import numpy as np
from device_operations import ROUNDS
from device_report import Reporter
from device_sizes import CLASSES, Network
from turns import Worker, best_seconds

from segjax.data.augment import (
    augment_slice,
    augment_with_masks,
    default_options,
    default_strengths,
    region_shape,
)

# Every effect of the photographs, at strengths of the fundus recipes.
PHOTOGRAPHS = {
    "flip_horizontal": 0.5,
    "flip_vertical": 0.5,
    "rotate": 10.0,
    "scale": 0.1,
    "translate": 0.1,
    "transpose": 0.5,
    "shear": 5.0,
    "brightness": 0.1,
    "contrast": 0.1,
    "gamma": 0.2,
    "noise": 0.02,
}


def training(report: Reporter, run) -> None:
    """Images per second of a training step against the same network in PyTorch."""
    head = ("network", "pixels", "precision", "segjax images/s", "PyTorch images/s")
    report.columns(*head, "segjax / PyTorch", "PyTorch ran")
    notes = set()
    with run.torch("steps", report) as torch:
        for dtype in ("bfloat16", "float32"):
            for network in run.sizes.networks:
                if report.in_time(f"{network.kind} in {dtype}"):
                    notes |= training_row(report, run, torch, network, dtype)
    for note in sorted(notes):
        report.note(note)
    report.note(
        "SGD with momentum, batches of "
        + ", ".join(f"{n.batch} ({n.kind} {n.features})" for n in run.sizes.networks)
        + "; PyTorch channels-last, autocast for bfloat16; float32 products in TF32 on both sides "
        "where the device has it"
    )


def training_row(
    report: Reporter, run, torch: Worker | None, network: Network, dtype: str
) -> set[str]:
    """One network in one precision; what is worth a note."""
    name, notes = f"{network.kind} {dtype}", set()
    state = networks.initial_state(network)
    count = networks.parameters(state)
    queue = run.sizes.queue
    call = networks.Steps(
        networks.compiled_step(network, dtype), state, networks.batch_of(network), queue
    )
    mine, theirs, how = math.inf, math.inf, None
    for _ in range(ROUNDS):
        mine = min(mine, best_seconds(call, run.sizes.seconds, least=1) / queue)
        found = torch.ask(name) if torch else {}
        if "error" in found:
            report.fail(f"PyTorch, {name}: {found['error']}")
            break
        if found:
            theirs, how = min(theirs, found["seconds"]), found["how"]
            if found["parameters"] != count:
                report.fail(f"{name}: {count} parameters, the twin has {found['parameters']}")
    if how and how not in ("compiled", "eager, as asked"):
        notes.add(f"{name}: {how}")
        how = "eager"
    timed = theirs < math.inf
    cells = [network.batch / theirs, theirs / mine, how] if timed else [None] * 3
    report.row(network.kind, network.pixels, dtype, network.batch / mine, *cells)
    return notes


def population(report: Reporter, run) -> None:
    """Members that differ in seed and learning rate, in one program and one after the other."""
    network, count = run.sizes.population, run.sizes.members
    queue = 4 * run.sizes.queue  # the networks are small: waiting for each step would be the time
    step = networks.plain_step(network, "float32")
    rates = np.geomspace(0.001, 0.1, count)
    states = [networks.initial_state(network, i, rate) for i, rate in enumerate(rates)]
    batches = [networks.batch_of(network, i) for i in range(count)]

    def together(states: dict, *batch) -> tuple[dict, jax.Array]:
        # vmap makes grouped convolutions, which are slow on CPU: a loop inside the program there.
        if jax.default_backend() == "cpu":
            return jax.lax.map(lambda one: step(*one), (states, *batch))
        return jax.vmap(step)(states, *batch)

    one = networks.compiled_step(network, "float32")

    def stacked(trees: list) -> object:
        return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)

    all_in_one = networks.Steps(
        jax.jit(together, donate_argnums=0), stacked(states), stacked(batches), queue
    )
    alone = [networks.Steps(one, s, b, queue) for s, b in zip(states, batches, strict=True)]

    def one_after_the_other() -> None:
        for steps in alone:
            steps()

    report.columns("population", "members", "images/s", "ratio", "first call s")
    ways = {"one after the other": one_after_the_other, "together": all_in_one}
    firsts, times = {}, dict.fromkeys(ways, math.inf)
    for name, call in ways.items():
        began = time.perf_counter()
        call()
        firsts[name] = time.perf_counter() - began
    for _ in range(ROUNDS):
        for name, call in ways.items():
            times[name] = min(times[name], best_seconds(call, 2 * run.sizes.seconds, least=1))
    images = count * queue * network.batch
    for name in ways:
        ratio = times["one after the other"] / times[name]
        report.row(name, count, images / times[name], ratio, firsts[name])
    report.note(
        f"{network.kind} {network.features}, batches of {network.batch}, {network.pixels} pixels, "
        "float32, each member with its own seed, learning rate and data; compiled once either way"
    )


def augmentation(report: Reporter, run) -> None:
    """The share of augmentation in a training step, for photographs and for slices."""
    dtype = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    report.columns("augmented", "step ms", "without ms", "augmentation alone ms", "share")
    photographs, slices = run.sizes.networks
    for name, network, make in (
        ("photographs", photographs, photograph_augmentation),
        ("slices", slices, slice_augmentation),
    ):
        if not report.in_time(name):
            return
        prepare, batch = make(network)
        plain = networks.batch_of(network)
        state, queue = networks.initial_state(network), run.sizes.queue
        augmented = jax.jit(networks.plain_step(network, dtype, prepare), donate_argnums=0)
        calls = [
            networks.Steps(augmented, state, batch, queue),
            networks.Steps(networks.compiled_step(network, dtype), state, plain, queue),
            networks.Steps(alone_step(prepare), {"step": state["step"]}, batch, queue),
        ]
        times = [math.inf] * 3
        for _ in range(ROUNDS):
            for i, call in enumerate(calls):
                seconds = best_seconds(call, run.sizes.seconds, least=1) / queue
                times[i] = min(times[i], seconds)
        share = f"{1 - times[1] / times[0]:.1%}"
        report.row(f"{name}, {network.kind} {dtype}", *(1e3 * t for t in times), share)
    report.note("share: 1 - time of the step without augmentation / time of the step with it")


def alone_step(prepare: Callable) -> Callable:
    """Augmentation as a step of its own; the sums keep its results from being left out."""

    def step(state: dict, image, target) -> tuple[dict, jax.Array]:
        image, target = prepare(state["step"], image, target)
        return {"step": state["step"] + 1}, image.sum() + target.sum().astype(jnp.float32)

    return jax.jit(step)


def keys_of(step: jax.Array, batch: int) -> jax.Array:
    """A key for each image of a step, as the training step of segjax makes them."""
    key = jax.random.fold_in(jax.random.key(0), step)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(batch))


def photograph_augmentation(network: Network) -> tuple[Callable, tuple]:
    """Every effect on photographs with their heat map, and a batch for it."""
    assert PHOTOGRAPHS.keys() == default_strengths().keys()
    one = functools.partial(augment_with_masks, **PHOTOGRAPHS)

    def prepare(step, image, target):
        return jax.vmap(one)(keys_of(step, network.batch), image, target)

    return prepare, networks.batch_of(network)


def slice_augmentation(network: Network) -> tuple[Callable, tuple]:
    """nnU-Net's augmentation of slices with their labels, and a batch of regions for it."""
    options, patch = default_options(), (network.pixels,) * 2
    one = functools.partial(augment_slice, patch=patch, num_classes=CLASSES, **options)
    rng = np.random.default_rng(0)
    shape = (network.batch, *region_shape(patch, options))
    image = rng.standard_normal((*shape, network.channels), np.float32)
    labels = rng.integers(0, CLASSES, shape, np.int32)

    def prepare(step, image, labels):
        planes = jnp.zeros((*labels.shape, 0), jnp.float32)
        rows = keys_of(step, network.batch), image, labels, planes
        # One by one, what was not drawn is not computed: five times faster on a CPU.
        if jax.default_backend() == "cpu":
            image, labels, _ = jax.lax.map(lambda row: one(*row), rows)
        else:
            image, labels, _ = jax.vmap(one)(*rows)
        return image, labels

    return prepare, (image, labels)
