import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from segjax import metrics

SHAPES = [(4, 7, 8), (3, 4, 5, 6)]
SPACINGS = {3: (0.5, 2.0), 4: (3.0, 0.5, 1.25)}


def mask_pair(shape, seed=0, share=0.3):
    generator = np.random.default_rng(seed)
    return generator.random(shape) < share, generator.random(shape) < share


def boundary(mask):
    """Pixels of the object with a face neighbour that is background or outside the image."""
    found = []
    for point in np.argwhere(mask):
        for axis, step in itertools.product(range(mask.ndim), (-1, 1)):
            near = point.copy()
            near[axis] += step
            outside = near[axis] < 0 or near[axis] >= mask.shape[axis]
            if outside or not mask[tuple(near)]:
                found.append(point)
                break
    return np.array(found, float)


def directed(pred, label, spacing):
    """Distances of each boundary pixel to the other boundary, by all pairs."""
    a, b = (boundary(m) * np.array(spacing) for m in (pred, label))
    pairs = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))
    return pairs.min(1), pairs.min(0)


def oracle(pred, label, spacing, score):
    spacing = np.ones(pred.ndim - 1) if spacing is None else spacing
    return [score(*directed(p, t, spacing)) for p, t in zip(pred, label, strict=True)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spaced", [False, True])
def test_every_distance_equals_the_one_by_all_pairs(shape, spaced):
    pred, label = mask_pair(shape)
    spacing = SPACINGS[len(shape)] if spaced else None
    for percentile in (100, 95, 50):
        got = metrics.hausdorff_distance(pred, label, spacing=spacing, percentile=percentile)
        wanted = oracle(
            pred,
            label,
            spacing,
            lambda a, b, q=percentile: max(np.percentile(a, q), np.percentile(b, q)),
        )
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, wanted, rtol=1e-12)
    got = metrics.average_surface_distance(pred, label, spacing=spacing)
    wanted = oracle(pred, label, spacing, lambda a, b: (a.sum() + b.sum()) / (a.size + b.size))
    np.testing.assert_allclose(got, wanted, rtol=1e-12)
    got = metrics.average_surface_distance(pred, label, spacing=spacing, symmetric=False)
    np.testing.assert_allclose(got, oracle(pred, label, spacing, lambda a, b: a.mean()), rtol=1e-12)
    for tolerance in (0, 1, 1.3):
        got = metrics.surface_dice(pred, label, spacing=spacing, tolerance=tolerance)
        wanted = oracle(
            pred,
            label,
            spacing,
            lambda a, b, t=tolerance: ((a <= t).sum() + (b <= t).sum()) / (a.size + b.size),
        )
        np.testing.assert_allclose(got, wanted, rtol=1e-12)


def squares():
    """A 5 x 5 square, and the same with one pixel on its own, 3 rows below and 4 columns right."""
    label = np.zeros((1, 12, 13), bool)
    label[:, 1:6, 1:6] = True
    pred = label.copy()
    pred[:, 8, 9] = True
    return pred, label


def test_a_worked_example():
    pred, label = squares()
    # The stray pixel is 3 rows and 4 columns off the corner (5, 5); the 16 others agree.
    assert metrics.hausdorff_distance(pred, label) == [5]
    assert metrics.hausdorff_distance(label, pred) == [5]
    assert metrics.hausdorff_distance(pred, label, spacing=(1, 0.5)) == [np.sqrt(9 + 4)]
    assert metrics.hausdorff_distance(pred, label, spacing=(2, 2)) == [10]
    assert metrics.hausdorff_distance(pred, label, spacing=2) == [10]
    assert metrics.hausdorff_distance(pred, label, percentile=90) == [0]
    # Of 17 sorted distances, the 95th percentile lies at 15.2: 0.2 of the way from 0 to 5.
    np.testing.assert_allclose(metrics.hausdorff_distance(pred, label, percentile=95), [1])
    np.testing.assert_allclose(metrics.average_surface_distance(pred, label), [5 / 33])
    one_way = metrics.average_surface_distance(pred, label, symmetric=False)
    np.testing.assert_allclose(one_way, [5 / 17])
    assert metrics.average_surface_distance(label, pred, symmetric=False) == [0]
    np.testing.assert_allclose(metrics.surface_dice(pred, label, tolerance=4.9), [32 / 33])
    assert metrics.surface_dice(pred, label, tolerance=5) == [1]


def test_a_tolerance_equal_to_the_distance_counts_in_any_unit():
    label = np.zeros((1, 9, 9), bool)
    label[:, 2:5, 2:5] = True
    pred = np.roll(label, 3, axis=1)
    for unit in (0.1, 0.3, 0.7, 1.1):
        assert metrics.surface_dice(pred, label, tolerance=3 * unit, spacing=unit) == [1]
        assert metrics.surface_dice(pred, label, tolerance=2.9 * unit, spacing=unit) < 1


def test_boundaries_are_compared_and_not_areas():
    """A hole inside an object is a boundary of its own, and the image's edge is background."""
    full = np.ones((1, 7, 7), bool)
    holed = full.copy()
    holed[:, 3, 3] = False
    assert metrics.hausdorff_distance(holed, full) == [2], "from beside the hole to the edge"
    assert metrics.hausdorff_distance(full, full) == [0]


def test_each_image_may_have_its_own_spacing():
    pred, label = (np.repeat(m, 2, axis=0) for m in squares())
    got = metrics.hausdorff_distance(pred, label, spacing=[(1, 1), (1, 0.5)])
    np.testing.assert_allclose(got, [5, np.sqrt(13)])


def test_empty_masks():
    pred, label = np.zeros((4, 5, 5), bool), np.zeros((4, 5, 5), bool)
    pred[1::2, 2, 2] = True
    label[2:, 2, 2] = True
    with np.errstate(all="raise"):
        for metric in (metrics.hausdorff_distance, metrics.average_surface_distance):
            np.testing.assert_array_equal(metric(pred, label), [0, np.inf, np.inf, 0])
        np.testing.assert_array_equal(metrics.surface_dice(pred, label, tolerance=1), [1, 0, 0, 1])
    assert metrics.hausdorff_distance(pred[:0], label[:0]).shape == (0,)


@pytest.mark.parametrize("shape", SHAPES)
def test_worse_masks_score_worse(shape):
    label = np.zeros(shape, bool)
    label[(slice(None),) + (slice(1, 3),) * (len(shape) - 1)] = True
    near, far = np.roll(label, 1, axis=-1), np.roll(label, 2, axis=-1)
    for metric in (metrics.hausdorff_distance, metrics.average_surface_distance):
        assert np.all(metric(label, label) == 0)
        assert np.all((metric(near, label) > 0) & (metric(near, label) < metric(far, label)))
    shares = [metrics.surface_dice(m, label, tolerance=0.5) for m in (label, near, far)]
    assert np.all(shares[0] == 1) and np.all(shares[1] < 1) and np.all(shares[2] < shares[1])


def test_it_takes_jax_arrays_and_integers_and_leaves_its_input_alone():
    pred, label = mask_pair((2, 6, 6))
    before = pred.copy()
    wanted = metrics.hausdorff_distance(pred, label)
    np.testing.assert_array_equal(metrics.hausdorff_distance(jnp.asarray(pred), label * 1), wanted)
    np.testing.assert_array_equal(pred, before)


@pytest.mark.parametrize(
    "error, culprit, change",
    [
        (ValueError, "pred", {"pred": np.zeros((6, 6), bool)}),
        (ValueError, "label", {"label": np.zeros((1, 6, 6), bool)}),
        (TypeError, "label", {"label": np.zeros((2, 6, 6))}),
        (ValueError, "pred", {"pred": np.full((2, 6, 6), 2)}),
        (ValueError, "pred", {"pred": np.full((2, 6, 6), -1)}),
        (ValueError, "spacing", {"spacing": (1, 1, 1)}),
        (ValueError, "spacing", {"spacing": (1, 0)}),
        (ValueError, "spacing", {"spacing": (1, np.nan)}),
        (ValueError, "spacing", {"spacing": np.ones((3, 2))}),
    ],
)
def test_errors_name_the_argument(error, culprit, change):
    good = {"pred": np.zeros((2, 6, 6), bool), "label": np.zeros((2, 6, 6), bool)}
    given = good | change
    arrays = given.pop("pred"), given.pop("label")
    for metric, options in [
        (metrics.hausdorff_distance, {}),
        (metrics.average_surface_distance, {}),
        (metrics.surface_dice, {"tolerance": 1}),
    ]:
        with pytest.raises(error, match=f"`{culprit}`"):
            metric(*arrays, **options, **given)


def test_options_out_of_range():
    mask = np.ones((1, 3, 3), bool)
    for percentile in (-1, 101, np.nan):
        with pytest.raises(ValueError, match="`percentile`"):
            metrics.hausdorff_distance(mask, mask, percentile=percentile)
    for tolerance in (-0.1, np.nan):
        with pytest.raises(ValueError, match="`tolerance`"):
            metrics.surface_dice(mask, mask, tolerance=tolerance)
