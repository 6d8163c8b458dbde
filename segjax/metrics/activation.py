"""How much of a classifier's activation lies where the finding is."""

import jax
import jax.numpy as jnp
import numpy as np

from segjax.ops import checks
from segjax.ops.classes import as_int32, check_where, ratio
from segjax.types import Array, Bool, Float


def activation_in_region(
    activation: Float[Array, "b *s"],
    region: Bool[Array, "b *s"],
    *,
    where: Bool[Array, "b *s"] | None = None,
) -> Float[Array, "b"]:
    """Share of the activation that lies inside the region (AIR), in [0, 1]; 1 is best.

    A classifier may be right for the wrong reason; this says whether it looked where the finding
    is. It is a share: a map that is faint everywhere but inside the region scores 1.

    AIR_b = sum_i m_i a_i / sum_i a_i

    Source: Son et al., Classification of Findings with Localized Lesions in Fundoscopic Images
    using a Regionally Guided CNN, section 3.1.
    Departures: none. The paper does not say how images are averaged; one value per image leaves
    the mean over the true positives, and that over the false negatives, to the caller.

    Args:
        activation: values >= 0 after the sigmoid, at any resolution.
        region: the regional cues at the same resolution; True or above 0 is inside, floats in
            [0, 1] count in part.
        where: True counts; other pixels may hold anything.

    Returns: one value per image, float32.
    Empty cases: an empty region, no activation, or nothing that counts gives 0. A nan that counts
        gives nan.
    Raises: ValueError on a wrong rank or shape; TypeError on integer activations or on a `where`
        that is not boolean.
    Cost: O(n).
    """
    activation = jnp.asarray(activation)
    region = region if isinstance(region, jax.Array) else np.asarray(region)
    checks.check_rank("activation", activation, 2, 3, 4)
    checks.check_floating("activation", activation)
    checks.check_shape("region", region, tuple(activation.shape))
    activation = activation.astype(jnp.float32)
    if not jnp.issubdtype(region.dtype, jnp.floating):
        # Not left to JAX, which without x64 wraps 64-bit numbers round, below 0 or to it.
        region = as_int32(region) > 0
    inside = jnp.asarray(region).astype(jnp.float32)
    if where is not None:
        counts = jnp.asarray(where)
        check_where(counts, tuple(activation.shape))
        activation, inside = jnp.where(counts, activation, 0), jnp.where(counts, inside, 0)
    pixels = tuple(range(1, activation.ndim))
    total = jnp.sum(activation, axis=pixels)
    within = jnp.sum(activation * inside, axis=pixels)
    return ratio(within, total)
