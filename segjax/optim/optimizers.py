"""Optimisers by name: thin, fully written-out fronts to optax.

Each takes `learning_rate` (a number in the config; the schedule made from it when built) and
returns an optax transformation. Decay of weights leaves biases and normalisation alone (ndim > 1
only).
"""

import jax
import optax

__all__ = ["adam", "adamw", "lion", "rmsprop", "sgd"]


def _matrices(params):
    return jax.tree.map(lambda p: p.ndim > 1, params)


def _with_l2(transformation, weight_decay: float):
    """L2 decay coupled to the gradient, as PyTorch's `weight_decay` of SGD and Adam."""
    # No stage of the chain, so that the optimiser's state is that of the plain one
    if not weight_decay:
        return transformation
    return optax.chain(optax.add_decayed_weights(weight_decay, mask=_matrices), transformation)


def sgd(
    *,
    learning_rate,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """Stochastic gradient descent."""
    # Without momentum None, for which optax keeps no trace of the gradients in the state
    return _with_l2(optax.sgd(learning_rate, momentum or None, nesterov), weight_decay)


def adam(
    *,
    learning_rate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """Adam; `weight_decay` is coupled (added to the gradient)."""
    return _with_l2(optax.adam(learning_rate, b1, b2, eps), weight_decay)


def adamw(
    *,
    learning_rate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-4,
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay."""
    return optax.adamw(learning_rate, b1, b2, eps, weight_decay=weight_decay, mask=_matrices)


def rmsprop(
    *, learning_rate, decay: float = 0.9, eps: float = 1e-8, momentum: float = 0.0
) -> optax.GradientTransformation:
    """RMSprop."""
    return optax.rmsprop(learning_rate, decay, eps, momentum=momentum or None)


def lion(
    *, learning_rate, b1: float = 0.9, b2: float = 0.99, weight_decay: float = 1e-3
) -> optax.GradientTransformation:
    """Lion: the sign of an interpolated momentum."""
    return optax.lion(learning_rate, b1, b2, weight_decay=weight_decay, mask=_matrices)
