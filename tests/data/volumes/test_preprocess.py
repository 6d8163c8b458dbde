"""Resampling against splines in float64, normalisation, and the way back."""

import dataclasses

import ml_dtypes
import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from segjax.data.volumes.fingerprint import Intensity
from segjax.data.volumes.plan import plan_2d
from segjax.data.volumes.preprocess import (
    Geometry,
    Recipe,
    preprocess,
    preprocess_labels,
    restore,
)
from segjax.data.volumes.resample import (
    new_shape,
    resample_image,
    resample_labels,
    resample_probabilities,
    separate_axis,
    through_plane_axis,
)
from segjax.errors import UserError
from tests.data.volumes.test_plan import BRATS, KITS

ISOTROPIC = {"spacing": (1, 1, 1), "target": (1, 1, 1)}
COARSE = {"spacing": (4, 1, 1), "target": (5, 1, 1)}
BOUNDS = Intensity(0.0, 10.0, 4.0, -50.0, 50.0, 20.0, -5.0)


def places(old, new):
    """Where the centres of the new voxels lie among the old ones."""
    return (np.arange(new) + 0.5) * old / new - 0.5


def cubic(values, new, axis):
    """The cubic spline through a line that goes on with its edge values, in float64."""
    beyond = 40
    line = np.moveaxis(np.asarray(values, np.float64), axis, 0)
    wide = np.pad(line, ((beyond, beyond), *((0, 0),) * (line.ndim - 1)), mode="edge")
    spline = CubicSpline(np.arange(-beyond, len(line) + beyond), wide, axis=0)
    return np.moveaxis(spline(places(len(line), new)), 0, axis)


def linear(values, new, axis):
    line = np.moveaxis(np.asarray(values, np.float64), axis, 0)
    at = np.clip(places(len(line), new), 0, len(line) - 1)
    low = np.minimum(at.astype(int), max(len(line) - 2, 0))
    high = np.minimum(low + 1, len(line) - 1)
    share = (at - low).reshape(-1, *(1,) * (line.ndim - 1))
    return np.moveaxis(line[low] * (1 - share) + line[high] * share, 0, axis)


def nearest(values, new, axis):
    """The old voxel that holds each new centre; a centre on an edge belongs to the later one."""
    index = np.floor((np.arange(new) + 0.5) * values.shape[axis] / new).astype(int)
    return np.take(values, index, axis)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(5, 9, 11), (9, 20, 7), (12, 13, 30), (9, 11, 17)])
def test_cubic_resampling_is_the_spline_kept_in_range(shape):
    image = noise(9, 13, 11, 2)
    expected = image
    for axis in range(3):
        expected = cubic(expected, shape[axis], axis)
    low, high = image.min((0, 1, 2)), image.max((0, 1, 2))
    found = resample_image(image, shape, **ISOTROPIC)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.clip(expected, low, high), atol=2e-5)


@pytest.mark.parametrize("separate", [0, 1, 2])
def test_a_coarse_axis_takes_the_nearest_slice(separate):
    image = np.moveaxis(noise(6, 13, 11, 2), 0, separate)
    shape = [0, 0, 0]
    others = [axis for axis in range(3) if axis != separate]
    shape[separate], shape[others[0]], shape[others[1]] = 9, 20, 7
    spacing = [1, 1, 1]
    spacing[separate] = 4
    expected = image
    for axis in others:
        expected = cubic(expected, shape[axis], axis)
    over = tuple(others)
    expected = np.clip(expected, image.min(over, keepdims=True), image.max(over, keepdims=True))
    expected = nearest(expected, 9, separate)
    found = resample_image(image, shape, spacing=spacing, target=(1, 1, 1))
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_overshoot_is_cut():
    image = np.zeros((1, 1, 12, 1), np.float32)
    image[:, :, 6:] = 1
    found = resample_image(image, (1, 1, 30), **ISOTROPIC)
    assert found.min() == 0 and found.max() == 1
    assert cubic(image, 30, 2).max() > 1.01


def test_nothing_changes_on_the_same_grid():
    image = noise(3, 4, 5, 1)
    found = resample_image(image, (3, 4, 5), **ISOTROPIC)
    assert np.array_equal(found, image) and found is not image
    constant = resample_image(np.full((3, 4, 5, 1), 1000.0), (6, 3, 9), **ISOTROPIC)
    assert (constant == 1000).all()
    assert resample_image(noise(1, 1, 1, 1), (2, 3, 4), **ISOTROPIC).std() < 1e-6


def test_probabilities_are_linear_and_stay_probabilities():
    probs = np.random.default_rng(0).dirichlet(np.ones(3), (4, 9, 8)).astype(np.float32)
    found = resample_probabilities(probs, (7, 5, 19), **ISOTROPIC)
    expected = linear(linear(linear(probs, 7, 0), 5, 1), 19, 2)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize("grid, shape", [(ISOTROPIC, (4, 17, 9)), (COARSE, (7, 17, 9))])
def test_labels_take_the_class_with_half_the_voxel(grid, shape):
    labels = np.random.default_rng(1).integers(0, 4, (4, 6, 5)).astype(np.uint8)
    expected = np.zeros(shape, np.uint8)
    for label in (1, 2, 3):
        share = linear(linear(labels == label, shape[1], 1), shape[2], 2)
        share = nearest(share, shape[0], 0)
        expected[share >= 0.5 - 1e-6] = label
    found = resample_labels(labels, shape, **grid)
    assert found.dtype == np.uint8 and np.array_equal(found, expected)
    assert set(np.unique(found)) == {0, 1, 2, 3}


def test_of_two_halves_the_higher_label_wins_and_of_thirds_none():
    labels = np.array([[[2, 1, 3, 3]]])
    assert resample_labels(labels, (1, 1, 2), **ISOTROPIC).ravel().tolist() == [2, 3]
    thirds = np.array([1, 2, 3, 4]).reshape(1, 2, 2)
    assert resample_labels(thirds, (1, 1, 1), **ISOTROPIC).item() == 0
    assert not resample_labels(np.zeros((2, 3, 4), int), (2, 5, 5), **ISOTROPIC).any()


@pytest.mark.parametrize("grid, shape", [(ISOTROPIC, (4, 17, 9)), (ISOTROPIC, (4, 3, 4))])
def test_nothing_is_made_up_where_labels_are_ignored(grid, shape):
    """By the linear shares of the known labels and of 255, in float64."""
    labels = np.random.default_rng(2).choice([0, 1, 2, 255], (4, 6, 5), p=[0.4, 0.2, 0.1, 0.3])
    shares = {
        label: linear(linear(labels == label, shape[1], 1), shape[2], 2) for label in (0, 1, 2, 255)
    }
    found = resample_labels(labels.astype(np.uint8), shape, **grid)
    undecided = 0
    for place in np.ndindex(shape):
        here = {label: share[place] for label, share in shares.items()}
        half = [label for label, share in here.items() if share >= 0.5 - 1e-6]
        undecided += not half and here[255] > 1e-6
        wanted = max(half) if half else (255 if here[255] > 1e-6 else 0)
        assert found[place] == wanted, (place, here)
    assert undecided and {*np.unique(found)} == {0, 1, 2, 255}
    # Far from what is ignored, labels are what they are without it
    plain = np.where(labels == 255, 0, labels).astype(np.uint8)
    apart = shares[255] == 0
    np.testing.assert_array_equal(found[apart], resample_labels(plain, shape, **grid)[apart])


def test_nearest_labels():
    labels = np.random.default_rng(1).integers(0, 4, (4, 6, 5))
    found = resample_labels(labels, (6, 9, 3), **ISOTROPIC, method="nearest")
    assert np.array_equal(found, nearest(nearest(nearest(labels, 6, 0), 9, 1), 3, 2))


@pytest.mark.parametrize(
    "call, word",
    [
        (lambda: resample_image(noise(3, 3, 3), (3, 3, 3), **ISOTROPIC), "image"),
        (lambda: resample_labels(np.zeros((3, 3), int), (3, 3), **ISOTROPIC), "labels"),
        (
            lambda: resample_labels(np.zeros((3, 3, 3), int), (3, 3, 3), **ISOTROPIC, method="x"),
            "'x'",
        ),
    ],
)
def test_wrong_arguments_of_the_resampling(call, word):
    with pytest.raises(ValueError, match=word):
        call()


@pytest.mark.parametrize(
    "spacing, target, axis",
    [
        ((3, 1, 1), (3, 1, 1), None),
        ((3.1, 1, 1), (1, 1, 1), 0),
        ((1, 1, 1), (1, 1, 3.1), 2),
        ((0.2, 1.25, 1.25), (1, 1, 1), None),
        ((1, 5, 2), (9, 1, 1), 1),
    ],
)
def test_which_axis_stands_apart(spacing, target, axis):
    assert separate_axis(spacing, target) == axis


def test_shapes_and_axes_of_a_grid():
    assert new_shape((10, 100, 3), (5, 1.5, 1), (5, 1, 100)) == (10, 150, 1)
    assert through_plane_axis((1, 1, 1)) == 0
    assert through_plane_axis((1.0, 1.0001, 1.0)) == 0
    assert through_plane_axis((1, 1.5, 5)) == 2


def head(seed=0):
    """A round object in a frame of zeros, slices along the second axis, and its labels."""
    rows, slices, columns = np.ogrid[-1:1:26j, -1:1:9j, -1:1:30j]
    radius = np.sqrt(rows**2 + slices**2 + columns**2)
    image = np.where(radius < 0.8, 5 + noise(26, 9, 30, seed=seed), 0)[..., None]
    labels = (radius < 0.5).astype(np.uint8) + (radius < 0.3)
    return image.astype(np.float32), labels.astype(np.uint8), (1.5, 6.0, 1.25)


def test_zscore_of_the_case():
    image, _, spacing = head()
    found, geometry = preprocess(image, spacing, Recipe(spacing=(1.0, 1.0)))
    assert found.dtype == np.float32 and found.shape == (*geometry.shape_after, 1)
    assert found.mean(dtype=float) == pytest.approx(0, abs=1e-5)
    assert found.std(dtype=float) == pytest.approx(1, abs=1e-5)


def test_zscore_within_the_object_on_the_file_s_grid():
    image, _, spacing = head()
    found, geometry = preprocess(image, spacing, Recipe(use_mask=(True,)))
    assert geometry.spacing_after == (6.0, 1.5, 1.25) and geometry.axis == 1
    values = np.moveaxis(image[geometry.box], 1, 0)
    inside = values != 0
    expected = (values - values[inside].mean(dtype=float)) / (
        values[inside].std(dtype=float) + 1e-8
    )
    np.testing.assert_allclose(found, np.where(inside, expected, 0), atol=1e-5)
    assert (~inside).any()


def test_zscore_within_the_object_after_resampling():
    image, _, spacing = head()
    recipe = Recipe(spacing=(1.0, 1.0), use_mask=(True,))
    found, geometry = preprocess(image, spacing, recipe)
    object_ = (image[..., 0] != 0).astype(np.uint8)
    inside = preprocess_labels(object_, geometry) > 0
    assert not found[~inside].any() and 0.2 < inside.mean() < 0.9
    assert found[inside].mean(dtype=float) == pytest.approx(0, abs=1e-5)
    assert found[inside].std(dtype=float) == pytest.approx(1, abs=1e-5)


def test_ct_takes_the_numbers_of_the_training_set():
    image, _, spacing = head()
    image = image * 10
    recipe = Recipe(normalization=("CT",), intensities=(BOUNDS,))
    found, geometry = preprocess(image, spacing, recipe)
    values = np.moveaxis(image[geometry.box], 1, 0)
    np.testing.assert_allclose(found, (np.clip(values, -5, 20) - 10) / 4, atol=1e-6)


def test_channels_are_normalised_each_by_its_own_rule():
    image, _, spacing = head()
    both = np.concatenate([image, image * 7 + 3], axis=-1)
    recipe = Recipe(
        normalization=("CT", "zscore"), use_mask=(False, False), intensities=(BOUNDS, BOUNDS)
    )
    found, _ = preprocess(both, spacing, recipe)
    assert found[..., 0].max() <= 2.5
    assert found[..., 1].std(dtype=float) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("use_mask", [(False,), (True,)])
def test_constant_and_empty_volumes_become_zero(use_mask):
    for value in (0.0, 7.0):
        found, geometry = preprocess(
            np.full((3, 8, 8, 1), value), (5, 1, 1), Recipe(spacing=(2.0, 2.0), use_mask=use_mask)
        )
        assert found.shape == (3, 4, 4, 1) and not found.any()
        assert geometry.crop == ((0, 3), (0, 8), (0, 8))


def test_the_through_plane_axis_is_moved_first_and_never_resampled():
    image, labels, spacing = head()
    found, geometry = preprocess(image, spacing, Recipe(spacing=(0.75, 2.5)))
    rows, slices, columns = (stop - start for start, stop in geometry.crop)
    assert geometry.shape_after == found.shape[:3] == (slices, rows * 2, round(columns / 2))
    assert geometry.spacing_after == (6.0, 0.75, 2.5)
    assert preprocess_labels(labels, geometry).shape == geometry.shape_after
    fixed, geometry = preprocess(image, spacing, Recipe(axis=2))
    assert geometry.axis == 2 and geometry.spacing_after == (1.25, 1.5, 6.0)


@pytest.mark.parametrize("axis", [None, 0, 2])
def test_labels_come_back_where_they_were(axis):
    image, labels, spacing = head()
    _, geometry = preprocess(image, spacing, Recipe(axis=axis))
    moved = preprocess_labels(labels, geometry)
    assert moved.shape == geometry.shape_after != labels.shape
    assert np.array_equal(restore(moved, geometry), labels)
    assert np.array_equal(restore(np.eye(3, dtype=np.float32)[moved], geometry), labels)


def test_probabilities_are_resampled_before_the_largest_decides():
    image, labels, spacing = head()
    _, geometry = preprocess(image, spacing, Recipe(spacing=(2.0, 2.0)))
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(3), geometry.shape_after).astype(np.float32)
    rows, slices, columns = (stop - start for start, stop in geometry.crop)
    expected = np.zeros(labels.shape, np.uint8)
    back = linear(linear(probs, rows, 1), columns, 2).argmax(-1)
    expected[geometry.box] = np.moveaxis(back, 0, 1)
    found = restore(probs, geometry)
    assert np.array_equal(restore(probs.astype(np.float64), geometry), found)
    assert restore(probs.astype(ml_dtypes.bfloat16), geometry).shape == labels.shape
    assert found.dtype == np.uint8 and np.array_equal(found, expected)
    assert not np.array_equal(restore(probs.argmax(-1), geometry), expected)


def test_a_smooth_object_survives_the_way_there_and_back():
    image, labels, spacing = head()
    _, geometry = preprocess(image, spacing, Recipe(spacing=(1.0, 1.0)))
    back = restore(np.eye(3)[preprocess_labels(labels, geometry)], geometry)
    for label in (1, 2):
        both = ((back == label) & (labels == label)).sum()
        assert 2 * both / ((back == label).sum() + (labels == label).sum()) > 0.9


def test_one_channel_is_decided_at_a_half():
    image, labels, spacing = head()
    _, geometry = preprocess(image, spacing, Recipe())
    prob = np.where(preprocess_labels(labels, geometry) > 0, 0.6, 0.4)[..., None]
    assert np.array_equal(restore(prob, geometry), labels > 0)


def test_the_records_come_back_from_json():
    image, _, spacing = head()
    recipe = Recipe(spacing=(1.0, 1.0), normalization=("CT",), intensities=(BOUNDS,))
    _, geometry = preprocess(image, spacing, recipe)
    assert Geometry.from_json(geometry.to_json(), source="g") == geometry
    for record in (recipe, Recipe()):
        assert Recipe.from_json(record.to_json(), source="r") == record
        assert hash(record) == hash(dataclasses.replace(record))
    broken = recipe.to_json().replace("CT", "log")
    with pytest.raises(UserError, match="r.json.*'log'"):
        Recipe.from_json(broken, source="r.json")


def test_a_plan_has_a_recipe():
    plan = plan_2d(KITS)
    assert Recipe.of_plan(plan) == Recipe(
        spacing=(0.78, 0.78), axis=0, normalization=("CT",), intensities=plan.intensities
    )
    assert Recipe.of_plan(plan_2d(BRATS)).use_mask == (True,) * 4


@pytest.mark.parametrize(
    "options, word",
    [
        ({"normalization": ("log",)}, "'log'"),
        ({"normalization": ("CT",)}, "intensities"),
        ({"use_mask": (True, True)}, "use_mask"),
        ({"spacing": (0.0, 1.0)}, "spacing"),
        ({"axis": 3}, "axis"),
    ],
)
def test_wrong_recipes(options, word):
    with pytest.raises(ValueError, match=word):
        Recipe(**options)


def test_what_does_not_fit_is_refused():
    image, labels, spacing = head()
    with pytest.raises(ValueError, match="image"):
        preprocess(image[..., 0], spacing, Recipe())
    with pytest.raises(ValueError, match="2\\]"):
        preprocess(image, spacing, Recipe(normalization=("zscore",) * 2, use_mask=(False,) * 2))
    for bad in ((1, 1), (1, 0, 1), (1, np.nan, 1)):
        with pytest.raises(ValueError, match="spacing"):
            preprocess(image, bad, Recipe())
    _, geometry = preprocess(image, spacing, Recipe())
    with pytest.raises(ValueError, match="labels"):
        preprocess_labels(labels[1:], geometry)
    with pytest.raises(ValueError, match="prediction"):
        restore(labels, geometry)
    with pytest.raises(ValueError, match="prediction"):
        restore(np.zeros(geometry.shape_after), geometry)
