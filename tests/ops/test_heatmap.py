import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import losses, ops

DECODERS = [
    ops.decode_argmax,
    ops.decode_agreement,
    ops.decode_subpixel,
    ops.decode_median,
    ops.decode_centroid,
]
EACH = pytest.mark.parametrize("decode", DECODERS, ids=lambda f: f.__name__)


def bump(x, y, height=24, width=32, sigma=2.0):
    """A separable log-Gaussian: both axes' softmax is a Gaussian around (x, y)."""
    columns = -((np.arange(width) + 0.5 - x) ** 2) / (2 * sigma**2)
    rows = -((np.arange(height) + 0.5 - y) ** 2) / (2 * sigma**2)
    columns, rows = columns - columns.mean(), rows - rows.mean()
    return (columns[None, :] / height + rows[:, None] / width)[None].astype(np.float32)


@pytest.mark.parametrize(
    "size, scales",
    [
        ((256, 256), 8),
        ((8, 8), 3),
        ((8, 16), 3),
        ((24, 32), 4),
        ((7, 8), 1),
        ((2, 2), 1),
        ((1, 1), 1),
        ((96, 6), 2),
        ((12, 64), 3),
    ],
)
def test_maximum_scales(size, scales):
    assert ops.maximum_scales(*size) == scales
    # The definition: it divides and leaves two classes, and the next one does not.
    fits = [
        m
        for m in range(1, 12)
        if all(side % 2 ** (m - 1) == 0 for side in size) and min(size) / 2 ** (m - 1) >= 2
    ]
    assert max(fits, default=1) == scales


@pytest.mark.parametrize("pool, pick", [("max", np.max), ("average", np.mean)])
@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_axis_logits_pool_first_and_reduce_then(pool, pick, reduce):
    heatmap = np.random.default_rng(0).standard_normal((2, 8, 12)).astype(np.float32)
    got = ops.axis_logits(heatmap, scales=3, pool=pool, reduce=reduce)
    assert len(got) == 3
    for scale, (x, y) in enumerate(got):
        cell = 2**scale
        level = pick(heatmap.reshape(2, 8 // cell, cell, 12 // cell, cell), axis=(2, 4))
        np.testing.assert_allclose(x, getattr(np, reduce)(level, axis=1), atol=2e-6)
        np.testing.assert_allclose(y, getattr(np, reduce)(level, axis=2), atol=2e-6)


def test_axis_logits_use_every_scale_by_default_and_sum_in_float32():
    heatmap = jnp.full((1, 64, 128), 1.01, jnp.bfloat16)
    got = ops.axis_logits(heatmap)
    assert [pair[0].shape[1] for pair in got] == [128, 64, 32, 16, 8, 4]
    assert [pair[1].shape[1] for pair in got] == [64, 32, 16, 8, 4, 2]
    assert all(part.dtype == jnp.float32 for pair in got for part in pair)
    np.testing.assert_allclose(got[0][1], float(jnp.bfloat16(1.01)) * 128, rtol=1e-6)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize(
    "shape, options, message",
    [
        ((1, 12, 12), {"scales": 4}, "divide by 8"),
        ((1, 8, 8), {"scales": 0}, "`scales`"),
        ((1, 8, 8), {"scales": -1}, "`scales`"),
        ((8, 8), {}, "`heatmap`"),
        ((1, 8, 8), {"pool": "sum"}, "`pool`"),
        ((1, 8, 8), {"reduce": "average"}, "`reduce`"),
    ],
)
def test_axis_logits_refuse(wrap, shape, options, message):
    with pytest.raises(ValueError, match=message):
        wrap(lambda h: ops.axis_logits(h, **options))(np.zeros(shape, np.float32))


def test_a_radius_below_zero_and_integer_maps_are_refused():
    with pytest.raises(ValueError, match="`radius`"):
        ops.decode_subpixel(np.zeros((1, 8, 8), np.float32), radius=-1)
    for decode in DECODERS:
        with pytest.raises(TypeError, match="`heatmap`"):
            decode(np.zeros((1, 8, 8), np.int32))


@EACH
def test_a_single_peak_is_decoded_to_its_pixel_centre(decode):
    heatmap = np.full((1, 16, 32), -30.0, np.float32)
    heatmap[0, 3, 21] = 0
    for wrapped in (decode, jax.jit(decode)):
        got = wrapped(heatmap)
        assert got.shape == (1, 2) and got.dtype == jnp.float32
        np.testing.assert_allclose(got, [[21.5, 3.5]], atol=1e-3)


@EACH
def test_decoding_follows_a_flip_and_takes_bfloat16(decode):
    heatmap = np.full((1, 16, 32), -4.0, np.float32)
    heatmap[0, 3, 21] = heatmap[0, 4, 20] = 3
    heatmap[0, 3, 20] = 5
    got = np.asarray(decode(heatmap))
    mirrored = np.asarray(decode(np.ascontiguousarray(heatmap[:, :, ::-1])))
    np.testing.assert_allclose(mirrored[0], [32 - got[0, 0], got[0, 1]], atol=1e-3)
    np.testing.assert_allclose(decode(jnp.asarray(heatmap, jnp.bfloat16)), got, atol=1e-5)


def test_the_sub_pixel_decodings_beat_the_argmax_on_a_smooth_bump():
    for x, y in ((15.8, 9.2), (11.99, 12.5), (20.3, 14.65)):
        heatmap = bump(x, y)
        true = np.array([[x, y]])
        assert np.abs(ops.decode_argmax(heatmap) - true).max() <= 0.5
        np.testing.assert_allclose(ops.decode_subpixel(heatmap, radius=8), true, atol=0.05)
        np.testing.assert_allclose(ops.decode_median(heatmap), true, atol=0.02)


def test_subpixel_is_the_softmax_mean_inside_its_window():
    logits = np.random.default_rng(3).standard_normal(16)
    heatmap = np.broadcast_to(logits / 8, (1, 8, 16)).astype(np.float32)
    for radius in (0, 1, 3, 20):
        best = int(np.argmax(logits))
        window = np.arange(max(0, best - radius), min(16, best + radius + 1))
        weights = np.exp(logits[window])
        wanted = np.sum(weights * (window + 0.5)) / weights.sum()
        got = float(ops.decode_subpixel(heatmap, radius=radius)[0, 0])
        assert got == pytest.approx(wanted, abs=1e-4), radius


def test_a_far_second_peak_moves_neither_the_subpixel_nor_the_median_much():
    heatmap = np.full((1, 8, 64), -30.0, np.float32)
    heatmap[0, 4, 10] = 0
    heatmap[0, 4, 60] = -1
    np.testing.assert_allclose(ops.decode_subpixel(heatmap)[0, 0], 10.5, atol=1e-3)
    assert 10.5 < float(ops.decode_median(heatmap)[0, 0]) < 11


def test_the_median_splits_the_probability_in_half():
    logits = np.random.default_rng(5).standard_normal(16)
    heatmap = np.broadcast_to(logits / 8, (1, 8, 16)).astype(np.float32)
    cdf = np.concatenate([[0], np.cumsum(np.exp(logits) / np.exp(logits).sum())])
    wanted = np.interp(0.5, cdf, np.arange(17))
    assert float(ops.decode_median(heatmap)[0, 0]) == pytest.approx(wanted, abs=1e-4)


def test_agreement_minimises_the_multiscale_loss():
    heatmap = np.random.default_rng(7).standard_normal((3, 16, 16)).astype(np.float32)
    for pool, reduce in (("max", "sum"), ("average", "mean")):
        options = {"pool": pool, "reduce": reduce}
        loss = jax.jit(functools.partial(losses.multiscale_softmax_cross_entropy, **options))
        decoded = np.asarray(jax.jit(functools.partial(ops.decode_agreement, **options))(heatmap))
        best = np.asarray(loss(heatmap, decoded))
        for axis in (0, 1):
            for j in range(16):
                moved = decoded.copy()
                moved[:, axis] = j + 0.5
                assert np.all(best <= np.asarray(loss(heatmap, moved)) + 1e-4)
    one = ops.decode_agreement(heatmap, scales=1)
    np.testing.assert_array_equal(one, ops.decode_argmax(heatmap))
    assert np.any(np.asarray(one) != np.asarray(ops.decode_agreement(heatmap)))


def test_the_centroid_is_where_the_squared_error_vanishes():
    heatmap = np.random.default_rng(7).standard_normal((3, 16, 16)).astype(np.float32)
    centre = ops.decode_centroid(heatmap)
    np.testing.assert_allclose(losses.coordinate_mean_squared_error(heatmap, centre), 0, atol=1e-10)
    weights = 1 / (1 + np.exp(-heatmap.sum(1)))
    wanted = (weights * (np.arange(16) + 0.5)).sum(1) / weights.sum(1)
    np.testing.assert_allclose(centre[:, 0], wanted, rtol=1e-5)


@pytest.mark.parametrize("value", [-1e4, 0.0, 1e4])
def test_equal_logits_give_what_the_docstrings_say(value):
    heatmap = np.full((1, 16, 32), value, np.float32)
    np.testing.assert_array_equal(ops.decode_argmax(heatmap), [[0.5, 0.5]])
    np.testing.assert_array_equal(ops.decode_agreement(heatmap), [[0.5, 0.5]])
    np.testing.assert_allclose(ops.decode_subpixel(heatmap), [[2, 2]], rtol=1e-6)
    np.testing.assert_allclose(ops.decode_median(heatmap), [[16, 8]], rtol=1e-5)
    np.testing.assert_allclose(ops.decode_centroid(heatmap), [[16, 8]], rtol=1e-5)


@EACH
def test_nothing_gathers(decode):
    assert "gather" not in str(jax.make_jaxpr(decode)(jnp.zeros((1, 16, 16))))
