"""Networks, losses and training steps of segjax for benchmarks/device.py, built from JAX alone.

The task layer of segjax reads data sets; a bare accelerator machine has none of its libraries.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from device_sizes import CLASSES, Network

from segjax import losses, models

MOMENTUM = 0.9


def build(network: Network, dtype: str = "float32"):
    """The linen module of a network."""
    if network.kind == "CellposeUNet":
        return models.CellposeUNet(network.features, 1, dtype=jnp.dtype(dtype))
    strides = ((1, 1), *((2, 2),) * (len(network.features) - 1))
    return models.PlainUNet(network.features, strides, CLASSES, dtype=jnp.dtype(dtype))


@functools.cache
def shapes_of(network: Network) -> dict:
    """The shapes of its variables."""
    image = jax.ShapeDtypeStruct((1, network.pixels, network.pixels, network.channels), np.float32)
    model = build(network)
    return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), image)


def initial_state(network: Network, seed: int = 0, learning_rate: float = 0.01) -> dict:
    """Parameters, batch statistics, momentum, step and learning rate, as NumPy arrays.

    Kernels are N(0, 2 / fan_in) from NumPy, so that they are the same on every device.
    """
    rng = np.random.default_rng(seed)

    def fill(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        if path[-1].key == "kernel":
            deviation = math.sqrt(2 / math.prod(leaf.shape[:-1]))
            return (deviation * rng.standard_normal(leaf.shape)).astype(np.float32)
        return np.full(leaf.shape, path[-1].key in ("scale", "var"), np.float32)

    variables = jax.tree_util.tree_map_with_path(fill, shapes_of(network))
    return {
        "params": variables["params"],
        "batch_stats": variables.get("batch_stats", {}),
        "momentum": jax.tree.map(np.zeros_like, variables["params"]),
        "step": np.int32(0),
        "learning_rate": np.float32(learning_rate),
    }


def parameters(state: dict) -> int:
    """The number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(state["params"]))


def batch_of(network: Network, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A random image `[b, h, w, c]` in [0, 1], and its heat map `[b, h, w, 1]` or labels."""
    rng = np.random.default_rng(seed)
    shape = (network.batch, network.pixels, network.pixels)
    image = rng.random((*shape, network.channels), np.float32)
    if network.kind == "CellposeUNet":
        return image, rng.random((*shape, 1), np.float32)
    return image, rng.integers(0, CLASSES, shape, np.int32)


def loss_of(network: Network, outputs: dict, target: jax.Array) -> jax.Array:
    """Squared error of the heat map, or cross entropy at every head with nnU-Net's weights."""
    if network.kind == "CellposeUNet":
        return jnp.mean((outputs["logits"] - target) ** 2)
    heads = (outputs["logits"], *outputs["deep_logits"])
    return sum(
        weight * losses.cross_entropy(logits, target[:, :: 2**i, :: 2**i]).mean()
        for i, (weight, logits) in enumerate(zip(network.head_weights, heads, strict=True))
    )


def plain_step(network: Network, dtype: str, prepare: Callable | None = None) -> Callable:
    """`step(state, image, target) -> (state, loss)`: SGD with momentum.

    Args:
        network: what is trained.
        dtype: precision of its convolutions.
        prepare: `(step, image, target) -> (image, target)`, augmentation inside the step.
    """
    model = build(network, dtype)

    def objective(params: dict, batch_stats: dict, image, target):
        variables = {"params": params, "batch_stats": batch_stats}
        outputs, changed = model.apply(variables, image, train=True, mutable=["batch_stats"])
        return loss_of(network, outputs, target), changed.get("batch_stats", {})

    def step(state: dict, image, target) -> tuple[dict, jax.Array]:
        if prepare:
            image, target = prepare(state["step"], image, target)
        gradient = jax.value_and_grad(objective, has_aux=True)
        (loss, stats), grads = gradient(state["params"], state["batch_stats"], image, target)
        trace = jax.tree.map(lambda m, g: MOMENTUM * m + g, state["momentum"], grads)
        updates = jax.tree.map(lambda m: -state["learning_rate"] * m, trace)
        new = {
            "params": optax.apply_updates(state["params"], updates),
            "batch_stats": stats,
            "momentum": trace,
            "step": state["step"] + 1,
        }
        return state | new, loss

    return step


@functools.cache
def compiled_step(network: Network, dtype: str) -> Callable:
    """`plain_step`, compiled, its state donated; one for all sections of a process."""
    return jax.jit(plain_step(network, dtype), donate_argnums=0)


@dataclasses.dataclass
class Steps:
    """A queue of training steps, waited for, as a closure for `best_seconds`.

    Attributes:
        step: `(state, *batch) -> (state, loss)`; it may donate the state.
        state: of the newest step.
        batch: the same for each.
        queue: steps a call.
    """

    step: Callable
    state: dict
    batch: tuple
    queue: int

    def __post_init__(self):
        self.state, self.batch = jax.device_put((self.state, self.batch))

    def __call__(self) -> None:
        for _ in range(self.queue):
            self.state, loss = self.step(self.state, *self.batch)
        jax.block_until_ready((self.state, loss))
