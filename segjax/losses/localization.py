"""Losses of a heat map that marks one point: softmax cross entropy per axis, and its baseline."""

import jax
import jax.numpy as jnp

from segjax.ops import checks
from segjax.ops.classes import with_nans
from segjax.ops.heatmap import axis_logits, decode_centroid
from segjax.types import Array, Float


def multiscale_softmax_cross_entropy(
    heatmap: Float[Array, "b h w"],
    points: Float[Array, "b 2"],
    *,
    scales: int | None = None,
    pool: str = "max",
    reduce: str = "sum",
    scale_weights: tuple[float, ...] | None = None,
) -> Float[Array, "b"]:
    """Softmax cross entropy of the point's column and row, summed over scales (0 is perfect).

    The coordinates are classes: one per column and one per row at full resolution, half as many at
    each coarser scale. One scale punishes every wrong class alike; M scales punish in steps, by
    how many of the M dyadic blocks around the answer miss the truth.

    L = sum_(m=1..M) lambda_m [CE(s_x^m, floor(x / 2^(m-1))) + CE(s_y^m, floor(y / 2^(m-1)))],
    CE(s, t) = -log(exp s_t / sum_j exp s_j), s_x^m and s_y^m from `ops.axis_logits`.

    Source: Wu, Walter, Merhof, Multiscale Softmax Cross Entropy for Fovea Localization on Color
    Fundus Photography, equations (1) and (2).
    Departures: none. Where the paper is silent: the two axes count equally and are added; scale 1
    is the full resolution, so `scales=1` is equation (1); the map is pooled before it is reduced.

    Args:
        heatmap: raw logits.
        points: (x, y) in continuous pixels of the heat map; the class is floor(x), a point outside
            the map counts at the nearest border pixel. Better float32: bf16 rounds positions.
        scales: number of scales M; None is the maximum (8 at 256 pixels).
        pool: 'max' (the paper's best) or 'average', from one scale to the next.
        reduce: 'sum' (the paper's best) or 'mean' over the other axis. A sum over 256 pixels makes
            large logits: start the last layer small.
        scale_weights: lambda_m, one number >= 0 per scale, finest first; None is all 1.

    Returns: one value per image, >= 0, in nats; float32 (float64 for a float64 heat map).
    Empty cases: an all-equal map gives sum_m lambda_m (log w_m + log h_m), finite gradient;
        saturated logits stay finite.
    Raises: ValueError on a wrong rank, shape, option, number of scales or of weights; TypeError on
        an integer heat map.
    Cost: O(h w) time and memory; no gather.
    """
    pyramid = axis_logits(heatmap, scales=scales, pool=pool, reduce=reduce)
    weights = _scale_weights(scale_weights, len(pyramid))
    points = jnp.asarray(points)
    checks.check_shape("points", points, (heatmap.shape[0], 2))
    total = jnp.zeros_like(pyramid[0][0][:, 0])
    for axis in (0, 1):
        size = pyramid[0][axis].shape[-1]
        # Clipped before the cast: what becomes of a float beyond int32 depends on the backend.
        index = jnp.clip(jnp.floor(points[:, axis]), 0, size - 1).astype(jnp.int32)
        for scale, (weight, pair) in enumerate(zip(weights, pyramid, strict=True)):
            # Floors nest: the class at a coarser scale is that of the finest one divided down.
            total += weight * _cross_entropy(pair[axis], index // 2**scale)
    return with_nans(total, points)  # a nan is no column: the cast makes it column 0


def coordinate_mean_squared_error(
    heatmap: Float[Array, "b h w"], points: Float[Array, "b 2"], *, reduce: str = "sum"
) -> Float[Array, "b"]:
    """Squared error of the heat map's centre of mass, as a fraction of the sides (0 is perfect).

    x^ = sum_j sigma(s_j) (j + 0.5) / sum_j sigma(s_j) with s = s_x^1 from `ops.axis_logits`, y^
    alike; L = [((x^ - x) / w)^2 + ((y^ - y) / h)^2] / 2.

    The regression baseline: a near miss costs little, a far one much. `ops.decode_centroid` is the
    decoding that belongs to it.

    Source: Wu et al., Multiscale Softmax Cross Entropy for Fovea Localization, Table 1 and Fig. 3a.
    Departures: the paper says only 'mean squared error loss with sigmoid activation'. Readings:
    (1) the squared error between sigmoid(s) and a one-hot vector, mean over the classes, which
    treats all wrong positions alike; (2) the sigmoid of one regressed number per axis, which a
    per-axis vector does not give; (3) the squared error of the position that the sigmoid weights
    define. We take (3): Fig. 3a shows a loss that grows with the distance, which rules out (1), and
    it needs the same network output as the other losses.

    Args:
        heatmap: raw logits.
        points: (x, y) in continuous pixels of the heat map, not clipped to it. Better float32.
        reduce: 'sum' or 'mean' over the other axis. A sum over 256 pixels saturates the sigmoid
            early; negative logits keep their gradient, large positive ones lose it.

    Returns: one value per image, >= 0, dimensionless; float32 (float64 for a float64 heat map).
    Empty cases: an all-equal map predicts the middle of the image, finite gradient; saturated
        logits stay finite (the weights are normalised in log space).
    Raises: ValueError on a wrong rank, shape or option; TypeError on an integer heat map.
    Cost: O(h w) time and memory.
    """
    centre = decode_centroid(heatmap, reduce=reduce)
    points = jnp.asarray(points)
    checks.check_shape("points", points, (heatmap.shape[0], 2))
    # (width, height), as points are (x, y)
    sides = jnp.array([heatmap.shape[2], heatmap.shape[1]], centre.dtype)
    error = (centre - points.astype(centre.dtype)) / sides[None, :]
    return jnp.mean(error**2, axis=-1)


def _scale_weights(weights: tuple[float, ...] | None, scales: int) -> tuple[float, ...]:
    if weights is None:
        return (1.0,) * scales
    return checks.check_numbers("scale_weights", weights, scales, least=0)


def _cross_entropy(logits: Float[Array, "b n"], index: Array) -> Float[Array, "b"]:
    # A comparison and a sum: `take_along_axis` is a gather, and its gradient a scatter.
    here = jax.lax.broadcasted_iota(jnp.int32, logits.shape, 1) == index[:, None]
    return -jnp.sum(jnp.where(here, jax.nn.log_softmax(logits, axis=-1), 0), axis=-1)
