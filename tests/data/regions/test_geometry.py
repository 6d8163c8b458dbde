"""The eight regions: against areas by formula, an oracle by complex numbers, and symmetries."""

import math

import numpy as np
import pytest

from segjax.data.regions import REGIONS, geometry, rasterised, region_map, union

H, W = 64, 72
EYES = [
    ((20, 32), (44, 32)),
    ((50.3, 30.1), (29.7, 36.4)),
    ((30, 20), (36.5, 49)),
    ((40, 50), (33, 20)),
]


def counts(regions):
    return np.bincount(regions.ravel(), minlength=len(REGIONS)).tolist()


def oracle(disc, fovea, height, width):
    """Names by pixel, for an axis that is not vertical."""
    names = np.empty((height, width), object)
    # Complex division turns and scales: the disc goes to 0, the fovea to 1
    unit = complex(*fovea) - complex(*disc)
    for i in range(height):
        for j in range(width):
            z = (complex(j + 0.5, i + 0.5) - complex(*disc)) / unit
            # y points down, and a fovea on the left turns the image by half a circle
            side = "superior" if (z.imag < 0) == (unit.real > 0) else "inferior"
            in_disc, in_macula = abs(z) <= 0.4, abs(z - 1) <= 2 / 3
            if in_disc and in_macula:
                # On the chord the squared distances differ by those of the radii
                in_disc = abs(z) ** 2 - 0.16 <= abs(z - 1) ** 2 - 4 / 9
                in_macula = not in_disc
            if in_disc:
                names[i, j] = f"disc_{side}"
            elif in_macula:
                names[i, j] = "macula"
            elif z.real >= 1 and abs(z.imag) <= 2 / 3:
                names[i, j] = "temporal"
            else:
                names[i, j] = f"{side}_{'temporal' if z.real > 0 else 'nasal'}"
    return names


def test_the_names_and_their_order():
    assert REGIONS == (
        "disc_superior",
        "disc_inferior",
        "macula",
        "temporal",
        "superior_temporal",
        "inferior_temporal",
        "superior_nasal",
        "inferior_nasal",
    )


def test_counts_of_the_reference():
    # Made at whole positions, as of points half a pixel further; the first are of centres
    at_centres = region_map((20, 32), (44, 32), H, W)
    assert counts(at_centres) == [141, 141, 804, 490, 947, 947, 569, 569]
    at_corners = region_map((20.5, 32.5), (44.5, 32.5), H, W)
    assert counts(at_corners) == [134, 152, 796, 509, 940, 889, 599, 589]
    assert at_centres.dtype == np.uint8 and at_centres.shape == (H, W)


def segment(radius, height):
    """Area of the part of a disc beyond a chord at `height` from its centre."""
    return radius**2 * math.acos(height / radius) - height * math.sqrt(radius**2 - height**2)


def test_areas_by_formula():
    # The eye of the reference, ten times as fine, in units of D = 240
    disc_x, disc_y, wide, high = 200 / 240, 320 / 240, 720 / 240, 640 / 240
    chord = 0.3577778
    disc = math.pi * 0.16 - segment(0.4, chord)
    macula = math.pi * 4 / 9 - segment(2 / 3, 1 - chord)
    temporal = (wide - disc_x - 1) * 4 / 3 - math.pi * 2 / 9
    nasal = disc_x * disc_y - math.pi * 0.04
    rest = (wide * high - disc - macula - temporal - 2 * nasal) / 2
    wanted = [disc / 2, disc / 2, macula, temporal, rest, rest, nasal, nasal]
    found = np.array(counts(region_map((200, 320), (440, 320), 640, 720))) / 240**2
    np.testing.assert_allclose(found, wanted, rtol=2e-3)


@pytest.mark.parametrize("disc, fovea", EYES)
def test_against_the_oracle(disc, fovea):
    found = np.array(REGIONS)[region_map(disc, fovea, H, W)]
    np.testing.assert_array_equal(found, oracle(disc, fovea, H, W))
    assert set(found.ravel()) == set(REGIONS)


@pytest.mark.parametrize("disc, fovea", EYES)
def test_a_mirrored_eye_has_a_mirrored_map(disc, fovea):
    mirrored = region_map((W - disc[0], disc[1]), (W - fovea[0], fovea[1]), H, W)
    np.testing.assert_array_equal(mirrored[:, ::-1], region_map(disc, fovea, H, W))


def test_superior_lies_up_at_every_angle():
    for angle in np.radians(np.arange(5, 360, 10)):
        fovea = (100 + 30 * np.cos(angle), 100 + 30 * np.sin(angle))
        regions = region_map((100, 100), fovea, 200, 200)
        rows = [np.nonzero(regions == k)[0].mean() for k in range(8)]
        assert rows[0] < rows[1] and rows[4] < rows[5] and rows[6] < rows[7], angle


@pytest.mark.parametrize("below, superior_is_right", [(True, True), (False, False)])
def test_a_vertical_axis_is_the_limit_of_a_left_eye(below, superior_is_right):
    fovea = (50, 80 if below else 20)
    regions = region_map((50, 50), fovea, 100, 100)
    nearly = region_map((50, 50), (50 + 1e-9, fovea[1]), 100, 100)
    np.testing.assert_array_equal(regions, nearly)
    right = np.nonzero(regions == REGIONS.index("superior_nasal"))[1].mean() > 50
    assert right == superior_is_right
    # -0 is no other direction than 0
    np.testing.assert_array_equal(regions, region_map((50, 50), (50 - 0.0, fovea[1]), 100, 100))


def test_the_chord_parts_disc_and_macula():
    # Both points lie in both circles
    for at, name in ((0.35, "disc"), (0.36, "macula")):
        regions = region_map((0.5, 0.5), (1 / at + 0.5, 0.5), 1, 2)
        assert REGIONS[regions[0, 1]].startswith(name)


@pytest.mark.parametrize("disc, fovea", EYES)
def test_scaling_keeps_the_areas(disc, fovea):
    one = np.array(counts(region_map(disc, fovea, H, W)))
    doubled = counts(region_map(2 * np.array(disc), 2 * np.array(fovea), 2 * H, 2 * W))
    # Borders of some tens of pixels are sampled twice as finely
    np.testing.assert_allclose(np.array(doubled) / 4, one, atol=10)
    assert sum(doubled) == 4 * H * W


def test_the_map_does_not_depend_on_the_block(monkeypatch):
    whole = region_map(*EYES[1], H, W)
    monkeypatch.setattr(geometry, "BLOCK", 5 * W + 3)
    np.testing.assert_array_equal(region_map(*EYES[1], H, W), whole)


def test_a_far_eye_and_one_pixel():
    assert region_map((-5000, 10), (-4000, 10), 1, 1) == REGIONS.index("temporal")
    assert region_map([0.5, 0.5], np.array([9.0, 0.5], np.float32), 1, 1).shape == (1, 1)


def test_planes_are_the_map():
    planes = rasterised(*EYES[1], H, W)
    assert planes.shape == (H, W, 8) and planes.dtype == bool
    assert np.all(planes.sum(axis=-1) == 1)
    np.testing.assert_array_equal(planes.argmax(axis=-1), region_map(*EYES[1], H, W))


def test_unions():
    regions, planes = region_map(*EYES[0], H, W), rasterised(*EYES[0], H, W)
    found = union(regions, ("temporal", "macula", "macula"))
    np.testing.assert_array_equal(found, planes[..., 2] | planes[..., 3])
    assert found.dtype == bool
    assert not union(regions, ()).any() and union(regions, set(REGIONS)).all()


@pytest.mark.parametrize(
    "names, words",
    [(["makula"], "did you mean 'macula'"), (["x"], "disc_superior"), ("macula", "the text")],
)
def test_unions_refuse(names, words):
    with pytest.raises(ValueError, match="`names` takes") as caught:
        union(np.zeros((2, 2), np.uint8), names)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change, name",
    [
        ({"fovea": (1, 2)}, "`fovea` takes a point other than `disc`"),
        ({"disc": (np.nan, 2)}, "`disc` takes finite"),
        ({"fovea": (3, np.inf)}, "`fovea` takes finite"),
        ({"disc": (1, 2, 3)}, "`disc` takes"),
        ({"fovea": 4}, "`fovea` takes"),
        ({"height": 0}, "`height` takes"),
        ({"width": 2.5}, "`width` takes"),
    ],
)
def test_maps_refuse(change, name):
    for function in (region_map, rasterised):
        with pytest.raises(ValueError, match=name):
            function(**{"disc": (1, 2), "fovea": (3, 2), "height": 4, "width": 4, **change})
