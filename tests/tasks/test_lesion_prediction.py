"""What is written of a user's photographs: maps, masks, overlays, tables of lesions."""

import csv
import pathlib

import cv2
import numpy as np
import pytest

from segjax.data.images import read_image
from segjax.data.png import write_png
from segjax.errors import UserError
from segjax.tasks.lesion_segmentation import LesionSegmentation
from segjax.tasks.lesions import outputs
from segjax.tasks.lesions.overlay import COLOURS, PREDICTED, overlay, reduced, window
from segjax.tasks.patch_refinement import PatchRefinement
from tests.tasks import lesions as shared

GREEN, RED, CYAN = (COLOURS[name] for name in ("true positive", "false positive", "false negative"))


def predictor(tmp_path, model=None, state=None, **options):
    task = LesionSegmentation(**({"image_size": (16, 16), "gain": 0.0} | options))
    made = task.predictor()
    experiment = shared.experiment(task, tmp_path, model or shared.PixelNetwork())
    made.load(experiment, state or shared.state(), shared.one_device())
    return made


def predicted(made, tmp_path, *files):
    """The rows of photographs, predicted into the folder `out`."""
    cases = made.cases(list(files))
    for paths in cases.values():
        made.check(paths)
    return {name: made.predict(name, paths, tmp_path / "out") for name, paths in cases.items()}


def photograph(path, size=(40, 56), spots=(), seed=0):
    """Grey, with white squares: (top, left, height, width)."""
    image = np.full((*size, 3), 60, np.uint8)
    if seed:
        image = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    for top, left, height, width in spots:
        image[top : top + height, left : left + width] = 255
    write_png(path, image)
    return path


def mask(path, size=(40, 56), spots=()):
    plane = np.zeros(size, np.uint8)
    for top, left, height, width in spots:
        plane[top : top + height, left : left + width] = 255
    path.parent.mkdir(exist_ok=True)
    write_png(path, plane)
    return path


def lesions(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_maps_have_sixteen_bits_and_masks_are_those_above_the_threshold(scale, tmp_path):
    path = photograph(tmp_path / "a.png", (41, 55), seed=1)
    made = predictor(tmp_path, scale=scale)
    (row,) = predicted(made, tmp_path, path).values()
    stored = cv2.imread(str(tmp_path / "out/probabilities/a.png"), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16 and stored.shape == (41, 55)
    assert len(np.unique(stored)) > 256
    if scale == 1:
        wanted = shared.pixel_oracle(read_image(path))
        assert np.abs(stored / 65535 - wanted).max() < 0.51 / 65535
    found = cv2.imread(str(tmp_path / "out/masks/a.png"), cv2.IMREAD_UNCHANGED)
    sure = np.abs(stored / 65535 - 0.5) > 1e-4
    assert np.array_equal(found[sure] > 0, stored[sure] / 65535 > 0.5)
    assert {*np.unique(found)} == {0, 255}
    assert row[1] == pytest.approx(np.mean(found > 0))
    assert row[2] == pytest.approx(stored.max() / 65535, abs=1e-5)
    assert row[0] == len(lesions(tmp_path / "out/lesions/a.csv"))


def test_lesions_are_listed_with_centre_area_and_probability(tmp_path):
    spots = [(5, 7, 2, 4), (20, 30, 3, 3), (39, 55, 1, 1)]
    path = photograph(tmp_path / "a.png", spots=spots)
    (row,) = predicted(predictor(tmp_path), tmp_path, path).values()
    found = lesions(tmp_path / "out/lesions/a.csv")
    assert [line["lesion"] for line in found] == ["0001", "0002", "0003"]
    certain = shared.pixel_oracle(np.full((1, 1, 3), 255))[0, 0]
    for line, (top, left, height, width) in zip(found, spots, strict=True):
        # Continuous pixels: the left edge of the photograph is 0
        assert float(line["lesion_x"]) == pytest.approx(left + width / 2)
        assert float(line["lesion_y"]) == pytest.approx(top + height / 2)
        assert float(line["lesion_area"]) == height * width
        assert float(line["lesion_probability"]) == pytest.approx(certain, rel=1e-4)
    assert row == pytest.approx([3, 18 / (40 * 56), certain, 0.5])


def test_a_photograph_without_lesions_has_an_empty_table(tmp_path):
    (row,) = predicted(predictor(tmp_path), tmp_path, photograph(tmp_path / "a.png")).values()
    assert lesions(tmp_path / "out/lesions/a.csv") == []
    head = (tmp_path / "out/lesions/a.csv").read_text().splitlines()
    assert head == ["lesion,lesion_x,lesion_y,lesion_area,lesion_probability"]
    assert row[:2] == [0, 0]
    drawn = read_image(tmp_path / "out/overlays/a.png")
    assert np.array_equal(drawn, read_image(tmp_path / "a.png"))


def test_overlays_tell_right_false_and_missed_pixels(tmp_path):
    right, false, missed = (5, 7, 2, 4), (20, 30, 2, 2), (30, 10, 1, 3)
    part = (12, 40, 2, 6)  # of which the left half is annotated
    path = photograph(tmp_path / "a.png", spots=[right, false, part])
    mask(tmp_path / "truth/a_MA.png", spots=[right, missed, (12, 40, 2, 3)])
    made = predictor(tmp_path)
    made.truth = tmp_path / "truth"
    predicted(made, tmp_path, path)
    drawn, given = read_image(tmp_path / "out/overlays/a.png"), read_image(path)
    wanted = given.copy()
    for colour, (top, left, height, width) in (
        (GREEN, right),
        (RED, false),
        (CYAN, missed),
        (GREEN, (12, 40, 2, 3)),
        (RED, (12, 43, 2, 3)),
    ):
        wanted[top : top + height, left : left + width] = colour
    np.testing.assert_array_equal(drawn, wanted)
    # What is written beside does not depend on the annotation
    made.truth, other = None, tmp_path / "other"
    made.predict("a.png", (path,), other)
    for name in ("probabilities/a.png", "masks/a.png", "lesions/a.csv"):
        assert (other / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    plain = read_image(other / "overlays/a.png")
    changed = np.any(plain != given, axis=-1)
    assert np.all(plain[changed] == PREDICTED)
    assert changed.sum() == 8 + 4 + 12


def test_the_inside_of_a_large_region_is_seen():
    image, truth = np.full((60, 60, 3), 77, np.uint8), np.zeros((60, 60), bool)
    truth[10:30, 10:40] = True
    drawn = overlay(image, truth, truth)
    inner = np.zeros_like(truth)
    inner[11:29, 11:39] = True
    assert np.all(drawn[inner] == 77) and np.all(drawn[truth & ~inner] == GREEN)
    assert np.all(drawn[~truth] == 77) and np.all(image == 77)


def test_outlines_are_wider_on_large_photographs():
    image, found = np.zeros((3000, 3000, 3), np.uint8), np.zeros((3000, 3000), bool)
    found[500:520, 500:540] = found[900, 900] = True
    drawn = np.any(overlay(image, found) != 0, axis=-1)
    assert drawn.sum() == 20 * 40 - 14 * 34 + 1


def test_a_hit_is_green_inside_a_prediction_that_is_too_large():
    image, found = np.zeros((3000, 3000, 3), np.uint8), np.zeros((3000, 3000), bool)
    true = found.copy()
    found[100:120, 100:120] = true[106:114, 106:114] = true[200:204, 200:204] = True
    drawn = overlay(image, found, true)
    assert np.all(drawn[~found & ~true] == 0)
    for colour, part in ((GREEN, found & true), (RED, found & ~true), (CYAN, true & ~found)):
        coloured = np.all(drawn == colour, axis=-1)
        assert coloured.any() and not np.any(coloured & ~part)


def test_a_small_overlay_shows_every_region():
    image = np.zeros((900, 600, 3), np.uint8)
    found, true = np.zeros((900, 600), bool), np.zeros((900, 600), bool)
    found[100, 100] = found[400:440, 300:340] = true[400:440, 300:340] = true[800, 500] = True
    small = reduced(image, found, true, 90)
    assert small.shape == (90, 60, 3)
    for colour, (y, x) in ((RED, (10, 10)), (GREEN, (42, 32)), (CYAN, (80, 50))):
        assert tuple(small[y, x]) == colour
    np.testing.assert_array_equal(reduced(image, found, true, 900).shape, image.shape)


@pytest.mark.parametrize("side", [1, 8, 9, 20])
def test_the_window_is_where_most_is_and_lies_inside(side):
    busy = np.zeros((20, 30), bool)
    busy[18:20, 27:30] = True
    busy[3, 4] = True
    rows, columns = window(busy, np.zeros_like(busy), side)
    assert rows.stop - rows.start == columns.stop - columns.start == side
    assert rows.start >= 0 and columns.start >= 0 and rows.stop <= 20 and columns.stop <= 30
    assert busy[rows, columns].sum() == min(2, side) * min(3, side)


@pytest.mark.parametrize("name", ["eye.png", "eye_MA.tif", "EYE_ma.png", "eye_1_MA.png"])
def test_a_mask_is_named_as_its_photograph(name, tmp_path):
    path = mask(tmp_path / name)
    assert outputs.find_truth(tmp_path, [pathlib.Path("in/eye.jpg")]) == path


def test_other_names_are_no_masks_of_it(tmp_path):
    for name in ("eyes.png", "._eye.png", "my_eye.png", "eye.txt", "eye_MA.csv"):
        (tmp_path / name).write_text("")
    assert outputs.find_truth(tmp_path, [pathlib.Path("eye.jpg")]) is None
    assert outputs.find_truth(None, [pathlib.Path("eye.jpg")]) is None


def test_a_mask_belongs_to_the_longest_name_that_it_begins_with(tmp_path):
    files = [pathlib.Path(name) for name in ("eye.jpg", "eye_2.jpg", "eye_2_b.jpg")]
    masks = [mask(tmp_path / f"{path.stem}_MA.png") for path in files[1:]]
    assert [outputs.find_truth(tmp_path, [path], files) for path in files] == [None, *masks]
    first = mask(tmp_path / "eye_MA.png")
    assert [outputs.find_truth(tmp_path, [path], files) for path in files] == [first, *masks]


def test_several_masks_of_one_photograph_are_named_and_an_exact_one_goes_first(tmp_path):
    mask(tmp_path / "eye_MA.png")
    mask(tmp_path / "eye_HE.png")
    with pytest.raises(UserError, match="eye_HE.png and eye_MA.png may both be the mask of eye.jp"):
        outputs.find_truth(tmp_path, [pathlib.Path("eye.jpg")])
    exact = mask(tmp_path / "eye.png")
    assert outputs.find_truth(tmp_path, [pathlib.Path("eye.jpg")]) == exact


def test_a_predictor_looks_for_masks_among_all_its_photographs(tmp_path):
    files = [photograph(tmp_path / name, spots=[(5, 7, 2, 4)]) for name in ("eye.png", "eye_2.png")]
    mask(tmp_path / "truth/eye_2_MA.png")
    made = predictor(tmp_path)
    made.truth = tmp_path / "truth"
    predicted(made, tmp_path, *files)
    drawn = [read_image(tmp_path / f"out/overlays/{path.name}")[5, 7] for path in files]
    assert [tuple(pixel) for pixel in drawn] == [PREDICTED, RED]


def test_a_mask_of_another_size_is_named_before_anything_is_written(tmp_path):
    path, wrong = photograph(tmp_path / "eye.png"), mask(tmp_path / "truth/eye.png", (20, 28))
    made = predictor(tmp_path)
    made.truth = tmp_path / "truth"
    with pytest.raises(UserError) as caught:
        predicted(made, tmp_path, path)
    assert str(caught.value) == f"{wrong}: a mask of 28x20 pixels, an image of 56x40"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("scale, at", [(1.0, ""), (0.5, " at scale 0.5")])
def test_a_photograph_smaller_than_a_patch_is_named(scale, at, tmp_path):
    path = photograph(tmp_path / "small.png", (31, 20) if scale == 0.5 else (15, 90))
    with pytest.raises(UserError) as caught:
        predicted(predictor(tmp_path, scale=scale), tmp_path, path)
    size = "10x16" if scale == 0.5 else "90x15"
    assert f"{path}: {size} pixels{at} are smaller than a patch of 16x16" in str(caught.value)


def test_a_file_that_is_no_photograph_is_named(tmp_path):
    path = tmp_path / "eye.png"
    path.write_bytes(b"no picture")
    with pytest.raises(UserError, match="eye.png"):
        predicted(predictor(tmp_path), tmp_path, path)


def test_photographs_of_one_name_keep_apart(tmp_path):
    files = []
    for folder in "ab":
        (tmp_path / folder).mkdir()
        files.append(photograph(tmp_path / folder / "eye.png", spots=[(5, 7, 2, 4)]))
    made = predictor(tmp_path)
    names = list(made.cases(files))
    written = [output for name in names for output in made.outputs(name)]
    assert len({*names}) == 2 and len({*written}) == 8
    assert {path.split("/")[0] for path in written} == {*outputs.FOLDERS, outputs.TABLES}


def test_a_network_that_gives_no_numbers_writes_nothing(tmp_path):
    path = photograph(tmp_path / "a.png")
    with pytest.raises(FloatingPointError, match="no numbers"):
        predicted(predictor(tmp_path, state=shared.state(np.nan)), tmp_path, path)
    assert not (tmp_path / "out").exists()


def test_a_photograph_of_one_pixel(tmp_path):
    path = photograph(tmp_path / "a.png", (1, 1), [(0, 0, 1, 1)])
    (row,) = predicted(predictor(tmp_path, image_size=(1, 1)), tmp_path, path).values()
    assert row[:2] == [1, 1]
    assert read_image(tmp_path / "out/overlays/a.png").shape == (1, 1, 3)


def test_a_network_of_patches_predicts_no_photographs():
    with pytest.raises(UserError, match="folder of a pipeline"):
        PatchRefinement().predictor()
