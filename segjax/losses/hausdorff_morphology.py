"""Hausdorff losses without a distance transform: by repeated erosion and by disks."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax

from segjax.ops import checks, classes
from segjax.ops.filters import disk_filters
from segjax.types import Array, Bool, Float, Shaped


def hausdorff_er(
    logits: Float[Array, "b *s c"],
    labels: Shaped[Array, "b *s"],
    *,
    erosions: int = 10,
    alpha: float = 2.0,
    reading: str = "paper",
    include_background: bool = False,
    where: Bool[Array, "b *s"] | None = None,
) -> Float[Array, "b"]:
    """Errors that survive k erosions, weighted by k^alpha: thick errors cost most (0 is perfect).

    The number of erosions that an error survives stands for its thickness, and so for the Hausdorff
    distance. No distance transform is needed, but that saves nothing here: on two CPU cores it was
    measured at 273 ms ('repo', all classes) where `hausdorff_dt` takes 19 (docs/benchmarks.md).
    Isolated wrong pixels cost nothing, and only pixels whose neighbourhood is wrong by more than a
    half have a gradient: start with, or add, an overlap loss. Users report that alone it does not
    train.

    L_b = mean over classes of (1/N) sum_(k=1..K) k^alpha sum_i E_k,i,
    E_0 = (p - t)^2, E_k = f(E_(k-1) * B), B the cross divided by its size, 0 outside the image;
    f(e) = e where e >= 1/2, else 0 ('paper'), or f(e) = max(e - 1/2, 0) scaled to range over [0, 1]
    within each image and class ('repo').

    Source: Karimi and Salcudean (2019), Reducing the Hausdorff Distance in Medical Image
    Segmentation with Convolutional Neural Networks, the loss by morphological erosion.
    Departures: the paper's soft threshold can be read in three ways. 'paper', the default, keeps
    what reaches 1/2. 'repo' is what public code computes (PatRyg99/HausdorffLoss, kornia), with a
    gradient; its scaling revives at each erosion what is left of a straight line, so that long
    thin errors may cost more than thick ones. The third, max(e - 1/2, 0) without scaling, leaves
    nothing after two erosions and is not offered. The un-eroded error is not part of any.

    Args:
        logits: raw scores, channels last.
        labels: class indices, or target shares `[b, *s, c]` as floats.
        erosions: K >= 1; errors up to about 2 K pixels thick are told apart.
        alpha: exponent >= 0 of the weight of an erosion.
        reading: 'paper' or 'repo'.
        include_background: counts class 0 as well; without effect for one channel.
        where: True counts; False is as outside the image, logits and labels may hold anything.

    Returns: one value per image, >= 0, at most sum_k k^alpha; float32 (float64 for float64).
    Empty cases: an absent class costs what is wrongly given to it. No error of more than a half:
        0 with zero gradient; where nothing counts, 0 too. A label outside [0, c) counts as
        `where=False`.
    Raises: ValueError on shapes and options; TypeError on dtypes.
    Cost: K times a handful of shifted additions, forward and backward; memory K images of bits
        ('repo': of numbers).
    """
    classes.check_segmentation(logits, labels, where=where)
    checks.check_option("reading", reading, ("paper", "repo"))
    erosions = checks.check_integer("erosions", erosions, least=1)
    alpha = checks.check_number("alpha", alpha, least=0)
    where = classes.counted(labels, logits, where)
    probs, targets = _chosen(logits, labels, include_background, where)
    error = (probs - targets) ** 2
    threshold = _keep_half if reading == "paper" else _rescale_half

    def erode(error: Array, weight: Array) -> tuple[Array, Array]:
        eroded = threshold(_mean_over_cross(error), where)
        if where is not None:
            eroded = jnp.where(where[None], eroded, 0)
        return eroded, weight * jnp.sum(eroded, axis=tuple(range(2, eroded.ndim)))

    # k begins at 1: the un-eroded error is in no term. A scan compiles one erosion, not K.
    weights = jnp.arange(1, erosions + 1, dtype=error.dtype) ** alpha
    _, sums = lax.scan(erode, error, weights)
    return jnp.mean(jnp.sum(sums, axis=0), axis=0) / classes.image_count(error[0], where)


def hausdorff_cv(
    logits: Float[Array, "b *s c"],
    labels: Shaped[Array, "b *s"],
    *,
    radii: Sequence[int] = (3, 6, 9, 12, 15, 18),
    alpha: float = 2.0,
    include_background: bool = False,
    where: Bool[Array, "b *s"] | None = None,
) -> Float[Array, "b"]:
    """Errors within which disks fit, weighted by radius^alpha: deep ones cost most (0 is perfect).

    A wrong pixel counts for every radius whose disk around it is mostly on the wrong side: mostly
    outside the truth for a false positive, mostly inside it for a miss, and alike for the
    prediction. Errors nearer to both boundaries than the smallest radius cost little.

    L_b = mean over classes of (1/N) sum_r r^alpha sum_i
          (q - t)^2 ( q [f(B_r * (1 - t)) + f(B_r * q)] + t [f(B_r * t) + f(B_r * (1 - q))] ),
    q the probability, t the target, both cut at 1/2 and without gradient where B_r * stands before
    them; B_r the normalised disk (ball), f(x) = x where x >= 1/2, else 0; 0 outside the image.

    Source: Karimi and Salcudean (2019), Reducing the Hausdorff Distance in Medical Image
    Segmentation with Convolutional Neural Networks, the loss by circular kernels.
    Departures: no code of the authors or of others exists, so this is the definition only. The
    soft threshold f keeps what reaches 1/2, as in `hausdorff_er`.

    Args:
        logits: raw scores, channels last.
        labels: class indices, or target shares `[b, *s, c]` as floats.
        radii: in pixels, each >= 1; they should cover the errors that are expected.
        alpha: exponent >= 0 of the weight of a radius.
        include_background: counts class 0 as well; without effect for one channel.
        where: True counts; False is as outside the image, logits and labels may hold anything.

    Returns: one value per image, in [0, 2 sum_r r^alpha]; float32 (float64 for float64 logits).
    Empty cases: an absent or full class counts as any other: a false positive in an image without
        the class has f(B_r * (1 - t)) = 1 for every radius. Where nothing counts, 0. A label
        outside [0, c) counts as `where=False`.
    Raises: ValueError on shapes and options; TypeError on dtypes.
    Cost: 4 r + 2 shifted additions per radius, class and mask in 2-D, some 2 pi r^2 in 3-D; none
        of it in the gradient. Memory: 2 images per radius and class.
    """
    classes.check_segmentation(logits, labels, where=where)
    alpha = checks.check_number("alpha", alpha, least=0)
    radii = tuple(checks.check_integer("radii", radius, least=1) for radius in radii)
    if not radii:
        raise ValueError("`radii` takes at least one radius, got none")
    where = classes.counted(labels, logits, where)
    probs, targets = _chosen(logits, labels, include_background, where)
    # Hard masks, without gradient: they weigh the errors and are not what is trained.
    masks = lax.stop_gradient(jnp.stack([probs, targets]) > 0.5).astype(probs.dtype)
    # Classes and the two masks are images of one batch.
    flat = masks.reshape(-1, *probs.shape[2:])
    inside = disk_filters(flat, radii=radii).reshape(len(radii), *masks.shape)
    # B * (1 - t) is 1 - B * t with background outside the image, so one filter of each mask serves
    # two of the four terms.
    spurious = missed = 0
    for radius, (predicted, true) in zip(radii, inside, strict=True):
        weight = float(radius) ** alpha
        spurious += weight * (_half(1 - true) + _half(predicted))
        missed += weight * (_half(true) + _half(1 - predicted))
    values = (probs - targets) ** 2 * (spurious * probs + missed * targets)
    return classes.image_mean(jnp.mean(values, axis=0), where)


def _chosen(
    logits: Array, labels: Array, include_background: bool, where: Array | None
) -> tuple[Array, Array]:
    """Probabilities and targets of the classes that count, `[k, b, *s]`, 0 outside `where`."""
    probs, targets = classes.probabilities(logits, where), classes.class_targets(labels, logits)
    counted = classes.chosen_classes(logits, include_background)
    stacked = (jnp.stack([planes[k] for k in counted]) for planes in (probs, targets))
    if where is None:
        return tuple(stacked)
    return tuple(jnp.where(where[None], planes, 0) for planes in stacked)


def _mean_over_cross(x: Array) -> Array:
    """Mean over each pixel of `[k, b, *s]` and its face neighbours, 0 outside the image."""
    total = x
    for axis in range(2, x.ndim):
        for by in (1, -1):
            # A negative pad cuts: the image moves by one pixel, 0 comes in.
            moved = [(by, -by, 0) if a == axis else (0, 0, 0) for a in range(x.ndim)]
            total = total + lax.pad(x, jnp.zeros((), x.dtype), moved)
    # Two of the axes are not spatial, so the cross has 2 (ndim - 2) + 1 pixels.
    return total * (1 / (2 * x.ndim - 3))


def _half(x: Array) -> Array:
    return jnp.where(x < 0.5, 0, x)  # in this order a nan stays one


def _keep_half(x: Array, where: Array | None) -> Array:
    return _half(x)


def _rescale_half(x: Array, where: Array | None) -> Array:
    """max(x - 1/2, 0), then to [0, 1] within each image and class unless it is constant."""
    x = jnp.where(x < 0.5, 0, x - 0.5)
    counted = None if where is None else jnp.broadcast_to(where[None], x.shape)
    axes = tuple(range(2, x.ndim))
    low = jnp.min(x, axis=axes, keepdims=True, where=counted, initial=jnp.inf)
    high = jnp.max(x, axis=axes, keepdims=True, where=counted, initial=-jnp.inf)
    # Where nothing counts, low is inf and high -inf: not a range, and x stays as it is.
    varies = high > low
    return jnp.where(varies, (x - low) / jnp.where(varies, high - low, 1), x)
