"""Hyperparameters that may differ between the runs of one compiled program.

    seed, optimizer.learning_rate, other floats of the optimizer and the schedule,
    loss.TERM.weight, and the floats of a weight that is a schedule, loss.TERM.weight.OPTION

Inside the compiled step such a number is an array of the state (`State.hyperparameters`, by path),
and what depends on it (optimiser, schedule, weights, keys) is built anew from the config that holds
it. Not every function takes an array where a config has a float: `agree` tries it out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from segjax.config.durations import Clock
from segjax.optim import loss_weights
from segjax.optim import transformation as optim

Values = Mapping[str, Any]  # by config path, as in "optimizer.learning_rate"
SEED = "seed"
# How far a number given as an array may change what is computed with it: a few roundings.
TOLERANCE = 1e-6


def candidates(config: ConfigDict) -> list[str]:
    """The config paths of all that might differ between members."""
    sections = {"optimizer": config.optimizer, "schedule": config.schedule}
    plain = [SEED]
    for name, term in config.loss.items():
        path = f"loss.{name}.weight"
        if isinstance(term.weight, ConfigDict):
            sections[path] = term.weight
        else:
            plain.append(path)
    floats = [f"{p}.{k}" for p, s in sections.items() for k, v in s.items() if type(v) is float]
    return plain + floats


def read(config: ConfigDict, paths: Sequence[str]) -> dict[str, float]:
    """The values at some paths."""
    return {path: _section(config, path)[path.rpartition(".")[2]] for path in paths}


def arrays(config: ConfigDict, paths: Sequence[str]) -> dict[str, np.generic]:
    """The values at some paths, as the compiled step takes them."""
    # The seed wraps as that of `jax.random.key` does where integers have 32 bits.
    return {
        path: np.int64(value).astype(np.int32) if path == SEED else np.float32(value)
        for path, value in read(config, paths).items()
    }


def weights_of_terms(values: Values) -> dict[str, Any]:
    """The plain weights among the values, by term."""
    return {path.split(".")[1]: value for path, value in values.items() if _is_weight(path)}


def agree(config: ConfigDict, path: str, values: Sequence[float]) -> bool:
    """Whether an array in place of each of `values` gives what the number itself does.

    What is built from the number is run on a few parameters, or a few steps, both ways. Functions
    that look at its value while they are built refuse an array; some (Adam's `b2`) compute with it
    in Python's precision, which an array does not have.
    """
    if path == SEED or _is_weight(path):
        return True
    section = path.split(".")[0]
    probe = {"optimizer": _updates, "schedule": _rates, "loss": _weights}[section]
    try:
        # One program that takes the value as an array; below, one a value that has it as a
        # constant.
        traced = jax.jit(lambda value: probe(replaced(config, {path: value})))
        for value in values:
            plain = jax.jit(lambda value=value: probe(replaced(config, {path: value})))()
            if not _close(traced(np.float32(value)), plain):
                return False
    except Exception:  # whatever a builder raises on meeting an array
        return False
    return True


def _is_weight(path: str) -> bool:
    """Whether a path is the plain weight of a term."""
    parts = path.split(".")
    return parts[0] == "loss" and len(parts) == 3


def _section(config: ConfigDict, path: str) -> ConfigDict:
    for key in path.split(".")[:-1]:
        config = config[key]
    return config


def replaced(config: ConfigDict, values: Values) -> ConfigDict:
    """A copy with other values, arrays among them."""
    # Not type-safe: an array takes the place of a float
    copy = ConfigDict(config.to_dict(), type_safe=False)
    for path, value in values.items():
        _section(copy, path)[path.rpartition(".")[2]] = value
    return copy


PROBED_STEPS = 1000  # the length of training in a probe


def _updates(config: ConfigDict) -> Any:
    """The learning rate over a training, and three updates of a matrix and a vector at a rate."""
    rates = _rates(config)
    # At the start of a warm-up the rate is a small difference, of few digits in either form.
    config = replaced(config, {"schedule": ConfigDict({"name": "constant"})})
    # A matrix and a vector, for weight decay leaves vectors alone
    params = {"kernel": jnp.linspace(-1.0, 2.0, 12).reshape(3, 4), "bias": jnp.linspace(0.1, 1, 4)}
    transformation = optim.transformation(config, PROBED_STEPS)
    state, updates = transformation.init(params), []
    # Three updates: how fast a momentum decays does not show in the first one
    for number in range(3):
        grads = jax.tree.map(lambda p, n=number: jnp.cos(3.0 * p + n), params)
        update, state = transformation.update(grads, state, params)
        updates.append(update)
    return rates, updates


def _rates(config: ConfigDict) -> Any:
    """The learning rate over a training."""
    steps = jnp.arange(0, PROBED_STEPS + 1, 37, dtype=jnp.int32)
    return jax.vmap(optim.schedule(config, PROBED_STEPS))(steps)


def _weights(config: ConfigDict) -> Any:
    """The weights of all scheduled terms over a training of ten epochs."""
    weights = loss_weights.make(config.loss, Clock(100 * 8, 8, PROBED_STEPS))
    memory = weights.initial()
    return jax.vmap(lambda step: weights.at(step, memory))(
        jnp.arange(0, PROBED_STEPS + 1, 37, dtype=jnp.int32)
    )


def _close(left: Any, right: Any) -> bool:
    """Whether two trees agree, leaf by leaf, relative to the largest value of the leaf."""
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    # A nan on either side compares False, so such a value stays out of populations
    return all(np.abs(a - b).max() <= TOLERANCE * np.abs(b).max() for a, b in pairs)
