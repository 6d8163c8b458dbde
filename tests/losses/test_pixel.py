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


def test_a_label_of_no_class_has_no_share_in_the_divisor():
    strange, known = np.where(LABELS == 2, 255, LABELS), LABELS != 2
    logs = optax.softmax_cross_entropy_with_integer_labels(LOGITS, LABELS)
    wanted = [log[k].mean() for log, k in zip(np.asarray(logs), known, strict=True)]
    for name, options in (
        ("cross_entropy", {}),
        ("focal", {"gamma": 0.0}),
        ("top_k_cross_entropy", {"fraction": 1.0}),
    ):
        np.testing.assert_allclose(value(name, LOGITS, strange, **options), wanted, rtol=1e-5)
    # The half with the largest losses, of the pixels that have a class.
    half = [
        np.sort(x[k])[::-1][: -(-k.sum() // 2)].mean() for x, k in zip(logs, known, strict=True)
    ]
    got = value("top_k_cross_entropy", LOGITS, strange, fraction=0.5)
    np.testing.assert_allclose(got, half, rtol=1e-5)
    # 'pixels' divides by all that `where` counts.
    pixels = value("cross_entropy", LOGITS, strange, normalize="pixels")
    np.testing.assert_allclose(pixels, np.where(known, logs, 0).mean((1, 2)), rtol=1e-5)
    where = np.zeros(LABELS.shape, bool)
    where[:, :3] = True
    got = losses.cross_entropy(LOGITS, strange, normalize="pixels", where=where)
    wanted = np.where(known & where, logs, 0).sum((1, 2)) / where.sum((1, 2))
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


@pytest.mark.parametrize("unknown", [7, -1])
def test_label_smoothing_spares_labels_of_no_class(unknown):
    logits = np.array([[[[2, 0, -1], [0, 1, 0]]]], np.float32)
    labels = np.array([[[0, unknown]]], np.int32)
    step = jax.value_and_grad(lambda z: losses.cross_entropy(z, labels, label_smoothing=0.3).sum())
    cost, gradient = step(logits)
    # 0.8 and twice 0.1 of the negative logs of softmax((2, 0, -1)) = (0.8438, 0.1142, 0.0420).
    np.testing.assert_allclose(cost, 0.66984602, rtol=1e-6)
    assert not np.any(gradient[0, 0, 1]) and np.any(gradient[0, 0, 0])


def test_the_divisor_holds_the_class_weight_of_the_label_before_smoothing():
    logits = np.array([[[[1, 0], [0, 2], [0.5, 0.5]]]], np.float32)
    labels, v = np.array([[[0, 1, 1]]], np.int32), np.array([1.0, 3.0])
    logs = logits[0, 0] - np.log(np.exp(logits[0, 0].astype(float)).sum(1, keepdims=True))
    target = 0.8 * np.eye(2)[labels[0, 0]] + 0.1
    wanted = -(v * target * logs).sum() / (1 + 3 + 3)  # PyTorch's weighted mean
    options = {"class_weights": (1.0, 3.0), "label_smoothing": 0.2}
    np.testing.assert_allclose(value("cross_entropy", logits, labels, **options), wanted, rtol=1e-6)
    # Soft labels that do not add up to 1 divide by sum_k v_k t_k.
    soft = np.array([[[[0.5, 0], [0, 1], [0.25, 0.25]]]], np.float32)
    wanted = -(v * soft[0, 0] * logs).sum() / (v * soft[0, 0]).sum()
    got = value("cross_entropy", logits, soft, class_weights=(1.0, 3.0))
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    got = value("cross_entropy", logits, soft)
    np.testing.assert_allclose(got, -(soft[0, 0] * logs).sum() / soft.sum(), rtol=1e-6)


def test_a_nan_among_the_weights_makes_its_image_nan():
    weights = np.ones(LABELS.shape, np.float32)
    weights[0, 1, 2] = np.nan
    for normalize in ("weights", "pixels"):
        got = losses.cross_entropy(LOGITS, LABELS, weights=weights, normalize=normalize)
        assert np.isnan(got[0]) and np.isfinite(got[1])
    where = np.isfinite(weights)
    step = jax.value_and_grad(
        lambda z: losses.cross_entropy(z, LABELS, weights=weights, where=where).sum()
    )
    cost, gradient = step(LOGITS)
    wanted = losses.cross_entropy(LOGITS, LABELS, where=where).sum()
    np.testing.assert_allclose(cost, wanted, rtol=1e-6)
    assert np.all(np.isfinite(gradient)) and not np.any(gradient[~where])


def test_focal_takes_the_numbers_of_numpy():
    wanted = value("focal", LOGITS, LABELS, alpha=0.25)
    for alpha in (np.float32(0.25), np.float64(0.25), np.array(0.25)):
        np.testing.assert_array_equal(value("focal", LOGITS, LABELS, alpha=alpha), wanted)
    each = value("focal", LOGITS, LABELS, alpha=np.float32([0.75, 0.25, 0.25]))
    np.testing.assert_allclose(each, wanted, rtol=1e-6)


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
        ("cross_entropy", {"logits": LOGITS[0, 0, 0]}, ValueError, "`logits`"),
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
        ("cross_entropy", {"class_weights": (1.0, np.inf, 1.0)}, ValueError, "`class_weights`"),
        ("cross_entropy", {"class_weights": (np.nan, 1.0, 1.0)}, ValueError, "`class_weights`"),
        ("cross_entropy", {"class_weights": (1.0, 1.0, np.nan)}, ValueError, "`class_weights`"),
        ("cross_entropy", {"class_weights": 1.0}, ValueError, "`class_weights`"),
        ("cross_entropy", {"label_smoothing": 1.0}, ValueError, "`label_smoothing`"),
        ("cross_entropy", {"normalize": "sum"}, ValueError, "`normalize`"),
        ("focal", {"gamma": -1.0}, ValueError, "`gamma`"),
        ("focal", {"alpha": 1.5}, ValueError, "`alpha`"),
        ("focal", {"alpha": (1.0,)}, ValueError, "`alpha`"),
        ("focal", {"alpha": (1.0, np.inf, 1.0)}, ValueError, "`alpha`"),
        ("focal", {"alpha": np.float32(np.nan)}, ValueError, "`alpha`"),
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
