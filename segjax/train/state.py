"""What training carries from step to step."""

from collections.abc import Mapping
from typing import Any

import flax
import jax.numpy as jnp

from segjax.types import Array, Bool, Int


@flax.struct.dataclass
class State:
    """Everything a checkpoint holds besides the loop's own state.

    Attributes:
        step: counts the updates made.
        params: the model's parameters.
        collections: whatever else the model's `init` made, such as `batch_stats`, by name.
        optimizer: that of the optimiser.
        halted: set once a step is not finite; no later step changes anything then, so the
            parameters stay those of the last good step.
        loss_weights: what scheduled weights remember (`optim/loss_weights.py`), by term; mostly
            nothing.
        hyperparameters: those of the config in which the members of a population differ, by path
            (`train/hyperparameters.py`); they are never saved, and a single run has none.
    """

    step: Int[Array, ""]
    params: Any
    collections: Mapping[str, Any]
    optimizer: Any
    halted: Bool[Array, ""]
    loss_weights: Any = flax.struct.field(default_factory=dict)
    hyperparameters: Any = flax.struct.field(default_factory=dict)

    @property
    def variables(self) -> dict:
        """All that `model.apply` takes."""
        return {"params": self.params, **self.collections}

    @property
    def without_optimizer(self) -> "State":
        """What evaluation needs of the state."""
        return self.replace(optimizer=())


def create(
    params: Any, collections: Mapping[str, Any], transformation, loss_weights: dict | None = None
) -> State:
    """A state at step 0; `loss_weights` is what scheduled weights remember then."""
    return State(
        step=jnp.zeros((), jnp.int32),
        params=params,
        collections=dict(collections),
        optimizer=transformation.init(params),
        halted=jnp.zeros((), jnp.bool_),
        loss_weights=loss_weights or {},
    )
