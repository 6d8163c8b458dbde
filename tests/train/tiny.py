"""A network that compiles in a moment."""

import flax.linen as nn
import jax.numpy as jnp

from segjax.models.layers import BatchNorm, Conv
from tests import pictures

pictures.leave_out_where_asked()


class Tiny(nn.Module):
    """Two convolutions; takes the options of CellposeUNet, whose place it takes in a config."""

    features: tuple[int, ...] = (8,)
    outputs: int = 1
    style: bool = True
    momentum: float = 0.95
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, image, *, train):
        hidden = nn.relu(nn.Conv(self.features[0], (5, 5), dtype=self.dtype)(image))
        logits = nn.Conv(self.outputs, (3, 3), dtype=self.dtype)(hidden)
        return {"logits": logits.astype(jnp.float32)}


class Normed(Tiny):
    """With batch statistics, and the gradient of segjax's own convolution."""

    @nn.compact
    def __call__(self, image, *, train):
        hidden = Conv(self.features[0], 3, self.dtype)(image)
        hidden = nn.relu(BatchNorm(self.momentum, self.axis_name)(hidden, train=train))
        return {"logits": Conv(self.outputs, 3, self.dtype)(hidden).astype(jnp.float32)}


class Unbiased(Tiny):
    """With batch statistics, and no bias that these take away.

    The gradient of such a bias is rounding alone, of which Adam makes whole steps: they change no
    training loss, but the means of evaluation, which follow late.
    """

    @nn.compact
    def __call__(self, image, *, train):
        hidden = nn.Conv(self.features[0], (5, 5), use_bias=False, dtype=self.dtype)(image)
        hidden = nn.relu(BatchNorm(self.momentum, self.axis_name)(hidden, train=train))
        logits = nn.Conv(self.outputs, (3, 3), dtype=self.dtype)(hidden)
        return {"logits": logits.astype(jnp.float32)}


class Classifier(nn.Module):
    """Two heads of whole images, as InceptionV3 has them."""

    @nn.compact
    def __call__(self, image, *, train):
        means = jnp.mean(image, axis=(1, 2))
        return {"logits": nn.Dense(1)(means), "auxiliary_logits": nn.Dense(1)(means)}
