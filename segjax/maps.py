"""Region-wise and distance maps, computed from labels: what each class costs at each pixel.

All take integer labels `[b, *s]` (soft labels have no regions) and return float32 `[b, *s, c]`,
without gradient. The region of class k is labels == k; a label outside [0, c) is of no class, and
its pixel is mapped as any other: to leave it out of a loss, give the loss a `where`. With
`num_classes=1` there is one channel, that of label 1.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax

from segjax.ops import checks
from segjax.ops.classes import as_int32
from segjax.ops.distance import distance_transform, unsigned_distance
from segjax.types import Array, Bool, Float, Int

__all__ = ["active_contour", "boundary", "hausdorff", "rectified", "signed"]

Spacing = Sequence[float] | Float[Array, "s"] | None


def rectified(
    labels: Int[Array, "b *s"], num_classes: int, *, spacing: Spacing = None
) -> Float[Array, "b *s c"]:
    """Rectified region-wise (RRW) map: +1 off the class, down to -1 deepest inside.

    Z_ik = -|i - b_ik| / max_(j in Omega_k) |j - b_jk| for i in Omega_k, else 1; b_ik the nearest
    pixel that is not of class k. All classes that are wrong at a pixel cost the same there, so
    exactly one component of the loss's gradient is negative, that of the true class, for any
    prediction; boundary maps lack this with three classes or more.

    Source: Valverde and Tohka, Region-wise Loss for Biomedical Image Segmentation, equation (4).
    Departures: none. The maximum is over the class in one image, of whatever extent it is given:
        the paper computes maps of whole volumes and trains on slices, its code computes them of
        the cropped slice. For the former, compute before cropping and crop the map alike.

    Args:
        labels: class indices.
        num_classes: c; 1 gives the map of label 1 alone.
        spacing: units per pixel along each spatial axis; only ratios matter here.

    Returns: values in [-1, 0) on the class, 1 elsewhere.
    Empty cases: an absent class: 1 everywhere. A class that covers the image: -1 everywhere (there
        is no boundary to measure from; the published code takes SciPy's distance to a point outside
        the image). A single pixel: -1.
    Raises: ValueError on the rank of `labels`, `num_classes`, `spacing`; TypeError on float labels.
    Cost: one distance transform for all classes.
    """
    labels, ndim = _checked(labels, num_classes)
    # One transform of the label map gives the distance within every class.
    distance = unsigned_distance(labels, spacing=spacing, spatial_ndim=ndim)
    axes = tuple(range(1, labels.ndim))
    planes = []
    for region in _regions(labels, num_classes):
        # 0 where the class is absent, or covers the image and has no boundary
        largest = jnp.max(jnp.where(region, distance, 0), axis=axes, keepdims=True)
        inside = jnp.where(largest > 0, -distance / jnp.where(largest > 0, largest, 1), -1)
        planes.append(jnp.where(region, inside, 1))
    return jnp.stack(planes, axis=-1)


def boundary(
    labels: Int[Array, "b *s"], num_classes: int, *, spacing: Spacing = None
) -> Float[Array, "b *s c"]:
    """Distance to the other side of the class's boundary: negative on the class, positive off it.

    Z_ik = -|i - b_ik| for i in Omega_k, else +|i - b_ik|; b_ik the nearest pixel on the other side,
    so the first layers are -1 and +1 pixel. With three classes or more the gradient of a pixel may
    have several negative components; `rectified` repairs that.

    Source: Valverde and Tohka, Region-wise Loss, equations (3) and (21); after Kervadec et al.,
        Boundary loss for highly unbalanced segmentation (2019).
    Departures: the published region-wise code hands an absent class the map of the class before
        it; here it is 0. Kervadec's own map begins at 0 inside: `signed`.

    Args:
        labels: class indices.
        num_classes: c; 1 gives the map of label 1 alone.
        spacing: units per pixel along each spatial axis; None is 1.

    Returns: signed distances in units of `spacing`.
    Empty cases: a class that is absent or covers the image: 0 everywhere, as other classes
        supervise those pixels.
    Raises: as `rectified`.
    Cost: one distance transform per class, in one batch.
    """
    return signed(labels, num_classes, spacing=spacing, offset=0.0)


def signed(
    labels: Int[Array, "b *s"], num_classes: int, *, spacing: Spacing = None, offset: float = 1.0
) -> Float[Array, "b *s c"]:
    """`boundary` with the distances inside less by one pixel: the level set of the boundary loss.

    phi_ik = -(d_ik - offset * min(spacing)) for i in Omega_k, else +d_ik; d_ik the distance to the
    nearest pixel on the other side. The class's outermost pixels are the zero level.

    Source: Kervadec et al., Boundary loss (2019), as in their `one_hot2dist` and in MONAI.
    Departures: they subtract 1 whatever the spacing, which turns the sign of pixels nearer than
        that; here it is one pixel of the finest axis, so no pixel of the class becomes positive.

    Args:
        labels: class indices.
        num_classes: c; 1 gives the map of label 1 alone.
        spacing: units per pixel along each spatial axis; None is 1.
        offset: in pixels of the finest axis, 0 to 1; 0 is `boundary`.

    Returns: signed distances in units of `spacing`.
    Empty cases: a class that is absent or covers the image: 0 everywhere.
    Raises: as `rectified`; ValueError on `offset`.
    Cost: one distance transform per class, in one batch.
    """
    labels, ndim = _checked(labels, num_classes)
    offset = checks.check_number("offset", offset, least=0, most=1)
    # A mask for each class: off a class, too, distances are to that class alone.
    regions = jnp.stack(_regions(labels, num_classes), axis=1)
    distance = unsigned_distance(regions, spacing=spacing, spatial_ndim=ndim)
    finest = 1.0
    if spacing is not None:
        finest = lax.stop_gradient(jnp.min(jnp.asarray(spacing, jnp.float32)))
    # A class that covers the image has distance 0, which the offset must not make positive.
    inside = -jnp.maximum(distance - offset * finest, 0)
    return _channels_last(jnp.where(regions, inside, distance))


def active_contour(
    labels: Int[Array, "b *s"], num_classes: int, *, spacing: Spacing = None
) -> Float[Array, "b *s c"]:
    """0 on the class, 1 elsewhere: the region term of the active contour loss as a map.

    Z = 1 - Y. With it the region-wise loss is the mean of 1 - p at the true class (for two classes,
    false positives plus false negatives): all pixels weigh alike.

    Source: Valverde and Tohka, Region-wise Loss, equation (17); Chen et al., Learning Active
        Contour Models for Medical Image Segmentation (2019), without the length.
    Departures: none.

    Args:
        labels: class indices.
        num_classes: c; take 2 for a binary task: the channel of label 1 alone sees no false
            negative, and an empty prediction minimises its loss.
        spacing: has no effect; accepted as for every map.

    Returns: 0 or 1.
    Empty cases: an absent class: 1 everywhere; a class that covers the image: 0.
    Raises: as `rectified`.
    Cost: one comparison per class.
    """
    labels, _ = _checked(labels, num_classes)
    # Every map takes it, so that one set of options fits them all.
    del spacing
    regions = jnp.stack(_regions(labels, num_classes), axis=-1)
    return jnp.where(regions, 0, jnp.ones_like(regions, jnp.float32))


def hausdorff(
    labels: Int[Array, "b *s"], num_classes: int, *, spacing: Spacing = None, alpha: float = 2.0
) -> Float[Array, "b *s c"]:
    """Distance to the class to the power alpha, 0 on it: the map of the one-sided Hausdorff loss.

    Z_ik = |i - b_ik|^alpha for i not in Omega_k, else 0; b_ik the nearest pixel of class k. With
    `region_wise(power=2)` and two classes the loss is the mean of (p - y)^2 d^alpha, d the distance
    to the other side of the true boundary: `hausdorff_dt(one_sided=True)`.

    Source: Valverde and Tohka, Region-wise Loss, equations (25) to (28); Karimi and Salcudean,
        Reducing the Hausdorff Distance (2019), one-sided.
    Departures: none. The equivalence holds for two classes; for more, Z is defined by the same
        equation.

    Args:
        labels: class indices.
        num_classes: c; take 2 for a binary task: the channel of label 1 alone sees no false
            negative, and an empty prediction minimises its loss.
        spacing: units per pixel along each spatial axis; None is 1.
        alpha: power of the distance, > 0; the paper's 1 to 3 serve alike.

    Returns: values >= 0, in units of `spacing` to the power alpha.
    Empty cases: a class that is absent or covers the image: 0 everywhere.
    Raises: as `rectified`; ValueError on `alpha`.
    Cost: one distance transform per class, in one batch.
    """
    labels, ndim = _checked(labels, num_classes)
    alpha = checks.check_number("alpha", alpha, above=0)
    off = ~jnp.stack(_regions(labels, num_classes), axis=1)
    # Squares, of which the usual alpha of 2 needs no power
    squared = distance_transform(off, spacing=spacing, spatial_ndim=ndim, squared=True)
    return _channels_last(squared if alpha == 2 else squared ** (alpha / 2))


def _checked(labels: Array, num_classes: int) -> tuple[Array, int]:
    """The labels as an array, and the number of spatial axes."""
    # NumPy's arrays stay NumPy's: `as_int32` has to see 64-bit labels before JAX narrows them.
    labels = labels if hasattr(labels, "dtype") else np.asarray(labels)
    checks.check_rank("labels", labels, 2, 3, 4)
    if not (labels.dtype == bool or jnp.issubdtype(labels.dtype, jnp.integer)):
        raise TypeError(f"`labels` takes integers or booleans, got {labels.dtype}")
    if num_classes < 1:
        raise ValueError(f"`num_classes` takes a positive integer, got {num_classes}")
    return as_int32(labels), labels.ndim - 1


def _regions(labels: Array, num_classes: int) -> list[Bool[Array, "b *s"]]:
    chosen = [1] if num_classes == 1 else range(num_classes)
    return [labels == k for k in chosen]


def _channels_last(planes: Float[Array, "b c *s"]) -> Float[Array, "b *s c"]:
    return jnp.moveaxis(planes, 1, -1)
