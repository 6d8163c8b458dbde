"""Networks of both stages that compile in a moment."""

import flax.linen as nn
import jax.numpy as jnp

from tests import pictures

pictures.leave_out_where_asked()


class Pixels(nn.Module):
    """One convolution: what proposes lesions."""

    @nn.compact
    def __call__(self, image, *, train):
        return {"logits": nn.Conv(2, (3, 3))(image - 0.5)}


class Patches(nn.Module):
    """The middle of a patch and its surroundings, as an embedding and two logits."""

    features: int = 4

    @nn.compact
    def __call__(self, image, *, train):
        row, column = image.shape[1] // 2, image.shape[2] // 2
        middle = image[:, row - 2 : row + 3, column - 2 : column + 3]
        seen = jnp.concatenate([middle.reshape(len(image), -1), image.mean(axis=(1, 2))], axis=-1)
        embedding = nn.Dense(self.features)(seen - 0.5)
        return {"logits": 4 * nn.Dense(2)(embedding), "embedding": embedding}
