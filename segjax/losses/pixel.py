"""Losses that judge each pixel for itself: cross entropy, its weighted forms, focal, top-k.

Those without maps also judge whole images, each as a single pixel: logits `[b, c]`, labels `[b]`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from segjax.ops import checks, classes
from segjax.ops.selection import mean_of_largest
from segjax.types import Array, Bool, Float, Shaped


def cross_entropy(
    logits: Float[Array, "b *s c"],
    labels: Shaped[Array, "b *s"],
    *,
    class_weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
    normalize: str = "weights",
    weights: Float[Array, "b *s"] | None = None,
    where: Bool[Array, "b *s"] | None = None,
) -> Float[Array, "b"]:
    """Mean negative log-likelihood of the true classes, in nats (0 is perfect).

    Every pixel counts alike, so a small structure weighs little; class weights lift it at the price
    of false positives. Its gradient does not vanish where the prediction is confidently wrong.

    L_b = sum_i w_i sum_k v_k t_ik (-log p_ik) / D, p the softmax (one channel: the sigmoid),
    t the one-hot label (smoothed: (1 - eps) t + eps / c), w the pixel weights, v the class weights;
    D = sum_i w_i sum_k v_k t_ik, t before smoothing ('weights'), or the number of pixels, whatever
    their labels and weights ('pixels').

    Source: the usual negative log-likelihood; class weights as U-Net (Ronneberger et al. 2015).
    Departures: none. Libraries differ in D once there are weights: 'weights' is PyTorch's weighted
    mean (for soft targets PyTorch divides by the number of pixels), 'pixels' lets the weights
    change the size of the loss.

    Args:
        logits: raw scores, channels last; `[b, c]` of whole images.
        labels: class indices, `[b]` of whole images, or target shares as floats, of the logits'
            shape.
        class_weights: v, one finite number >= 0 a class (two for one channel: background,
            foreground).
        label_smoothing: eps in [0, 1).
        normalize: 'weights' or 'pixels'.
        weights: w >= 0.
        where: True counts; elsewhere logits, labels and weights may hold anything.

    Returns: one value per image, >= 0; float32 (float64 for float64 logits).
    Empty cases: an absent class costs nothing by itself; where nothing counts, or all weights are
        0, the loss is 0 with zero gradient. A label outside [0, c) has no cost, no gradient and no
        share in D of 'weights'; in 'pixels' it counts.
    Raises: ValueError on shapes, options and weights; TypeError on dtypes.
    Cost: one pass over the logits; no sort, no host.
    """
    classes.check_segmentation(logits, labels, where=where, weights=weights, spatial=0)
    checks.check_option("normalize", normalize, ("weights", "pixels"))
    label_smoothing = checks.check_number("label_smoothing", label_smoothing, least=0, below=1)
    counts = classes.counted(labels, logits, where)
    planes, targets = classes.class_logits(logits, counts), classes.class_targets(labels, logits)
    shares = _class_weights(class_weights, len(planes))
    # Before smoothing, which would give a share in D to classes that a pixel is not of
    belongs = sum(v * t for v, t in zip(shares, targets, strict=True))
    if label_smoothing:
        spread = label_smoothing / len(planes)
        targets = tuple((1 - label_smoothing) * t + spread for t in targets)
    targets = tuple(v * t for v, t in zip(shares, targets, strict=True))
    values = _negative_log_likelihood(planes, targets)
    if weights is not None:
        weights = weights.astype(values.dtype)
        values, belongs = values * weights, belongs * weights
    total = classes.image_sum(values, counts)
    if normalize == "pixels":
        # `where`, not `counts`: here a label of no class has its place in the divisor.
        return total / classes.image_count(values, where)
    return classes.ratio(total, classes.image_sum(jax.lax.stop_gradient(belongs), counts))


def region_wise_cross_entropy(
    logits: Float[Array, "b *s c"],
    labels: Shaped[Array, "b *s"],
    maps: Float[Array, "b *s c"],
    *,
    where: Bool[Array, "b *s"] | None = None,
) -> Float[Array, "b"]:
    """Cross entropy weighted by the region-wise map of the true class (0 is perfect).

    With rectified maps a pixel counts by its depth inside its region: errors far from the boundary
    cost most. Unlike the region-wise loss its gradient grows with the error.

    L_b = (1/N) sum_i |Z_i,true| (-log p_i,true).

    Source: Valverde and Tohka, Region-wise Loss for Biomedical Image Segmentation, section 3.2 and
    the rows of weighted cross entropy in Tables 2 to 4.
    Departures: the paper's maps are negative at the true class, which would make a loss to be
    maximised; we take the size |Z|. Divided by the number of pixels, not by the sum of the weights.

    Args:
        logits: raw scores, channels last.
        labels: class indices, or target shares `[b, *s, c]` as floats.
        maps: a map of segjax.maps, as many channels as the logits; no gradient flows into it. One
            channel of logits takes two maps, of the background and of the foreground, or one, whose
            size weighs both alike.
        where: True counts; elsewhere all arrays may hold anything.

    Returns: one value per image, >= 0; float32 (float64 for float64 logits).
    Empty cases: a map of zeros gives 0; where nothing counts, 0 with zero gradient. A label outside
        [0, c) counts as `where=False`.
    Raises: ValueError on shapes; TypeError on dtypes.
    Cost: one pass over logits and maps.
    """
    classes.check_segmentation(logits, labels, where=where)
    checks.check_floating("maps", maps)
    pixels, channels = tuple(logits.shape[:-1]), logits.shape[-1]
    if not (channels == 1 and tuple(maps.shape) == (*pixels, 2)):
        checks.check_shape("maps", maps, (*pixels, channels))
    counts = classes.counted(labels, logits, where)
    planes = classes.log_softmax(classes.class_logits(logits, counts))
    targets = classes.class_targets(labels, logits)
    # `class_logits` for its split, mask and precision: a single map comes as (0, Z), of which Z
    # serves both classes.
    sizes = tuple(jnp.abs(z) for z in classes.class_logits(jax.lax.stop_gradient(maps), counts))
    sizes = sizes if maps.shape[-1] > 1 else (sizes[1], sizes[1])
    terms = (z.astype(p.dtype) * t * -p for z, t, p in zip(sizes, targets, planes, strict=True))
    return classes.image_mean(sum(terms), counts)


def focal(
    logits: Float[Array, "b *s c"],
    labels: Shaped[Array, "b *s"],
    *,
    gamma: float = 2.0,
    alpha: float | Sequence[float] | None = None,
    one_vs_rest: bool = False,
    where: Bool[Array, "b *s"] | None = None,
) -> Float[Array, "b"]:
    """Cross entropy that pixels lose interest in as they become easy (0 is perfect).

    For rare structures in a large easy background. With a large gamma the gradient of moderate
    errors fades too, and outliers among the labels dominate.

    L_b = (1/N) sum_i sum_k a_k t_ik (1 - p_ik)^gamma (-log p_ik), N the number of pixels that
    count, whatever alpha.

    Source: Lin et al. (2017), Focal Loss for Dense Object Detection, equations (4) and (5).
    Departures: the paper sums over anchors and divides by the positive ones; segmentation takes the
    mean over pixels. The paper's per-class sigmoids are `one_vs_rest`; MONAI divides those by the
    number of classes too.

    Args:
        logits: raw scores, channels last; `[b, c]` of whole images.
        labels: class indices, `[b]` of whole images, or target shares as floats, of the logits'
            shape.
        gamma: >= 0; 0 is cross entropy.
        alpha: None, the share in [0, 1] of every class but the background (which gets 1 - alpha),
            or one finite number >= 0 a class (two for one channel).
        one_vs_rest: a sigmoid for each channel, and the sum of the binary losses, instead of one
            softmax. No difference for one channel.
        where: True counts; elsewhere logits and labels may hold anything.

    Returns: one value per image, >= 0, in nats; float32 (float64 for float64 logits).
    Empty cases: an absent class costs nothing by itself; where nothing counts, 0 with zero
        gradient. A label outside [0, c) counts as `where=False`: it is not in N either.
    Raises: ValueError on shapes and options; TypeError on dtypes.
    Cost: one pass over the logits; a whole gamma is a product, any other a power.
    """
    classes.check_segmentation(logits, labels, where=where, spatial=0)
    gamma = checks.check_number("gamma", gamma, least=0)
    counts = classes.counted(labels, logits, where)
    planes, targets = classes.class_logits(logits, counts), classes.class_targets(labels, logits)
    if not one_vs_rest or logits.shape[-1] == 1:
        values = _focal(planes, targets, gamma, _focal_shares(alpha, len(planes)))
        return classes.image_mean(values, counts)
    shares = _focal_shares(alpha, 2)
    values = sum(
        # A sigmoid is the softmax of (0, z).
        _focal((jnp.zeros_like(z), z), (1 - t, t), gamma, shares)
        for z, t in zip(planes, targets, strict=True)
    )
    return classes.image_mean(values, counts)


def top_k_cross_entropy(
    logits: Float[Array, "b *s c"],
    labels: Shaped[Array, "b *s"],
    *,
    fraction: float = 0.1,
    over: str = "image",
    where: Bool[Array, "b *s"] | None = None,
) -> Float[Array, "b"]:
    """Mean cross entropy of the hardest pixels, in nats (0 is perfect).

    Hard pixels are chosen anew at each step, so a large easy background cannot drown a small
    structure; wrong labels are always among the chosen.

    L_b = mean of the ceil(fraction N) largest -log p_i,true, N the number of pixels that count.

    Source: Wu, Shen and van den Hengel (2016), Bridging Category-level and Instance-level Semantic
    Image Segmentation (online bootstrapping); as nnU-Net's top-k loss.
    Departures: pixels are chosen within each image; `over='batch'` chooses in the whole batch as
    published code does. Pixels equal to the last chosen one share its place.

    Args:
        logits: raw scores, channels last; `[b, c]` of whole images.
        labels: class indices, `[b]` of whole images, or target shares as floats, of the logits'
            shape.
        fraction: share of the pixels that count, in (0, 1].
        over: 'image' or 'batch'.
        where: True counts; elsewhere logits and labels may hold anything.

    Returns: one value per image, >= 0 (one in all for 'batch'); float32 (float64 for float64).
    Empty cases: where nothing counts, 0 with zero gradient. A label outside [0, c) counts as
        `where=False`: it is not in N, and is never among the chosen.
    Raises: ValueError on shapes and options; TypeError on dtypes.
    Cost: 31 passes over the pixels' losses to find the edge; no sort.
    """
    classes.check_segmentation(logits, labels, where=where, spatial=0)
    checks.check_option("over", over, ("image", "batch"))
    fraction = checks.check_number("fraction", fraction, above=0, most=1)
    counts = classes.counted(labels, logits, where)
    planes, targets = classes.class_logits(logits, counts), classes.class_targets(labels, logits)
    # Rounding may leave a little less than 0; the search over bit patterns begins at that of 0.
    values = jnp.maximum(_negative_log_likelihood(planes, targets), 0)
    if counts is not None:
        values = jnp.where(counts, values, 0)
    rows = 1 if over == "batch" else values.shape[0]
    values = values.reshape(rows, -1)
    if counts is None:
        number = jnp.full((rows,), values.shape[1], values.dtype)
    else:
        number = jnp.sum(counts.reshape(rows, -1).astype(values.dtype), axis=-1)
    # A little less before rounding up: 0.1 * 30 is 3.0000000000000004.
    chosen = jnp.ceil(fraction * number * (1 - 1e-6)).astype(jnp.int32)
    # Where nothing counts, the mean is that of one 0.
    return mean_of_largest(values, jnp.maximum(chosen, 1))


def _negative_log_likelihood(planes, targets) -> Array:
    """sum_k t_k (-log p_k) of each pixel."""
    # log sum exp - z is -log p, and finite where p underflows to 0.
    total = classes.log_sum_exp(planes)
    return sum(t * (total - z) for t, z in zip(targets, planes, strict=True))


def _focal(planes, targets, gamma: float, shares: Sequence[float]) -> Array:
    """The focal term of each pixel over mutually exclusive classes."""
    probs, total = classes.softmax(planes), classes.log_sum_exp(planes)
    values = 0
    for k, (t, z) in enumerate(zip(targets, planes, strict=True)):
        # The sum of the others is 1 - p without its rounding, when p is near 1.
        missed = sum(p for j, p in enumerate(probs) if j != k)
        values = values + shares[k] * t * _power(missed, gamma) * (total - z)
    return values


def _power(x: Array, gamma: float) -> Array:
    """x^gamma for x >= 0, with a finite gradient at 0 for gamma < 1 too."""
    if gamma == int(gamma):
        return x ** int(gamma)
    # At 0 the slope may be infinite: the maximum keeps the branch that is not taken finite.
    tiny = jnp.finfo(x.dtype).tiny
    return jnp.where(x > tiny, jnp.maximum(x, tiny) ** gamma, 0)


def _focal_shares(alpha: float | Sequence[float] | None, count: int) -> tuple[float, ...]:
    if alpha is None or np.ndim(alpha):
        return _class_weights(alpha, count, "alpha")
    alpha = checks.check_number("alpha", alpha, least=0, most=1)
    return (1 - alpha,) + (alpha,) * (count - 1)


def _class_weights(
    weights: Sequence[float] | None, count: int, name: str = "class_weights"
) -> tuple[float, ...]:
    """One number >= 0 a class. An infinite one would make every other, and the loss, 0."""
    return (
        (1.0,) * count if weights is None else checks.check_numbers(name, weights, count, least=0)
    )
