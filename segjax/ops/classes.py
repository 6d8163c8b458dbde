"""Segmentation predictions and labels, one array a class: the form in which losses compute.

Arrays arrive with the channels last. XLA's CPU backend vectorises along the last axis, where a few
channels leave it idle; class by class, each operation runs along a spatial axis, several times
faster (docs/benchmarks.md). A binary prediction (one channel) becomes two classes, whose softmax is
the sigmoid, so what follows knows one case only.
"""

import jax
import jax.numpy as jnp
import numpy as np

from segjax.ops import checks
from segjax.types import Array, Bool, Float

Planes = tuple[Array, ...]  # one [b, *s] array for each class, the background first


def check_segmentation(
    logits: Array,
    labels: Array,
    *,
    where: Array | None = None,
    weights: Array | None = None,
    spatial: int = 1,
) -> None:
    """Raises unless the arrays fit together as `[b, *s, c]`, labels and per-pixel arrays.

    `spatial` is the least number of spatial axes: 0 where a loss also judges whole images, of which
    logits are `[b, c]` and labels `[b]`.
    """
    check_logits(logits, spatial=spatial)
    pixels = tuple(logits.shape[:-1])
    if jnp.issubdtype(labels.dtype, jnp.floating):
        checks.check_shape("labels", labels, tuple(logits.shape))
    elif jnp.issubdtype(labels.dtype, jnp.integer) or labels.dtype == bool:
        if labels.ndim == logits.ndim and labels.shape == logits.shape:
            raise ValueError(
                f"`labels` are integers of the logits' shape {tuple(logits.shape)}: class indices "
                f"have shape {pixels} (labels.argmax(-1)), one-hot labels are floats "
                "(labels.astype(float))"
            )
        checks.check_shape("labels", labels, pixels)
    else:
        raise TypeError(f"`labels` takes integers, booleans or floats, got {labels.dtype}")
    check_where(where, pixels)
    if weights is not None:
        checks.check_floating("weights", weights)
        checks.check_shape("weights", weights, pixels)


def check_logits(logits: Array, *, spatial: int = 1) -> None:
    """Raises unless `logits` is floating point, `[b, *s, c]` with `spatial` to three axes `s`."""
    checks.check_rank("logits", logits, *range(spatial + 2, 6))
    checks.check_floating("logits", logits)
    if 0 in logits.shape:
        raise ValueError(
            f"`logits` takes at least one image, pixel and channel, got {tuple(logits.shape)}"
        )


def check_where(where: Array | None, pixels: tuple[int, ...]) -> None:
    """Raises unless `where` is None or boolean with the shape of the labels."""
    if where is None:
        return
    if where.dtype != bool:
        raise TypeError(f"`where` takes booleans, got {where.dtype}")
    checks.check_shape("where", where, pixels)


def computing_dtype(x: Array) -> jnp.dtype:
    """The dtype that losses compute in: float32, or float64 for float64 where JAX has it."""
    # Canonical first: without x64, JAX makes float32 of NumPy's float64.
    double = jax.dtypes.canonicalize_dtype(x.dtype) == jnp.float64
    return jnp.dtype("float64" if double else "float32")


def split(x: Float[Array, "b *s c"]) -> Planes:
    """One array a channel; the gradient of `x[..., k]` is a padding, far slower than this one's."""
    return tuple(jnp.squeeze(part, -1) for part in jnp.split(x, x.shape[-1], axis=-1))


def class_logits(
    logits: Float[Array, "b *s c"], where: Bool[Array, "b *s"] | None = None
) -> Planes:
    """The logits of each class, at least two; outside `where` they become 0, nan too."""
    planes = tuple(plane.astype(computing_dtype(logits)) for plane in split(logits))
    if where is not None:
        # Before any arithmetic: masked after it, a nan would still reach the gradient.
        planes = tuple(jnp.where(where, plane, 0) for plane in planes)
    return planes if len(planes) > 1 else (jnp.zeros_like(planes[0]), planes[0])


def log_softmax(planes: Planes) -> Planes:
    """Logarithm of the softmax over the classes, finite for logits of any size."""
    total = log_sum_exp(planes)
    return tuple(plane - total for plane in planes)


def log_sum_exp(planes: Planes) -> Array:
    """log sum_k exp z_k over the classes."""
    # The largest keeps exp within range and cancels: no gradient passes through it.
    top = jax.lax.stop_gradient(_largest(planes))
    return top + jnp.log(_sum(jnp.exp(plane - top) for plane in planes))


def softmax(planes: Planes) -> Planes:
    """Probabilities of the classes."""
    top = jax.lax.stop_gradient(_largest(planes))
    raised = tuple(jnp.exp(plane - top) for plane in planes)
    scale = 1 / _sum(raised)
    return tuple(plane * scale for plane in raised)


def probabilities(
    logits: Float[Array, "b *s c"], where: Bool[Array, "b *s"] | None = None
) -> Planes:
    """Probabilities of the classes, at least two: softmax, or for one channel (1 - p, p)."""
    return softmax(class_logits(logits, where))


def class_targets(labels: Array, logits: Float[Array, "b *s c"]) -> Planes:
    """The target share of each class, at least two: 0 or 1 from integers, floats as they are.

    An integer outside [0, c) belongs to no class, see `counted`. A nan among the shares of a pixel
    is one in each of them, as the softmax makes it of logits: no loss sees some of a pixel only.
    """
    dtype = computing_dtype(logits)
    if jnp.issubdtype(labels.dtype, jnp.floating):
        planes = tuple(plane.astype(dtype) for plane in split(labels))
        if len(planes) == 1:
            return 1 - planes[0], planes[0]
        broken = jnp.isnan(_sum(planes))
        return tuple(jnp.where(broken, jnp.nan, plane) for plane in planes)
    labels = as_int32(labels)
    return tuple((labels == k).astype(dtype) for k in range(max(2, logits.shape[-1])))


def counted(
    labels: Array, logits: Float[Array, "b *s c"], where: Bool[Array, "b *s"] | None = None
) -> Bool[Array, "b *s"] | None:
    """`where` without the pixels whose label is of no class; None if every pixel counts.

    A class index outside [0, c) (255 and -1 are common) says that nothing is known of the pixel:
    every loss of labels leaves it out as `where=False` does, without cost and without gradient.
    """
    if jnp.issubdtype(labels.dtype, jnp.floating):
        return where
    labels = as_int32(labels)
    # One channel stands for two classes, 0 and 1.
    known = (labels >= 0) & (labels < max(2, logits.shape[-1]))
    return known if where is None else known & where


def as_int32(x: Array) -> Array:
    """Booleans or integers as int32, where numbers beyond it become its least or largest.

    A cast would wrap them round: 2**32 in NumPy's int64 becomes 0, which is a class.
    """
    # In NumPy where x is: on the way into JAX without x64 an int64 would wrap round.
    xp = jnp if isinstance(x, jax.Array) else np
    ends = np.iinfo(np.int32)
    if x.dtype in (np.int64, np.uint32, np.uint64):
        x = xp.minimum(x, ends.max)
        x = xp.maximum(x, ends.min) if x.dtype == np.int64 else x
    return jnp.asarray(x.astype(np.int32))


def with_nans(values: Float[Array, "b"], *arrays: Array) -> Float[Array, "b"]:
    """`values`, but nan, and so its gradient, for each image in which an array holds a nan.

    For losses that only compare what they are given, which a nan survives without a trace; where
    there is arithmetic it travels by itself.
    """
    for x in arrays:
        broken = jnp.any(jnp.isnan(x).reshape(len(values), -1), axis=-1)
        # A factor, not a `where`, so that the gradient becomes nan too
        values = values * jnp.where(broken, jnp.nan, jnp.ones_like(values))
    return values


def chosen_classes(logits: Array, include_background: bool) -> range:
    """Indices of the classes that a per-class loss counts; of a binary one, the foreground."""
    first = 0 if include_background and logits.shape[-1] > 1 else 1
    return range(first, max(2, logits.shape[-1]))


def image_sum(x: Array, where: Bool[Array, "b *s"] | None = None) -> Float[Array, "b"]:
    """Sum over the pixels that count."""
    if where is not None:
        x = jnp.where(where, x, 0)
    return jnp.sum(x.reshape(x.shape[0], -1), axis=-1)


def ratio(numerator: Array, denominator: Array) -> Array:
    """The quotient, and 0 with zero gradient where the denominator is 0; a nan stays one."""
    # A nan fails this test, so the quotient keeps it. The inner `where` keeps the gradient finite
    # where the quotient is not taken: 0 times an infinite slope is nan.
    empty = denominator <= 0
    return jnp.where(empty, 0, numerator / jnp.where(empty, 1, denominator))


def image_count(like: Array, where: Bool[Array, "b *s"] | None = None) -> Float[Array, "b"]:
    """Number of pixels that count, at least 1: the divisor of a mean, 0 / 1 where none counts."""
    if where is None:
        return jnp.full(like.shape[:1], max(1, like[0].size), like.dtype)
    return jnp.maximum(image_sum(where.astype(like.dtype)), 1)


def image_mean(x: Array, where: Bool[Array, "b *s"] | None = None) -> Float[Array, "b"]:
    """Mean over the pixels that count; 0 where none does."""
    return image_sum(x, where) / image_count(x, where)


def _sum(planes) -> Array:
    first, *rest = planes
    for plane in rest:
        first = first + plane
    return first


def _largest(planes: Planes) -> Array:
    first, *rest = planes
    for plane in rest:
        first = jnp.maximum(first, plane)
    return first
