"""Losses of single pixels on whole images: logits `[b, c]`, labels `[b]`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import losses
from segjax.train.step import whole_batch

from .oracles import ORACLES

OPTIONS = [
    ("cross_entropy", {}),
    ("cross_entropy", {"class_weights": (0.2, 3.0), "label_smoothing": 0.1}),
    ("cross_entropy", {"class_weights": (0.2, 3.0), "normalize": "pixels"}),
    ("focal", {}),
    ("focal", {"gamma": 0.5, "alpha": 0.25}),
    ("focal", {"alpha": (0.3, 0.9), "one_vs_rest": True}),
    ("top_k_cross_entropy", {"fraction": 0.3}),
    ("top_k_cross_entropy", {"fraction": 0.3, "over": "batch"}),
]
TRIED = pytest.mark.parametrize("name, options", OPTIONS)


def arrays(channels, soft=False, images=7):
    """Logits and labels; of soft ones shares that add up to 1."""
    classes, generator = max(2, channels), np.random.default_rng(0)
    logits = generator.normal(0, 2, (images, channels))
    labels = generator.integers(0, classes, images).astype(np.int32)
    if soft:
        labels = generator.dirichlet(np.ones(classes), images)[:, classes - channels :]
    return logits, labels


def loss(name, options):
    return functools.partial(getattr(losses, name), **options)


@TRIED
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("soft", [False, True])
def test_values_are_those_of_the_equation(name, options, channels, soft):
    if options.get("one_vs_rest") and channels > 1:
        options = options | {"alpha": 0.25}
    logits, labels = arrays(channels, soft)
    # The oracle knows pixels only: an image of one.
    flat = logits[:, None, :], labels[:, None] if not soft else labels[:, None, :]
    wanted = ORACLES[name](*flat, **options)
    exact = labels.astype(np.float32) if soft else labels
    got = jax.jit(loss(name, options))(logits.astype(np.float32), exact)
    assert got.dtype == jnp.float32 and got.shape == ((1,) if "over" in options else (7,))
    np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=1e-8)
    with jax.enable_x64(True):
        np.testing.assert_allclose(loss(name, options)(jnp.array(logits), labels), wanted, 1e-12)


@TRIED
def test_an_image_is_a_picture_of_one_pixel(name, options):
    """The bits are those of `[b, 1, c]`."""
    logits, labels = arrays(2)
    logits = logits.astype(np.float32)
    one, other = (
        jax.jit(loss(name, options))(logits.reshape(7, *s, 2), labels.reshape(7, *s))
        for s in ((), (1,))
    )
    np.testing.assert_array_equal(one, other)


@TRIED
@pytest.mark.parametrize("channels", [1, 2])
def test_gradients_are_finite_differences(name, options, channels):
    if options.get("one_vs_rest") and channels > 1:
        options = options | {"alpha": 0.25}
    logits, labels = arrays(channels)
    with jax.enable_x64(True):
        total = jax.jit(lambda z: jnp.sum(loss(name, options)(z, labels)))
        got = jax.grad(total)(jnp.array(logits))
        for place in np.ndindex(*logits.shape):
            step = np.zeros_like(logits)
            step[place] = 1e-6
            wanted = (total(logits + step) - total(logits - step)) / 2e-6
            assert float(got[place]) == pytest.approx(float(wanted), abs=1e-7)


@TRIED
def test_where_and_labels_of_no_class_leave_an_image_out(name, options):
    logits, labels = arrays(2)
    logits, counts = logits.astype(np.float32), np.array([1, 1, 0, 1, 0, 1, 1], bool)
    logits[~counts] = np.nan
    f = loss(name, options)
    got = f(logits, labels, where=counts)
    rest = f(logits[counts], labels[counts])
    np.testing.assert_allclose(got if "over" in options else got[counts], rest, rtol=1e-6)
    gradient = jax.grad(lambda z: jnp.sum(f(z, labels, where=counts)))(logits)
    assert not np.asarray(gradient)[~counts].any() and np.isfinite(gradient).all()
    if "over" not in options:
        assert not np.asarray(got)[~counts].any()
    unknown = np.where(counts, labels, 255).astype(np.int32)
    clean = np.nan_to_num(logits)
    if options.get("normalize") != "pixels":
        np.testing.assert_allclose(f(clean, unknown), f(logits, labels, where=counts), rtol=1e-6)
    nothing = f(logits, labels, where=np.zeros(7, bool))
    assert not np.asarray(nothing).any()


def test_weights_of_images_and_of_classes():
    """Within an image a weight divides out, but for normalize='pixels'."""
    logits, labels = arrays(2)
    weights = np.linspace(0.5, 2, 7).astype(np.float32)
    logits = logits.astype(np.float32)
    plain = losses.cross_entropy(logits, labels)
    got = losses.cross_entropy(logits, labels, weights=weights)
    np.testing.assert_allclose(got, plain, rtol=1e-6)
    got = losses.cross_entropy(logits, labels, weights=weights, normalize="pixels")
    np.testing.assert_allclose(got, weights * plain, rtol=1e-6)
    got = losses.cross_entropy(logits, labels, weights=np.zeros(7, np.float32))
    assert not np.asarray(got).any()


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "top_k_cross_entropy"])
@pytest.mark.parametrize("size", [1e4, -1e4])
@pytest.mark.parametrize("channels", [1, 2])
def test_saturated_logits(name, size, channels):
    logits = np.full((2, channels), size, np.float32)
    logits[:, 0] *= -1 if channels == 2 else 1
    labels = np.array([0, 1], np.int32)
    value, gradient = jax.value_and_grad(lambda z: jnp.sum(getattr(losses, name)(z, labels)))(
        logits
    )
    assert np.isfinite(value) and np.isfinite(gradient).all()


@pytest.mark.parametrize(
    "logits, labels, message",
    [
        ((4,), (4,), "`logits` takes 2 or 3 or 4 or 5 axes"),
        ((4, 2), (4, 1), "`labels` takes shape"),
        ((4, 2), (3,), "`labels` takes shape"),
        ((0, 2), (0,), "`logits` takes at least one image"),
    ],
)
def test_shapes_that_are_refused(logits, labels, message):
    for name in ("cross_entropy", "focal", "top_k_cross_entropy"):
        with pytest.raises(ValueError, match=message):
            getattr(losses, name)(np.zeros(logits, np.float32), np.zeros(labels, np.int32))


@pytest.mark.parametrize(
    "name", ["dice", "tversky", "generalized_dice", "lovasz_softmax", "jaccard"]
)
def test_losses_of_regions_want_pixels(name):
    with pytest.raises(ValueError, match="`logits` takes 3 or 4 or 5 axes"):
        getattr(losses, name)(np.zeros((4, 2), np.float32), np.zeros(4, np.int32))


@pytest.mark.parametrize("axis_name", [None, "devices"])
def test_a_pooled_loss_of_whole_images_leaves_out_padding(axis_name):
    logits, labels = arrays(2, images=8)
    logits = logits.astype(np.float32)
    weight = np.array([1, 1, 1, 0, 1, 1, 0, 0], np.float32)
    wanted = losses.top_k_cross_entropy(logits[weight > 0], labels[weight > 0], over="batch")

    def pooled(logits, labels, weight):
        fields = whole_batch(
            {"logits": logits, "labels": labels}, weight=weight, axis_name=axis_name
        )
        assert fields["where"].shape == (8,)
        return losses.top_k_cross_entropy(
            fields["logits"], fields["labels"], where=fields["where"], over="batch"
        )

    if axis_name is None:
        got = jax.jit(pooled)(logits, labels, weight)
    else:
        parts = logits.reshape(2, 4, 2), labels.reshape(2, 4), weight.reshape(2, 4)
        got = jax.vmap(pooled, axis_name=axis_name)(*parts)[0]
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_a_pooled_loss_keeps_the_where_of_the_task():
    logits, labels = arrays(2, images=6)
    where = np.array([1, 0, 1, 1, 1, 0], bool)
    fields = {"logits": logits, "labels": labels, "where": where}
    weight = np.array([1, 1, 1, 1, 0, 0], np.float32)
    pooled = whole_batch(fields, weight=weight, axis_name=None)
    np.testing.assert_array_equal(pooled["where"], where & (weight > 0))
