"""The triplet loss: order, the margin, and the places where an angle has no slope."""

import functools
import itertools

import jax
import numpy as np
import pytest

from segjax import losses

DISTANCES = ("angular", "cosine", "euclidean")
EVERY = pytest.mark.parametrize("distance", DISTANCES)


@functools.cache
def compiled(distance="angular", margin=0.5):
    """Values and the gradients of their sum with respect to the three arrays."""

    def run(*vectors):
        values = losses.triplet(*vectors, distance=distance, margin=margin)
        total = lambda *v: losses.triplet(*v, distance=distance, margin=margin).sum()  # noqa: E731
        return values, jax.grad(total, (0, 1, 2))(*vectors)

    return jax.jit(run)


def planar(*degrees):
    """Vectors of the plane at these angles, as `[1, 2]` arrays."""
    return tuple(
        np.array([[np.cos(np.deg2rad(a)), np.sin(np.deg2rad(a))]], np.float32) for a in degrees
    )


@pytest.mark.parametrize(
    "degrees, wanted",
    [((0, 45, 90), 0.25), ((0, 90, 45), 0.75), ((0, 0, 180), 0.0), ((0, 180, 0), 1.5),
     ((0, 30, 30), 0.5), ((10, 10, 100), 0.0), ((0, 1e-2, 90), 1e-2 / 180)],
)  # fmt: skip
def test_the_angle_is_a_share_of_half_a_turn(degrees, wanted):
    value = compiled()(*planar(*degrees))[0]
    np.testing.assert_allclose(value, [wanted], rtol=2e-5, atol=1e-6)


@EVERY
def test_it_falls_as_the_positive_nears_and_the_negative_leaves(distance):
    worst_to_best = [(0, 120, 30), (0, 120, 60), (0, 60, 60), (0, 30, 90), (0, 10, 170)]
    values = [float(compiled(distance, 3.0)(*planar(*d))[0][0]) for d in worst_to_best]
    assert all(before > after for before, after in itertools.pairwise(values)), values


@EVERY
def test_a_kept_margin_costs_nothing(distance):
    value, gradients = compiled(distance)(*planar(0, 10, 170))
    assert value == 0 and all(np.all(np.asarray(g) == 0) for g in gradients)
    assert compiled(distance, 2.5)(*planar(0, 10, 170))[0] > 0


def test_the_angle_does_not_depend_on_the_lengths_but_the_distance_does():
    rng = np.random.default_rng(0)
    vectors = tuple(rng.standard_normal((4, 5)).astype(np.float32) for _ in range(3))
    for distance, invariant in (("angular", True), ("cosine", True), ("euclidean", False)):
        run = compiled(distance, 3.0)
        for scale in (1e-9, 1e-3, 1e19):
            scaled = run(*(np.float32(scale) * v for v in vectors))[0]
            assert np.all(np.isfinite(scaled))
            assert np.allclose(scaled, run(*vectors)[0], rtol=1e-5) == invariant


@EVERY
@pytest.mark.parametrize("scale", [1.0, 1e4, 1e-20, 1e20])
def test_gradients_are_finite_where_the_angle_has_no_slope(distance, scale):
    rng = np.random.default_rng(0)
    one, other = (scale * rng.standard_normal(5).astype(np.float32) for _ in range(2))
    zero, nearly = np.zeros(5, np.float32), one * np.float32(1 + 1e-6)
    kinds = (one, -one, nearly, 2 * one, zero, other)
    vectors = np.array(list(itertools.product(kinds, repeat=3)), np.float32)
    anchor, positive, negative = (vectors[:, k] for k in range(3))
    values, gradients = compiled(distance)(anchor, positive, negative)
    assert np.all(np.isfinite(values))
    for gradient in gradients:
        assert np.all(np.isfinite(gradient))
    if distance == "angular" and scale == 1:
        # |d angle / du| = 1 / (pi |u|); the anchor has two of them.
        longest = np.linalg.norm(np.asarray(gradients[0]), axis=-1) * np.linalg.norm(one)
        assert longest[np.any(anchor != 0, axis=-1)].max() < 2.1 / np.pi


def test_the_places_without_a_slope_have_the_documented_values():
    one = np.array([[3.0, 4.0]], np.float32)
    zero = np.zeros_like(one)
    run = compiled("angular", 2.0)
    for positive, wanted in ((one, 0.0), (-one, 1.0), (zero, 0.5)):
        value, gradients = run(one, positive, one)
        np.testing.assert_allclose(value, [2.0 + wanted], rtol=1e-6)
        if positive is not zero:
            assert all(np.all(np.asarray(g) == 0) for g in gradients)
    np.testing.assert_allclose(run(zero, zero, one)[0], [1.5], rtol=1e-6)
    np.testing.assert_allclose(compiled("cosine", 2.0)(one, zero, one)[0], [3.0], rtol=1e-6)


def test_small_angles_keep_their_digits():
    # arccos in float32 gives 0 below about 3e-4.
    for angle in (1e-2, 1e-3, 1e-4):
        anchor = np.array([[1.0, 0.0]], np.float32)
        positive = np.array([[np.cos(angle), np.sin(angle)]], np.float32)
        value, gradients = compiled("angular", 1.0)(anchor, positive, -anchor)
        np.testing.assert_allclose(value, [angle / np.pi], rtol=1e-3)
        across = np.array([[-np.sin(angle), np.cos(angle)]])
        np.testing.assert_allclose(gradients[1], across / np.pi, atol=1e-3)


def test_errors_are_static():
    one = np.ones((2, 3), np.float32)
    for error, match, call in (
        (ValueError, "`anchor` takes 2 axes", lambda: losses.triplet(one[0], one, one)),
        (ValueError, "`positive` takes shape", lambda: losses.triplet(one, one[:1], one)),
        (ValueError, "`negative` takes shape", lambda: losses.triplet(one, one, one[:, :2])),
        (TypeError, "`negative` takes", lambda: losses.triplet(one, one, one.astype(np.int32))),
        (ValueError, "`margin` takes", lambda: losses.triplet(one, one, one, margin=-0.1)),
        (ValueError, "`distance` takes", lambda: losses.triplet(one, one, one, distance="angle")),
    ):
        with pytest.raises(error, match=match):
            call()
    with pytest.raises(ValueError, match="`margin` takes"):
        jax.eval_shape(functools.partial(losses.triplet, margin=float("nan")), one, one, one)
