"""Loss of an activation map outside the regions where an annotator saw a finding."""

import math

import jax
import jax.numpy as jnp

from segjax.ops import checks, classes
from segjax.types import Array, Bool, Float

FORMS = ("log", "shifted", "complement")


def guidance(
    activation_logits: Float[Array, "b *s"],
    region: Bool[Array, "b *s"],
    *,
    epsilon: float = 1e-3,
    form: str = "log",
    where: Bool[Array, "b *s"] | None = None,
) -> Float[Array, "b"]:
    """Activation outside the annotated region, in log; less is better, and it is negative.

    It suppresses what a classifier looks at outside the region that holds the finding, and says
    nothing about the inside: alone it is minimal for a map that is off everywhere, so it goes with
    a classification loss. 'log' rewards switching a weak activation off entirely, and is weakest
    where a strong one is confidently wrong; 'complement' is the opposite.

    L_b = (1/N) sum_i (1 - m_i) log max(a_i, eps), a = sigmoid(z), N all pixels that count
    ('log'); (1/N) sum_i (1 - m_i) (log max(a_i, eps) - log eps) ('shifted');
    (1/N) sum_i (1 - m_i) (-log(1 - a_i)) ('complement').

    Source: Son et al. (2018), Classification of Findings with Localized Lesions in Fundoscopic
    Images using a Regionally Guided CNN, equation (2), the mean over its k images left to the
    caller.
    Departures: none for 'log'. 'shifted' has the same gradient and 0 as its floor; 'complement' is
    ours, the cross entropy of the outside.

    Args:
        activation_logits: one finding's map before the sigmoid, in two or three dimensions; several
            findings are a vmap.
        region: True (or not 0) where activation is allowed. An image without the finding has no
            region: False everywhere suppresses all of it, True everywhere leaves it out.
        epsilon: eps in (0, 1); activations below it cost nothing more and have no gradient. Not
            used by 'complement'.
        form: 'log' (the paper), 'shifted' or 'complement'.
        where: True counts; elsewhere activations and region may hold anything.

    Returns: one value per image, in nats, in [log eps, 0] ('log'), [0, -log eps] ('shifted') or
        >= 0; float32 (float64 for float64 logits).
    Empty cases: a region that covers everything, or nothing counted, gives 0 with zero gradient.
    Raises: ValueError on shapes and options; TypeError on dtypes.
    Cost: one pass over the map.
    """
    checks.check_rank("activation_logits", activation_logits, 3, 4)
    checks.check_floating("activation_logits", activation_logits)
    if not (region.dtype == bool or jnp.issubdtype(region.dtype, jnp.integer)):
        raise TypeError(f"`region` takes booleans or integers, got {region.dtype}")
    pixels = tuple(activation_logits.shape)
    checks.check_shape("region", region, pixels)
    classes.check_where(where, pixels)
    checks.check_option("form", form, FORMS)
    epsilon = checks.check_number("epsilon", epsilon, above=0, below=1)
    logits = activation_logits.astype(classes.computing_dtype(activation_logits))
    outside = ~region.astype(bool)
    if where is not None:
        outside = outside & where
    # Before the logarithm: after it, a nan inside the region would still reach the gradient.
    logits = jnp.where(outside, logits, 0)
    if form == "complement":
        # -log(1 - sigmoid(z)), finite where the sigmoid rounds to 1
        values = jax.nn.softplus(logits)
    else:
        floor = math.log(epsilon)
        # log a from the logit: of a sigmoid that has underflowed the logarithm is -inf
        log = jax.nn.log_sigmoid(logits)
        base = floor if form == "shifted" else 0.0
        # Not a maximum, which shares the gradient at the floor; a nan fails the test and stays.
        values = jnp.where(log <= floor, floor, log) - base
    # N counts the inside too, though only the outside costs.
    return classes.image_sum(values, outside) / classes.image_count(values, where)
