import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from segjax import losses, maps

NAMES = ("rectified", "boundary", "signed", "active_contour", "hausdorff")
EVERY = pytest.mark.parametrize("name", NAMES)


def oracle(name, labels, num_classes, spacing=None, offset=1.0, alpha=2.0):
    """Each map from its equation, one image and one class at a time."""
    edt = functools.partial(ndimage.distance_transform_edt, sampling=spacing)
    out = np.zeros((*labels.shape, num_classes))
    for b, image in enumerate(labels):
        for channel in range(num_classes):
            m = image == (1 if num_classes == 1 else channel)
            whole = m.all() or not m.any()
            inside, outside = (0 * m, 0 * m) if whole else (edt(m), edt(~m))
            if name == "rectified":
                z = np.where(m, -1.0 if whole else -inside / inside.max(), 1)
            elif name == "active_contour":
                z = 1 - m
            elif name == "hausdorff":
                z = outside**alpha
            else:
                shift = offset * min(spacing or [1]) if name == "signed" else 0
                z = np.where(m, -np.maximum(inside - shift, 0), outside)
            out[b, ..., channel] = z
    return out


def regions(shape, classes, seed=0):
    """Label maps of smooth regions; the second image lacks class 1, the third has but one class."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((3, classes, *shape))
    noise = ndimage.gaussian_filter(noise, [0, 0] + [1.5] * len(shape))
    labels = np.argmax(noise, axis=1)
    labels[1][labels[1] == 1] = 0
    labels[2] = classes - 1
    return labels.astype(np.int32)


@EVERY
@pytest.mark.parametrize("shape, spacing", [((12, 14), None), ((5, 8, 7), (2.5, 0.5, 0.75))])
def test_a_map_equals_its_equation(name, shape, spacing):
    labels = regions(shape, 3)
    run = jax.jit(lambda x, c: getattr(maps, name)(x, c, spacing=spacing), static_argnums=1)
    for classes in (3, 1):
        got = run(labels, classes)
        assert got.dtype == jnp.float32 and got.shape == (*labels.shape, classes)
        wanted = oracle(name, labels, classes, spacing)
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_options_change_the_map():
    labels = regions((12, 14), 2)[:1]
    for offset in (0.0, 0.25):
        got = maps.signed(labels, 2, offset=offset)
        np.testing.assert_allclose(got, oracle("signed", labels, 2, offset=offset), rtol=1e-6)
    for alpha in (1.0, 1.5):
        got = maps.hausdorff(labels, 2, alpha=alpha)
        np.testing.assert_allclose(got, oracle("hausdorff", labels, 2, alpha=alpha), rtol=1e-6)


def test_each_map_has_its_own_convention_at_the_boundary():
    line = np.array([[0, 0, 1, 1, 1, 0, 0]])
    wanted = {
        "rectified": [1, 1, -0.5, -1, -0.5, 1, 1],
        "boundary": [2, 1, -1, -2, -1, 1, 2],
        "signed": [2, 1, 0, -1, 0, 1, 2],
        "active_contour": [1, 1, 0, 0, 0, 1, 1],
        "hausdorff": [4, 1, 0, 0, 0, 1, 4],
    }
    for name, values in wanted.items():
        np.testing.assert_array_equal(getattr(maps, name)(line, 1)[0, :, 0], values, err_msg=name)


def test_half_millimetre_pixels_never_turn_the_sign():
    labels = np.array([[0, 0, 1, 1, 1, 1, 0]])
    got = maps.signed(labels, 1, spacing=(0.5,))[0, :, 0]
    np.testing.assert_allclose(got, [1, 0.5, 0, -0.5, -0.5, 0, 0.5])


def test_absent_and_covering_classes():
    labels = np.full((1, 4, 5), 1)
    rectified = np.asarray(maps.rectified(labels, 3))
    assert np.all(rectified[..., 1] == -1) and np.all(rectified[..., [0, 2]] == 1)
    for name in ("boundary", "signed", "hausdorff"):
        assert np.all(np.asarray(getattr(maps, name)(labels, 3)) == 0)
    contour = np.asarray(maps.active_contour(labels, 3))
    assert np.all(contour[..., 1] == 0) and np.all(contour[..., [0, 2]] == 1)
    lone = np.zeros((1, 4, 5), int)
    lone[0, 2, 2] = 1
    assert maps.rectified(lone, 2)[0, 2, 2, 1] == -1


def test_labels_of_no_class_are_off_every_class():
    labels = np.array([[0, 0, 255, 255, 1, 1]])
    z = np.asarray(maps.rectified(labels, 2))[0]
    np.testing.assert_array_equal(z, [[-1, 1], [-0.5, 1], [1, 1], [1, 1], [1, -0.5], [1, -1]])


def test_check_value_of_the_square():
    labels = np.zeros((1, 4, 4), int)
    labels[:, 1:3, 1:3] = 1
    z = np.asarray(maps.rectified(labels, 2))[0]
    np.testing.assert_allclose(z[0, :, 0], [-1, -0.70711, -0.70711, -1], atol=1e-5)
    assert np.all(z[1:3, 1:3, 0] == 1) and np.all(z[1:3, 1:3, 1] == -1)
    np.testing.assert_allclose(0.5 * z.mean(), 0.03661165, rtol=1e-6)
    np.testing.assert_allclose(np.mean(np.eye(2)[labels[0]] * z), -0.4267767, rtol=1e-6)


def region_wise_gradient(logits, z):
    return jax.grad(lambda x: jnp.sum(losses.region_wise(x, z)))(logits)


def test_rectified_maps_give_one_negative_component_and_boundary_maps_do_not():
    labels = regions((24, 24), 4)[:2]
    logits = jnp.asarray(np.random.default_rng(0).standard_normal((2, 24, 24, 4)), jnp.float32)
    negative = {
        name: np.asarray(region_wise_gradient(logits, getattr(maps, name)(labels, 4)) < 0)
        for name in ("rectified", "boundary", "active_contour")
    }
    for name in ("rectified", "active_contour"):
        np.testing.assert_array_equal(negative[name].sum(-1), 1, err_msg=name)
        np.testing.assert_array_equal(negative[name].argmax(-1), labels, err_msg=name)
    several = np.mean(negative["boundary"].sum(-1) > 1)
    assert 0.2 < several < 0.9, several


def test_share_of_predictions_with_several_negative_components():
    probs = np.random.default_rng(0).dirichlet(np.ones(3), 100_000).astype(np.float32)
    logits = jnp.log(jnp.asarray(probs)[None] + 1e-12)
    for vector, wanted in (((4, 7, -2), 0.336), ((1, 1, -0.6), 0.0)):
        z = jnp.broadcast_to(jnp.array(vector, jnp.float32), logits.shape)
        share = np.mean(np.sum(np.asarray(region_wise_gradient(logits, z)) < 0, -1) > 1)
        assert abs(share - wanted) < 0.005, (vector, share)


def test_maps_take_labels_and_pass_no_gradient_to_spacing():
    labels = regions((6, 7), 2)

    def total(spacing):
        return sum(jnp.sum(getattr(maps, name)(labels, 2, spacing=spacing)) for name in NAMES)

    np.testing.assert_array_equal(jax.jit(jax.grad(total))(jnp.array([1.0, 2.0])), [0, 0])
    bool_labels = labels.astype(bool)
    for name in NAMES:
        make = getattr(maps, name)
        np.testing.assert_array_equal(make(bool_labels, 2), make(labels, 2))


@EVERY
def test_labels_beyond_32_bits_are_of_no_class(name):
    labels = np.random.default_rng(0).integers(0, 3, (1, 5, 6))
    labels[0, 2, 2] = 2**32
    wanted = getattr(maps, name)(np.where(labels > 2, 255, labels).astype(np.int32), 3)
    np.testing.assert_array_equal(getattr(maps, name)(labels, 3), wanted)


@EVERY
def test_wrong_input(name):
    make, labels = getattr(maps, name), np.zeros((1, 3, 4), int)
    with pytest.raises(TypeError, match="`labels` takes integers or booleans, got float"):
        make(labels.astype(float), 2)
    with pytest.raises(ValueError, match="`labels` takes 2 or 3 or 4 axes"):
        make(labels[0, 0], 2)
    with pytest.raises(ValueError, match="`num_classes` takes a positive integer, got 0"):
        jax.jit(make, static_argnums=1)(labels, 0)
    if name != "active_contour":
        with pytest.raises(ValueError, match=r"`spacing` takes shape \[2\]"):
            make(labels, 2, spacing=(1, 1, 1))
    option = {"signed": {"offset": 2.0}, "hausdorff": {"alpha": 0.0}}.get(name)
    if option:
        with pytest.raises(ValueError, match=f"`{next(iter(option))}` takes a number"):
            make(labels, 2, **option)


@EVERY
def test_docstrings_say_what_a_map_owes(name):
    text = inspect.getdoc(getattr(maps, name))
    for heading in ("Source:", "Departures:", "Returns:", "Empty cases:", "Raises:", "Cost:"):
        assert heading in text, heading
