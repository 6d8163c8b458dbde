"""Active contours without edges as a loss: region mismatch and length of the boundary."""

import functools
import itertools

import jax.numpy as jnp
from jax import lax

from segjax.ops import checks, classes
from segjax.types import Array, Bool, Float, Shaped

# Inside the root of |grad u|: without it the gradient is infinite where u is flat
_LENGTH_FLOOR = 1e-8
# The curvature divides by |grad u|^3; a floor as small as that of the length explodes in float32
_CURVATURE_FLOOR = 1e-3


def active_contour(
    logits: Float[Array, "b *s c"],
    labels: Shaped[Array, "b *s"],
    *,
    length: float = 1.0,
    region: float = 1.0,
    curvature: float = 0.0,
    alignment: str = "pixel",
    where: Bool[Array, "b *s"] | None = None,
) -> Float[Array, "b"]:
    """Region mismatch plus the length of the predicted boundary (small is better, never quite 0).

    The length smooths the boundary and removes specks and small structures. The region term is
    linear in the probability, so its gradient fades where the prediction is confidently wrong:
    start with, or add, cross entropy. Alone it can collapse to an empty prediction.

    L_b = mean over classes of length * mean_i |grad u|_i
          + region * [ mean_i u_i (1 - v_i)^2 + mean_i (1 - u_i) v_i^2 ]
          + curvature * mean_i kappa_i^2 |grad u|_i,
    u the probability, v the target share, |grad u| = sqrt(sum_a (d_a u)^2 + 1e-8).

    Source: Chen et al. (2019), Learning Active Contour Models for Medical Image Segmentation; the
    curvature: Chen et al. (2020), Learning Euler's Elastica Model for Medical Image Segmentation.
    Departures: means instead of the paper's sums, as in the authors' code. Differences are forward
    ones at one pixel, over the pixels that have all of them; the authors' code takes differences
    along different axes at different pixels, which is `alignment='repo'`. The curvature is
    kappa = (|g|^2 tr H - g^T H g) / (|g|^2 + 1e-3)^(3/2), g and H the gradient and the second
    derivatives by central differences, border pixels left out; the elastica code divides by
    |g|^3 + 1e-8, which explodes where u is flat, and takes mixed derivatives twice too large.
    More than one foreground class: the mean of each against the rest.

    Args:
        logits: raw scores, channels last.
        labels: class indices, or target shares `[b, *s, c]` as floats.
        length: weight >= 0 of the length.
        region: weight >= 0 of the region term.
        curvature: weight >= 0 of the squared curvature; 0 leaves it out.
        alignment: 'pixel' or 'repo'.
        where: True counts; elsewhere logits and labels may hold anything. A difference counts if
            all pixels that enter it do.

    Returns: one value per image, > 0; float32 (float64 for float64 logits). A perfect mask costs
        its boundary: the length counts 1e-4 for a flat pixel and 1 to sqrt(n) for an edge.
    Empty cases: an absent or full class counts as any other; a constant prediction has length
        1e-4. Where nothing counts, 0. A label outside [0, c) counts as `where=False`.
    Raises: ValueError on shapes and options, or sides too short for the differences (2 pixels;
        'repo' and curvature 3); TypeError on dtypes.
    Cost: a few passes over the probabilities.
    """
    classes.check_segmentation(logits, labels, where=where)
    checks.check_option("alignment", alignment, ("pixel", "repo"))
    length = checks.check_number("length", length, least=0)
    region = checks.check_number("region", region, least=0)
    curvature = checks.check_number("curvature", curvature, least=0)
    # A forward difference takes 2 pixels; one moved by a pixel, or a central one, takes 3
    shortest = 2 if alignment == "pixel" and not curvature else 3
    if min(logits.shape[1:-1]) < shortest:
        raise ValueError(
            f"`logits` takes sides of at least {shortest} pixels, got shape {tuple(logits.shape)}"
        )
    where = classes.counted(labels, logits, where)
    probs, targets = classes.probabilities(logits, where), classes.class_targets(labels, logits)
    counted = classes.chosen_classes(logits, include_background=False)
    total = 0
    for u, v in ((probs[k], targets[k]) for k in counted):
        value = region * classes.image_mean(u * (1 - v) ** 2 + (1 - u) * v**2, where)
        value += length * _length(u, where, alignment)
        if curvature:
            value += curvature * _bending(u, where)
        total = total + value
    return total / len(counted)


def _cut(x: Array, *ends: tuple[int, int]) -> Array:
    """Cuts (first, last) pixels off each spatial axis."""
    starts = (0, *(first for first, _ in ends))
    stops = (x.shape[0], *(n - last for n, (_, last) in zip(x.shape[1:], ends, strict=True)))
    return lax.slice(x, starts, stops)


def _moved(x: Array, axis: int, by: int, margin: tuple[int, int]) -> Array:
    """x at the pixels inside `margin` of every axis, moved by `by` along one."""
    first, last = margin
    ends = [(first + by, last - by) if a == axis else margin for a in range(x.ndim - 1)]
    return _cut(x, *ends)


def _length(u: Array, where: Array | None, alignment: str) -> Array:
    """Mean of |grad u| over the pixels where all forward differences count."""
    # 'repo' moves the difference along an axis by one pixel along this axis only.
    near, far, margin = (0, 1, (0, 1)) if alignment == "pixel" else (1, 2, (0, 2))
    squares, counts = _LENGTH_FLOOR, None
    for axis in range(u.ndim - 1):
        squares = squares + (_moved(u, axis, far, margin) - _moved(u, axis, near, margin)) ** 2
    if where is not None:
        counts = _moved(where, 0, near, margin)
        for axis in range(u.ndim - 1):
            counts &= _moved(where, axis, near, margin) & _moved(where, axis, far, margin)
    return classes.image_mean(jnp.sqrt(squares), counts)


def _bending(u: Array, where: Array | None) -> Array:
    """Mean of kappa^2 |grad u| over the pixels whose 3 x 3 (x 3) box counts."""
    axes = range(u.ndim - 1)

    # Steps count from the inner pixels, which are one away from every border.
    def at(x: Array, steps: dict[int, int]) -> Array:
        return _cut(x, *((1 + steps.get(a, 0), 1 - steps.get(a, 0)) for a in axes))

    def mixed(a: int, b: int) -> Array:
        # A central difference, over 2 pixels, of central differences: hence a quarter
        corners = itertools.product((1, -1), repeat=2)
        return sum(i * j * at(u, {a: i, b: j}) for i, j in corners) / 4

    ahead, behind = ([at(u, {a: by}) for a in axes] for by in (1, -1))
    slopes = [(x - y) / 2 for x, y in zip(ahead, behind, strict=True)]
    second = [x + y - 2 * at(u, {}) for x, y in zip(ahead, behind, strict=True)]
    squares = sum(g**2 for g in slopes)
    # |g|^2 tr H - g^T H g: here what the diagonal of H adds, in the loop below each pair off it
    bent = sum((squares - g**2) * h for g, h in zip(slopes, second, strict=True))
    for a, b in itertools.combinations(axes, 2):
        bent -= 2 * slopes[a] * slopes[b] * mixed(a, b)
    kappa = bent / (squares + _CURVATURE_FLOOR) ** 1.5
    counts = None
    if where is not None:
        boxes = itertools.product((-1, 0, 1), repeat=len(axes))
        moved = (at(where, dict(enumerate(box))) for box in boxes)
        counts = functools.reduce(jnp.logical_and, moved)
    return classes.image_mean(kappa**2 * jnp.sqrt(squares + _LENGTH_FLOOR), counts)
