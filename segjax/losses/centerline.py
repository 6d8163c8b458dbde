"""The loss that keeps tubes connected: overlap of each centre line with the other's mask."""

import functools

import jax
import jax.numpy as jnp

from segjax.ops import checks, classes
from segjax.ops.morphology import soft_skeleton
from segjax.types import Array, Bool, Float, Shaped


def soft_cl_dice(
    logits: Float[Array, "b *s c"],
    labels: Shaped[Array, "b *s"],
    *,
    iterations: int = 10,
    smooth: float = 1.0,
    include_background: bool = False,
    where: Bool[Array, "b *s"] | None = None,
) -> Float[Array, "b"]:
    """1 - clDice: centre lines that leave the other mask (0 is perfect, below 1).

    For vessels, roads and other tubes: a gap costs as much in a thin tube as in a thick one. The
    width of a tube does not matter to it, so pair it with a Dice loss; the authors take
    (1 - a) dice + a soft_cl_dice with a up to 1/2. Let Dice begin: foreground seen everywhere has
    no skeleton, so P = 1, R = 1 and the loss is near 0 there.

    P = (sum_i S_i t_i + s) / (sum_i S_i + s),  R = (sum_i S'_i p_i + s) / (sum_i S'_i + s),
    L_b = mean over classes of 1 - 2 P R / (P + R),
    S the soft skeleton of the probabilities p, S' that of the labels t (`ops.soft_skeleton`).

    Source: Shit et al. (2021), clDice: a Novel Topology-Preserving Loss Function for Tubular
    Structure Segmentation, section 3 and Algorithm 2.
    Departures: the authors' code sums over batch and classes together; here each image and class
    has its own value, and the background does not count by default. MONAI adds 1e-4 to P + R and
    joins the classes. Their code fixes K at 10 in one place, 40 or 50 in others.

    Args:
        logits: raw scores, channels last.
        labels: class indices, or target shares `[b, *s, c]` in [0, 1] as floats; no gradient flows
            into their skeleton.
        iterations: K >= 0, at least the largest radius of a tube in pixels.
        smooth: s > 0, in pixels.
        include_background: counts class 0 as well; without effect for one channel.
        where: True counts; False is as outside the image, logits and labels may hold anything.

    Returns: one value per image, in [0, 1); float32 (float64 for float64 logits).
    Empty cases: no structure in labels and prediction: 0. In the labels only: R = 1 and
        P = s / (sum S + s), so the loss falls with the predicted skeleton. In the prediction only:
        R falls to s / (sum S' + s). Labels that fill the image have no skeleton: P = R = 1 and the
        loss is 0 with zero gradient, whatever is predicted. Where nothing counts, 0. A label
        outside [0, c) counts as `where=False`.
    Raises: ValueError on shapes and options; TypeError on dtypes.
    Cost: that of `ops.soft_skeleton` with gradient for the prediction, without for the labels;
        memory grows with log2 K.
    """
    classes.check_segmentation(logits, labels, where=where)
    smooth = checks.check_number("smooth", smooth, above=0)
    where = classes.counted(labels, logits, where)
    probs, targets = classes.probabilities(logits, where), classes.class_targets(labels, logits)
    counted = classes.chosen_classes(logits, include_background)
    probs = jnp.stack([probs[k] for k in counted])
    # The backward pass is the dear part of a skeleton: that of the labels goes without.
    targets = jax.lax.stop_gradient(jnp.stack([targets[k] for k in counted]))
    # vmap over the classes, so that its loops are compiled once and not once a class
    skeleton = jax.vmap(functools.partial(soft_skeleton, iterations=iterations, where=where))
    precision = _covered(skeleton(probs), targets, smooth, where)
    recall = _covered(skeleton(targets), probs, smooth, where)
    # Both are above 0, as `smooth` is, so their sum needs no guard.
    return jnp.mean(1 - 2 * precision * recall / (precision + recall), axis=0)


def _covered(skeleton: Array, mask: Array, smooth: float, where: Array | None) -> Array:
    """The part of each skeleton that lies in the mask, `[k, b]` from `[k, b, *s]`."""
    if where is not None:
        mask = jnp.where(where[None], mask, 0)  # the skeleton is 0 there
    axes = tuple(range(2, mask.ndim))
    return (jnp.sum(skeleton * mask, axis=axes) + smooth) / (jnp.sum(skeleton, axis=axes) + smooth)
