"""What is measured of activation maps: shares, AIR, the pointing game, IoU, beside their chance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.tasks.guided_classification import cells


@pytest.mark.parametrize("size", [(4, 4), (3, 5), (7, 2), (1, 1), (9, 14)])
def test_shares_are_means_over_areas(size):
    region = np.random.default_rng(0).random((2, 9, 14)) > 0.5
    found = cells.shares(region.astype(np.float32), size)
    # Every pixel and every cell divide the pixels of the product of both sizes
    fine = region.repeat(size[0], axis=1).repeat(size[1], axis=2)
    wanted = fine.reshape(2, size[0], 9, size[1], 14).mean(axis=(2, 4))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    inside = jax.jit(lambda x: cells.shares(x, size))(jnp.asarray(region, jnp.float32))
    np.testing.assert_allclose(inside, found, atol=1e-6)


def test_air_by_hand_and_by_chance_on_maps_that_are_not_square():
    activation = np.array([[[0.5, 0.25, 0.25], [0.0, 0.0, 0.0]]], np.float32)
    region = np.array([[[1.0, 0.0, 0.5], [1.0, 0.0, 0.0]]], np.float32)
    found = cells.activation_shares(activation, region)
    assert found["air"] == pytest.approx([0.625]) and found["air_chance"] == pytest.approx(
        [2.5 / 6]
    )
    # A map that is the same everywhere has its chance level, whatever its height
    same = cells.activation_shares(np.full((1, 2, 3), 0.03, np.float32), region)
    assert same["air"] == pytest.approx(same["air_chance"])
    silent = cells.activation_shares(np.zeros((1, 2, 3), np.float32), region)
    assert silent["air"] == 0


@pytest.mark.parametrize(
    ("tolerance", "hit"), [(0.0, 0.0), (0.24, 0.0), (0.26, 1.0)], ids=["none", "less", "enough"]
)
def test_pointing_takes_the_middle_of_the_highest_cell_with_its_tolerance(tolerance, hit):
    # 20 x 40 pixels under 2 x 4 cells: the middle of cell (0, 2) is pixel (5, 25)
    activation = np.zeros((1, 2, 4), np.float32)
    activation[0, 0, 2] = 0.1
    region = np.zeros((1, 20, 40), bool)
    region[0, 5, 30] = True  # 5 pixels from it: a quarter of the shorter side
    found = cells.pointing(activation, region, tolerance)
    assert found["pointing"] == [hit]
    # Of the eight middles (5 or 15, 5 or 15 or 25 or 35), (5, 25) and (5, 35) are as near
    assert found["pointing_chance"] == [2 / 8 * hit]


def test_a_map_without_a_highest_cell_points_at_nothing():
    found = cells.pointing(np.full((1, 2, 2), 0.7), np.ones((1, 4, 4), bool), 1.0)
    assert found["pointing"] == [0.0] and found["pointing_chance"] == [1.0]


def test_overlaps_against_a_loop():
    generator = np.random.default_rng(1)
    activation = generator.random((3, 4, 5)).astype(np.float32)
    region = generator.random((3, 4, 5)).astype(np.float32)
    found = cells.overlaps(activation, region)
    for k, cut in enumerate(cells.CUTS):
        for map_, share, iou in zip(activation, region, found[k], strict=True):
            above = map_ >= cut * map_.max()
            both, either = share[above].sum(), share.sum() + (1 - share)[above].sum()
            assert iou == pytest.approx(both / either, rel=1e-5)
