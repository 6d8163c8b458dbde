"""Dice and its relatives, Lovász: options, relations to each other, edges, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from segjax import losses
from segjax.losses import lovasz

RNG = np.random.default_rng(0)
LOGITS = RNG.standard_normal((2, 6, 7, 3)).astype(np.float32)
LABELS = RNG.integers(0, 3, (2, 6, 7)).astype(np.int32)
BINARY, HALF = LOGITS[..., :1], (LABELS > 1).astype(np.int32)


def value(name, *arrays, **options):
    return np.asarray(jax.jit(functools.partial(getattr(losses, name), **options))(*arrays))


def flat(name, **options):
    """The loss and the size of its gradient for an empty label with a blob predicted."""
    logits = np.full((1, 8, 8, 1), -12.0, np.float32)
    logits[:, 2:5, 2:5] = 12
    step = jax.jit(
        jax.value_and_grad(
            lambda z: getattr(losses, name)(z, np.zeros((1, 8, 8), np.int32), **options).sum()
        )
    )
    loss, gradient = step(logits)
    return float(loss), float(np.abs(gradient).max())


def test_tversky_holds_dice_and_jaccard():
    np.testing.assert_allclose(
        value("tversky", LOGITS, LABELS, smooth=0.0), value("dice", LOGITS, LABELS, smooth=0.0)
    )
    np.testing.assert_allclose(
        value("tversky", LOGITS, LABELS, alpha=1.0, beta=1.0),
        value("jaccard", LOGITS, LABELS),
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        value("focal_tversky", LOGITS, LABELS, alpha=0.3, beta=0.6, gamma=1.0),
        value("tversky", LOGITS, LABELS, alpha=0.3, beta=0.6),
        rtol=1e-6,
    )


def test_alpha_weighs_false_positives_and_beta_false_negatives():
    logits = np.where(HALF[..., None] > 0, 9.0, -9.0).astype(np.float32)
    logits[:, :2] = 9.0  # too much
    assert np.all(
        value("tversky", logits, HALF, alpha=0.9, beta=0.1)
        > value("tversky", logits, HALF, alpha=0.1, beta=0.9)
    )


def test_uniform_weights_pool_the_classes_as_optax_does():
    probs = jax.nn.softmax(LOGITS)
    hot = np.eye(3, dtype=np.float32)[LABELS]
    both, size = (probs * hot).sum((1, 2, 3)), (probs + hot).sum((1, 2, 3))
    np.testing.assert_allclose(
        value("generalized_dice", LOGITS, LABELS, weighting="uniform", smooth=0.0),
        1 - 2 * both / size,
        rtol=1e-5,
    )
    wanted = optax.losses.dice_loss(
        LOGITS, hot, apply_softmax=True, axis=(1, 2), reduction="mean", smooth=0.0
    )
    np.testing.assert_allclose(
        value("dice", LOGITS, LABELS, smooth=0.0), np.reshape(wanted, (2, -1)).mean(-1), rtol=1e-4
    )


def test_generalised_weights_lift_the_rare_class():
    labels = np.zeros((1, 16, 16), np.int32)
    labels[0, 3:5, 3:5] = 1
    missed = np.where(labels[..., None] > 0, -9.0, -9.0).astype(np.float32)
    uniform = value("generalized_dice", missed, labels, weighting="uniform")
    simple = value("generalized_dice", missed, labels, weighting="simple")
    square = value("generalized_dice", missed, labels)
    assert uniform < 0.05 < 0.3 < simple < square and square > 0.9


def test_lovasz_is_the_jaccard_index_of_a_hard_prediction():
    hard = np.where(RNG.random(HALF.shape) > 0.5, 40.0, -40.0).astype(np.float32)[..., None]
    predicted, true = hard[..., 0] > 0, HALF > 0
    index = (predicted & true).sum((1, 2)) / (predicted | true).sum((1, 2))
    np.testing.assert_allclose(value("lovasz_softmax", hard, HALF), 1 - index, rtol=1e-5)


def test_lovasz_gradient_does_not_depend_on_the_order_of_equal_errors():
    logits = np.zeros((1, 4, 4, 1), np.float32)
    labels = np.zeros((1, 4, 4), np.int32)
    labels[0, 1:3, 1:3] = 1
    gradient = np.asarray(jax.grad(lambda z: losses.lovasz_softmax(z, labels).sum())(logits))
    assert len(np.unique(gradient[labels > 0])) == 1
    assert len(np.unique(gradient[labels == 0])) == 1
    # The foreground goes first: behind the whole of it the background changes nothing any more.
    assert np.all(gradient[labels > 0] < 0) and np.all(gradient[labels == 0] == 0)


def ties(rng, shape):
    """Logits with equal, saturated and distinct errors; labels with an absent class and 255."""
    logits = 3 * rng.standard_normal(shape).astype(np.float32)
    logits[0] = np.round(logits[0])
    logits[1] *= 40
    labels = rng.integers(0, shape[-1], shape[:-1]).astype(np.int32)
    labels[2][labels[2] == 1] = 0
    labels[3, 0] = 255
    return logits, labels


@pytest.mark.parametrize("over", ["image", "batch"])
@pytest.mark.parametrize("counted", ["present", "all"])
def test_lovasz_is_the_same_by_host_and_device(over, counted):
    logits, labels = ties(np.random.default_rng(1), (4, 24, 20, 3))
    where = np.random.default_rng(2).random(labels.shape) < 0.9
    found = [
        jax.jit(
            jax.value_and_grad(
                lambda z, r=route: losses.lovasz_softmax(
                    z, labels, classes_counted=counted, over=over, route=r, where=where
                ).sum()
            )
        )(logits)
        for route in ("host", "device")
    ]
    largest = np.abs(found[1][1]).max()
    assert largest > 0
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-6)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-6, atol=1e-6 * largest)


@pytest.mark.parametrize("foreground", [0.3, 0.0, 1.0])
def test_lovasz_slopes_are_the_same_by_host_and_device_to_the_bit(foreground):
    rng = np.random.default_rng(0)
    errors = rng.random((3, 500)).astype(np.float32)
    errors[1], errors[2, :400] = np.round(errors[1], 1), 0
    errors[0, 7] = np.nan
    keys = lovasz._keys(
        jnp.asarray(errors), jnp.asarray(rng.random((3, 500)) < foreground, jnp.float32)
    )
    host, device = (
        np.asarray(jax.jit(slopes, static_argnums=1)(keys, np.float32))
        for slopes in (lovasz._host_slopes, lovasz._device_slopes)
    )
    np.testing.assert_array_equal(host, device)
    np.testing.assert_allclose(host.sum(axis=1), 1, rtol=1e-5)  # J rises from 0 to 1


@pytest.mark.parametrize("route", ["host", "device"])
def test_lovasz_of_a_nan_pixel_is_nan_in_its_image_alone(route):
    logits, labels = ties(np.random.default_rng(1), (4, 24, 20, 3))
    clean = value("lovasz_softmax", logits, labels, route=route)
    logits[1, 2, 3, 0] = np.nan
    broken = value("lovasz_softmax", logits, labels, route=route)
    assert np.isnan(broken[1]) and not np.isnan(clean[1])
    np.testing.assert_array_equal(np.delete(broken, 1), np.delete(clean, 1))
    where = ~np.isnan(logits).any(-1)
    loss = functools.partial(losses.lovasz_softmax, labels=labels, route=route, where=where)
    gradient = np.asarray(jax.jit(jax.grad(lambda z: loss(z).sum()))(logits))
    assert np.all(np.isfinite(gradient)) and np.all(gradient[1, 2, 3] == 0)


def test_lovasz_by_the_host_under_vmap_and_pmap():
    logits, labels = ties(np.random.default_rng(1), (8, 6, 5, 3))

    def step(z, y):
        return jax.grad(lambda x: losses.lovasz_softmax(x, y, route="host").sum())(z)

    wanted = jax.jit(step)(logits, labels)
    for parallel, rows in ((jax.vmap, 2), (jax.pmap, len(jax.devices()))):
        shared = (x.reshape(rows, -1, *x.shape[1:]) for x in (logits, labels))
        got = parallel(step)(*shared).reshape(logits.shape)
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-7)


def test_lovasz_takes_the_host_where_the_cpu_is_the_only_device(monkeypatch):
    for backend, devices, wanted in (
        ("cpu", 1, "host"),
        ("cpu", 8, "device"),
        ("gpu", 1, "device"),
    ):
        monkeypatch.setattr(jax, "default_backend", lambda name=backend: name)
        monkeypatch.setattr(jax, "device_count", lambda count=devices: count)
        assert lovasz._chosen_route("auto") == wanted
        assert lovasz._chosen_route("host") == "host"


def test_lovasz_counts_only_the_classes_present():
    labels = np.zeros((1, 4, 4), np.int32)
    logits = np.asarray(LOGITS[:1, :4, :4])
    present = value("lovasz_softmax", logits, labels, include_background=False)
    assert present == 0
    probs = np.asarray(jax.nn.softmax(logits))[..., 1:]
    both = value("lovasz_softmax", logits, labels, include_background=False, classes_counted="all")
    np.testing.assert_allclose(both, [probs.max((0, 1, 2)).mean()], rtol=1e-5)


def test_an_absent_class_costs_what_the_docstrings_say():
    loss, gradient = flat("dice")
    np.testing.assert_allclose(loss, 9 / (9 + 1e-5), rtol=1e-5)
    assert gradient < 1e-6
    loss, gradient = flat("dice", smooth=9.0)
    np.testing.assert_allclose(loss, 0.5, rtol=1e-3)
    assert flat("dice", smooth=0.0) == (1.0, 0.0)
    assert flat("lovasz_softmax")[0] == 0
    empty = np.full((1, 8, 8, 1), -30.0, np.float32)
    for name in ("dice", "jaccard", "tversky", "generalized_dice"):
        assert value(name, empty, np.zeros((1, 8, 8), np.int32)) < 1e-6, name
    # Sudre's weights keep a gradient through the background.
    assert flat("generalized_dice")[0] > 0.05


def test_the_slope_of_a_perfect_focal_tversky_is_cut_off():
    perfect = np.where(HALF[..., None] > 0, 60.0, -60.0).astype(np.float32)
    step = jax.value_and_grad(lambda z: losses.focal_tversky(z, HALF).sum())
    loss, gradient = jax.jit(step)(perfect)
    assert 0 <= loss < 1e-4 and np.all(np.isfinite(gradient))


@pytest.mark.parametrize("name", ["dice", "jaccard", "tversky", "lovasz_softmax"])
def test_over_the_batch_pools_before_it_divides(name):
    one = value(name, LOGITS, LABELS, over="batch")
    wide = LOGITS.reshape(1, 12, 7, 3), LABELS.reshape(1, 12, 7)
    assert one.shape == (1,)
    np.testing.assert_allclose(one, value(name, *wide), rtol=1e-5)


@pytest.mark.parametrize(
    "name, options, labels, error, message",
    [
        ("dice", {"smooth": -1.0}, LABELS, ValueError, "`smooth`"),
        ("dice", {"over": "class"}, LABELS, ValueError, "`over`"),
        ("tversky", {"alpha": -0.1}, LABELS, ValueError, "`alpha`"),
        ("tversky", {"beta": float("nan")}, LABELS, ValueError, "`beta`"),
        ("focal_tversky", {"gamma": 0.0}, LABELS, ValueError, "`gamma`"),
        ("focal_tversky", {"power_of": "batch"}, LABELS, ValueError, "`power_of`"),
        ("generalized_dice", {"weighting": "cube"}, LABELS, ValueError, "`weighting`"),
        ("lovasz_softmax", {"classes_counted": "some"}, LABELS, ValueError, "`classes_counted`"),
        ("lovasz_softmax", {"route": "gpu"}, LABELS, ValueError, "`route`"),
        ("lovasz_softmax", {}, LOGITS, TypeError, "`labels`"),
        ("jaccard", {}, LABELS[:, :3], ValueError, "`labels`"),
    ],
)
def test_errors_are_static(name, options, labels, error, message):
    with pytest.raises(error, match=message):
        jax.jit(functools.partial(getattr(losses, name), **options))(LOGITS, labels)
