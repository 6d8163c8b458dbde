"""Losses that compare regions by their overlap: dice and its relatives."""

import jax.numpy as jnp

from segjax.ops import checks, classes
from segjax.types import Array, Bool, Float, Shaped


def dice(
    logits: Float[Array, "b *s c"],
    labels: Shaped[Array, "b *s"],
    *,
    smooth: float = 1e-5,
    squared: bool = False,
    include_background: bool = True,
    over: str = "image",
    where: Bool[Array, "b *s"] | None = None,
) -> Float[Array, "b"]:
    """One minus the soft Dice coefficient, mean over classes (0 is perfect).

    Large and small structures count alike, so class imbalance does little harm. A class absent
    from the labels gives nearly 1 and hardly any gradient as soon as a few pixels are predicted.

    L_b = mean_k 1 - (2 I_k + s) / (P_k + T_k + s),
    I_k = sum_i p_ik t_ik, P_k = sum_i p_ik, T_k = sum_i t_ik (squares of both with `squared`).

    Source: Milletari, Navab, Ahmadi (2016), V-Net (`squared`); Drozdzal et al. (2016) without.
    Departures: the smoothing s, which V-Net does not have; MONAI's default.

    Args:
        logits: raw scores, channels last.
        labels: class indices, or target shares `[b, *s, c]` as floats.
        smooth: s >= 0, in pixels.
        squared: V-Net's denominator.
        include_background: count class 0 as well (several channels only).
        over: 'image', or 'batch': sums run over the whole batch, one value.
        where: True counts; elsewhere logits and labels may hold anything.

    Returns: one value per image in [0, 1] (one in all for 'batch'); float32 (float64 for float64).
    Empty cases: a class absent from the labels costs P / (P + s); absent from both, or nothing
        counted, 0. With s = 0 such a class costs 1 with zero gradient. A label outside [0, c)
        counts as `where=False`.
    Raises: ValueError on shapes and options; TypeError on dtypes.
    Cost: one pass over the logits.
    """
    smooth = checks.check_number("smooth", smooth, least=0)
    sums = _sums(logits, labels, where, over, include_background, squared)
    return _mean(1 - classes.ratio(2 * i + smooth, p + t + smooth) for i, p, t in sums)


def jaccard(
    logits: Float[Array, "b *s c"],
    labels: Shaped[Array, "b *s"],
    *,
    smooth: float = 1e-5,
    squared: bool = False,
    include_background: bool = True,
    over: str = "image",
    where: Bool[Array, "b *s"] | None = None,
) -> Float[Array, "b"]:
    """One minus the soft Jaccard index (intersection over union), mean over classes (0 is perfect).

    As dice, but errors weigh more when the overlap is already good.

    L_b = mean_k 1 - (I_k + s) / (P_k + T_k - I_k + s), sums as in `dice`.

    Source: Rahman and Wang (2016), Optimizing Intersection-Over-Union in Deep Neural Networks.
    Departures: the smoothing s. MONAI's `jaccard` doubles both sums, which halves its s.

    Args:
        logits: raw scores, channels last.
        labels: class indices, or target shares `[b, *s, c]` as floats.
        smooth: s >= 0, in pixels.
        squared: squares of p and t in P and T.
        include_background: count class 0 as well (several channels only).
        over: 'image', or 'batch': sums run over the whole batch, one value.
        where: True counts; elsewhere logits and labels may hold anything.

    Returns: one value per image in [0, 1] (one in all for 'batch'); float32 (float64 for float64).
    Empty cases: as `dice`.
    Raises: ValueError on shapes and options; TypeError on dtypes.
    Cost: one pass over the logits.
    """
    smooth = checks.check_number("smooth", smooth, least=0)
    sums = _sums(logits, labels, where, over, include_background, squared)
    return _mean(1 - classes.ratio(i + smooth, p + t - i + smooth) for i, p, t in sums)


def tversky(
    logits: Float[Array, "b *s c"],
    labels: Shaped[Array, "b *s"],
    *,
    alpha: float = 0.5,
    beta: float = 0.5,
    smooth: float = 1e-5,
    include_background: bool = True,
    over: str = "image",
    where: Bool[Array, "b *s"] | None = None,
) -> Float[Array, "b"]:
    """One minus the Tversky index, mean over classes (0 is perfect).

    Dice with a price for each kind of error: beta > alpha buys recall of small lesions with
    precision. One half each is dice, one each is jaccard.

    L_b = mean_k 1 - (TP_k + s) / (TP_k + alpha FP_k + beta FN_k + s),
    TP = sum p t, FP = sum p - TP, FN = sum t - TP.

    Source: Salehi, Erdogmus, Gholipour (2017), Tversky loss function for image segmentation,
    equation (4).
    Departures: the smoothing s. alpha weighs false positives, as in that paper; some
    implementations swap the two.

    Args:
        logits: raw scores, channels last.
        labels: class indices, or target shares `[b, *s, c]` as floats.
        alpha: weight >= 0 of false positives; the authors recommend 0.3.
        beta: weight >= 0 of false negatives; the authors recommend 0.7.
        smooth: s >= 0, in pixels.
        include_background: count class 0 as well (several channels only).
        over: 'image', or 'batch': sums run over the whole batch, one value.
        where: True counts; elsewhere logits and labels may hold anything.

    Returns: one value per image in [0, 1] (one in all for 'batch'); float32 (float64 for float64).
    Empty cases: a class absent from the labels costs alpha P / (alpha P + s); absent from both, 0.
        A label outside [0, c) counts as `where=False`.
    Raises: ValueError on shapes and options; TypeError on dtypes.
    Cost: one pass over the logits.
    """
    indices = _tversky_indices(logits, labels, alpha, beta, smooth, include_background, over, where)
    return _mean(1 - index for index in indices)


def focal_tversky(
    logits: Float[Array, "b *s c"],
    labels: Shaped[Array, "b *s"],
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    gamma: float = 0.75,
    smooth: float = 1e-5,
    power_of: str = "class",
    include_background: bool = True,
    over: str = "image",
    where: Bool[Array, "b *s"] | None = None,
) -> Float[Array, "b"]:
    """A power of the Tversky loss: gamma < 1 keeps pushing where the overlap is already good.

    gamma > 1 turns to the images that are bad. With gamma < 1 the slope grows without bound towards
    a perfect overlap; it is cut off below 1e-6.

    L_b = mean_k (1 - TI_k)^gamma, TI as in `tversky`.

    Source: Abraham and Khan (2019), A Novel Focal Tversky Loss Function, equation (5).
    Departures: the paper writes the exponent as 1 / gamma with gamma = 4/3, which is our 0.75;
    'mean' takes the power of the mean over the classes, as published code does.

    Args:
        logits: raw scores, channels last.
        labels: class indices, or target shares `[b, *s, c]` as floats.
        alpha: weight >= 0 of false positives.
        beta: weight >= 0 of false negatives.
        gamma: exponent > 0.
        smooth: s >= 0, in pixels.
        power_of: 'class' (each before the mean) or 'mean'.
        include_background: count class 0 as well (several channels only).
        over: 'image', or 'batch': sums run over the whole batch, one value.
        where: True counts; elsewhere logits and labels may hold anything.

    Returns: one value per image in [0, 1] (one in all for 'batch'); float32 (float64 for float64).
    Empty cases: those of `tversky`, to the power of gamma.
    Raises: ValueError on shapes and options; TypeError on dtypes.
    Cost: one pass over the logits.
    """
    checks.check_option("power_of", power_of, ("class", "mean"))
    gamma = checks.check_number("gamma", gamma, above=0)
    indices = _tversky_indices(logits, labels, alpha, beta, smooth, include_background, over, where)
    if power_of == "mean":
        return _safe_power(_mean(1 - index for index in indices), gamma)
    return _mean(_safe_power(1 - index, gamma) for index in indices)


def generalized_dice(
    logits: Float[Array, "b *s c"],
    labels: Shaped[Array, "b *s"],
    *,
    weighting: str = "square",
    smooth: float = 1e-5,
    include_background: bool = True,
    over: str = "image",
    where: Bool[Array, "b *s"] | None = None,
) -> Float[Array, "b"]:
    """One minus one Dice coefficient of all classes, each weighted by its rarity (0 is perfect).

    The weights make every class contribute alike, whatever its volume; errors in a tiny class
    dominate the gradient.

    L_b = 1 - (2 sum_k w_k I_k + s) / (sum_k w_k (P_k + T_k) + s),
    w_k = 1 / T_k^2 ('square'), 1 / T_k ('simple') or 1 ('uniform').

    Source: Sudre et al. (2017), Generalised Dice overlap as a deep learning loss function,
    section 2.1: the sums run over the classes inside the fraction.
    Departures: the weights are divided by the largest, so that s is in pixels of the rarest class
    (with raw weights of 1e-9, s would be the whole loss). A class absent from the labels gets the
    largest weight of those present, as in MONAI, where Sudre's would be infinite.

    Args:
        logits: raw scores, channels last; one channel counts as two classes.
        labels: class indices, or target shares `[b, *s, c]` as floats.
        weighting: 'square', 'simple' or 'uniform'.
        smooth: s >= 0, in pixels.
        include_background: count class 0 as well.
        over: 'image', or 'batch': sums run over the whole batch, one value.
        where: True counts; elsewhere logits and labels may hold anything.

    Returns: one value per image in [0, 1] (one in all for 'batch'); float32 (float64 for float64).
    Empty cases: nothing counted gives 0. No class present (background left out, empty labels):
        equal weights, and the loss is P / (P + s). A label outside [0, c) counts as `where=False`.
    Raises: ValueError on shapes and options; TypeError on dtypes.
    Cost: one pass over the logits.
    """
    checks.check_option("weighting", weighting, ("square", "simple", "uniform"))
    smooth = checks.check_number("smooth", smooth, least=0)
    sums = _sums(logits, labels, where, over, include_background, False, binary_background=True)
    weights = _volume_weights([t for _, _, t in sums], weighting)
    overlap = sum(w * i for w, (i, _, _) in zip(weights, sums, strict=True))
    volume = sum(w * (p + t) for w, (_, p, t) in zip(weights, sums, strict=True))
    return 1 - classes.ratio(2 * overlap + smooth, volume + smooth)


# --- what they share ------------------------------------------------------------------------------


def _sums(logits, labels, where, over, include_background, squared, binary_background=False):
    """(I, P, T) of each chosen class, each `[b]`, or `[1]` over the batch."""
    classes.check_segmentation(logits, labels, where=where)
    checks.check_option("over", over, ("image", "batch"))
    counts = classes.counted(labels, logits, where)
    probs, targets = classes.probabilities(logits, counts), classes.class_targets(labels, logits)
    chosen = classes.chosen_classes(logits, include_background)
    # Sudre's loss weighs the background against the foreground, so one channel has both there;
    # elsewhere a binary loss is that of the foreground alone.
    if binary_background and include_background:
        chosen = range(len(probs))

    def total(x):
        sums = classes.image_sum(x, counts)
        return sums if over == "image" else jnp.sum(sums, keepdims=True)

    def one(p, t):
        size = (p * p, t * t) if squared else (p, t)
        return total(p * t), total(size[0]), total(size[1])

    return [one(probs[k], targets[k]) for k in chosen]


def _tversky_indices(logits, labels, alpha, beta, smooth, include_background, over, where):
    alpha = checks.check_number("alpha", alpha, least=0)
    beta = checks.check_number("beta", beta, least=0)
    smooth = checks.check_number("smooth", smooth, least=0)
    sums = _sums(logits, labels, where, over, include_background, False)
    # p - i are the false positives, t - i the false negatives.
    return [
        classes.ratio(i + smooth, i + alpha * (p - i) + beta * (t - i) + smooth) for i, p, t in sums
    ]


def _volume_weights(volumes: list[Array], weighting: str) -> list[Array]:
    """Sudre's weights, divided by the largest; an absent class gets the largest."""
    if weighting == "uniform":
        return [jnp.ones_like(v) for v in volumes]
    power = 2 if weighting == "square" else 1
    # An absent class must not be the rarest. Where none is present, all weights become 1.
    present = [jnp.where(v > 0, v, jnp.inf) for v in volumes]
    least = present[0]
    for v in present[1:]:
        least = jnp.minimum(least, v)
    return [jnp.where(v > 0, (least / jnp.where(v > 0, v, 1)) ** power, 1) for v in volumes]


def _safe_power(x: Array, gamma: float) -> Array:
    """x^gamma for x >= 0; below 1e-6 a straight line to 0, whose slope is finite."""
    edge = 1e-6
    # Rounding may leave x a little below 0, where a broken power is nan.
    if gamma >= 1:
        return jnp.maximum(x, 0) ** gamma
    # The gradient of the branch not taken is multiplied by 0: the maximum keeps it finite. A nan is
    # not above the edge, and stays one by the straight line.
    return jnp.where(x > edge, jnp.maximum(x, edge) ** gamma, x * edge ** (gamma - 1))


def _mean(values) -> Array:
    values = list(values)
    return sum(values) / len(values)
