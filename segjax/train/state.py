"""What training carries from step to step."""

from typing import Any

import flax
import jax
import jax.numpy as jnp

from segjax.types import Array, Bool, Int


@flax.struct.dataclass
class State:
    """Everything a checkpoint holds besides bookkeeping.

    `step` counts the updates made. Once a step is not finite, `halted` is set and no later step
    changes anything: the parameters stay those of the last good step. `loss_weights` is what
    scheduled weights remember (`optim/loss_weights.py`), by term; mostly nothing. `hyperparameters`
    are those of the config in which members of a population differ, by path
    (`train/hyperparameters.py`); they are never saved, and there are none in a single run.
    """

    step: Int[Array, ""]
    params: Any
    batch_stats: Any
    optimizer: Any
    halted: Bool[Array, ""]
    loss_weights: Any = flax.struct.field(default_factory=dict)
    hyperparameters: Any = flax.struct.field(default_factory=dict)

    @property
    def variables(self) -> dict:
        """The collections that `model.apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def without_optimizer(self) -> "State":
        """What evaluation needs of the state."""
        return self.replace(optimizer=())


def create(variables: dict, transformation, loss_weights: dict | None = None) -> State:
    """A state at step 0; `loss_weights` is what scheduled weights remember then."""
    return State(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        optimizer=transformation.init(variables["params"]),
        halted=jnp.zeros((), jnp.bool_),
        loss_weights=loss_weights or {},
    )


def initial(
    model,
    transformation,
    image_shape: tuple[int, ...],
    seed: int,
    loss_weights: dict | None = None,
) -> State:
    """The state that `seed` gives; random numbers are cheap to compile (`rbg`)."""
    key = jax.random.key(seed, impl="rbg")
    variables = model.init(key, jnp.zeros((1, *image_shape), jnp.float32), train=False)
    return create(variables, transformation, loss_weights)
