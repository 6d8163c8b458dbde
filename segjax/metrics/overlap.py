"""How much of each class prediction and labels share, image by image or pooled over a set."""

import jax
import jax.numpy as jnp
import numpy as np

from segjax.ops import checks
from segjax.ops.classes import as_int32, check_where
from segjax.types import Array, Bool, Float, Int


def dice(
    predicted: Int[Array, "b *s"],
    labels: Int[Array, "b *s"],
    *,
    num_classes: int = 2,
    include_background: bool = False,
    where: Bool[Array, "b *s"] | None = None,
) -> Float[Array, "b c"]:
    """Dice coefficient of each class, 2 |P and L| / (|P| + |L|); 1 is perfect, 0 no overlap.

    The F1 score of the pixels. It is harsh on small objects, where one pixel is a large share, and
    blind to where the errors lie: a surface distance belongs beside it.

    D_bc = 2 tp / (2 tp + fp + fn)

    Source: Dice (1945); per image and class as in most challenges.
    Departures: none. Means over images, and pooled values, are the caller's: see `overlap_counts`
    and `dice_from_counts`.

    Args:
        predicted: class index of each pixel, bool or integer.
        labels: class index of each pixel. An index outside [0, num_classes) belongs to no class:
            what is predicted there is a false positive. Pixels to be ignored go by `where`.
        num_classes: classes, the background 0 among them.
        include_background: whether class 0 has a column too.
        where: True counts; other pixels may hold anything.

    Returns: `[b, c]` float32, c = num_classes, or one less without the background.
    Empty cases: a class absent in both is 1, in one of them 0. A mean over the images that show a
        class takes those with `overlap_counts(...)[..., :3].sum(-1) > 0`.
    Raises: ValueError on a wrong rank, shape or number of classes; TypeError on a float class map.
    Cost: O(c) passes over the pixels.
    """
    counts = overlap_counts(
        predicted,
        labels,
        num_classes=num_classes,
        include_background=include_background,
        where=where,
    )
    return dice_from_counts(counts)


def jaccard(
    predicted: Int[Array, "b *s"],
    labels: Int[Array, "b *s"],
    *,
    num_classes: int = 2,
    include_background: bool = False,
    where: Bool[Array, "b *s"] | None = None,
) -> Float[Array, "b c"]:
    """Jaccard index of each class, |P and L| / |P or L|; 1 is perfect, 0 no overlap.

    Intersection over union. On one image it orders predictions as Dice does, J = D / (2 - D); means
    over images need not agree.

    J_bc = tp / (tp + fp + fn)

    Source: Jaccard (1912). Departures: none.

    Args:
        predicted: class index of each pixel, bool or integer.
        labels: class index of each pixel; an index outside [0, num_classes) belongs to no class.
        num_classes: classes, the background 0 among them.
        include_background: whether class 0 has a column too.
        where: True counts; other pixels may hold anything.

    Returns: `[b, c]` float32, c = num_classes, or one less without the background.
    Empty cases: a class absent in both is 1, in one of them 0.
    Raises: ValueError on a wrong rank, shape or number of classes; TypeError on a float class map.
    Cost: O(c) passes over the pixels.
    """
    counts = overlap_counts(
        predicted,
        labels,
        num_classes=num_classes,
        include_background=include_background,
        where=where,
    )
    return jaccard_from_counts(counts)


def overlap_counts(
    predicted: Int[Array, "b *s"],
    labels: Int[Array, "b *s"],
    *,
    num_classes: int = 2,
    include_background: bool = False,
    where: Bool[Array, "b *s"] | None = None,
) -> Int[Array, "b c 4"]:
    """Pixels of each class that are right and wrong: sums that merge over images and devices.

    The last axis holds tp, fp, fn, tn. Adding the counts of images and dividing once, as nnU-Net
    does for its training curve, weighs pixels alike; the mean of `dice` weighs images alike.

    Source: the confusion matrix, one class against the rest. Departures: none.

    Args:
        predicted: class index of each pixel, bool or integer.
        labels: class index of each pixel; an index outside [0, num_classes) belongs to no class.
        num_classes: classes, the background 0 among them.
        include_background: whether class 0 has a row too.
        where: True counts; other pixels may hold anything.

    Returns: `[b, c, 4]` int32. Over many images add them as int64 or float64 on the host.
    Empty cases: nothing that counts gives zeros.
    Raises: ValueError on a wrong rank, shape or number of classes; TypeError on a float class map.
    Cost: O(c) passes over the pixels.
    """
    predicted, labels = _class_map("predicted", predicted), _class_map("labels", labels)
    checks.check_shape("labels", labels, tuple(predicted.shape))
    if num_classes < 2:
        raise ValueError(f"`num_classes` takes 2 or more, got {num_classes}")
    counted = jnp.ones(labels.shape, bool) if where is None else jnp.asarray(where)
    check_where(counted, tuple(labels.shape))

    pixels = tuple(range(1, labels.ndim))

    # int32 named, for the sum of booleans would be int64 under x64
    def count(chosen: Array) -> Array:
        return jnp.sum(chosen, axis=pixels, dtype=jnp.int32)

    total = count(counted)

    def one_class(k: Array) -> Array:
        here, true = (predicted == k) & counted, (labels == k) & counted
        # fp is found - tp, fn is wanted - tp; tn is all but what is found or wanted.
        tp, found, wanted = count(here & true), count(here), count(true)
        return jnp.stack([tp, found - tp, wanted - tp, total - found - wanted + tp], axis=-1)

    # A loop, for XLA's CPU backend is several times slower when all classes share one pass.
    classes = jnp.arange(0 if include_background else 1, num_classes)
    return jnp.swapaxes(jax.lax.map(one_class, classes), 0, 1)


def dice_from_counts(counts: Int[Array, "*n 4"]) -> Float[Array, "*n"]:
    """Dice coefficient of counts (tp, fp, fn, tn), of one image or added over many; 1 is perfect.

    D = 2 tp / (2 tp + fp + fn): at a threshold of `threshold_counts`, the F1 score.

    Source: as `dice`. Departures: none.

    Args:
        counts: from `overlap_counts` or `threshold_counts`, on the last axis tp, fp, fn, tn.

    Returns: `[*n]`; float32 from a JAX array, float64 from a NumPy one (exact for large sums).
    Empty cases: tp + fp + fn = 0 gives 1; a nan among them nan.
    Raises: ValueError unless the last axis has length 4.
    Cost: O(n).
    """
    tp, fp, fn, xp = _float_counts(counts)
    # A nan fails the comparison, and so reaches the quotient.
    divisor = 2 * tp + fp + fn
    return xp.where(divisor <= 0, 1, 2 * tp / xp.where(divisor <= 0, 1, divisor))


def jaccard_from_counts(counts: Int[Array, "*n 4"]) -> Float[Array, "*n"]:
    """Jaccard index of counts (tp, fp, fn, tn), of one image or added over many; 1 is perfect.

    J = tp / (tp + fp + fn)

    Source: as `jaccard`. Departures: none.

    Args:
        counts: from `overlap_counts` or `threshold_counts`, on the last axis tp, fp, fn, tn.

    Returns: `[*n]`; float32 from a JAX array, float64 from a NumPy one.
    Empty cases: tp + fp + fn = 0 gives 1; a nan among them nan.
    Raises: ValueError unless the last axis has length 4.
    Cost: O(n).
    """
    tp, fp, fn, xp = _float_counts(counts)
    divisor = tp + fp + fn
    return xp.where(divisor <= 0, 1, tp / xp.where(divisor <= 0, 1, divisor))


def _float_counts(counts: Array) -> tuple:
    """tp, fp, fn as floats, and the module that computes on them."""
    # Counts of a whole set exceed 2^24, beyond which float32 skips integers: NumPy's stay exact.
    xp, dtype = (jnp, jnp.float32) if isinstance(counts, jax.Array) else (np, np.float64)
    counts = xp.asarray(counts)
    checks.check_shape("counts", counts, (*counts.shape[:-1], 4))
    return tuple(counts[..., k].astype(dtype) for k in range(3)) + (xp,)


def _class_map(name: str, classes: Array) -> Array:
    """An integer class map `[b, *s]`."""
    classes = classes if isinstance(classes, jax.Array) else np.asarray(classes)
    checks.check_rank(name, classes, 2, 3, 4)
    if not (classes.dtype == bool or jnp.issubdtype(classes.dtype, jnp.integer)):
        raise TypeError(f"`{name}` takes a class index for each pixel, got {classes.dtype}")
    return as_int32(classes)
