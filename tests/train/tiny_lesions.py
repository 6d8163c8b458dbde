"""Networks for lesions that compile in a moment."""

import flax.linen as nn
import jax.numpy as jnp

from segjax.models.layers import BatchNorm, Conv
from tests import pictures

pictures.leave_out_where_asked()


class PixelNet(nn.Module):
    """Two convolutions with batch statistics; takes the options of FRRN."""

    classes: int = 2
    variant: str = "A"
    base: int = 4
    lanes: int = 4
    remat: bool = False
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, image, *, train):
        hidden = Conv(self.base, 3, self.dtype)(image)
        hidden = nn.relu(BatchNorm(0.9, self.axis_name)(hidden, train=train))
        return {"logits": Conv(self.classes, 3, self.dtype)(hidden).astype(jnp.float32)}


class PatchNet(nn.Module):
    """A convolution with batch statistics, and a head; takes the options of PatchResNet."""

    classes: int = 2
    omitted: str = "pool"
    width: int = 4
    stages: tuple[int, ...] = (1,)
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, image, *, train):
        hidden = Conv(self.width, 3, self.dtype)(image)
        hidden = nn.relu(BatchNorm(0.9, self.axis_name)(hidden, train=train)).astype(jnp.float32)
        middle = hidden[:, hidden.shape[1] // 2, hidden.shape[2] // 2]
        embedding = jnp.concatenate([jnp.mean(hidden, axis=(1, 2)), middle], axis=-1)
        return {"logits": nn.Dense(self.classes)(embedding), "embedding": embedding}
