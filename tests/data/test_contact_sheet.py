"""Contact sheets: what is annotated is drawn, in its colour and at its place."""

import os

import numpy as np
import pytest
from PIL import Image

from segjax.data.captions import CAPTION, LINE, MOST_LINES, caption_of, lines_of
from segjax.data.contact_sheet import (
    MARGIN,
    contact_sheet,
    mask_colour,
    mask_colours,
    write_contact_sheet,
)
from segjax.data.regions import REGIONS, outlined
from segjax.data.synthetic.fundus import MASKS, generate_fundus

pytestmark = pytest.mark.pictures


def blank(height=40, width=40, **fields):
    return {"image": np.full((height, width, 3), 90, np.uint8), **fields}


def where(sheet, colour) -> np.ndarray:
    return np.argwhere((sheet == np.array(colour)).all(-1))


def square(height, width, rows, columns) -> np.ndarray:
    mask = np.zeros((height, width, 1), np.uint8)
    mask[rows, columns] = 1
    return mask


def test_layout():
    sheet = contact_sheet([blank() for _ in range(5)], columns=2, tile=64)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (3 * (64 + CAPTION + MARGIN) + MARGIN, 2 * (64 + MARGIN) + MARGIN, 3)
    # Fewer examples than columns make a narrow sheet, not an empty one.
    assert contact_sheet([blank()], columns=4, tile=64).shape[1] == 64 + 2 * MARGIN


def test_regions_of_findings_are_drawn_where_points_are():
    points = {"disc": np.float32([15, 20]), "fovea": np.float32([30, 22])}
    several = {
        "one_label": 1,
        "one_regions": np.eye(8, dtype=np.uint8)[2],
        "two_label": np.int8(-1),
        "two_regions": np.eye(8, dtype=np.uint8)[3],
        "six_label": 0,
        "six_regions": np.zeros(8, np.uint8),
    }
    sheet = contact_sheet([blank(**points, **several)], tile=80)
    colours = mask_colours(["one", "two", "six"])
    assert len({*colours.values()}) == 3
    assert [REGIONS[2], REGIONS[3]] == ["macula", "temporal"]
    wanted = outlined(
        np.full((80, 80, 3), 90, np.uint8), (30, 40), (60, 44), names=False,
        marked={"macula": [colours["one"]], "temporal": [colours["two"]]},
    )  # fmt: skip
    rest = {**blank(**points), "image": wanted}
    rest |= {name: 2 * point for name, point in points.items()}
    others = contact_sheet([rest], tile=80)
    assert (wanted != 90).any()
    inside = np.s_[MARGIN : MARGIN + 80, MARGIN : MARGIN + 80]
    np.testing.assert_array_equal(sheet[inside], others[inside])
    assert caption_of(several) == ("", "one: macula, two: undecided")
    # No photograph without points has regions that could be drawn
    for nowhere in ({}, {**points, "disc": np.full(2, np.nan)}, {**points, "disc": [30.0, 22.0]}):
        plain = contact_sheet([blank(**nowhere, **several)], tile=80)[inside]
        assert (plain[:10] == 90).all()


def test_aspect_is_kept():
    sheet = contact_sheet([blank(20, 40)], tile=80)
    rows, columns = where(sheet, (90, 90, 90)).T
    assert np.ptp(columns) + 1 == 80 and np.ptp(rows) + 1 == 40


@pytest.mark.parametrize("tile", [32, 64, 128])
def test_mask_contour_lies_on_the_mask(tile):
    mask = square(64, 64, slice(16, 32), slice(32, 56))
    sheet = contact_sheet([blank(64, 64, lesion=mask)], tile=tile)
    found = where(sheet[: MARGIN + tile], mask_colour("lesion")) - MARGIN
    scale = tile / 64
    np.testing.assert_allclose(found.min(0), (16 * scale, 32 * scale), atol=1)
    np.testing.assert_allclose(found.max(0), (32 * scale - 1, 56 * scale - 1), atol=1)
    middle = MARGIN + np.array([24, 44]) * scale
    assert tuple(sheet[tuple(middle.astype(int))]) == (90, 90, 90)  # a contour, not a filling


def test_a_single_pixel_survives_shrinking():
    mask = square(512, 512, 300, 200)
    sheet = contact_sheet([blank(512, 512, haemorrhages=mask)], tile=64)
    assert len(where(sheet[: MARGIN + 64], mask_colour("haemorrhages")))


def test_point_is_drawn_where_it_lies():
    point = np.array([30.5, 10.5], np.float32)
    sheet = contact_sheet([blank(fovea=point)], tile=160)
    bare = contact_sheet([blank()], tile=160)
    x, y = MARGIN + (point * 4).astype(int)
    assert tuple(sheet[y, x]) == (255, 255, 255) and tuple(bare[y, x]) == (90, 90, 90)
    assert tuple(sheet[y - 3, x]) == (255, 255, 255) and tuple(sheet[y, x - 3]) == (255, 255, 255)
    # A point that is not known is not drawn.
    unknown = contact_sheet([blank(fovea=np.full(2, np.nan, np.float32))], tile=160)
    np.testing.assert_array_equal(unknown, bare)


def test_caption_shows_name_and_classes():
    def caption(**fields):
        return contact_sheet([blank(**fields)], tile=128)[MARGIN + 128 :]

    bare, named = caption(), caption(image_id="a")
    graded = caption(image_id="a", grade=3, findings=np.array([1, 0], np.uint8))
    assert not np.array_equal(bare, named) and not np.array_equal(named, graded)
    np.testing.assert_array_equal(named, caption(image_id=b"a"))
    np.testing.assert_array_equal(graded, caption(image_id="a", grade=np.int64(3), findings=[1, 0]))
    # A caption too long for its tile is cut, not spilled over the next tile.
    first = blank(image_id="x" * 500)
    both = contact_sheet([first, blank()], columns=2, tile=128)
    alone = contact_sheet([blank(), blank()], columns=2, tile=128)
    np.testing.assert_array_equal(both[:, MARGIN + 128 :], alone[:, MARGIN + 128 :])


def test_a_long_caption_takes_the_lines_that_it_needs():
    vector = {f"vector_{k}": np.arange(12, dtype=np.uint8) for k in range(2)}
    bare = contact_sheet([blank(image_id="a")], tile=128)
    one = contact_sheet([blank(image_id="a", **vector)], tile=128)
    assert len(one) > len(bare) == MARGIN + 128 + CAPTION + MARGIN
    lines = lines_of(blank(image_id="a", **vector), 128)
    assert len(lines) == (len(one) - len(bare) + CAPTION - 2) // LINE
    words = " ".join(lines).replace("  ", " ").replace(",", "").split()
    assert words == ["a", *(w for k in range(2) for w in [f"vector_{k}:", *map(str, range(12))])]
    many = lines_of(blank(**{f"vector_{k}": np.arange(12) for k in range(50)}), 128)
    assert len(many) == MOST_LINES and many[-1].endswith("...")
    # The tile beside it has captions as high, and its own line only
    both = contact_sheet([blank(image_id="a", **vector), blank(image_id="a")], tile=128)
    assert len(both) == len(one)
    np.testing.assert_array_equal(both[: len(bare), MARGIN + 132 :], bare[:, MARGIN:])


def test_a_finding_has_the_colour_of_its_masks():
    assert mask_colour("hard_exudate") == mask_colour("hard_exudates")
    findings = ("hard_exudate", "haemorrhage", "cotton_wool_patch", "microaneurysm", "drusen")
    findings += ("macular_hole", "membrane", "rnfl_defect")
    assert len({*mask_colours(findings).values()}) == 8


def test_a_caption_parts_words_and_does_not_repeat_the_name():
    def caption(**fields):
        sheet = contact_sheet([blank(image_id="Eye_001", **fields)], tile=128)
        return sheet[MARGIN + 128 :]

    second = caption(group="p7")[CAPTION // 2 :]
    (empty,) = np.nonzero((second == second[0, 0]).all((0, 2)))
    gaps = np.split(empty, np.flatnonzero(np.diff(empty) > 1) + 1)[1:-1]
    # The widest one, behind the colon, is no gap between letters
    widest, next_one = sorted(map(len, gaps), reverse=True)[:2]
    assert widest >= next_one + 2
    np.testing.assert_array_equal(caption(group="eye_001"), caption())
    assert not np.array_equal(caption(grade=3), caption())


def test_every_annotation_of_the_synthetic_eye_is_shown():
    example = next(
        example
        for example in (generate_fundus(seed, 128) for seed in range(100))
        if example["findings"].all()
    )
    sheet = contact_sheet([example], tile=384)
    tile, legend = sheet[: MARGIN + 384], sheet[MARGIN + 384 + CAPTION :]
    for name in MASKS:
        assert len(where(tile, mask_colour(name))), name
        assert len(where(legend, mask_colour(name))) > 50, name
    assert len({mask_colour(name) for name in MASKS}) == len(MASKS)


def test_image_kinds():
    sixteen = np.linspace(0, 4095, 1600).astype(np.uint16).reshape(40, 40, 1)
    for image in (sixteen, sixteen[..., 0], (sixteen >> 4).astype(np.uint8)):
        sheet = contact_sheet([{"image": image}], tile=40)
        shown = sheet[MARGIN : MARGIN + 40, MARGIN : MARGIN + 40]
        assert shown.max() == 255 and shown.min() == 0
        assert (shown[..., 0] == shown[..., 2]).all()


def test_examples_are_left_alone():
    example = blank(cells=square(40, 40, slice(3, 9), slice(3, 9)), fovea=np.ones(2, np.float32))
    before = {name: value.copy() for name, value in example.items()}
    contact_sheet([example], tile=40)
    assert all(np.array_equal(example[name], before[name]) for name in example)


def test_written_file_is_the_sheet(tmp_path):
    path = tmp_path / "new" / "sheet.png"
    for examples in ([blank()], [blank(), blank(cells=square(40, 40, slice(3, 9), 4))]):
        write_contact_sheet(path, examples, columns=1, tile=48)
        with Image.open(path) as image:
            written = np.asarray(image)
        np.testing.assert_array_equal(written, contact_sheet(examples, columns=1, tile=48))
    assert [entry.name for entry in path.parent.iterdir()] == ["sheet.png"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "sheet.png"
    path.write_bytes(b"old")

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_contact_sheet(path, [blank()])
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("examples", "options", "message"),
    [
        ([], {}, "`examples` takes at least one example"),
        ([blank()], {"columns": 0}, "`columns` takes a whole number of at least 1, got 0"),
        ([blank()], {"tile": 8}, "`tile` takes a whole number of at least 16, got 8"),
        ([blank(), {"grade": 1}], {}, "example 1 has no `image`"),
        ([{"image": np.zeros((4, 4, 2), np.uint8)}], {}, r"got \(4, 4, 2\) in example 0"),
        ([{"image": np.zeros((4, 4, 3), np.float32)}], {}, "uint8 or uint16, got float32"),
        ([blank(cells=np.zeros((8, 8, 1), np.uint8))], {}, "`cells` takes the image's size"),
    ],
)
def test_errors(examples, options, message):
    with pytest.raises(ValueError, match=message):
        contact_sheet(examples, **options)


# --- Volumes. -----------------------------------------------------------------------------------


def volume(depth=5, size=40, **fields):
    """Slice k has the brightness 100 k, with a ramp of its own."""
    ramp = np.arange(size, dtype=np.float32)
    image = 100 * np.arange(depth, dtype=np.float32)[:, None, None] + ramp[:, None]
    return {"image": np.broadcast_to(image, (depth, size, size))[..., None].copy(), **fields}


def labelled(depth=5, size=40):
    labels = np.zeros((depth, size, size), np.uint8)
    labels[1, 4:8, 4:8] = 1
    labels[3, 10:20, 10:20], labels[3, 20:30, 10:20] = 1, 3
    return labels


def test_of_a_volume_the_slice_with_most_foreground_is_shown():
    example = volume(labels=labelled(), image_id="case")
    sheet = contact_sheet([example], tile=80, classes=("RV", "M", "LV"))
    tile, legend = sheet[MARGIN : MARGIN + 80, MARGIN : MARGIN + 80], sheet[MARGIN + 80 :]
    for name, rows in (("RV", (20, 39)), ("LV", (40, 59))):
        found = where(tile, mask_colour(name))
        assert (found.min(0) == (rows[0], 20)).all() and (found.max(0) == (rows[1], 39)).all()
        assert len(where(legend, mask_colour(name))) > 50
    assert not len(where(tile, mask_colour("M")))
    names = ("RV", "M", "LV")
    assert len({mask_colour(name) for name in names}) == 3
    # Its slice as a picture, with masks, is the same tile.
    ramp = np.clip((np.arange(40) - 0.39) / (38.61 - 0.39), 0, 1) * 255
    plane = np.broadcast_to(ramp.astype(np.uint8)[:, None, None], (40, 40, 1))
    masks = {n: (labelled()[3] == k)[..., None] for k, n in enumerate(names, start=1)}
    flat = contact_sheet([{"image": plane, **masks}], tile=80)
    difference = flat[: MARGIN + 80].astype(int) - sheet[: MARGIN + 80]
    assert np.abs(difference).max() <= 3


def test_what_is_ignored_is_outlined_and_no_foreground():
    labels = labelled()
    labels[2, 2:38, 2:38] = 255  # more than all classes have anywhere
    labels[3, 30:38, 25:35] = 255
    sheet = contact_sheet([volume(labels=labels)], tile=80, classes=("RV", "M", "LV"))
    tile = sheet[MARGIN : MARGIN + 80, MARGIN : MARGIN + 80]
    plain = contact_sheet([volume(labels=labelled())], tile=80, classes=("RV", "M", "LV"))
    for name in ("RV", "LV"):  # of slice 3, as without
        wanted = where(plain[MARGIN : MARGIN + 80, MARGIN : MARGIN + 80], mask_colour(name))
        np.testing.assert_array_equal(where(tile, mask_colour(name)), wanted)
    found = where(tile, mask_colours(["RV", "M", "LV", "ignored"])["ignored"])
    assert (found.min(0) == (60, 50)).all() and (found.max(0) == (75, 69)).all()


def test_the_caption_of_a_volume_names_case_and_slice():
    def caption(**fields):
        return contact_sheet([volume(**fields)], tile=160)[MARGIN + 160 : MARGIN + 160 + CAPTION]

    other = labelled()
    other[1, :20] = 1  # now the second slice has most
    bare, shown = caption(labels=labelled()), caption(labels=labelled(), image_id="patient001_ED")
    assert not np.array_equal(bare, shown)
    assert not np.array_equal(bare, caption(labels=other))
    # The affine and the spacing are left out.
    both = caption(labels=labelled(), affine=np.eye(4), spacing=np.ones(3, np.float32))
    np.testing.assert_array_equal(bare, both)


def test_slices_lie_across_the_largest_spacing():
    example = volume(labels=labelled())
    turned = {k: np.moveaxis(v, 0, 1) for k, v in example.items()}
    straight = contact_sheet([example | {"spacing": np.float32([10, 2, 2])}], tile=80)
    np.testing.assert_array_equal(
        contact_sheet([turned | {"spacing": np.float32([2, 10, 2])}], tile=80), straight
    )
    assert not np.array_equal(contact_sheet([turned], tile=80)[:84], straight[:84])


def test_volumes_without_foreground_or_labels_show_their_middle():
    example = volume()
    example["image"][2, 5:35, 5:35] = 1000  # nothing of the kind in other slices
    for fields in ({}, {"labels": np.zeros((5, 40, 40), np.uint8)}):
        sheet = contact_sheet([example | fields], tile=40)
        shown = sheet[MARGIN : MARGIN + 40, MARGIN : MARGIN + 40]
        assert (shown[5:35, 5:35] == 255).all() and shown[0, 0].max() < 10


def test_extreme_voxels_and_constant_volumes():
    example = volume()
    calm = contact_sheet([example], tile=40)
    example["image"][2, 0, 0], example["image"][2, 39, 39] = -1e6, 1e6
    shown = contact_sheet([example], tile=40)[MARGIN : MARGIN + 40, MARGIN : MARGIN + 40]
    assert np.abs(shown.astype(int) - calm[MARGIN : MARGIN + 40, MARGIN:-MARGIN])[1:39].max() < 5
    flat = {"image": np.full((4, 40, 40, 2), 7, np.int16)}
    assert contact_sheet([flat], tile=80).shape == contact_sheet([blank()], tile=80).shape


def test_labels_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"`labels` takes the image's size \(5, 40, 40\)"):
        contact_sheet([volume(labels=labelled(depth=4))])


def test_classes_without_a_name_are_numbered():
    sheet = contact_sheet([volume(labels=labelled())], tile=80)
    for name in ("label 1", "label 3"):
        assert len(where(sheet[: MARGIN + 80], mask_colour(name)))
    assert mask_colour("label 1") != mask_colour("label 3")


@pytest.mark.parametrize(
    "names", [("RV", "Myo", "LV"), ("a", "f", "k"), tuple(MASKS), ("1", "6", "11", "16", "21")]
)
def test_masks_that_are_drawn_together_are_told_apart(names):
    found = mask_colours(names)
    assert list(found) == list(names)
    pairs = [(found[a], found[b]) for i, a in enumerate(names) for b in names[i + 1 :]]
    assert all(sum(abs(x - y) for x, y in zip(*pair, strict=True)) >= 100 for pair in pairs)
    assert found[names[0]] == mask_colour(names[0])
