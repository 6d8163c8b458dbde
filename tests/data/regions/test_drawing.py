"""Regions drawn into a photograph: lines where the map changes, names within their regions."""

import numpy as np
import pytest
from scipy import ndimage

from segjax.data.regions import REGIONS, outlined, region_map, union
from segjax.data.synthetic.fundus import generate_fundus

SIZE = 384
EYES = [((110, 190), (240, 200)), ((240, 240), (160, 150)), ((190, 120), (190, 250))]
GREY = np.full((SIZE, SIZE, 3), 120, np.uint8)


def changed(picture, before):
    return np.any(picture != before, axis=-1)


def borders(regions):
    """Pixels beside another region."""
    return (ndimage.maximum_filter(regions, 3) != ndimage.minimum_filter(regions, 3)).astype(bool)


@pytest.mark.parametrize("disc, fovea", EYES)
def test_lines_lie_where_the_regions_meet(disc, fovea):
    drawn = outlined(GREY, disc, fovea, names=False)
    edges = borders(region_map(disc, fovea, SIZE, SIZE))
    lines = changed(drawn, GREY)
    assert lines[edges].mean() > 0.99
    # Nothing else is touched: lines and their rims are a few pixels wide
    assert not lines[ndimage.distance_transform_edt(~edges) > 4].any()
    # Bright ink on a dark rim
    assert drawn[lines].max() > 200 and drawn[lines].min() < 80


@pytest.mark.parametrize("disc, fovea", EYES)
def test_names_stand_within_their_regions(disc, fovea):
    bare = outlined(GREY, disc, fovea, names=False)
    text = changed(outlined(GREY, disc, fovea), bare)
    regions = region_map(disc, fovea, SIZE, SIZE)
    distance = np.hypot(*(np.array(disc) - fovea))
    # Every region has a name here, and none touches a line or the edge of the image
    clear = ndimage.distance_transform_edt(np.pad(~borders(regions), 1))[1:-1, 1:-1]
    assert clear[text].min() > 0.015 * distance
    assert set(regions[text]) == set(range(len(REGIONS)))
    # One block of text a region: words of a name lie beside each other
    blocks, count = ndimage.label(ndimage.binary_dilation(text, iterations=6))
    assert count == len(REGIONS)
    for index in range(1, count + 1):
        assert len(set(regions[text & (blocks == index)])) == 1


def test_lines_and_letters_go_with_the_distance():
    def ink(size):
        grey = np.full((size, size, 3), 120, np.uint8)
        disc, fovea = np.array(EYES[0]) * size / SIZE
        picture = outlined(grey, disc, fovea)
        names = changed(picture, outlined(grey, disc, fovea, names=False))
        return np.mean(changed(picture, grey)), names.mean()

    small, large = ink(SIZE), ink(4 * SIZE)
    # A share of the picture, whatever its size; a line has one pixel at least
    assert large[1] == pytest.approx(small[1], rel=0.4)
    assert large[0] == pytest.approx(small[0], rel=0.5)


def test_names_that_cannot_be_read_or_have_no_room_are_left_out():
    tiny = np.full((64, 64, 3), 120, np.uint8)
    points = (20, 32), (44, 32)
    np.testing.assert_array_equal(outlined(tiny, *points), outlined(tiny, *points, names=False))
    # The disc and the nasal side lie outside; a strip holds no name
    away = (-100, 190), (60, 190)
    text = changed(outlined(GREY, *away), outlined(GREY, *away, names=False))
    shown = {REGIONS[k] for k in np.unique(region_map(*away, SIZE, SIZE)[text])}
    assert shown == {"macula", "temporal", "superior_temporal", "inferior_temporal"}
    strip = GREY[:5]
    np.testing.assert_array_equal(outlined(strip, *away), outlined(strip, *away, names=False))


def test_marked_regions_are_shaded_and_the_photograph_stays():
    eye = generate_fundus(3, 128)
    before = eye["image"].copy()
    names = ("macula", "superior_nasal")
    plain = outlined(eye["image"], eye["disc"], eye["fovea"], names=False)
    shaded = outlined(eye["image"], eye["disc"], eye["fovea"], names=False, marked=names)
    np.testing.assert_array_equal(eye["image"], before)
    assert plain.dtype == shaded.dtype == np.uint8 and plain.shape == before.shape
    inside = union(region_map(eye["disc"], eye["fovea"], 128, 128), names)
    assert not changed(shaded, plain)[~inside].any()
    assert changed(shaded, plain)[inside].mean() > 0.9
    # Between the photograph and the colour of the shade, nearer to the photograph
    white = np.full_like(before, 255)  # where a rim shows, as it does not on black
    lines = changed(outlined(white, eye["disc"], eye["fovea"], marked=(), names=False), white)
    lines |= changed(plain, before)
    step = shaded[inside & ~lines].astype(float) - before[inside & ~lines]
    whole = np.array((255, 170, 0)) - before[inside & ~lines].astype(float)
    np.testing.assert_allclose(step, 0.35 * whole, atol=0.51)


def test_a_region_of_several_findings_has_their_colours_in_stripes():
    points = (60, 128), (190, 128)
    red, blue = (255, 0, 0), (0, 0, 255)

    def drawn(marked):
        return outlined(GREY, *points, names=False, marked=marked)

    both = drawn({"macula": [red, blue], "temporal": [blue]})
    alone = [drawn({"macula": [colour], "temporal": [blue]}) for colour in (red, blue)]
    inside = region_map(*points, SIZE, SIZE) == REGIONS.index("macula")
    np.testing.assert_array_equal(both[~inside], alone[0][~inside])
    is_red, is_blue = ((both == one).all(-1)[inside] for one in alone)
    assert (is_red | is_blue).all()
    assert 0.4 < is_red.mean() < 0.6 and 0.4 < is_blue.mean() < 0.6


@pytest.mark.parametrize(
    "change, words",
    [
        ({"image": GREY[..., 0]}, "`image` takes"),
        ({"image": GREY.astype(np.float32)}, "`image` takes"),
        ({"image": GREY[:0]}, "`image` takes"),
        ({"fovea": (1, 2)}, "`fovea` takes"),
        ({"marked": ["macul"]}, "`marked` takes .* did you mean 'macula'"),
        ({"marked": "macula"}, "`marked` takes a collection"),
        ({"marked": {"macula": []}}, "`marked` takes one colour or more of each region, none of"),
    ],
)
def test_outlined_refuses(change, words):
    with pytest.raises(ValueError, match=words):
        outlined(**{"image": GREY, "disc": (1, 2), "fovea": (30, 2), **change})
