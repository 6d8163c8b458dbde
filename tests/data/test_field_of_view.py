"""The mask of the field of view; `bounds` is held in tests/tasks/test_guided_classification.py."""

import time

import cv2
import numpy as np
import pytest

from segjax.data.field_of_view import field_of_view_mask
from segjax.data.synthetic.fundus import generate_fundus


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


def disc(height, width, centre, radius):
    y, x = np.mgrid[:height, :width]
    return np.hypot(x - centre[0], y - centre[1]) < radius


def photograph(inside, value=120, surround=4):
    image = np.where(inside[..., None], value, surround).astype(np.uint8)
    # Of another brightness in each channel, as an eye is
    return np.where(inside[..., None], image // np.array([1, 2, 4], np.uint8), image)


@pytest.mark.parametrize("size", [128, 512])
def test_synthetic_photographs_have_the_field_that_they_were_drawn_with(size):
    for seed in range(12):
        example = generate_fundus(seed, size)
        drawn = example["field_of_view"][..., 0] > 0
        assert 0.2 < drawn.mean() < 0.9
        assert overlap(field_of_view_mask(example["image"]), drawn) > 0.97


def test_a_large_photograph_is_exact_to_a_pixel_and_quick():
    """Of IDRiD's size, its disc cut at the upper and the lower border."""
    inside = disc(2848, 4288, (2000, 1424), 1700)
    image = photograph(inside)
    field_of_view_mask(image[:64, :64])  # what is loaded once
    began = time.perf_counter()
    found = field_of_view_mask(image)
    assert time.perf_counter() - began < 1
    assert found.shape == inside.shape and found.dtype == bool
    beside = np.ones((5, 5), np.uint8)
    wide, narrow = (change(inside.astype(np.uint8), beside) for change in (cv2.dilate, cv2.erode))
    assert (found <= (wide > 0)).all() and (found >= (narrow > 0)).all()


def test_holes_are_filled_and_stamps_are_left_out():
    inside = disc(300, 400, (200, 150), 140)
    image = photograph(inside)
    image[disc(300, 400, (180, 170), 25)] = 0  # a dark lesion
    image[5:20, 5:60] = 255  # a stamp in the surround
    assert overlap(field_of_view_mask(image), inside) > 0.99


def test_stray_light_beside_a_bright_rim_is_surround():
    inside = disc(300, 400, (200, 150), 140)
    image = photograph(inside, value=160)
    # Above a tenth of the brightest, and far below what lies beside it
    image[disc(300, 400, (200, 150), 148) & ~inside] = 30
    assert overlap(field_of_view_mask(image), inside) > 0.98


def test_a_field_that_darkens_towards_its_rim_is_whole():
    inside = disc(300, 400, (200, 150), 140)
    y, x = np.mgrid[:300, :400]
    light = 200 - 165 * np.hypot(x - 200, y - 150) / 140
    image = np.where(inside[..., None], light[..., None], 3).astype(np.uint8).repeat(3, axis=-1)
    assert overlap(field_of_view_mask(image), inside) > 0.99


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((20, 30, 3), np.uint8),
        np.full((20, 30, 3), 9, np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.full((1, 1, 3), 200, np.uint8),
        photograph(disc(200, 200, (50, 50), 8)),  # a speck: narrower than a tenth
    ],
)
def test_where_there_is_no_field_all_is_inside(image):
    found = field_of_view_mask(image)
    assert found.shape == image.shape[:2] and found.all()


def test_noise_in_the_surround_is_no_field():
    inside = disc(300, 400, (200, 150), 140)
    noise = np.random.default_rng(0).integers(0, 6, (300, 400, 3), np.uint8)
    assert overlap(field_of_view_mask(photograph(inside, surround=0) + noise), inside) > 0.99
