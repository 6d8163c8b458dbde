"""DRIVE as in the official archives: splits, encodings, both observers, and spoilt downloads."""

import shutil

import numpy as np
import pytest
from PIL import Image

from segjax.data.sets.drive import Drive
from tests.data.preparing import WRONG_FOLDERS, check_refused, check_source, prepare, wrong_folder

WIDTH, HEIGHT = 44, 36


def _photograph(number):
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def _mask(number, kind):
    rng = np.random.default_rng([number, kind])
    return rng.random((HEIGHT, WIDTH)) < 0.3


def _gif(path, mask):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)


def _make(root, part, numbers, *, first=True, second=False):
    folder = root / part
    (folder / "images").mkdir(parents=True)
    for number in numbers:
        Image.fromarray(_photograph(number)).save(folder / f"images/{number:02d}_{part}.tif")
        _gif(folder / f"mask/{number:02d}_{part}_mask.gif", _mask(number, 0))
        if first:
            _gif(folder / f"1st_manual/{number:02d}_manual1.gif", _mask(number, 1))
        if second:
            _gif(folder / f"2nd_manual/{number:02d}_manual2.gif", _mask(number, 2))


@pytest.fixture
def manual(tmp_path):
    root = tmp_path / "downloads"
    _make(root, "training", range(21, 28))
    return root


@pytest.mark.parametrize("outlined", [True, False])
def test_the_source_is_what_is_read(tmp_path, manual, outlined):
    _make(manual, "test", range(1, 4), first=outlined, second=outlined)
    check_source(Drive, tmp_path, manual)


def _names(builder, split):
    return sorted(e["image_id"].decode() for e in builder.as_data_source(split=split))


def test_every_pixel_is_stored_as_in_the_files(tmp_path, manual):
    _make(manual, "test", range(1, 4), second=True)
    builder = prepare(Drive, tmp_path, manual)
    seen = 0
    for split in builder.info.splits:
        for example in builder.as_data_source(split=split):
            number = int(example["image_id"].decode().split("_")[0])
            np.testing.assert_array_equal(example["image"], _photograph(number))
            for kind, field in enumerate(("field_of_view", "vessels")):
                assert example[field].shape == (HEIGHT, WIDTH, 1)
                assert example[field].dtype == np.uint8
                np.testing.assert_array_equal(example[field][..., 0], _mask(number, kind))
            known = split == "test"
            assert example["has_second_observer"] == known
            second = _mask(number, 2) if known else np.zeros((HEIGHT, WIDTH))
            np.testing.assert_array_equal(example["vessels_second_observer"][..., 0], second)
            seen += 1
    assert seen == 10


def test_the_last_four_of_training_are_validation(tmp_path, manual):
    builder = prepare(Drive, tmp_path, manual)
    assert list(builder.info.splits) == ["train", "validation"]
    assert _names(builder, "train") == ["21_training", "22_training", "23_training"]
    assert _names(builder, "validation") == [f"{n}_training" for n in range(24, 28)]


def test_a_test_set_without_outlines_is_passed_over(tmp_path, manual):
    _make(manual, "test", (1, 2), first=False)
    assert list(prepare(Drive, tmp_path, manual).info.splits) == ["train", "validation"]


@pytest.mark.parametrize("place", ["in DRIVE", "training itself"])
def test_other_places_of_the_folder(tmp_path, manual, place):
    if place == "in DRIVE":
        shutil.move(manual, tmp_path / "DRIVE")
        (tmp_path / "DRIVE").rename(tmp_path / "moved")
        manual.mkdir()
        (tmp_path / "moved").rename(manual / "DRIVE")
        given = manual
    else:
        given = manual / "training"
    assert len(_names(prepare(Drive, tmp_path, given), "train")) == 3


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


# How the download is spoilt, and what the message must name.
def _grey():
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[2:5, 2:5] = [1, 128, 255]
    return mask


BAD = {
    "mask missing": (
        lambda r: (r / "training/1st_manual/23_manual1.gif").unlink(),
        ["training/1st_manual/23_manual1.gif", "missing"],
    ),
    "field of view missing": (
        lambda r: (r / "training/mask/22_training_mask.gif").unlink(),
        ["training/mask/22_training_mask.gif", "missing"],
    ),
    "all outlines missing": (
        lambda r: shutil.rmtree(r / "training/1st_manual"),
        ["training/1st_manual/21_manual1.gif", "missing"],
    ),
    "mask of several values": (
        lambda r: Image.fromarray(_grey()).save(r / "training/1st_manual/25_manual1.gif"),
        ["25_manual1.gif: holds 3 values beside 0 (1, 128, 255)"],
    ),
    "mask of another size": (
        lambda r: _gif(r / "training/1st_manual/25_manual1.gif", np.ones((HEIGHT, WIDTH - 1))),
        ["25_manual1.gif", f"{WIDTH - 1}x{HEIGHT}", f"{WIDTH}x{HEIGHT}"],
    ),
    "field of view of another size": (
        lambda r: _gif(r / "training/mask/25_training_mask.gif", np.ones((HEIGHT + 1, WIDTH))),
        ["25_training_mask.gif", f"{WIDTH}x{HEIGHT + 1}", f"{WIDTH}x{HEIGHT}"],
    ),
    "image cut": (
        lambda r: _cut(r / "training/images/24_training.tif"),
        ["training/images/24_training.tif"],
    ),
    "mask cut": (
        lambda r: _cut(r / "training/1st_manual/24_manual1.gif"),
        ["training/1st_manual/24_manual1.gif"],
    ),
    "image of a mask missing": (
        lambda r: (r / "training/images/21_training.tif").unlink(),
        ["training/images", "no image for the mask", "21_manual1.gif"],
    ),
    "no number": (
        lambda r: (r / "training/images/21_training.tif").rename(r / "training/images/eye.tif"),
        ["training/images/eye.tif", "21_training.tif"],
    ),
    "no images": (
        lambda r: [p.unlink() for p in (r / "training/images").iterdir()],
        ["training/images", "no images"],
    ),
    "too few": (
        lambda r: [p.unlink() for n in (21, 22, 23) for p in r.rglob(f"{n}_*")],
        ["training/images", "4 images", "more than 4"],
    ),
    "second observer in part": (
        lambda r: _gif(r / "training/2nd_manual/21_manual2.gif", _mask(21, 2)),
        ["training/2nd_manual/22_manual2.gif", "missing"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_spoilt_download_is_named_and_leaves_nothing(tmp_path, manual, case):
    spoil, named = BAD[case]
    spoil(manual)
    check_refused(Drive, tmp_path, manual, named)


@pytest.mark.parametrize("kind", WRONG_FOLDERS)
def test_a_wrong_manual_dir_says_what_is_expected(tmp_path, kind):
    wrong = wrong_folder(tmp_path, kind)
    check_refused(Drive, tmp_path, wrong, [str(wrong), "'training'"])
