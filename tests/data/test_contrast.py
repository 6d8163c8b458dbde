import time

import numpy as np
import pytest
from scipy import ndimage

from segjax.data.contrast import READINGS, contrast_enhanced, sigma_of
from segjax.data.synthetic.fundus import generate_fundus


@pytest.fixture(scope="module")
def image():
    # Height and width differ, so that swapped axes show
    return np.ascontiguousarray(generate_fundus(3, 128)["image"][:96])


def blurred(plane, sigma):
    return ndimage.gaussian_filter(plane.astype(np.float64), sigma, mode="reflect", truncate=4.0)


def oracle(image, sigma, gain, offset, where=None):
    """The equation in float64, before it is rounded; Gaussians by sums over the kernel."""
    planes = []
    for x in np.moveaxis(image.astype(np.float64), -1, 0):
        if where is None:
            y = gain * x - gain * blurred(x, sigma) + offset
        else:
            with np.errstate(invalid="ignore", divide="ignore"):
                mean = blurred(np.where(where, x, 0), sigma) / blurred(where, sigma)
            y = np.where(where, gain * x - gain * mean + offset, offset)
        planes.append(np.clip(y, 0, 255))
    return np.stack(planes, axis=-1)


def check(found, image, *given):
    assert found.dtype == np.uint8 and found.shape == image.shape
    # Half a level is rounding; the rest is float32
    np.testing.assert_allclose(found.astype(np.float64), oracle(image, *given), atol=0.51, rtol=0)


@pytest.mark.parametrize(
    ("sigma", "gain", "offset"),
    [(3.0, 4.0, 128.0), (1024 / 30, 4.0, 1024 / 30), (0.4, 2.5, 60.0), (80.0, 1.0, 200.0)],
)
def test_it_is_the_equation(image, sigma, gain, offset):
    found = contrast_enhanced(image, sigma=sigma, gain=gain, offset=offset)
    assert len(np.unique(found)) > 20
    check(found, image, sigma, gain, offset)


def test_the_defaults_are_gain_4_and_offset_128(image):
    check(contrast_enhanced(image, sigma=5.0), image, 5.0, 4.0, 128.0)


def test_inside_a_mask_only_what_is_there_is_averaged(image):
    where = generate_fundus(3, 128)["field_of_view"][:96, :, 0] > 0
    assert 0.2 < where.mean() < 0.95
    found = contrast_enhanced(image, sigma=6.0, where=where)
    check(found, image, 6.0, 4.0, 128.0, where)
    assert (found[~where] == 128).all()
    other = np.where(where[..., None], image, 255 - image)  # what is outside does not matter
    np.testing.assert_array_equal(contrast_enhanced(other, sigma=6.0, where=where), found)
    assert (contrast_enhanced(image, sigma=6.0) != found).any()


def test_a_mask_of_few_pixels_is_no_trouble(image):
    few = np.zeros(image.shape[:2], bool)
    few[20:23, 30:32] = True
    found = contrast_enhanced(image, sigma=30.0, where=few)
    np.testing.assert_allclose(
        found.astype(np.float64), oracle(image, 30.0, 4.0, 128.0, few), atol=1, rtol=0
    )
    assert (contrast_enhanced(image, sigma=6.0, where=few & False) == 128).all()


def test_one_colour_becomes_the_offset():
    plain = np.broadcast_to(np.array([200, 90, 3], np.uint8), (12, 20, 3))
    assert (contrast_enhanced(plain, sigma=4.0) == 128).all()
    assert (contrast_enhanced(plain, sigma=4.0, offset=300.0) == 255).all()
    one = np.full((1, 1, 3), 7, np.uint8)
    assert (contrast_enhanced(one, sigma=4.0, offset=34.0) == 34).all()


def test_a_mask_of_everything_is_the_plain_equation(image):
    everywhere = np.ones(image.shape[:2], bool)
    plain, masked = (contrast_enhanced(image, sigma=5.0, where=w) for w in (None, everywhere))
    # Values in the middle between two levels may be rounded either way
    assert (plain != masked).mean() < 1e-3 and np.abs(plain.astype(int) - masked).max() <= 1


def test_the_image_is_left_as_it_is(image):
    before = image.copy()
    image.flags.writeable = False
    contrast_enhanced(image, sigma=5.0, where=np.ones(image.shape[:2], bool))
    np.testing.assert_array_equal(image, before)


def test_the_readings_of_the_paper():
    assert READINGS["likely"] == {"sigma": 1024 / 30, "gain": 4.0, "offset": 128.0}
    assert READINGS["literal"] == READINGS["likely"] | {"offset": 1024 / 30}
    assert sigma_of(512) == 512 / 30 and sigma_of(1024) == READINGS["likely"]["sigma"]


def test_a_large_sigma_takes_no_longer(image):
    large = np.tile(image, (12, 12, 1))
    began = time.perf_counter()
    contrast_enhanced(large, sigma=300.0)  # some 0.1 s; sums over 2401 numbers take a minute
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        ({"sigma": 0.0}, ValueError, "`sigma`.*above 0"),
        ({"sigma": float("nan")}, ValueError, "`sigma`"),
        ({"gain": -1.0}, ValueError, "`gain`.*least 0"),
        ({"offset": float("inf")}, ValueError, "`offset`.*finite"),
        ({"image": np.zeros((4, 4), np.uint8)}, ValueError, r"`image` takes \[h, w, 3\]"),
        ({"image": np.zeros((0, 4, 3), np.uint8)}, ValueError, "`image`"),
        ({"image": np.zeros((4, 4, 3), np.float32)}, TypeError, "`image` takes uint8"),
        ({"where": np.ones((4, 5), bool)}, ValueError, r"`where` takes \(4, 4\)"),
        ({"where": np.ones((4, 4), np.uint8)}, TypeError, "`where` takes bool"),
    ],
)
def test_wrong_arguments_are_named(change, error, named):
    given = {"image": np.zeros((4, 4, 3), np.uint8), "sigma": 2.0} | change
    with pytest.raises(error, match=named):
        contrast_enhanced(given.pop("image"), **given)
    with pytest.raises(ValueError, match="`width`"):
        sigma_of(0)
