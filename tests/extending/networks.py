"""Networks with what segjax's own do not have: dropout, other collections, auxiliary logits."""

import flax.linen as nn
import jax.numpy as jnp


class Noisy(nn.Module):
    """Dropout, and a collection of variables that counts calls in training; `logits` [b, 1]."""

    rate: float = 0.5

    @nn.compact
    def __call__(self, image, *, train):
        calls = self.variable("counter", "calls", lambda: jnp.zeros((), jnp.int32))
        if train:
            calls.value = calls.value + 1
        hidden = nn.relu(nn.Dense(8)(jnp.mean(image, axis=(1, 2))))
        hidden = nn.Dropout(self.rate, deterministic=not train)(hidden)
        return {"logits": nn.Dense(1)(hidden)}


class TwoHeads(nn.Module):
    """Logits [b, 2], and auxiliary ones of a head of their own from the middle of the network."""

    @nn.compact
    def __call__(self, image, *, train):
        hidden = nn.relu(nn.Dense(6, name="body")(jnp.mean(image, axis=(1, 2))))
        auxiliary = nn.Dense(2, name="auxiliary")(hidden)
        return {"logits": nn.Dense(2, name="head")(hidden**2), "auxiliary_logits": auxiliary}


class Remembering(nn.Module):
    """Keeps a running mean of the colours that it has seen; `logits` [b, 1]."""

    @nn.compact
    def __call__(self, image, *, train):
        colours = jnp.mean(image, axis=(1, 2))
        mean = self.variable("seen", "mean", lambda: jnp.zeros(3))
        if train:
            mean.value = 0.5 * mean.value + 0.5 * jnp.mean(colours, axis=0)
        return {"logits": nn.Dense(1)(colours - mean.value)}
