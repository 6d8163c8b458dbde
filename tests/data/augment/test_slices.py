import functools

import jax
import numpy as np
import pytest

from segjax.data.augment import (
    EFFECTS,
    augment_slice,
    default_options,
    region_shape,
    slices,
    vocabulary,
)
from tests.data.augment.test_warp import crop, resampled, smooth

OFF = dict.fromkeys(EFFECTS, 0.0)
# The tests of geometry share one program: one set of options, and one shape of batch.
SPATIAL = {"rotate": 0.8, "scale": 0.6, "scale_low": 0.8, "scale_high": 1.3}
NUMBER = 40


@functools.cache
def compiled(patch=(24, 20), num_classes=4, **options):
    run = functools.partial(augment_slice, patch=patch, num_classes=num_classes, **OFF | options)
    return jax.jit(jax.vmap(run))


def keys(number, seed=0):
    return jax.random.split(jax.random.key(seed), number)


def samples(number=NUMBER, side=40):
    """A batch of one slice repeated: two channels, labels that are regions, a plane a class."""
    fields = [smooth(side, side, seed=k) for k in range(4)]
    labels = np.argmax(fields, axis=0).astype(np.uint8)
    shares = (labels[..., None] == np.arange(4)).astype(np.float32)
    # Fading out at the border, where two passes and a single step fall to 0 differently.
    window = np.outer(np.hanning(side), np.hanning(side))[..., None].astype(np.float32)
    image = np.concatenate([shares[..., 1:2], window * smooth(side, side, 1, seed=10)], axis=-1)
    return tuple(np.broadcast_to(x, (number, *x.shape)) for x in (image, labels, shares))


@functools.cache
def moved():
    """The batch of `samples` under rotation and scaling."""
    return tuple(np.asarray(x) for x in compiled(**SPATIAL)(keys(NUMBER), *samples()))


def test_every_angle_and_scale_is_the_drawn_one():
    chosen = vocabulary.complete("slices", OFF | SPATIAL)

    @jax.jit
    @jax.vmap
    def draw(key):
        rotate, scale = jax.random.split(key, len(EFFECTS))[:2]
        return slices._draw_angle(rotate, chosen)[1], slices._draw_scale(scale, chosen)[1]

    angles, scales = (np.asarray(x, np.float64) for x in draw(keys(NUMBER)))
    plane = samples()[0][0, ..., 1]
    for angle, scale, one in zip(angles, scales, moved()[0][..., 1], strict=True):
        assert np.abs(one - resampled(plane, angle, 1 / scale, (24, 20))).mean() < 0.02
    assert 0.05 < np.mean(angles == 0) < 0.4 and np.ptp(np.degrees(angles)) > 300
    assert 0.2 < np.mean(scales == 1) < 0.6 and 0.8 <= scales.min() < 0.9 < 1.2 < scales.max() < 1.3


def test_image_labels_and_planes_move_together():
    image, labels, planes = moved()
    np.testing.assert_array_equal(image[..., 0], planes[..., 1])
    shares = planes.copy()
    # Outside the region is background too, which its own plane does not know.
    shares[..., 0] = 1 - shares[..., 1:].sum(-1)
    picked = np.take_along_axis(shares, labels[..., None].astype(int), -1)[..., 0]
    np.testing.assert_allclose(picked, shares.max(-1), atol=1e-6)
    assert {*np.unique(labels)} == {0, 1, 2, 3}


def test_labels_stay_a_subset():
    image, labels, planes = samples()
    labels = np.where(labels == 1, 3, labels).astype(np.uint8)
    got = compiled(**SPATIAL)(keys(NUMBER), image, labels, planes)[1]
    assert {*np.unique(got)} == {0, 2, 3}


def test_what_is_ignored_is_moved_as_a_class_is():
    """255 in the place of class 2 is where class 2 would be; untold, it becomes background."""
    image, labels, planes = samples()
    ignored = np.where(labels == 2, 255, labels).astype(np.uint8)
    # Classes 1 and 3 by their old numbers, as of a set with a class 2 that no sample has
    got = np.asarray(compiled(**SPATIAL, ignored=True)(keys(NUMBER), image, ignored, planes)[1])
    wanted = moved()[1]
    np.testing.assert_array_equal(got, np.where(wanted == 2, 255, wanted))
    assert (got == 255).sum(axis=(1, 2)).min() > 0
    untold = np.asarray(compiled(**SPATIAL)(keys(NUMBER), image, ignored, planes)[1])
    still = np.all(untold == crop(ignored), axis=(1, 2))
    assert still.any() and not (untold[~still] == 255).any()


def test_samples_that_draw_nothing_are_exact():
    same = [
        np.all(got == crop(given), axis=tuple(range(1, got.ndim)))
        for got, given in zip(moved(), samples(), strict=True)
    ]
    assert 1 <= same[0].sum() < NUMBER / 3
    assert same[1][same[0]].all() and same[2][same[0]].all()


def test_beyond_the_region_everything_is_zero():
    ones = np.ones((1, 20, 20, 1), np.float32)
    options = {"scale": 1.0, "scale_low": 1.4, "scale_high": 1.4}
    run = compiled(patch=(20, 20), num_classes=2, **options)
    image, labels, planes = run(keys(1), ones, np.ones((1, 20, 20), np.int32), ones)
    # 20 / 1.4 = 14.3 pixels in the middle show the region.
    wanted = np.zeros((20, 20))
    wanted[3:17, 3:17] = 1
    for got in (image[0, ..., 0], labels[0], planes[0, ..., 0]):
        np.testing.assert_array_equal(np.asarray(got) > 0.5, wanted)
        assert np.asarray(got)[:2].max() == 0


def test_mirroring_is_exact_and_each_axis_by_itself():
    batch = samples(400, side=24)
    got = compiled(patch=(24, 24), mirror=0.5)(keys(400), *batch)
    seen = {}
    for rows in (False, True):
        for columns in (False, True):
            axes = [axis for axis, flip in ((1, rows), (2, columns)) if flip]
            fits = [np.flip(a, axes) == b for a, b in zip(batch, got, strict=True)]
            whole = [fit.reshape(400, -1).all(1) for fit in fits]
            np.testing.assert_array_equal(whole[0], whole[1])
            np.testing.assert_array_equal(whole[0], whole[2])
            seen[rows, columns] = whole[0].sum()
    assert sum(seen.values()) == 400 and all(65 < count < 135 for count in seen.values())


@pytest.mark.parametrize(
    "patch, options, wanted",
    [
        ((256, 224), {}, (302, 302)),
        ((96, 96), {}, (114, 114)),
        ((96, 96), {"rotate": 0.0, "scale": 0.0}, (96, 96)),
        ((256, 224), {"rotate": 0.0}, (302, 264)),
        ((256, 128), {"rotate_degrees": 15.0}, (330, 224)),
        ((85, 85), {"scale": 0.0}, (101, 101)),
        ((64, 33), {}, (76, 76)),
    ],
)
def test_regions_leave_the_room_that_nnunet_leaves(patch, options, wanted):
    assert region_shape(patch, options) == wanted


def test_defaults_are_those_of_nnunet():
    options = default_options()
    assert {name: options[name] for name in EFFECTS} == {
        "rotate": 0.2,
        "scale": 0.2,
        "noise": 0.1,
        "blur": 0.2,
        "brightness": 0.15,
        "contrast": 0.15,
        "low_resolution": 0.25,
        "inverted_gamma": 0.1,
        "gamma": 0.3,
        "mirror": 0.5,
    }
    assert all(type(value) is float for value in options.values())
    run = functools.partial(augment_slice, patch=(24, 20), num_classes=4)
    arrays = keys(1)[0], *(x[0] for x in samples(1))
    named = jax.make_jaxpr(functools.partial(run, **options))(*arrays)
    assert str(named) == str(jax.make_jaxpr(run)(*arrays))


def test_everything_off_is_the_centre_crop_and_compiles_to_nothing():
    batch = samples(2)
    for got, given in zip(compiled()(keys(2), *batch), batch, strict=True):
        np.testing.assert_array_equal(got, crop(given))
    run = functools.partial(augment_slice, patch=(24, 20), num_classes=4, **OFF)
    text = str(jax.make_jaxpr(run)(keys(1)[0], *(x[0] for x in batch)))
    for word in ("dot_general", "select", "pow", "erf_inv", "rev", "cond", "exp"):
        assert word not in text


def test_turning_one_effect_on_leaves_the_others():
    image, labels, planes = moved()
    noisy = compiled(noise=1.0, **SPATIAL)(keys(NUMBER), *samples())
    alone = compiled(noise=1.0)(keys(NUMBER), *samples())
    np.testing.assert_array_equal(labels, noisy[1])
    # Two programs may round differently; other draws would move a plane by tenths.
    np.testing.assert_allclose(planes, noisy[2], atol=1e-5)
    np.testing.assert_allclose(noisy[0] - image, alone[0] - crop(samples()[0]), atol=1e-5)
    assert np.abs(noisy[0] - image).max() > 0.01


def test_one_by_one_mapped_and_on_eight_devices_it_is_the_same():
    often = dict.fromkeys(("rotate", "noise", "low_resolution", "gamma", "mirror"), 0.5)
    run = functools.partial(augment_slice, patch=(24, 20), num_classes=4, **OFF | often)
    arrays = keys(8), *samples(8)
    wanted = compiled(**often)(*arrays)
    mapped = jax.jit(lambda *arrays: jax.lax.map(lambda one: run(*one), arrays))(*arrays)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    shared = compiled(**often)(*jax.device_put(arrays, spread))
    for a, b, c in zip(wanted, mapped, shared, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(a, c, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32])
def test_dtypes_and_no_planes(dtype):
    arrays = (
        np.zeros((40, 40, 1), np.float16),
        np.zeros((40, 40), dtype),
        np.zeros((40, 40, 0), np.float32),
    )
    shapes = (jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays)
    run = functools.partial(augment_slice, patch=(24, 20), num_classes=4)
    image, labels, planes = jax.eval_shape(lambda *a: run(jax.random.key(0), *a), *shapes)
    assert (image.shape, image.dtype) == ((24, 20, 1), np.float32)
    assert (labels.shape, labels.dtype) == ((24, 20), dtype)
    assert (planes.shape, planes.dtype) == ((24, 20, 0), np.float32)


def test_nothing_gathers():
    often = dict.fromkeys(EFFECTS, 0.5)
    run = jax.vmap(functools.partial(augment_slice, patch=(24, 20), num_classes=4, **often))
    text = str(jax.make_jaxpr(run)(keys(2), *samples(2)))
    assert "dot_general" in text
    for word in ("gather", "scatter", "dynamic_slice", "f64"):
        assert word not in text


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize(
    "change, error, name",
    [
        ({"image": np.zeros((40, 40), np.float32)}, ValueError, "image"),
        ({"image": np.zeros((40, 40, 1), np.int16)}, TypeError, "image"),
        ({"image": np.zeros((40, 36, 1), np.float32)}, ValueError, "labels"),
        ({"labels": np.zeros((40, 40), np.float32)}, TypeError, "labels"),
        ({"planes": np.zeros((40, 39, 1), np.float32)}, ValueError, "planes"),
        ({"planes": np.zeros((40, 40, 1), np.int32)}, TypeError, "planes"),
        ({"patch": (41, 20)}, ValueError, "patch"),
        ({"num_classes": 0}, ValueError, "num_classes"),
        ({"rotate": 1.1}, ValueError, "rotate"),
        ({"mirror": -0.1}, ValueError, "mirror"),
        ({"gamma": float("nan")}, ValueError, "gamma"),
        ({"rotate_degrees": 181.0}, ValueError, "rotate_degrees"),
        ({"scale_low": 1.5}, ValueError, "scale_low"),
        ({"scale_low": 0.0}, ValueError, "scale_low"),
        ({"noise_variance": -1.0}, ValueError, "noise_variance"),
        ({"blur_low": 2.0}, ValueError, "blur_low"),
        ({"brightness_low": 1.3}, ValueError, "brightness_low"),
        ({"contrast_low": 1.3}, ValueError, "contrast_low"),
        ({"zoom_high": 1.1}, ValueError, "zoom_high"),
        ({"gamma_low": 1.6}, ValueError, "gamma_low"),
    ],
)
def test_errors_are_static(wrap, change, error, name):
    arrays = dict(zip(("image", "labels", "planes"), (x[0] for x in samples(1)), strict=True))
    arrays |= {key: value for key, value in change.items() if key in arrays}
    options = {"patch": (24, 20), "num_classes": 4}
    options |= {key: value for key, value in change.items() if key not in arrays}
    run = wrap(lambda *arrays: augment_slice(jax.random.key(0), *arrays, **options))
    with pytest.raises(error, match=f"`{name}`"):
        run(*arrays.values())


def test_turning_wants_a_square_and_unknown_options_are_refused():
    arrays = np.zeros((40, 38, 1)), np.zeros((40, 38), int), np.zeros((40, 38, 1))
    arrays = [x.astype("f4" if x.ndim == 3 else "i4") for x in arrays]
    run = functools.partial(augment_slice, keys(1)[0], *arrays, patch=(24, 20), num_classes=2)
    with pytest.raises(ValueError, match="square"):
        run()
    assert jax.eval_shape(lambda: run(rotate_degrees=15.0))[0].shape == (24, 20, 1)
    with pytest.raises(TypeError, match="elastic"):
        run(elastic=0.5)
    with pytest.raises(TypeError, match="elastic"):
        region_shape((24, 20), {"elastic": 0.5})
