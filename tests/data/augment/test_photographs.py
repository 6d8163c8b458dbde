import functools

import cv2
import jax
import numpy as np
import pytest

from segjax.data.augment import augment, augment_with_masks, region_around

EVERYTHING = {
    "flip_horizontal": 0.5,
    "flip_vertical": 0.5,
    "rotate": 30.0,
    "scale": 0.2,
    "translate": 0.15,
    "shear": 20.0,
    "brightness": 0.1,
    "contrast": 0.2,
    "gamma": 0.3,
    "noise": 0.05,
}
GEOMETRY = {name: EVERYTHING[name] for name in list(EVERYTHING)[:6]}


@functools.cache
def compiled(**options):
    return jax.jit(jax.vmap(functools.partial(augment, **options)))


def keys(number, seed=0):
    return jax.random.split(jax.random.key(seed), number)


def blob(x, y, height=64, width=80, sigma=2.5):
    columns = np.arange(width) + 0.5 - x
    rows = np.arange(height) + 0.5 - y
    square = columns[None, :] ** 2 + rows[:, None] ** 2
    return np.exp(-square / (2 * sigma**2))[..., None].astype(np.float32)


def centre_of_mass(images):
    images = np.asarray(images, np.float64)[..., 0]
    total = images.sum((1, 2))
    x = (images.sum(1) * (np.arange(images.shape[2]) + 0.5)).sum(1) / total
    y = (images.sum(2) * (np.arange(images.shape[1]) + 0.5)).sum(1) / total
    return np.stack([x, y], 1)


def photographs(number, height=48, width=64, seed=0):
    generator = np.random.default_rng(seed)
    rough = generator.random((number, height, width, 3)).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(image, (0, 0), 4) for image in rough])
    return (smooth - smooth.min()) / (smooth.max() - smooth.min())


@pytest.mark.parametrize(
    "options",
    [GEOMETRY, *({name: value} for name, value in GEOMETRY.items())],
    ids=["all", *GEOMETRY],
)
def test_points_follow_the_image(options):
    number, x, y = 64, 45.3, 27.8
    images = np.broadcast_to(blob(x, y), (number, 64, 80, 1))
    points = np.full((number, 1, 2), [x, y], np.float32)
    changed, moved = compiled(**options)(keys(number), images, points)
    moved = np.asarray(moved)[:, 0]
    # The blob's tails are cut where the point comes near the border: leave those out.
    inside = np.all((moved > 10) & (moved < [70, 54]), axis=1)
    assert inside.sum() > number / 2
    error = np.linalg.norm(centre_of_mass(changed) - moved, axis=1)[inside]
    assert error.max() < 0.1
    assert len(np.unique(np.round(moved, 3), axis=0)) > 1, "nothing moved"


def test_flips_are_exact_and_mirror_the_points():
    images = photographs(1)
    points = np.array([[[10.25, 40.0], [63.5, 0.5]]], np.float32)
    changed, moved = compiled(flip_horizontal=1.0)(keys(1), images, points)
    np.testing.assert_array_equal(changed, images[:, :, ::-1])
    np.testing.assert_array_equal(moved, [[[53.75, 40.0], [0.5, 0.5]]])
    changed, moved = compiled(flip_vertical=1.0)(keys(1), images, points)
    np.testing.assert_array_equal(changed, images[:, ::-1])
    np.testing.assert_array_equal(moved, [[[10.25, 8.0], [63.5, 47.5]]])


def test_a_transposition_is_exact_and_leaves_the_draws_of_flips():
    images = photographs(8, 48, 48)
    points = np.tile(np.array([[[10.25, 40.0]]], np.float32), (8, 1, 1))
    changed, moved = compiled(transpose=1.0)(keys(8), images, points)
    np.testing.assert_array_equal(changed, np.swapaxes(images, 1, 2))
    np.testing.assert_array_equal(moved, points[..., ::-1])
    both, _ = compiled(flip_horizontal=0.5, transpose=1.0)(keys(8), images, points)
    alone, _ = compiled(flip_horizontal=0.5)(keys(8), images, points)
    np.testing.assert_array_equal(both, np.swapaxes(alone, 1, 2))
    with pytest.raises(ValueError, match="`transpose` takes square images, got 48 x 64 pixels"):
        augment(keys(1)[0], photographs(1)[0], points[0], transpose=0.5)


def test_flips_and_transpositions_give_all_eight_turns_alike():
    image = photographs(1, 16, 16)
    options = {name: 0.5 for name in ("flip_horizontal", "flip_vertical", "transpose")}
    many = np.broadcast_to(image, (800, *image.shape[1:]))
    changed, _ = compiled(**options)(keys(800), many, np.zeros((800, 0, 2), np.float32))
    turns = [np.rot90(image[0], k) for k in range(4)]
    turns += [turn.swapaxes(0, 1) for turn in turns]
    counts = [sum(np.array_equal(turn, other) for other in np.asarray(changed)) for turn in turns]
    assert sum(counts) == 800
    assert min(counts) > 60


def test_flips_come_as_often_as_asked():
    images = np.broadcast_to(blob(10, 32), (400, 64, 80, 1))
    points = np.full((400, 1, 2), [10, 32], np.float32)
    _, moved = compiled(flip_horizontal=0.25)(keys(400), images, points)
    assert 0.25 == pytest.approx(np.mean(np.asarray(moved)[:, 0, 0] == 70), abs=0.08)


def test_strengths_of_zero_change_nothing_and_compile_to_nothing():
    images, points = photographs(2), np.ones((2, 1, 2), np.float32)
    images[0, 0, 0, 0] = 1.5
    changed, moved = compiled()(keys(2), images, points)
    np.testing.assert_array_equal(changed, images)
    np.testing.assert_array_equal(moved, points)
    text = str(jax.make_jaxpr(augment)(jax.random.key(0), images[0], points[0]))
    assert not any(word in text for word in ("dot_general", "select", "pow", "erf_inv", "rev"))


def test_no_point_ever_leaves_the_image():
    number = 200
    images = np.zeros((number, 32, 48, 1), np.float32)
    generator = np.random.default_rng(0)
    points = generator.uniform(0, [48, 32], (number, 2, 2)).astype(np.float32)
    strong = {"rotate": 45.0, "scale": 0.5, "translate": 0.4, "shear": 40.0}
    _, moved = compiled(**strong)(keys(number), images, points)
    moved = np.asarray(moved)
    assert np.all(moved >= 0) and np.all(moved < [48, 32])
    kept = np.all(moved == points, axis=(1, 2))
    assert 0 < kept.sum() < number


def test_an_affine_that_is_dropped_leaves_image_and_points_bitwise():
    number = 50
    images = photographs(number)
    points = np.full((number, 1, 2), [0.01, 47.9], np.float32)
    points[0], points[1] = np.nan, -5
    changed, moved = compiled(rotate=20.0, scale=0.1, translate=0.1)(keys(number), images, points)
    dropped = np.all((np.asarray(moved) == points) | np.isnan(points), axis=(1, 2))
    assert dropped[:2].all() and 2 < dropped.sum() < number
    same = np.all(np.asarray(changed) == images, axis=(1, 2, 3))
    np.testing.assert_array_equal(same, dropped)


def test_no_points_is_allowed():
    changed, moved = augment(
        jax.random.key(3), photographs(1)[0], np.zeros((0, 2), np.float32), rotate=20.0
    )
    assert moved.shape == (0, 2) and np.abs(changed - photographs(1)[0]).max() > 0.01


@pytest.mark.parametrize("name", ["brightness", "contrast", "gamma", "noise"])
def test_intensity_changes_stay_in_range_and_leave_points_alone(name):
    images, points = photographs(16), np.full((16, 1, 2), 3.25, np.float32)
    changed, moved = compiled(**{name: 0.3})(keys(16), images, points)
    changed = np.asarray(changed)
    np.testing.assert_array_equal(moved, points)
    assert changed.min() >= 0 and changed.max() <= 1
    largest = np.abs(changed - images).reshape(16, -1).max(1)
    assert np.all(largest > 1e-4) and len(np.unique(largest)) > 8


def test_each_intensity_change_is_what_it_says():
    image, points = 0.3 + 0.4 * photographs(1)[0], np.zeros((0, 2), np.float32)
    key = jax.random.key(5)
    change = {
        name: np.asarray(augment(key, image, points, **{name: 0.2})[0])
        for name in ("brightness", "contrast", "gamma", "noise")
    }
    added = change["brightness"] - image
    assert added.std() < 1e-6 and 0 < abs(added.mean()) <= 0.2
    factor = (change["contrast"] - image.mean()) / (image - image.mean())
    assert np.median(np.abs(factor - np.median(factor))) < 1e-4
    assert 0 < abs(np.median(factor) - 1) <= 0.2
    exponent = np.log(change["gamma"]) / np.log(image)
    assert exponent.std() < 1e-4 and 1 / 1.2 <= exponent.mean() <= 1.2
    noise = change["noise"] - image
    assert 0 < noise.std() <= 0.2 and abs(noise.mean()) < 0.02


def test_the_same_key_gives_the_same_and_another_key_another():
    images = np.repeat(photographs(1), 2, 0)
    points = np.full((2, 1, 2), 24.0, np.float32)
    run = compiled(**EVERYTHING)
    first, again = run(keys(2), images, points), run(keys(2), images, points)
    np.testing.assert_array_equal(first[0], again[0])
    assert np.abs(first[0][0] - first[0][1]).max() > 0.01
    alone, moved = augment(keys(2)[1], images[1], points[1], **EVERYTHING)
    np.testing.assert_allclose(alone, first[0][1], atol=1e-5)
    np.testing.assert_allclose(moved, first[1][1], rtol=1e-6)


@pytest.mark.parametrize("options", [{}, GEOMETRY | {"shear": 0.0}], ids=["alone", "all"])
def test_turning_shear_on_leaves_the_other_draws_as_they_were(options):
    points = np.stack(np.meshgrid([26.0, 38.0], [18.0, 30.0]), -1).reshape(1, 4, 2).astype("f4")
    images, key = photographs(1), keys(1, seed=4)
    _, without = compiled(**options)(key, images, points)
    _, moved = compiled(**(options | {"shear": 15.0}))(key, images, points)
    # A line beside the centre is moved by what the shear adds to x before rotation and scaling
    before, after = np.asarray(without)[0], np.asarray(moved)[0]
    along = before[1] - before[0]
    step, other = after[0] - before[0], after[3] - before[3]
    assert np.linalg.norm(step) > 0.1, "nothing leans"
    np.testing.assert_allclose(np.cross(np.append(along, 0), np.append(step, 0)), 0, atol=1e-3)
    # As far above the centre as below it, so as far one way as the other
    np.testing.assert_allclose(step, -other, atol=1e-3)


def test_a_shear_of_zero_compiles_to_what_it_is_without():
    without = {name: value for name, value in EVERYTHING.items() if name != "shear"}
    example = jax.random.key(0), photographs(1)[0], np.ones((1, 2), np.float32)
    made = [
        str(jax.make_jaxpr(functools.partial(augment, **options))(*example))
        for options in (without, without | {"shear": 0.0}, EVERYTHING)
    ]
    assert made[0] == made[1] != made[2]


def test_the_region_of_a_patch_is_wider_by_what_leans():
    assert region_around((16, 24), (40, 48), {"shear": 45.0}) == (16, 40)
    # 24 cos 30° + 16 sin 30° = 28.8 and, with H = 16 cos 30° + 24 sin 30° = 25.9, H tan 20° = 9.4
    assert region_around((16, 24), (90, 90), {"shear": 20.0, "rotate": 30.0}) == (26, 40)


def test_shear_is_drawn_evenly_from_either_side():
    points = np.full((400, 1, 2), [40.0, 42.0], np.float32)
    _, moved = compiled(shear=20.0)(keys(400), np.zeros((400, 64, 80, 1), np.float32), points)
    moved = np.asarray(moved)[:, 0]
    np.testing.assert_array_equal(moved[:, 1], 42)
    angles = np.rad2deg(np.arctan((moved[:, 0] - 40) / 10))
    assert -20 <= angles.min() < -18 and 18 < angles.max() <= 20
    assert abs(angles.mean()) < 2 and angles.std() == pytest.approx(20 / np.sqrt(3), rel=0.1)


def test_shear_moves_masks_with_the_image():
    image = blob(45.3, 27.8)
    run = jax.jit(functools.partial(augment_with_masks, shear=25.0, rotate=20.0))
    moved, mask = run(keys(1)[0], image, image[..., :1])
    np.testing.assert_array_equal(moved, mask)
    assert np.abs(np.asarray(moved) - image).max() > 0.1


def test_turning_noise_on_leaves_the_affine_as_it_was():
    image, points = photographs(1)[0], np.full((1, 2), 20.0, np.float32)
    key = jax.random.key(1)
    _, plain = augment(key, image, points, **GEOMETRY)
    _, noisy = augment(key, image, points, **EVERYTHING)
    np.testing.assert_array_equal(plain, noisy)


def test_nothing_gathers():
    run = functools.partial(augment, **EVERYTHING)
    text = str(jax.make_jaxpr(jax.vmap(run))(keys(2), photographs(2), np.ones((2, 1, 2), "f4")))
    assert "gather" not in text and "scatter" not in text and "dynamic_slice" not in text


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize(
    "change, error, name",
    [
        ({"image": np.zeros((8, 8), np.float32)}, ValueError, "image"),
        ({"image": np.zeros((8, 8, 3), np.uint8)}, TypeError, "image"),
        ({"points": np.zeros((2,), np.float32)}, ValueError, "points"),
        ({"flip_horizontal": 1.5}, ValueError, "flip_horizontal"),
        ({"rotate": 46}, ValueError, "rotate"),
        ({"rotate": -1}, ValueError, "rotate"),
        ({"shear": 46}, ValueError, "shear"),
        ({"scale": 1.0}, ValueError, "scale"),
        ({"noise": float("nan")}, ValueError, "noise"),
        ({"gamma": -0.1}, ValueError, "gamma"),
        ({"mirror": 0.5}, TypeError, "mirror"),
    ],
)
def test_errors_are_static(wrap, change, error, name):
    arrays = {"image": np.zeros((8, 8, 3), np.float32), "points": np.ones((1, 2), np.float32)}
    options = {key: value for key, value in change.items() if key not in arrays}
    arrays |= {key: value for key, value in change.items() if key in arrays}
    run = wrap(lambda image, points: augment(jax.random.key(0), image, points, **options))
    with pytest.raises(error, match=f"`{name}`"):
        run(arrays["image"], arrays["points"])
