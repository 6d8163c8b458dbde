"""From masks of lesions to marked regions."""

import numpy as np
import pytest
from scipy import ndimage

from segjax.data.regions import REGIONS, Marked, marked, region_map, union
from segjax.data.synthetic.fundus import generate_fundus

H, W, D = 128, 144, 48
MAP = region_map((40, 64), (88, 64), H, W)  # the axis is row 64, the line across it column 40
BOTH = ("superior_temporal", "superior_nasal")


def mask(*boxes):
    found = np.zeros((H, W), bool)
    for top, bottom, left, right in boxes:
        found[top:bottom, left:right] = True
    return found


def test_a_lesion_within_a_region_marks_it():
    found = marked(mask((60, 70, 80, 90)), MAP, distance=D)
    assert found == Marked(("macula",), 0.0, 0.0)


def test_a_lesion_that_touches_a_border_is_marked_once():
    # Three of ten columns lie on the nasal side, then two
    across = mask((4, 6, 37, 47))
    assert marked(across, MAP, distance=D).names == BOTH
    touching = mask((4, 6, 38, 48))
    found = marked(touching, MAP, distance=D)
    assert found.names == ("superior_temporal",)
    # Within the tolerance of 4.8 pixels, and the farther column is 2 pixels away
    assert found.share_outside == 0 and found.farthest == pytest.approx(2 / D)
    assert marked(touching, MAP, distance=D, share=0.2).names == BOTH


def test_a_share_is_reached_by_equality():
    quarter = mask((4, 6, 39, 43))
    assert marked(quarter, MAP, distance=D, share=0.25).names == BOTH
    assert marked(quarter, MAP, distance=D, share=0.26).names == ("superior_temporal",)


def test_each_component_is_judged_by_itself():
    # A pixel of its own is marked however small it is beside the other lesion
    found = marked(mask((60, 80, 80, 100), (4, 5, 4, 5)), MAP, distance=D)
    assert found.names == ("macula", "superior_nasal")
    # Corners connect: one lesion, of which a twentieth lies in the other region
    diagonal = mask((4, 5, 39, 40), (5, 6, 40, 59))
    assert marked(diagonal, MAP, distance=D).names == ("superior_temporal",)


def test_a_lesion_over_many_regions_marks_the_largest_part():
    everything = np.ones((H, W), bool)
    largest = REGIONS[np.bincount(MAP.ravel()).argmax()]
    found = marked(everything, MAP, distance=D, share=1)
    assert found.names == (largest,)
    # Against SciPy's distances of the rest
    away = ndimage.distance_transform_edt(~union(MAP, found.names)) / D
    assert found.share_outside == pytest.approx(np.mean(away > 0.1), abs=1e-6)
    assert found.farthest == pytest.approx(away.max(), rel=1e-5)
    assert found.share_outside > 0.5


def test_the_tolerance_is_a_fraction_of_the_distance():
    # Columns 30 to 39 of 70 lie nasally, 1 to 10 pixels away
    long = mask((4, 5, 30, 100))
    found = marked(long, MAP, distance=D, tolerance=0.1)
    assert found.names == ("superior_temporal",)
    assert found.share_outside == pytest.approx(6 / 70)  # beyond 4.8 pixels
    assert found.farthest == pytest.approx(10 / D)
    assert marked(long, MAP, distance=D, tolerance=0.22).share_outside == 0
    assert marked(long, MAP, distance=D, tolerance=0).share_outside == pytest.approx(10 / 70)
    assert marked(long, MAP, distance=2 * D).farthest == pytest.approx(5 / D)


def test_no_lesion():
    assert marked(np.zeros((H, W), bool), MAP, distance=D) == Marked((), 0.0, 0.0)


def test_lesions_of_a_synthetic_eye():
    eye = generate_fundus(0, 128)
    regions = region_map(eye["disc"], eye["fovea"], 128, 128)
    distance = float(np.hypot(*(eye["disc"] - eye["fovea"])))
    lesion = eye["microaneurysms"]
    assert lesion.any()
    found = marked(lesion, regions, distance=distance)
    components, count = ndimage.label(lesion[..., 0], np.ones((3, 3)))
    majorities = {
        REGIONS[np.bincount(regions[components == k]).argmax()] for k in range(1, count + 1)
    }
    assert majorities <= set(found.names) and found.share_outside == 0


@pytest.mark.parametrize(
    "change, error, words",
    [
        ({"lesion_mask": np.zeros((3, 3), bool)}, ValueError, "`lesion_mask` takes the shape"),
        ({"lesion_mask": np.zeros((H, W))}, TypeError, "`lesion_mask` takes booleans"),
        ({"regions": np.full((H, W), 8, np.uint8)}, ValueError, "`regions` takes"),
        ({"regions": np.zeros((H, W))}, ValueError, "`regions` takes"),
        ({"distance": 0}, ValueError, "`distance` takes"),
        ({"share": 0}, ValueError, "`share` takes"),
        ({"share": 1.1}, ValueError, "`share` takes"),
        ({"tolerance": -0.1}, ValueError, "`tolerance` takes"),
    ],
)
def test_marked_refuses(change, error, words):
    given = {"lesion_mask": mask(), "regions": MAP, "distance": D, **change}
    with pytest.raises(error, match=words):
        marked(**given)
