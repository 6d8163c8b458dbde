"""A classifier of patches that compiles in a moment."""

import flax.linen as nn
import jax.numpy as jnp

from segjax.models.layers import BatchNorm, Conv
from tests.train import tiny as tiny  # for its stand-ins, in processes of their own


class PatchNet(nn.Module):
    """A convolution with batch statistics, and two heads; takes the options of PatchResNet."""

    classes: int = 2
    omitted: str = "pool"
    width: int = 4
    stages: tuple[int, ...] = (1,)
    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, image, *, train):
        hidden = Conv(self.width, 3, self.dtype)(image)
        hidden = nn.relu(BatchNorm(0.9, self.axis_name)(hidden, train=train))
        middle = tuple(side // 2 for side in image.shape[1:3])
        wide = jnp.mean(hidden.astype(jnp.float32), axis=(1, 2))
        embedding = jnp.concatenate([wide, hidden[:, *middle].astype(jnp.float32)], axis=-1)
        return {"logits": nn.Dense(self.classes)(embedding), "embedding": embedding}
