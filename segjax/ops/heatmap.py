"""Heat maps of one point: per-axis logits at several scales, and decoding to a position.

Positions are (x, y) in continuous pixels: pixel j covers [j, j + 1) and its centre is j + 0.5.
"""

import jax
import jax.numpy as jnp

from segjax.ops import checks
from segjax.ops.pooling import average_pool, max_pool
from segjax.types import Array, Float

POOLS = ("max", "average")
REDUCTIONS = ("sum", "mean")


def maximum_scales(height: int, width: int) -> int:
    """The largest number of scales a heat map of this size allows.

    It is the largest M for which both sides divide by 2^(M-1) and the shorter side of the coarsest
    map is at least 2 (one class would always cost 0): 256 gives 8, 8 gives 3, an odd side gives 1.
    """
    scales = 1
    while height % 2 == 0 and width % 2 == 0 and min(height, width) >= 4:
        height, width, scales = height // 2, width // 2, scales + 1
    return scales


def axis_logits(
    heatmap: Float[Array, "b h w"],
    *,
    scales: int | None = None,
    pool: str = "max",
    reduce: str = "sum",
) -> tuple[tuple[Float[Array, "b w_m"], Float[Array, "b h_m"]], ...]:
    """The logits of the x and the y axis at every scale, finest first.

    F_1 = F, F_(m+1) = pool_2x2(F_m); s_x^m[j] = reduce_i F_m[i, j], s_y^m[i] = reduce_j F_m[i, j].

    Source: Wu, Walter, Merhof, Multiscale Softmax Cross Entropy for Fovea Localization on Color
    Fundus Photography, section 2.2 and Fig. 2.
    Departures: none; read so that scale 1 is the full resolution (one scale is then plain softmax
    cross entropy) and that the two-dimensional map is pooled before it is reduced.

    Args:
        heatmap: raw logits; summed in float32 at least.
        scales: number of scales M; None is `maximum_scales(h, w)`.
        pool: 'max' or 'average', over blocks of 2 x 2.
        reduce: 'sum' or 'mean' over the other axis.

    Returns:
        One pair (x logits `[b, w / 2^(m-1)]`, y logits `[b, h / 2^(m-1)]`) per scale.

    Empty cases: ties in a block share the gradient of the maximum.
    Raises: ValueError on a wrong rank or option, scales below 1, or sides that 2^(M-1) does not
        divide; TypeError on an integer heat map.
    Cost: O(h w) time and memory; no gather.
    """
    heatmap = jnp.asarray(heatmap)
    checks.check_rank("heatmap", heatmap, 3)
    checks.check_floating("heatmap", heatmap)
    checks.check_option("pool", pool, POOLS)
    checks.check_option("reduce", reduce, REDUCTIONS)
    height, width = heatmap.shape[1:]
    scales = maximum_scales(height, width) if scales is None else scales
    _check_scales(scales, height, width)
    level = heatmap.astype(jnp.float64 if heatmap.dtype == jnp.float64 else jnp.float32)
    shrink = max_pool if pool == "max" else average_pool
    combine = jnp.sum if reduce == "sum" else jnp.mean
    logits = []
    for scale in range(scales):
        level = shrink(level[..., None])[..., 0] if scale else level
        # Reduced over its rows (axis 1) the map leaves a logit for each x, over columns for each y.
        logits.append((combine(level, axis=1), combine(level, axis=2)))
    return tuple(logits)


def decode_argmax(heatmap: Float[Array, "b h w"], *, reduce: str = "sum") -> Float[Array, "b 2"]:
    """The centre of the pixel with the largest logit of the finest scale, per axis.

    Source: Wu et al., section 2.2 (the paper's inference). Departures: none; the centre of the
    winning pixel, index + 0.5, is returned.

    Args:
        heatmap: raw logits.
        reduce: 'sum' or 'mean'; the winner is the same, up to rounding.

    Returns: (x, y) in continuous pixels, float32.
    Empty cases: equal logits give the first pixel.
    Raises: as `axis_logits`.
    Cost: O(h w).
    """
    finest = axis_logits(heatmap, scales=1, reduce=reduce)[0]
    return _stack(*(_centre(jnp.argmax(logits, axis=-1), logits) for logits in finest))


def decode_agreement(
    heatmap: Float[Array, "b h w"],
    *,
    scales: int | None = None,
    pool: str = "max",
    reduce: str = "sum",
) -> Float[Array, "b 2"]:
    """The centre of the pixel on which all scales agree most, per axis.

    argmax_j sum_m log softmax(s^m)[floor(j / 2^(m-1))], + 0.5: the position of the lowest
    multiscale softmax cross entropy.

    Source: our own; the paper decodes the finest scale alone. Departures: not in the paper.

    Args: as `axis_logits`; give those that the model was trained with.
    Returns: (x, y) in continuous pixels, float32.
    Empty cases: equal logits give the first pixel.
    Raises: as `axis_logits`.
    Cost: O(h w + M (h + w)).
    """
    pyramid = axis_logits(heatmap, scales=scales, pool=pool, reduce=reduce)
    decoded = []
    for axis in (0, 1):
        votes = [
            # A class of scale m is a block of 2^(m-1) pixels, which share its vote.
            jnp.repeat(jax.nn.log_softmax(pair[axis]), 2**scale, axis=-1)
            for scale, pair in enumerate(pyramid)
        ]
        decoded.append(_centre(jnp.argmax(sum(votes[1:], votes[0]), axis=-1), votes[0]))
    return _stack(*decoded)


def decode_subpixel(
    heatmap: Float[Array, "b h w"], *, radius: int = 3, reduce: str = "sum"
) -> Float[Array, "b 2"]:
    """The mean position under the softmax of the finest scale, near its largest logit, per axis.

    With j* the argmax: sum_j p_j (j + 0.5) / sum_j p_j over |j - j*| <= radius, p = softmax(s^1).
    A far second peak does not pull the answer.

    Source: the soft-argmax of Honari et al. (CVPR 2018), restricted to a window.
    Departures: not in Wu et al., who decode the argmax.

    Args:
        heatmap: raw logits.
        radius: half width of the window in pixels; 0 is `decode_argmax`.
        reduce: 'sum' or 'mean'; it sets how sharp the softmax is, so give the training's.

    Returns: (x, y) in continuous pixels, float32.
    Empty cases: equal logits give the middle of the window around the first pixel.
    Raises: ValueError on a negative radius; else as `axis_logits`.
    Cost: O(h w).
    """
    if radius < 0:
        raise ValueError(f"`radius` takes 0 or more pixels, got {radius}")
    finest = axis_logits(heatmap, scales=1, reduce=reduce)[0]
    decoded = []
    for logits in finest:
        offsets = _indices(logits) - jnp.argmax(logits, axis=-1, keepdims=True)
        near = jnp.abs(offsets) <= radius
        # A softmax of the window alone is p_j / sum p over it: nothing is left to divide.
        probs = jax.nn.softmax(logits, axis=-1, where=near)
        decoded.append(_expectation(probs))
    return _stack(*decoded)


def decode_median(heatmap: Float[Array, "b h w"], *, reduce: str = "sum") -> Float[Array, "b 2"]:
    """The median position under the softmax of the finest scale, per axis.

    The x with CDF(x) = 1/2, the probability of each pixel spread evenly over it. Among all single
    answers the median has the smallest expected absolute error under the model's own distribution.

    Source: our own. Departures: not in Wu et al., who decode the argmax.

    Args:
        heatmap: raw logits.
        reduce: 'sum' or 'mean'; it sets how sharp the softmax is, so give the training's.

    Returns: (x, y) in continuous pixels, float32.
    Empty cases: equal logits give the middle of the image.
    Raises: as `axis_logits`.
    Cost: O(h w).
    """
    finest = axis_logits(heatmap, scales=1, reduce=reduce)[0]
    return _stack(*(_median(jax.nn.softmax(logits, axis=-1)) for logits in finest))


def decode_centroid(heatmap: Float[Array, "b h w"], *, reduce: str = "sum") -> Float[Array, "b 2"]:
    """The centre of mass of the sigmoid of the finest scale's logits, per axis.

    sum_j sigma(s_j) (j + 0.5) / sum_j sigma(s_j): the position that `coordinate_mean_squared_error`
    trains, and the decoding to use with it.

    Source: our reading of 'mean squared error with sigmoid activation' in Wu et al.; see the loss.
    Departures: the paper does not say how its baseline is decoded.

    Args:
        heatmap: raw logits.
        reduce: 'sum' or 'mean', as in training.

    Returns: (x, y) in continuous pixels, float32 (float64 for a float64 heat map).
    Empty cases: equal logits, however negative, give the middle of the image.
    Raises: as `axis_logits`.
    Cost: O(h w).
    """
    finest = axis_logits(heatmap, scales=1, reduce=reduce)[0]
    # softmax(log sigmoid) is sigmoid / sum sigmoid, without 0 / 0 where every sigmoid underflows.
    return jnp.stack(
        [_expectation(jax.nn.softmax(jax.nn.log_sigmoid(logits), axis=-1)) for logits in finest],
        axis=-1,
    )


def _check_scales(scales: int, height: int, width: int) -> None:
    checks.check_integer("scales", scales, least=1)
    factor = 2 ** (scales - 1)
    if height % factor or width % factor:
        raise ValueError(
            f"`scales` of {scales} takes a heat map whose sides divide by {factor}, "
            f"got {height} x {width} (at most {maximum_scales(height, width)} scales)"
        )


def _indices(logits: Float[Array, "b n"]) -> Array:
    return jax.lax.broadcasted_iota(jnp.int32, logits.shape, 1)


def _centre(index: Array, logits: Float[Array, "b n"]) -> Float[Array, "b"]:
    return index.astype(logits.dtype) + 0.5


def _expectation(probs: Float[Array, "b n"]) -> Float[Array, "b"]:
    return jnp.sum(probs * _centre(_indices(probs), probs), axis=-1)


def _median(probs: Float[Array, "b n"]) -> Float[Array, "b"]:
    above = jnp.cumsum(probs, axis=-1)
    # Half of the sum as rounded, which the last pixel reaches in any case
    half = above[:, -1:] / 2
    pixel = jnp.argmax(above >= half, axis=-1, keepdims=True)
    here = _indices(probs) == pixel
    mass = jnp.sum(jnp.where(here, probs, 0), axis=-1)
    before = jnp.sum(jnp.where(here, above - probs, 0), axis=-1)
    inside = (half[:, 0] - before) / mass
    return pixel[:, 0].astype(probs.dtype) + jnp.clip(inside, 0, 1)


def _stack(x: Float[Array, "b"], y: Float[Array, "b"]) -> Float[Array, "b 2"]:
    return jnp.stack([x, y], axis=-1).astype(jnp.float32)
