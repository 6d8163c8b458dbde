"""Losses that multiply the prediction with a map made of the labels beforehand."""

import jax
import jax.numpy as jnp

from segjax.ops import checks, classes
from segjax.types import Array, Bool, Float


def region_wise(
    logits: Float[Array, "b *s c"],
    maps: Float[Array, "b *s c"],
    *,
    power: float = 1,
    divide_by_classes: bool = False,
    where: Bool[Array, "b *s"] | None = None,
) -> Float[Array, "b"]:
    """Mean cost of the predicted classes, a map saying what each costs at each pixel (low is good).

    The map decides what the loss is: `maps.rectified` (no schedule or second loss needed),
    `maps.boundary`, `maps.active_contour`, or with power 2 `maps.hausdorff`. Alone it learns slowly
    where it is confidently wrong, as the gradient carries the factor p; Adam makes up for that.

    L_b = 1/N sum_i sum_k p_ik^power Z_ik, p the softmax (one channel: the sigmoid), Z the map.
    With power 1, dL_b / dlogit_ij = p_ij (Z_ij - sum_k p_ik Z_ik) / N.

    Source: Valverde and Tohka, Region-wise Loss for Biomedical Image Segmentation, equations (1)
        and (2), power 2 from (28).
    Departures: none. The paper's code divides by the number of classes too: `divide_by_classes`.

    Args:
        logits: raw scores, channels last.
        maps: cost of each class, of any sign. One channel of logits takes either two maps, of the
            background and of the foreground, or the foreground's alone (the background then costs
            0: right for maps that change sign, as `rectified` and `boundary`).
        power: of the probabilities, > 0.
        divide_by_classes: True divides by c too (a binary prediction with two maps has two).
        where: True counts; elsewhere logits and maps may hold anything.

    Returns: one value per image, of any sign, in the map's units; float32 (float64 for float64
        logits).
    Empty cases: what the map says of an absent class; equal costs give zero gradient; where nothing
        counts, 0.
    Raises: ValueError on shapes and on `power`; TypeError on dtypes.
    Cost: one pass over logits and maps.
    """
    costs = _costs(logits, maps, where)
    power = checks.check_number("power", power, above=0)
    scores = classes.class_logits(logits, where)
    if power == 1:
        total = _expected_cost(scores, costs)
    else:
        total = _weighted([_raised(p, power) for p in classes.softmax(scores)], costs)
    loss = classes.image_mean(total, where)
    return loss / maps.shape[-1] if divide_by_classes else loss


def boundary(
    logits: Float[Array, "b *s c"],
    maps: Float[Array, "b *s c"],
    *,
    include_background: bool = False,
    relative: bool = False,
    where: Bool[Array, "b *s"] | None = None,
) -> Float[Array, "b"]:
    """Mean signed distance of what is predicted from the true boundary (low is good).

    Each predicted pixel costs its distance from the class's region, and earns its depth within it:
    far false positives cost most. It barely sees a class predicted nowhere, so it is meant to join
    a region loss (generalised dice) with a weight that grows over training. Values reach the size
    of the distances: weigh it, or scale the maps.

    L_b = 1/(|K| N) sum_(k in K) sum_i p_ik phi_ik, phi from `maps.signed` (Kervadec's) or
    `maps.boundary`; K the foreground classes.

    Source: Kervadec et al., Boundary loss for highly unbalanced segmentation (2019), integral form
        with the constant of the ground truth left out, mean as in their code; as a region-wise loss
        Valverde and Tohka, equations (21) to (24).
    Departures: none; `relative` is an addition.

    Args:
        logits: raw scores, channels last.
        maps: signed distances, negative on the class. One channel of logits takes the foreground's
            map, or both.
        include_background: count class 0 too, as their multi-class runs; without effect for one
            channel.
        relative: subtract the value of the perfect prediction, the mean of phi over phi < 0; then
            the loss is >= 0 and 0 is perfect. The gradient is the same.
        where: True counts; elsewhere logits and maps may hold anything.

    Returns: one value per image, in the map's units, negative for good predictions; float32
        (float64 for float64 logits).
    Empty cases: a class whose map is 0 (absent, or covering the image) adds 0 and gets no gradient
        of its own; where nothing counts, 0.
    Raises: ValueError on shapes; TypeError on dtypes.
    Cost: one pass over logits and maps.
    """
    costs = _costs(logits, maps, where)
    chosen = classes.chosen_classes(logits, include_background)
    # A class that does not count costs 0 but stays in the softmax.
    costs = tuple(c if k in chosen else jnp.zeros_like(c) for k, c in enumerate(costs))
    total = _expected_cost(classes.class_logits(logits, where), costs)
    if relative:
        for cost in costs:
            total -= jnp.minimum(cost, 0)
    return classes.image_mean(total, where) / len(chosen)


# A rule of tangents, which JAX transposes for reverse mode: so forward mode works too.
@jax.custom_jvp
def _expected_cost(scores: classes.Planes, costs: classes.Planes) -> Array:
    """sum_k p_k Z_k of each pixel, p the softmax of the scores.

    With its derivative written out, value and gradient take two thirds of the time.
    """
    return _weighted(classes.softmax(scores), costs)


@_expected_cost.defjvp
def _expected_cost_jvp(primals, tangents):
    """d = sum_k p_k (Z_k - sum_j p_j Z_j) dz_k + sum_k p_k dZ_k."""
    (scores, costs), (dscores, dcosts) = primals, tangents
    probs = classes.softmax(scores)
    mean = _weighted(probs, costs)
    pulls = [p * (cost - mean) for p, cost in zip(probs, costs, strict=True)]
    return mean, _weighted(pulls, dscores) + _weighted(probs, dcosts)


def _weighted(weights, planes) -> Array:
    return sum(w * plane for w, plane in zip(weights, planes, strict=True))


def _costs(logits: Array, maps: Array, where: Array | None) -> classes.Planes:
    """The map of each class, at least two; 0 for a background that has none."""
    classes.check_logits(logits)
    checks.check_floating("maps", maps)
    pixels, channels = tuple(logits.shape[:-1]), logits.shape[-1]
    if not (channels == 1 and tuple(maps.shape) == (*pixels, 2)):
        checks.check_shape("maps", maps, (*pixels, channels))
    classes.check_where(where, pixels)
    dtype = classes.computing_dtype(logits)
    planes = tuple(plane.astype(dtype) for plane in classes.split(maps))
    if where is not None:
        planes = tuple(jnp.where(where, plane, 0) for plane in planes)
    return planes if len(planes) > 1 else (jnp.zeros_like(planes[0]), *planes)


def _raised(p: Array, power: float) -> Array:
    if power == 2:
        return p * p
    # A probability may underflow to 0, where powers below 1 have no gradient.
    gone = p <= 0
    return jnp.where(gone, 0, jnp.where(gone, 1, p) ** power)
