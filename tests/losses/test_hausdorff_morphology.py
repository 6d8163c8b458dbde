"""The Hausdorff losses by erosion and by disks: other code's values, options, edges, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import losses

RNG = np.random.default_rng(0)
LOGITS = 2 * RNG.standard_normal((2, 8, 9, 3)).astype(np.float32)
LABELS = RNG.integers(0, 3, (2, 8, 9)).astype(np.int32)


def value(name, *arrays, **options):
    return np.asarray(jax.jit(functools.partial(getattr(losses, name), **options))(*arrays))


def firm(mask):
    return np.where(np.asarray(mask)[..., None] > 0, 30.0, -30.0).astype(np.float32)


def square(side, image=24):
    mask = np.zeros((1, image, image), np.int32)
    start = (image - side) // 2
    mask[:, start : start + side, start : start + side] = 1
    return mask


def test_the_repository_reading_equals_kornia():
    """HausdorffERLoss(alpha=2, k=4, reduction='none') of kornia 0.9 on these arrays.

    And HausdorffERLoss3D; softmax in float64, mean over classes and pixels for each image; the sum
    of the absolute gradient of both images' total.
    """
    for shape, wanted, steepness in [
        ((12, 14), (0.06478554, 0.10746723), 0.66999879),
        ((8, 9, 10), (0.0341835, 0.02897896), 0.20752385),
    ]:
        rng = np.random.default_rng(3)
        labels = np.zeros((2, *shape), np.int32)
        inner = tuple(slice(n // 4, 3 * n // 4) for n in shape)
        labels[(0, *inner)], labels[(1, *inner)] = 1, 2
        logits = 2 * rng.standard_normal((2, *shape, 3)).astype(np.float32)
        logits[..., 0] += 1
        loss = functools.partial(
            losses.hausdorff_er, erosions=4, reading="repo", include_background=True
        )
        got, pull = jax.vjp(jax.jit(lambda z, loss=loss, y=labels: loss(z, y)), logits)
        np.testing.assert_allclose(got, wanted, rtol=2e-5)
        gradient = pull(jnp.ones_like(got))[0]
        np.testing.assert_allclose(jnp.sum(jnp.abs(gradient)), steepness, rtol=1e-4)


def test_erosions_by_hand():
    """A missed 5 x 5 block, by the cross: all but its corners keep 4 or 5 fifths, and so on."""
    mask = square(5, 9)
    first = 3 * 3 * 1.0 + 4 * 3 * 0.8  # the corners have 3 / 5
    once = (first + 4 * 0.6) / 81
    got = value("hausdorff_er", firm(0 * mask), mask, erosions=1)
    np.testing.assert_allclose(got, [once], rtol=1e-6)
    repo = (9 * 1.0 + 4 * 3 * 0.6 + 4 * 0.2) / 81  # less 1/2, twice as large
    got = value("hausdorff_er", firm(0 * mask), mask, erosions=1, reading="repo")
    np.testing.assert_allclose(got, [repo], rtol=1e-5)


def test_thick_errors_cost_more_than_thin_ones_of_the_same_area():
    thick, thin = square(8), np.zeros((1, 24, 24), np.int32)
    thin[:, 2:18:4, 4:20] = 1
    assert thick.sum() == thin.sum()
    costs = [value("hausdorff_er", firm(0 * m), m)[0] for m in (thin, thick)]
    assert costs[1] > 3 * costs[0] > 0
    # Scaling revives what is left of a line at each erosion, so that lines outlive the block.
    costs = [value("hausdorff_er", firm(0 * m), m, reading="repo")[0] for m in (thin, thick)]
    assert costs[0] > costs[1] > 0
    costs = [value("hausdorff_cv", firm(0 * m), m, radii=(1, 2, 3))[0] for m in (thin, thick)]
    assert costs[1] > costs[0] > 0


def test_both_grow_with_the_distance_between_prediction_and_truth():
    truth = square(8)
    for name in ("hausdorff_er", "hausdorff_cv"):
        costs = [value(name, firm(square(side)), truth)[0] for side in (8, 12, 16, 20)]
        assert costs[0] == pytest.approx(0, abs=1e-6) and np.all(np.diff(costs) > 0), (name, costs)


def test_alpha_weighs_deep_errors():
    mask = square(9)
    for name, last in (("hausdorff_er", {"erosions": 2}), ("hausdorff_cv", {"radii": (1, 2)})):
        zero, one = (value(name, firm(0 * mask), mask, alpha=a, **last)[0] for a in (0.0, 1.0))
        first = {key: 1 if key == "erosions" else (1,) for key in last}
        alone = value(name, firm(0 * mask), mask, alpha=0.0, **first)[0]
        np.testing.assert_allclose(one, alone + 2 * (zero - alone), rtol=1e-5)


def test_disks_by_hand():
    """One wrong pixel, in an image without the class: all around is background."""
    prediction = np.zeros((1, 9, 9), np.int32)
    prediction[0, 4, 4] = 1
    got = value("hausdorff_cv", firm(prediction), 0 * prediction, radii=(1, 2), alpha=1.0)
    # f(B * (1 - t)) = 1 for both radii; the prediction covers less than half of either disk.
    np.testing.assert_allclose(got, [(1 + 2) / 81], rtol=1e-6)
    got = value("hausdorff_cv", firm(0 * prediction), prediction, radii=(2,), alpha=0.0)
    np.testing.assert_allclose(got, [1 / 81], rtol=1e-6)


def test_errors_below_a_half_cost_nothing_and_have_no_gradient():
    logits = np.full((1, 8, 8, 1), -0.5, np.float32)
    labels = np.zeros((1, 8, 8), np.int32)
    step = jax.jit(jax.value_and_grad(lambda z: losses.hausdorff_er(z, labels).sum()))
    total, gradient = step(logits)
    assert total == 0 and not np.any(gradient)


def test_background_counts_on_request():
    for name in ("hausdorff_er", "hausdorff_cv"):
        options = {"radii": (1,)} if name == "hausdorff_cv" else {"erosions": 1}
        with_it = value(name, LOGITS, LABELS, include_background=True, **options)
        without = value(name, LOGITS, LABELS, **options)
        assert np.all(np.abs(with_it - without) > 1e-4)
        binary = LOGITS[..., :1], (LABELS > 0).astype(np.int32)
        np.testing.assert_array_equal(
            value(name, *binary, include_background=True, **options),
            value(name, *binary, **options),
        )


def test_soft_targets_equal_labels():
    hot = np.eye(3, dtype=np.float32)[LABELS]
    for name, options in (("hausdorff_er", {"erosions": 2}), ("hausdorff_cv", {"radii": (1,)})):
        np.testing.assert_allclose(
            value(name, LOGITS, hot, **options), value(name, LOGITS, LABELS, **options), rtol=1e-6
        )


def test_where_in_the_repository_reading_equals_cropping():
    where = np.zeros(LABELS.shape, bool)
    where[:, 1:7, 2:] = True
    options = {"reading": "repo", "erosions": 3}
    np.testing.assert_allclose(
        value("hausdorff_er", LOGITS, LABELS, where=where, **options),
        value("hausdorff_er", LOGITS[:, 1:7, 2:], LABELS[:, 1:7, 2:], **options),
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    "name, options, argument",
    [
        ("hausdorff_er", {"erosions": 0}, "erosions"),
        ("hausdorff_er", {"erosions": 2.0}, "erosions"),
        ("hausdorff_er", {"alpha": -1.0}, "alpha"),
        ("hausdorff_er", {"reading": "kornia"}, "reading"),
        ("hausdorff_cv", {"radii": ()}, "radii"),
        ("hausdorff_cv", {"radii": (3, 0)}, "radii"),
        ("hausdorff_cv", {"alpha": float("nan")}, "alpha"),
    ],
)
def test_errors_are_static(name, options, argument):
    with pytest.raises(ValueError, match=f"`{argument}` takes"):
        value(name, LOGITS, LABELS, **options)


@pytest.mark.parametrize("name", ["hausdorff_er", "hausdorff_cv"])
def test_arrays_are_checked(name):
    with pytest.raises(ValueError, match="`labels` takes shape"):
        value(name, LOGITS, LABELS[:, 1:])
    with pytest.raises(TypeError, match="`logits` takes floating-point"):
        value(name, LABELS[..., None], LABELS)
    with pytest.raises(TypeError, match="`where` takes booleans"):
        value(name, LOGITS, LABELS, where=LABELS)
