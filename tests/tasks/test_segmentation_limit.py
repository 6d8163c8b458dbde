"""The highest Dice that a mask of fewer pixels can have, against every such mask."""

import itertools

import numpy as np
import pytest

from segjax.tasks.segmentation import original


def dice(mask, true, counted):
    here, there = mask & counted, true & counted
    return 2 * np.count_nonzero(here & there) / (here.sum() + there.sum())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [(2, 3), (3, 3)])
def test_no_mask_of_the_size_is_better_and_one_is_as_good(seed, size):
    generator = np.random.default_rng(seed)
    true = generator.random((7, 8)) < 0.3
    counted = generator.random((7, 8)) < 0.9
    found = []
    for pixels in itertools.product([0, 1], repeat=size[0] * size[1]):
        small = np.array(pixels, np.uint8).reshape(size)
        found.append(dice(original.enlarged(small, true.shape) == 1, true, counted))
    assert original.limit(true, counted, size) == pytest.approx(max(found))


def test_the_photographs_own_size_has_no_limit():
    true = np.random.default_rng(0).random((6, 5)) < 0.4
    every = np.ones_like(true)
    assert original.limit(true, every, (6, 5)) == 1
    assert original.limit(np.zeros_like(true), every, (2, 2)) == 1
    # Twice the area, half of it annotated
    half = np.zeros((4, 4), bool)
    half[:, ::2] = True
    assert original.limit(half, np.ones_like(half), (2, 2)) == pytest.approx(2 / 3)


def test_areas_leave_out_what_does_not_count():
    true = np.zeros((40, 40), np.uint8)
    true[:20, :20] = 1
    stored = {"labels": true, "counted": true > 0}
    row = original.row(np.ones((20, 20), np.uint8), stored, ["vessel"])
    assert row["dice_vessel"] == 1.0 and row["limit_vessel"] == 1.0
    assert row["area_vessel"] == row["true_area_vessel"] == 0.25
