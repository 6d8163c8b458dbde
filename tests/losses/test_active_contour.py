"""The active contour loss: terms by hand, what the options do, edges, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import losses

OPTIONS = ("length", "region", "curvature", "alignment")
value = jax.jit(losses.active_contour, static_argnames=OPTIONS)


def firm(mask):
    return np.where(np.asarray(mask)[..., None] > 0, 30.0, -30.0).astype(np.float32)


def block(shape=(12, 12), first=3, last=9):
    mask = np.zeros((1, *shape), np.int32)
    mask[(slice(None), *(slice(first, last) for _ in shape))] = 1
    return mask


def test_a_block_has_the_length_of_its_sides():
    mask = block()
    # Forward differences: 6 edges at each of four sides, one pixel with two; 121 pixels.
    edges = 4 * 6 - 2 + np.sqrt(2)
    got = value(firm(mask), mask, region=0.0)[0]
    np.testing.assert_allclose(got, (edges + (121 - 23) * 1e-4) / 121, rtol=1e-5)


def test_perfect_costs_its_boundary_and_the_region_counts_wrong_pixels():
    mask = block()
    np.testing.assert_allclose(value(firm(mask), mask, length=0.0), [0], atol=1e-6)
    np.testing.assert_allclose(value(firm(0 * mask), mask, length=0.0), [36 / 144], rtol=1e-5)
    np.testing.assert_allclose(value(firm(1 - mask), mask, length=0.0), [1], rtol=1e-5)
    np.testing.assert_allclose(value(firm(0 * mask), mask, region=0.0), [1e-4], rtol=1e-4)


def test_the_weights_are_linear():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((2, 8, 9, 3)).astype(np.float32)
    labels = rng.integers(0, 3, (2, 8, 9)).astype(np.int32)
    parts = [value(logits, labels, length=n, region=1.0 - n) for n in (1.0, 0.0)]
    bent = value(logits, labels, length=0.0, region=0.0, curvature=1.0)
    np.testing.assert_allclose(
        value(logits, labels, length=0.3, region=2.0, curvature=0.5),
        0.3 * parts[0] + 2.0 * parts[1] + 0.5 * bent,
        rtol=1e-5,
    )
    assert np.all(bent > 0)


def test_the_repository_takes_differences_at_other_pixels():
    """The slices of the authors' code (Active-Contour-Loss.py), on its cropped grid."""
    u = np.random.default_rng(1).uniform(0.05, 0.95, (1, 9, 8))
    x, y = np.diff(u, axis=1), np.diff(u, axis=2)
    wanted = np.mean(np.sqrt(x[:, 1:, :-2] ** 2 + y[:, :-2, 1:] ** 2 + 1e-8))
    logits = np.log(u / (1 - u))[..., None].astype(np.float32)
    labels = np.zeros((1, 9, 8), np.int32)
    got = value(logits, labels, region=0.0, alignment="repo")
    np.testing.assert_allclose(got, [wanted], rtol=1e-5)
    assert abs(value(logits, labels, region=0.0)[0] - wanted) > 1e-3


def soft_disk(radius, size=32):
    i = np.arange(size) - (size - 1) / 2
    distance = np.sqrt(i[:, None] ** 2 + i[None, :] ** 2) - radius
    return (-distance)[None, ..., None].astype(np.float32)


def test_curvature_falls_with_the_radius_and_is_nothing_for_a_straight_edge():
    empty = np.zeros((1, 32, 32), np.int32)
    bend = functools.partial(value, length=0.0, region=0.0, curvature=1.0)
    each = [
        # The integral of 1 / r^2 over a circle is 2 pi / r.
        bend(soft_disk(r), empty)[0] * 30**2 / (2 * np.pi / r)
        for r in (6, 9)
    ]
    np.testing.assert_allclose(each, 1, atol=0.25)
    edge = np.broadcast_to(np.linspace(-6, 6, 32, dtype=np.float32)[:, None], (32, 32))
    assert bend(edge[None, ..., None], empty)[0] < 1e-6


def test_where_with_curvature_equals_cropping():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((1, 10, 11, 1)).astype(np.float32)
    labels = rng.integers(0, 2, (1, 10, 11)).astype(np.int32)
    where = np.zeros(labels.shape, bool)
    where[:, 1:9, 2:] = True
    for alignment in ("pixel", "repo"):
        options = {"curvature": 1.0, "alignment": alignment}
        np.testing.assert_allclose(
            value(logits, labels, where=where, **options),
            value(logits[:, 1:9, 2:], labels[:, 1:9, 2:], **options),
            rtol=1e-5,
        )


@pytest.mark.parametrize("alignment, read", [("pixel", (0, 0)), ("repo", (2, 2))])
def test_only_pixels_that_a_difference_reads_take_it_out(alignment, read):
    rng = np.random.default_rng(1)
    logits = rng.standard_normal((1, 6, 6, 1)).astype(np.float32)
    labels = np.zeros((1, 6, 6), np.int32)
    options = {"region": 0.0, "alignment": alignment}
    whole = value(logits, labels, **options)
    for pixel in ((0, 0), (2, 2)):
        where = np.ones(labels.shape, bool)
        where[0][pixel] = False
        moved = abs(value(logits, labels, where=where, **options) - whole)[0] > 1e-6
        assert moved == (pixel == read or pixel == (2, 2)), pixel


def test_curvature_is_finite_for_saturated_predictions():
    rng = np.random.default_rng(0)
    logits = np.where(rng.uniform(size=(2, 8, 8, 3)) > 0.5, 1e4, -1e4).astype(np.float32)
    labels = np.zeros((2, 8, 8), np.int32)
    step = jax.value_and_grad(lambda z: losses.active_contour(z, labels, curvature=1.0).sum())
    total, gradient = jax.jit(step)(logits)
    assert np.isfinite(total) and np.all(np.isfinite(gradient))


@pytest.mark.parametrize(
    "options, argument",
    [
        ({"length": -1.0}, "length"),
        ({"region": float("nan")}, "region"),
        ({"curvature": -0.1}, "curvature"),
        ({"alignment": "authors"}, "alignment"),
    ],
)
def test_errors_are_static(options, argument):
    with pytest.raises(ValueError, match=f"`{argument}` takes"):
        value(firm(block()), block(), **options)


def test_images_too_small_for_a_difference_are_named():
    thin = jnp.zeros((1, 8, 1, 1)), jnp.zeros((1, 8, 1), jnp.int32)
    with pytest.raises(ValueError, match=r"`logits` takes sides of at least 2 .*\(1, 8, 1, 1\)"):
        value(*thin)
    small = jnp.zeros((1, 4, 2, 1)), jnp.zeros((1, 4, 2), jnp.int32)
    with pytest.raises(ValueError, match="at least 3"):
        value(*small, curvature=1.0)
