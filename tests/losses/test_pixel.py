"""Cross entropy, its weighted forms, focal and top-k: options, edges, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from segjax import losses
from segjax.ops.selection import kth_largest, mean_of_largest

from .oracles import ORACLES

RNG = np.random.default_rng(0)
LOGITS = RNG.standard_normal((2, 6, 7, 3)).astype(np.float32)
LABELS = RNG.integers(0, 3, (2, 6, 7)).astype(np.int32)
MAPS = RNG.standard_normal((2, 6, 7, 3)).astype(np.float32)


def value(name, *arrays, **options):
    return np.asarray(jax.jit(functools.partial(getattr(losses, name), **options))(*arrays))


def test_cross_entropy_is_that_of_optax():
    wanted = optax.softmax_cross_entropy_with_integer_labels(LOGITS, LABELS).mean((1, 2))
    np.testing.assert_allclose(value("cross_entropy", LOGITS, LABELS), wanted, rtol=1e-5)


def test_pixel_weights_and_class_weights_multiply():
    weights = RNG.uniform(0, 2, LABELS.shape).astype(np.float32)
    for normalize in ("weights", "pixels"):
        options = {"class_weights": (0.1, 2.0, 1.0), "normalize": normalize}
        got = jax.jit(lambda z, y, w: losses.cross_entropy(z, y, weights=w, **options))(  # noqa: B023
            LOGITS, LABELS, weights
        )
        wanted = ORACLES["cross_entropy"](LOGITS, LABELS, weights=weights, **options)
        np.testing.assert_allclose(got, wanted, rtol=1e-5)


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "top_k_cross_entropy", "dice"])
@pytest.mark.parametrize("channels", [1, 3])
def test_one_hot_floats_are_the_same_as_integers(name, channels):
    labels = np.minimum(LABELS, max(1, channels - 1))
    hot = (labels[..., None] == (np.arange(channels) if channels > 1 else [1])).astype(np.float32)
    logits = LOGITS[..., :channels]
    np.testing.assert_allclose(value(name, logits, hot), value(name, logits, labels), rtol=1e-6)
    np.testing.assert_allclose(
        value(name, logits, labels.astype(np.uint8)), value(name, logits, labels), rtol=1e-6
    )


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "dice", "lovasz_softmax"])
def test_one_channel_is_two_channels_with_a_zero(name):
    labels = (LABELS > 0).astype(np.int32)
    one, two = LOGITS[..., :1], np.concatenate([0 * LOGITS[..., :1], LOGITS[..., :1]], -1)
    foreground = {} if name in ("cross_entropy", "focal") else {"include_background": False}
    np.testing.assert_allclose(
        value(name, one, labels), value(name, two, labels, **foreground), rtol=1e-5
    )


def test_soft_targets_cost_their_mean():
    soft = RNG.dirichlet((1, 1, 1), LABELS.shape).astype(np.float32)
    wanted = optax.softmax_cross_entropy(LOGITS, soft).mean((1, 2))
    np.testing.assert_allclose(value("cross_entropy", LOGITS, soft), wanted, rtol=1e-5)


def test_focal_without_focus_is_cross_entropy():
    np.testing.assert_allclose(
        value("focal", LOGITS, LABELS, gamma=0.0), value("cross_entropy", LOGITS, LABELS), rtol=1e-6
    )


def test_top_k_of_everything_is_cross_entropy_and_of_less_is_more():
    whole = value("top_k_cross_entropy", LOGITS, LABELS, fraction=1.0)
    np.testing.assert_allclose(whole, value("cross_entropy", LOGITS, LABELS), rtol=1e-5)
    assert np.all(value("top_k_cross_entropy", LOGITS, LABELS, fraction=0.2) > whole)


def test_rectified_maps_weigh_by_their_size_at_the_true_class():
    ones = np.where(np.eye(3)[LABELS] > 0, -1.0, 1.0).astype(np.float32)
    np.testing.assert_allclose(
        value("region_wise_cross_entropy", LOGITS, LABELS, ones),
        value("cross_entropy", LOGITS, LABELS),
        rtol=1e-6,
    )
    both = np.concatenate([0 * LOGITS[..., :1], LOGITS[..., :1]], -1)
    labels = (LABELS > 0).astype(np.int32)
    np.testing.assert_allclose(
        value("region_wise_cross_entropy", LOGITS[..., :1], labels, MAPS[..., :2]),
        value("region_wise_cross_entropy", both, labels, MAPS[..., :2]),
        rtol=1e-5,
    )
    gradient = jax.grad(lambda m: losses.region_wise_cross_entropy(LOGITS, LABELS, m).sum())(MAPS)
    assert not np.any(gradient)


def test_saturated_logits_cost_what_they_should():
    logits = np.zeros((1, 2, 2, 2), np.float32)
    logits[..., 0] = 2e4
    np.testing.assert_allclose(value("cross_entropy", logits, np.ones((1, 2, 2), int)), [2e4])
    assert value("cross_entropy", logits, np.zeros((1, 2, 2), int)) == 0


def test_nothing_counted_costs_nothing():
    never = np.zeros(LABELS.shape, bool)
    for name in ("cross_entropy", "focal", "top_k_cross_entropy", "dice", "lovasz_softmax"):
        got, gradient = jax.jit(
            jax.value_and_grad(lambda z: getattr(losses, name)(z, LABELS, where=never).sum())  # noqa: B023
        )(LOGITS)
        assert got == 0 and not np.any(gradient), name
    zero = jnp.zeros(LABELS.shape)
    assert not np.any(losses.cross_entropy(LOGITS, LABELS, weights=zero))


def test_a_label_of_no_class_costs_nothing():
    strange = np.where(LABELS == 2, 255, LABELS)
    got = value("cross_entropy", LOGITS, strange)
    logs = optax.softmax_cross_entropy_with_integer_labels(LOGITS, LABELS)
    np.testing.assert_allclose(got, np.where(LABELS == 2, 0, logs).mean((1, 2)), rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_kth_largest_is_that_of_a_sort(dtype):
    with jax.enable_x64(dtype == np.float64):
        x = RNG.exponential(size=(3, 50)).astype(dtype)
        x[1, ::2] = 0.25  # ties
        x[2, 3:] = 0
        for k in (1, 2, 17, 50):
            ks = np.full(3, k, np.int32)
            ordered = -np.sort(-x, axis=1)
            assert np.array_equal(jax.jit(kth_largest)(x, ks), ordered[:, k - 1])
            np.testing.assert_allclose(
                jax.jit(mean_of_largest)(x, ks), ordered[:, :k].mean(1), rtol=1e-6
            )


@pytest.mark.parametrize(
    "name, change, error, message",
    [
        ("cross_entropy", {"logits": LOGITS[0, 0]}, ValueError, "`logits`"),
        ("cross_entropy", {"logits": LOGITS.astype(np.int32)}, TypeError, "`logits`"),
        ("cross_entropy", {"labels": LABELS[:1]}, ValueError, "`labels`"),
        ("cross_entropy", {"labels": LOGITS[..., 0]}, ValueError, "`labels`"),
        ("cross_entropy", {"labels": LABELS.astype(np.complex64)}, TypeError, "`labels`"),
        ("cross_entropy", {"where": LABELS}, TypeError, "`where`"),
        ("cross_entropy", {"where": LABELS[0] > 0}, ValueError, "`where`"),
        ("cross_entropy", {"weights": LABELS}, TypeError, "`weights`"),
        ("cross_entropy", {"weights": LOGITS}, ValueError, "`weights`"),
        ("cross_entropy", {"class_weights": (1.0, 2.0)}, ValueError, "`class_weights`"),
        ("cross_entropy", {"class_weights": (1.0, 2.0, -1.0)}, ValueError, "`class_weights`"),
        ("cross_entropy", {"label_smoothing": 1.0}, ValueError, "`label_smoothing`"),
        ("cross_entropy", {"normalize": "sum"}, ValueError, "`normalize`"),
        ("focal", {"gamma": -1.0}, ValueError, "`gamma`"),
        ("focal", {"alpha": 1.5}, ValueError, "`alpha`"),
        ("focal", {"alpha": (1.0,)}, ValueError, "`alpha`"),
        ("top_k_cross_entropy", {"fraction": 0.0}, ValueError, "`fraction`"),
        ("top_k_cross_entropy", {"over": "set"}, ValueError, "`over`"),
        ("region_wise_cross_entropy", {"maps": MAPS[..., :1]}, ValueError, "`maps`"),
        ("region_wise_cross_entropy", {"maps": LABELS}, TypeError, "`maps`"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_errors_are_static(wrap, name, change, error, message):
    arrays = {"logits": LOGITS, "labels": LABELS}
    if name == "region_wise_cross_entropy":
        arrays["maps"] = MAPS
    options = {key: item for key, item in change.items() if key not in arrays}
    arrays |= {key: item for key, item in change.items() if key in arrays}
    with pytest.raises(error, match=message):
        wrap(lambda *a: getattr(losses, name)(*a, **options))(*arrays.values())
