"""The one affine of photographs and slices, and the exact moves beside it."""

import functools
import math

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from segjax.data.augment import geometry, warp


def smooth(*shape, seed=0, sigma=3.0):
    """Noise filtered along the first two axes, of deviation 1."""
    rough = np.random.default_rng(seed).normal(size=shape)
    image = ndimage.gaussian_filter(rough, (sigma, sigma) + (0,) * (len(shape) - 2))
    return ((image - image.mean()) / image.std()).astype(np.float32)


def crop(array, patch=(24, 20)):
    """The centre of axes 1 and 2."""
    rows, columns = ((n - p) // 2 for n, p in zip(array.shape[1:], patch, strict=False))
    return array[:, rows : rows + patch[0], columns : columns + patch[1]]


def resampled(plane, angle, factor, patch, shift=(0, 0), mode="grid-constant"):
    """The published map, in float64 and in one step: out = factor R(angle) source + shift."""
    starts = [(n - p) // 2 for n, p in zip(plane.shape, patch, strict=True)]
    y, x = np.meshgrid(
        *[
            start + np.arange(p) + 0.5 - n / 2
            for start, p, n in zip(starts, patch, plane.shape, strict=True)
        ],
        indexing="ij",
    )
    x, y = x - shift[0], y - shift[1]
    cos, sin = math.cos(angle) / factor, math.sin(angle) / factor
    source = [cos * y - sin * x + plane.shape[0] / 2, cos * x + sin * y + plane.shape[1] / 2]
    at = np.stack(source) - 0.5
    return ndimage.map_coordinates(np.float64(plane), at, order=1, mode=mode)


@functools.cache
def warped(patch, largest_angle):
    run = functools.partial(
        warp.affine, size=patch, largest_angle=largest_angle, largest_factor=1.4
    )
    return jax.jit(run)


@functools.cache
def shifted(size, border, largest_angle):
    run = functools.partial(
        warp.affine,
        size=size,
        border=border,
        largest_angle=largest_angle,
        largest_factor=1.3,
        largest_shift=0.2,
    )
    return jax.jit(run)


@pytest.mark.parametrize("factor", [0.75, 1.0, 1.4])
@pytest.mark.parametrize("region, patch", [((36, 30), (24, 20)), ((31, 31), (17, 20))])
def test_scaling_alone_is_bilinear_sampling(factor, region, patch):
    planes = np.random.default_rng(0).normal(size=(2, *region)).astype(np.float32)
    got = warped(patch, 0.0)(planes, jnp.float32(0), jnp.float32(factor))
    wanted = [resampled(plane, 0, factor, patch) for plane in planes]
    np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("factor", [0.72, 1.0, 1.4])
@pytest.mark.parametrize("degrees", [-45, -30, 8, 45])
@pytest.mark.parametrize("region, patch", [((60, 60), (52, 44)), ((66, 61), (40, 51))])
def test_the_two_passes_equal_one_step(degrees, factor, region, patch):
    # Fading out at the border: there the passes and the single step fall to 0 differently.
    window = np.outer(*[np.hanning(n) for n in region])
    plane = (smooth(*region, sigma=4.0) * window).astype(np.float32)
    angle = math.radians(degrees)
    got = warped(patch, math.pi / 4)(plane[None], jnp.float32(angle), jnp.float32(factor))[0]
    difference = np.abs(got - resampled(plane, angle, factor, patch))
    assert difference.max() < 0.1 and difference.mean() < 0.01
    other = resampled(plane, angle + 0.1, factor, patch)
    assert np.abs(got - other).mean() > 5 * difference.mean(), "the test sees no difference"


def test_no_angle_and_no_scale_is_the_centre_crop_to_the_bit():
    planes = np.random.default_rng(0).normal(size=(2, 31, 40)).astype(np.float32)
    got = warped((20, 25), math.pi / 4)(planes, jnp.float32(0), jnp.float32(1))
    np.testing.assert_array_equal(got, crop(planes, (20, 25)))


@pytest.mark.parametrize("turns", range(4))
def test_right_angles_are_exact(turns):
    planes = np.random.default_rng(0).normal(size=(2, 6, 6)).astype(np.float32)
    got = geometry.turn(planes, jnp.int32(turns))
    np.testing.assert_array_equal(got, np.rot90(planes, -turns, axes=(1, 2)))
    for plane, turned in zip(planes, got, strict=True):
        wanted = resampled(plane, turns * math.pi / 2, 1.0, (6, 6))
        np.testing.assert_allclose(turned, wanted, atol=1e-6)


@pytest.mark.parametrize(
    "degrees, factor, shift",
    [(10, 1.1, (5, -3)), (-30, 0.8, (3, 6)), (44, 1.2, (-6, 0)), (0, 0.9, (0.5, 0.25))],
)
def test_a_repeated_border_and_a_shift_equal_one_step_of_bilinear_sampling(degrees, factor, shift):
    image = smooth(48, 64, 3, sigma=4.0)
    image = (image - image.min()) / np.ptp(image)
    height, width = image.shape[:2]
    angle = math.radians(degrees)
    got = shifted((height, width), "repeat", math.pi / 4)(
        np.moveaxis(image, -1, 0),
        jnp.float32(angle),
        jnp.float32(factor),
        jnp.array(shift, jnp.float32),
    )
    cos, sin = factor * math.cos(angle), factor * math.sin(angle)
    x, y = width / 2 - 0.5, height / 2 - 0.5
    matrix = np.array(
        [
            [cos, -sin, x + shift[0] - cos * x + sin * y],
            [sin, cos, y + shift[1] - sin * x - cos * y],
        ]
    )
    wanted = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR)
    inside = cv2.warpAffine(np.ones((height, width), np.float32), matrix, (width, height)) > 0.999
    difference = np.abs(np.moveaxis(np.asarray(got), 0, -1) - wanted)[inside]
    assert inside.mean() > 0.4
    assert difference.max() < 0.02 and difference.mean() < 0.003


@pytest.mark.parametrize("border, mode", [("zero", "grid-constant"), ("repeat", "nearest")])
@pytest.mark.parametrize("size", [(36, 30), (23, 20)])
def test_every_border_takes_a_shift_and_a_patch(border, mode, size):
    planes = np.random.default_rng(1).normal(size=(2, 36, 30)).astype(np.float32)
    shift, factor = (3.25, -4.5), 1.3
    got = shifted(size, border, 0.0)(
        planes, jnp.float32(0), jnp.float32(factor), jnp.array(shift, jnp.float32)
    )
    wanted = [resampled(plane, 0, factor, size, shift, mode) for plane in planes]
    np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("border", ["zero", "repeat"])
@pytest.mark.parametrize("degrees", [-45, 20])
def test_a_patch_is_the_centre_of_the_whole(border, degrees):
    planes = smooth(38, 33, 2, sigma=2.0).transpose(2, 0, 1)
    move = jnp.float32(math.radians(degrees)), jnp.float32(1.25), jnp.array([4.0, -3.0], "f4")
    whole = shifted((38, 33), border, math.pi / 4)(planes, *move)
    patch = shifted((21, 19), border, math.pi / 4)(planes, *move)
    np.testing.assert_allclose(patch, crop(whole, (21, 19)), atol=2e-4)
    other = jnp.array([4.2, -3.0], jnp.float32)
    moved = shifted((21, 19), border, math.pi / 4)(planes, *move[:2], other)
    assert np.abs(moved - patch).max() > 0.01


@functools.cache
def sheared(size, border, largest_angle):
    return jax.jit(
        functools.partial(
            warp.affine,
            size=size,
            border=border,
            largest_angle=largest_angle,
            largest_factor=1.3,
            largest_shift=0.2,
            largest_shear=math.pi / 4,
        )
    )


@pytest.mark.parametrize("border, mode", [("zero", "grid-constant"), ("repeat", "nearest")])
@pytest.mark.parametrize("degrees", [-45, -12, 30])
@pytest.mark.parametrize("size", [(36, 30), (23, 20)])
def test_a_shear_alone_is_linear_sampling_along_rows(border, mode, degrees, size):
    plane = np.random.default_rng(2).normal(size=(36, 30)).astype(np.float32)
    move = 0.0, 1.0, np.zeros(2, np.float32), math.radians(degrees)
    got = sheared(size, border, 0.0)(plane[None], *(jnp.float32(value) for value in move))[0]
    # Of each row the columns x - tan(b) y, both from the centre: the oracle in float64
    starts = [(n - p) // 2 for n, p in zip(plane.shape, size, strict=True)]
    y = starts[0] + np.arange(size[0]) + 0.5 - 18
    x = starts[1] + np.arange(size[1]) + 0.5 - 15
    columns = x[None, :] - math.tan(math.radians(degrees)) * y[:, None] + 15 - 0.5
    rows = np.broadcast_to((y + 18 - 0.5)[:, None], columns.shape)
    wanted = ndimage.map_coordinates(np.float64(plane), [rows, columns], order=1, mode=mode)
    np.testing.assert_allclose(got, wanted, atol=2e-5)


@pytest.mark.parametrize(
    "degrees, factor, shift, lean",
    [(10, 1.1, (5, -3), 25), (-30, 0.8, (3, 6), -20), (44, 1.2, (-6, 0), -40), (0, 0.9, (2, 1), 8)],
)
def test_a_shear_with_the_other_parts_equals_one_step(degrees, factor, shift, lean):
    image = smooth(48, 64, sigma=4.0)
    angle, shear = math.radians(degrees), math.radians(lean)
    arrays = [jnp.array(value, jnp.float32) for value in (angle, factor, shift, shear)]
    got = sheared((48, 64), "repeat", math.pi / 4)(image[None], *arrays)[0]
    cos, sin = factor * math.cos(angle), factor * math.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) @ [[1, math.tan(shear)], [0, 1]]
    centre = np.array([31.5, 23.5])
    offset = centre + shift - linear @ centre
    matrix = np.concatenate([linear, offset[:, None]], axis=1)
    wanted = cv2.warpAffine(image, matrix, (64, 48), flags=cv2.INTER_LINEAR)
    inside = cv2.warpAffine(np.ones((48, 64), np.float32), matrix, (64, 48)) > 0.999
    difference = np.abs(np.asarray(got) - wanted)[inside]
    assert inside.mean() > 0.3
    # Four linear interpolations smooth more than one, the more so the longer the shears
    assert difference.max() < 0.15 and difference.mean() < 0.03
    shear += 0.1
    matrix[:, :2] = np.array([[cos, -sin], [sin, cos]]) @ [[1, math.tan(shear)], [0, 1]]
    matrix[:, 2] = centre + shift - matrix[:, :2] @ centre
    other = cv2.warpAffine(image, matrix, (64, 48), flags=cv2.INTER_LINEAR)
    assert np.abs(np.asarray(got) - other)[inside].mean() > 5 * difference.mean(), "too coarse"
    # Points by the same matrix
    points = np.random.default_rng(0).uniform(0, 48, (5, 2)).astype(np.float32)
    moved = geometry.move_points(points, (48, 64), *arrays)
    np.testing.assert_allclose(moved, (points - 0.5) @ linear.T + offset + 0.5, rtol=1e-4)


def test_a_shear_of_zero_is_none():
    planes = np.random.default_rng(0).normal(size=(2, 31, 40)).astype(np.float32)
    move = jnp.float32(0.3), jnp.float32(1.1), jnp.array([1.5, -2.0], jnp.float32)
    for border in ("zero", "repeat"):
        got = sheared((20, 25), border, math.pi / 4)(planes, *move, jnp.float32(0))
        without = shifted((20, 25), border, math.pi / 4)(planes, *move)
        # Not to the bit: other margins round positions elsewhere
        np.testing.assert_allclose(got, without, atol=2e-5)
    crop_of = sheared((20, 25), "zero", 0.0)(
        planes, *map(jnp.float32, (0, 1)), np.zeros(2, "f4"), 0.0
    )
    np.testing.assert_array_equal(crop_of, crop(planes, (20, 25)))


def test_beyond_the_border_are_zeros_or_the_rim():
    planes, small = np.full((1, 20, 24), 3.0, np.float32), jnp.float32(0.5)
    still = jnp.zeros(2)
    zero = np.asarray(shifted((20, 24), "zero", 0.0)(planes, jnp.float32(0), small, still))
    assert zero[0, 10, 12] == 3 and not zero[:, :4].any() and not zero[:, :, :5].any()
    repeated = shifted((20, 24), "repeat", 0.0)(planes, jnp.float32(0), small, still)
    np.testing.assert_allclose(repeated, 3, rtol=1e-6)


def test_flips_of_arrays_and_points():
    array = np.arange(12.0, dtype=np.float32).reshape(1, 3, 4)
    points = np.array([[0.5, 2.25], [3.0, 0.0]], np.float32)
    for axis, flipped in ((1, array[:, ::-1]), (2, array[..., ::-1])):
        np.testing.assert_array_equal(geometry.flip(array, jnp.array(True), axis=axis), flipped)
        np.testing.assert_array_equal(geometry.flip(array, jnp.array(False), axis=axis), array)
    got = geometry.flip_points(points, jnp.array(True), 4, axis=0)
    np.testing.assert_array_equal(got, [[3.5, 2.25], [1.0, 0.0]])
    got = geometry.flip_points(points, jnp.array(True), 3, axis=1)
    np.testing.assert_array_equal(got, [[0.5, 0.75], [3.0, 3.0]])
    np.testing.assert_array_equal(geometry.flip_points(points, jnp.array(False), 3, axis=1), points)
