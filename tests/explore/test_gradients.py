"""Closed forms against automatic differentiation, for every option and in every situation."""

import inspect

import jax
import numpy as np
import pytest

from segjax import losses
from segjax.explore import check, gradients, inputs

# Options beyond the defaults, each with the channels it is tried on.
OPTIONS = [
    ("cross_entropy", {"class_weights": (0.5, 1.0, 3.0), "label_smoothing": 0.2}, 3),
    ("cross_entropy", {"class_weights": (0.5, 3.0), "normalize": "pixels"}, 1),
    ("focal", {"gamma": 0.5, "alpha": 0.3}, 3),
    ("focal", {"gamma": 0.0}, 3),
    ("focal", {"one_vs_rest": True, "alpha": 0.25}, 3),
    ("focal", {"alpha": (1.0, 3.0)}, 1),
    ("top_k_cross_entropy", {"fraction": 0.3, "over": "batch"}, 3),
    ("dice", {"squared": True, "smooth": 1.0, "include_background": False}, 3),
    ("dice", {"over": "batch"}, 1),
    ("jaccard", {"squared": True, "over": "batch"}, 3),
    ("tversky", {"alpha": 0.3, "beta": 0.9, "include_background": False}, 3),
    ("focal_tversky", {"power_of": "mean", "include_background": False, "gamma": 2.0}, 3),
    ("generalized_dice", {"weighting": "simple", "include_background": False}, 3),
    ("generalized_dice", {"weighting": "uniform", "over": "batch"}, 1),
    ("lovasz_softmax", {"classes_counted": "all", "include_background": False}, 3),
    ("lovasz_softmax", {"route": "host", "over": "batch"}, 3),
    ("lovasz_softmax", {"route": "host"}, 1),
    ("active_contour", {"alignment": "repo", "length": 0.3}, 3),
    ("active_contour", {"curvature": 2.0, "region": 0.1}, 1),
    ("region_wise", {"power": 2, "divide_by_classes": True}, 3),
    ("region_wise", {"power": 0.5}, 1),
    ("boundary", {"include_background": True, "relative": True}, 3),
    ("hausdorff_dt", {"alpha": 1.5, "include_background": True, "spacing": (0.5, 2.0)}, 3),
    ("hausdorff_dt", {"one_sided": True}, 1),
    ("multiscale_softmax_cross_entropy", {"pool": "average", "reduce": "mean"}, 1),
    ("multiscale_softmax_cross_entropy", {"scales": 2, "scale_weights": (0.5, 2.0)}, 1),
    ("coordinate_mean_squared_error", {"reduce": "mean"}, 1),
    ("guidance", {"form": "complement"}, 1),
    ("guidance", {"epsilon": 0.3}, 1),
    ("triplet", {"distance": "cosine", "margin": 2.0}, 1),
    ("triplet", {"distance": "euclidean", "margin": 9.0}, 1),
]


def automatic(loss, arrays, options):
    """jax.grad of the sum, a tuple, one array for each that the loss is differentiated by."""
    leaves = check.leaves_of(loss)

    def total(*arrays):
        return loss(*arrays, **options).sum()

    with jax.enable_x64(True):
        return jax.jit(jax.grad(total, leaves))(*arrays)


def compare(name, options, *, spatial=(6, 8), channels=3, situation="random", **arrays):
    loss, closed = getattr(losses, name), getattr(gradients, name)
    parameters = tuple(
        p for p in inspect.signature(loss).parameters.values() if p.kind is not p.KEYWORD_ONLY
    )
    made = inputs.arguments(
        [p.name for p in parameters], situation, spatial=spatial, channels=channels, seed=3
    )
    made.update({key: arrays.pop(key) for key in list(arrays) if key in made})
    options = {**options, **arrays}
    wanted = automatic(loss, tuple(made.values()), options)
    got = closed(*made.values(), **options)
    got = got if isinstance(got, tuple) else (got,)
    assert len(got) == len(wanted)
    for one, other in zip(got, wanted, strict=True):
        assert one.dtype == np.float64 and one.shape == other.shape
        assert np.abs(other).max() > 0
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9 * np.abs(other).max())


def takes_labels(name):
    return "labels" in inspect.signature(getattr(losses, name)).parameters


@pytest.mark.parametrize("name", gradients.__all__)
def test_a_closed_form_takes_what_its_loss_takes(name):
    ours = inspect.signature(getattr(gradients, name)).parameters
    theirs = inspect.signature(getattr(losses, name)).parameters
    assert list(ours) == list(theirs)
    for key, parameter in ours.items():
        assert (parameter.kind, parameter.default) == (theirs[key].kind, theirs[key].default)
    assert "Source:" in inspect.getdoc(getattr(gradients, name))


@pytest.mark.parametrize("name, options, channels", OPTIONS, ids=str)
def test_options(name, options, channels):
    compare(name, options, spatial=(6, 8), channels=channels)


@pytest.mark.parametrize("name", [n for n in gradients.__all__ if "softmax" not in n])
def test_volumes_and_one_channel(name):
    parameters = inspect.signature(getattr(losses, name)).parameters
    if "logits" not in parameters:
        pytest.skip("has no classes")
    compare(name, {}, spatial=(2, 3, 4), channels=1)


def soft(rng, shape):
    targets = rng.uniform(0.1, 1, shape)
    return targets / targets.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("name", ["region_wise", "boundary"])
def test_two_maps_of_one_channel(name):
    maps = np.random.default_rng(0).standard_normal((2, 4, 4, 2))
    compare(name, {}, spatial=(4, 4), channels=1, maps=maps)


def test_masks_without_a_boundary():
    for situation in ("empty", "full"):
        compare("hausdorff_dt", {"empty_weight": 0.5}, situation=situation)


@pytest.mark.parametrize("name", ["active_contour", "region_wise", "boundary", "lovasz_softmax"])
def test_pixels_that_do_not_count(name):
    where = np.random.default_rng(0).random((2, 6, 6)) < 0.9
    compare(name, {}, spatial=(6, 6), where=where)


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "dice", "generalized_dice"])
def test_soft_targets_and_pixels_that_do_not_count(name):
    rng = np.random.default_rng(0)
    where = rng.random((2, 4, 4)) < 0.7
    compare(name, {}, spatial=(4, 4), labels=soft(rng, (2, 4, 4, 3)), where=where)


def test_weighted_pixels():
    rng = np.random.default_rng(0)
    where, weights = rng.random((2, 4, 4)) < 0.7, rng.random((2, 4, 4))
    compare("cross_entropy", {}, spatial=(4, 4), where=where, weights=weights)


@pytest.mark.parametrize("name", [n for n in gradients.__all__ if takes_labels(n)])
def test_labels_outside_the_classes(name):
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 1, 2, 255, -1], (2, 4, 6))
    options = {"label_smoothing": 0.1} if name == "cross_entropy" else {}
    where = "where" in inspect.signature(getattr(losses, name)).parameters
    given = {"where": rng.random(labels.shape) < 0.8} if where else {}
    compare(name, options, spatial=(4, 6), labels=labels, **given)


def test_nothing_counted_gives_0():
    made = inputs.arguments(["logits", "labels"], spatial=(4, 4))
    nothing = np.zeros((2, 4, 4), bool)
    for name in ("cross_entropy", "focal", "dice", "lovasz_softmax", "top_k_cross_entropy"):
        gradient = getattr(gradients, name)(*made.values(), where=nothing)
        assert np.all(gradient == 0), name


def test_they_do_not_differentiate_automatically():
    for name in gradients.__all__:
        module = inspect.getmodule(getattr(gradients, name))
        assert "jax" not in inspect.getsource(module).replace("segjax", "")
