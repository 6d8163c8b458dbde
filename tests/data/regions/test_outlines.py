"""Polygons of the regions cover what the map of regions says."""

import numpy as np
import pytest
from matplotlib.path import Path

from segjax.data.regions import REGIONS, anchors, polygons, region_map
from segjax.data.regions.outlines import area

EYES = {
    "left": ((60.3, 70.1), (140.8, 78.4), 160, 220),
    "right": ((160.2, 80.0), (82.5, 90.9), 150, 230),
    "vertical": ((90.5, 30.0), (90.5, 100.0), 200, 180),
    "disc outside": ((-20.0, 60.0), (70.0, 66.0), 130, 150),
    "close": ((50.0, 50.0), (62.0, 53.0), 101, 99),
}


@pytest.mark.parametrize("eye", EYES)
def test_polygons_hold_the_pixels_of_their_regions(eye):
    disc, fovea, height, width = EYES[eye]
    numbers = region_map(disc, fovea, height, width)
    rows, columns = np.mgrid[:height, :width]
    centres = np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], axis=-1)
    found = polygons(disc, fovea, height, width)
    assert list(found) == list(REGIONS)
    for index, name in enumerate(REGIONS):
        inside = np.zeros(height * width, bool)
        for polygon in found[name]:
            assert polygon.min() >= 0 and (polygon.max(axis=0) <= (width, height)).all()
            inside |= Path(polygon).contains_points(centres)
        # Centres may lie within a hair of an arc, which the polygon replaces by chords
        assert np.count_nonzero(inside.reshape(height, width) != (numbers == index)) <= 6, name
    whole = sum(abs(area(polygon)) for each in found.values() for polygon in each)
    assert whole == pytest.approx(height * width, rel=1e-4)


@pytest.mark.parametrize("eye", EYES)
def test_anchors_lie_in_their_regions(eye):
    disc, fovea, height, width = EYES[eye]
    numbers = region_map(disc, fovea, height, width)
    for index, (name, place) in enumerate(anchors(disc, fovea, height, width).items()):
        if place is None:
            assert np.count_nonzero(numbers == index) < 40, name
        elif np.count_nonzero(numbers == index) > 400:
            assert numbers[int(place[1]), int(place[0])] == index, name


def test_the_area_of_a_square():
    assert abs(area(np.array([[1, 1], [4, 1], [4, 4], [1, 4.0]]))) == 9


def test_one_point_defines_nothing():
    with pytest.raises(ValueError, match="other than `disc`"):
        polygons((3, 3), (3, 3), 10, 10)
