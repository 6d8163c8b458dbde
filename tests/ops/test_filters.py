"""Gaussian and disk filters against SciPy; gradients, borders, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from segjax import ops

RNG = np.random.default_rng(0)
SHAPES = [(2, 14), (2, 9, 11), (1, 6, 7, 8)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("border", ["nearest", "constant", "reflect"])
def test_gaussian_equals_scipy(shape, border):
    x = RNG.normal(size=shape)
    sigma = (0.7, 1.6, 0.0)[: len(shape) - 1]
    wanted = np.stack(
        [ndimage.gaussian_filter(i, sigma, mode=border, cval=0.3, truncate=3.0) for i in x]
    )
    got = jax.jit(
        functools.partial(
            ops.gaussian_filter, sigma=sigma, border=border, padding=0.3, truncate=3.0
        )
    )(x.astype(np.float32))
    np.testing.assert_allclose(got, wanted, atol=2e-6)


def test_gaussian_leaves_constants_and_sigma_zero_alone():
    x = RNG.normal(size=(1, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(ops.gaussian_filter(x, sigma=0.0), x)
    flat = np.full((1, 8, 8), 0.7, np.float32)
    blurred = jax.jit(functools.partial(ops.gaussian_filter, sigma=2.5))(flat)
    np.testing.assert_allclose(blurred, flat, rtol=1e-6)


def test_gaussian_half_precision_is_rounded_once():
    x = jnp.asarray(RNG.normal(size=(1, 16, 16)), jnp.bfloat16)
    blur = jax.jit(functools.partial(ops.gaussian_filter, sigma=1.5))
    got, wanted = blur(x), blur(x.astype(jnp.float32)).astype(jnp.bfloat16)
    assert got.dtype == jnp.bfloat16
    np.testing.assert_array_equal(got, wanted)


def test_disk_and_ball_have_the_sizes_of_gauss():
    assert [int(ops.disk(r).sum()) for r in (0, 1, 2, 3, 10)] == [1, 5, 13, 29, 317]
    assert [int(ops.ball(r).sum()) for r in (0, 1, 2, 3)] == [1, 7, 33, 123]
    assert ops.disk(2).dtype == bool and ops.ball(2).shape == (5, 5, 5)


def kernel(radius, axes):
    indicator = {1: np.ones(2 * radius + 1), 2: ops.disk(radius), 3: ops.ball(radius)}[axes]
    return indicator / indicator.sum()


@pytest.mark.parametrize("shape", SHAPES)
def test_disk_equals_convolution(shape):
    x, radii = RNG.normal(size=shape), (0, 1, 2, 4, 7)
    got = jax.jit(functools.partial(ops.disk_filters, radii=radii, padding=0.4))(
        x.astype(np.float32)
    )
    assert got.shape == (len(radii), *shape)
    for one, radius in zip(got, radii, strict=True):
        wanted = np.stack(
            [
                ndimage.convolve(i, kernel(radius, len(shape) - 1), mode="constant", cval=0.4)
                for i in x
            ]
        )
        np.testing.assert_allclose(one, wanted, atol=5e-6)
    single = ops.disk_filter(x.astype(np.float32), radius=4, padding=0.4)
    np.testing.assert_allclose(single, got[3], atol=1e-6)


def test_disks_of_masks_are_exact():
    """Thresholds on the share of a disk must not hang on rounding."""
    mask = (RNG.uniform(size=(1, 40, 300)) > 0.5).astype(np.float32)
    counts = np.asarray(ops.disk_filter(mask, radius=9)) * ops.disk(9).sum()
    wanted = ndimage.convolve(mask[0].astype(int), ops.disk(9).astype(int), mode="constant")
    np.testing.assert_allclose(counts[0], wanted, rtol=2e-7)


@pytest.mark.parametrize("shape", [(2, 7), (1, 5, 6), (1, 4, 5, 3)])
def test_gradients_are_transposes(shape):
    for op in (
        functools.partial(ops.disk_filters, radii=(1, 3), padding=2.0),
        functools.partial(ops.gaussian_filter, sigma=1.2, border="reflect"),
    ):
        x, moved = (RNG.normal(size=shape).astype(np.float32) for _ in range(2))
        op = jax.jit(op)
        y = op(x)
        y_bar = RNG.normal(size=y.shape).astype(np.float32)
        x_bar = jax.jit(lambda x, y_bar, op=op: jax.vjp(op, x)[1](y_bar)[0])(x, y_bar)
        change = np.vdot(y_bar, op(x + moved) - y)
        np.testing.assert_allclose(np.vdot(x_bar, moved), change, rtol=1e-4)


@pytest.mark.parametrize(
    "op, options, name",
    [
        (ops.gaussian_filter, {"sigma": -1.0}, "sigma"),
        (ops.gaussian_filter, {"sigma": (1.0,)}, "sigma"),
        (ops.gaussian_filter, {"sigma": 1.0, "border": "wrap"}, "border"),
        (ops.gaussian_filter, {"sigma": 1.0, "truncate": 0.0}, "truncate"),
        (ops.disk_filter, {"radius": -1}, "radius"),
        (ops.disk_filter, {"radius": 1.5}, "radius"),
        (ops.disk_filters, {"radii": ()}, "radii"),
    ],
)
def test_errors_are_static(op, options, name):
    with pytest.raises(ValueError, match=f"`{name}` takes"):
        jax.jit(functools.partial(op, **options))(jnp.zeros((1, 8, 8)))


def test_arrays_are_checked():
    for op in (
        functools.partial(ops.gaussian_filter, sigma=1.0),
        functools.partial(ops.disk_filter, radius=1),
    ):
        with pytest.raises(ValueError, match="`x` takes 2 or 3 or 4 axes"):
            op(jnp.zeros(8))
        with pytest.raises(TypeError, match="`x` takes floating-point"):
            op(jnp.zeros((1, 8, 8), jnp.int32))
    with pytest.raises(ValueError, match="`radius` takes a whole number"):
        ops.disk(-1)
