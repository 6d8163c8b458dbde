"""The Hausdorff loss by distance transforms."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from segjax.ops import checks, classes
from segjax.ops.distance import unsigned_distance
from segjax.types import Array, Float, Shaped


def hausdorff_dt(
    logits: Float[Array, "b *s c"],
    labels: Shaped[Array, "b *s"],
    *,
    alpha: float = 2.0,
    one_sided: bool = False,
    include_background: bool = False,
    empty_weight: float = 0.0,
    spacing: Sequence[float] | Float[Array, "s"] | None = None,
) -> Float[Array, "b"]:
    """Squared error weighted by the distances from both boundaries (0 is perfect).

    An error costs more the farther it lies from the true boundary and from the predicted one, so
    the largest error leads: a smooth stand-in for the Hausdorff distance. Alone it trains badly, as
    errors at the boundary weigh little; its authors add dice at equal weight.

    L_b = 1/(|K| N) sum_(k in K) sum_i (p_ik - q_ik)^2 (d_p^alpha + d_q^alpha)_ik, q the softmax
    (one channel: the sigmoid), p the label, K the foreground classes; d_p and d_q the distances to
    the nearest pixel across the boundary of p > 0.5 and of q > 0.5, computed anew at each step and
    held constant in the gradient: dL / dq = 2 (q - p) (d_p^alpha + d_q^alpha) / (|K| N).

    Source: Karimi and Salcudean, Reducing the Hausdorff Distance in Medical Image Segmentation with
        Convolutional Neural Networks (2019), the loss by distance transforms.
    Departures: none known; the authors published no code. As in MONAI, pixels beside the boundary
        have distance 1, the background is left out, and classes are averaged.

    Args:
        logits: raw scores, channels last.
        labels: class indices, or target shares `[b, *s, c]` as floats.
        alpha: power of the distances, > 0; the paper's 1 to 3 serve alike.
        one_sided: leave out d_q, the part that depends on the prediction.
        include_background: count class 0 too.
        empty_weight: what stands for d^alpha of a mask that is empty or full, >= 0. 0 as MONAI; 1
            keeps a gradient where a prediction is empty and its label full.
        spacing: units per pixel along each spatial axis; None is 1.

    Returns: one value per image, >= 0, in units of `spacing` to the power alpha; float32 (float64
        for float64 logits).
    Empty cases: label empty: only d_q weighs the error; prediction empty: only d_p. Both without a
        boundary (the one empty or full, the other too): the squared error times 2 `empty_weight`,
        so 0 by default even where all pixels are wrong. One-sided, an empty label costs
        `empty_weight` times the squared error. A pixel whose label is outside [0, c) costs nothing,
        has no gradient, is not in N, and lies outside the masks of every class.
    Raises: ValueError on shapes and options; TypeError on dtypes.
    Cost: one batched transform of 2 |K| masks an image, |K| one-sided. No `where`: distances reach
        beyond any pixel left out.
    """
    classes.check_segmentation(logits, labels)
    alpha = checks.check_number("alpha", alpha, above=0)
    empty_weight = checks.check_number("empty_weight", empty_weight, least=0)
    counts = classes.counted(labels, logits)
    chosen = classes.chosen_classes(logits, include_background)
    targets, probs = classes.class_targets(labels, logits), classes.probabilities(logits, counts)
    masks = [targets[k] > 0.5 for k in chosen]
    if not one_sided:
        predicted = [jax.lax.stop_gradient(probs[k]) > 0.5 for k in chosen]
        # The targets of uncounted pixels are 0 in every class; the predictions are made so.
        masks += predicted if counts is None else [mask & counts for mask in predicted]
    # All masks of all classes are one batch, so that there is a single transform to compile.
    squared = unsigned_distance(
        jnp.stack(masks, axis=1), spacing=spacing, spatial_ndim=logits.ndim - 2, squared=True
    ).astype(probs[0].dtype)
    # Only a mask without a boundary has distance 0.
    far = squared > 0
    # With the paper's power there is nothing to raise: the transform gives squares.
    raised = squared if alpha == 2 else jnp.where(far, squared, 1) ** (alpha / 2)
    fields = jnp.where(far, raised, empty_weight)
    total = 0.0
    for index, k in enumerate(chosen):
        field = fields[:, index]
        # The second half of the masks, and so of the fields, is of the predictions.
        if not one_sided:
            field = field + fields[:, len(chosen) + index]
        total += (targets[k] - probs[k]) ** 2 * field
    return classes.image_mean(total, counts) / len(chosen)
