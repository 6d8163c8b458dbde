import io

import numpy as np
import openpyxl
import pytest
from PIL import Image

from segjax.data.sets.refuge2 import Refuge2
from tests.data.preparing import (
    WRONG_FOLDERS,
    check_refused,
    check_source,
    examples,
    prepare,
    wrong_folder,
)

SIZES = {"train": (48, 40), "validation": (36, 36), "test": (36, 34)}
FOVEA = [(12.25, 20.5), (36.0, 0.0)]
NAMES = {"train": ("g0001", "n0001"), "validation": ("V0001", "V0002"), "test": ("T0001", "T0002")}
# The columns are in other places in each part: they have to be found by name.
HEADERS = {
    "train": ["ID", "ImgName", "Fovea_X", "Fovea_Y"],
    "validation": ["ID", "ImgName", "Glaucoma Label?", "Fovea_X", "Fovea_Y"],
    "test": ["ID", "ImgName", "Label(Glaucoma=1)", "Fovea_X", "Fovea_Y"],
}
TABLES = {
    "train": "Fovea_location.xlsx",
    "validation": "Fovea_locations.xlsx",
    "test": "Glaucoma_label_and_Fovea_location.xlsx",
}
ALL_IN_ONE = {
    "train": ("REFUGE2/Train/REFUGE1-train/Training400", "REFUGE2/Train/REFUGE1-train"),
    "validation": ("REFUGE2/Train/REFUGE1-val/REFUGE-Validation400", "REFUGE2/Train/REFUGE1-val"),
    "test": ("REFUGE2/Train/REFUGE1-test/Test400", "REFUGE2/Train/REFUGE1-test"),
}
SEPARATE = {
    "train": (
        "REFUGE-Training400/Training400",
        "Annotation-Training400/Annotation-Training400",
    ),
    "validation": ("REFUGE-Validation400", "REFUGE-Validation400-GT"),
    "test": ("REFUGE-Test400/Test400", "REFUGE-Test-GT"),
}


def _grey(size, i=0):
    width, height = size
    mask = np.full((height, width), 255, np.uint8)
    mask[5:15, 10 + i : 22 + i] = 128
    mask[8:12, 13 + i : 18 + i] = 0
    return mask


def _save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def _photograph(path, size):
    width, height = size
    y, x = np.mgrid[:height, :width]
    _save(path, np.stack([x * 5, y * 6, x + y], -1).astype(np.uint8))


def _workbook(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)


def _first_part(root, split, places):
    images, truth = (root / place for place in places[split])
    rows = [HEADERS[split]]
    for i, name in enumerate(NAMES[split]):
        kind = {"g": "Glaucoma", "n": "Non-Glaucoma"}.get(name[0], "")
        _photograph(images / kind / f"{name}.jpg", SIZES[split])
        _save(truth / "Disc_Cup_Masks" / kind / f"{name}.bmp", _grey(SIZES[split], i))
        label = [] if split == "train" else [1 - i]
        rows.append([i + 1, f"{name}.jpg", *label, *FOVEA[i]])
    _workbook(truth / TABLES[split], [*rows, [None] * len(rows[0])])


def _second_parts(root):
    for i in range(2):
        name = f"V{i + 401:04}"
        _photograph(root / f"REFUGE2/Validation/Images/{name}.jpg", (30, 32))
        _save(root / f"REFUGE2/Validation/Disc_Masks/{name}.png", _grey((30, 32), i))
        _photograph(root / f"REFUGE2/Test/refuge2-test/T{i + 401:04}.jpg", (32, 30))
        _save(root / f"REFUGE2/Test/Disc_Mask/T{i + 401:04}.png", _grey((32, 30), i))
    (root / "REFUGE2/Validation/glaucoma.csv").write_text(
        "FileName,Glaucoma Risk\nV0402.jpg,1\nV0401.jpg,0\n"
    )
    (root / "REFUGE2/Validation/fovea.csv").write_text(
        "ImageName,Fovea_X,Fovea_Y\nV0401.jpg,3,4.5\nV0402.jpg,5,6\n,,\n"
    )
    _workbook(
        root / "REFUGE2/Test/fovea.xlsx",
        [["ImageName", "Fovea_X", "Fovea_Y"], ["T0401.jpg", 7, 8], ["T0402.jpg", 9, 10]],
    )
    (root / "REFUGE2/Test/task1.xls").write_bytes(b"the old format, not read")


@pytest.fixture
def manual(tmp_path):
    return tmp_path / "downloads"


@pytest.mark.parametrize("places", [ALL_IN_ONE, SEPARATE], ids=["one archive", "separate"])
def test_the_source_is_what_is_read(tmp_path, manual, places):
    for split in SIZES:
        _first_part(manual, split, places)
    _second_parts(manual)
    _photograph(manual / "REFUGE2/Validation/more/V0500.jpg", (30, 32))
    check_source(Refuge2, tmp_path, manual)


@pytest.mark.parametrize("places", [ALL_IN_ONE, SEPARATE], ids=["one archive", "separate"])
def test_both_layouts_give_the_same_examples(tmp_path, manual, places):
    for split in SIZES:
        _first_part(manual, split, places)
    builder = prepare(Refuge2, tmp_path, manual)
    assert {k: v.num_examples for k, v in builder.info.splits.items()} == dict.fromkeys(SIZES, 2)
    for split, size in SIZES.items():
        found = examples(builder, split)
        assert set(found) == set(NAMES[split])
        for i, name in enumerate(NAMES[split]):
            example, grey = found[name], _grey(size, i)
            np.testing.assert_array_equal(example["fovea"], np.float32(FOVEA[i]))
            np.testing.assert_array_equal(example["optic_disc"][..., 0], grey < 255)
            np.testing.assert_array_equal(example["optic_cup"][..., 0], grey == 0)
            # The disc covers columns 10 to 21 and rows 5 to 14: edges 10 and 22, 5 and 15.
            np.testing.assert_allclose(example["disc"], [16 + i, 10], rtol=1e-6)
            assert example["glaucoma"] == 1 - i
            assert example["image"].shape == (size[1], size[0], 3)


@pytest.mark.parametrize("given", ["", "REFUGE2"])
def test_the_second_sets_and_where_manual_dir_may_point(tmp_path, manual, given):
    _second_parts(manual)
    builder = prepare(Refuge2, tmp_path, manual / given)
    assert set(builder.info.splits) == {"refuge2_validation", "refuge2_test"}
    found = examples(builder, "refuge2_validation")
    np.testing.assert_array_equal(found["V0401"]["fovea"], [3, 4.5])
    assert [found[name]["glaucoma"] for name in ("V0401", "V0402")] == [0, 1]
    found = examples(builder, "refuge2_test")
    np.testing.assert_array_equal(found["T0402"]["fovea"], [9, 10])
    assert found["T0402"]["glaucoma"] == -1


def test_labels_of_the_second_test_set_from_a_saved_table(tmp_path, manual):
    _second_parts(manual)
    (manual / "REFUGE2/Test/task1.csv").write_text("FileName,Label\nT0401.jpg,1\nT0402.jpg,0\n")
    found = examples(prepare(Refuge2, tmp_path, manual), "refuge2_test")
    assert [found[name]["glaucoma"] for name in ("T0401", "T0402")] == [1, 0]


def test_the_folder_of_one_part_will_do(tmp_path, manual):
    _first_part(manual, "train", ALL_IN_ONE)
    builder = prepare(Refuge2, tmp_path, manual / "REFUGE2/Train/REFUGE1-train")
    assert set(builder.info.splits) == {"train"}


def test_a_part_without_masks_is_left_out(tmp_path, manual):
    _first_part(manual, "train", SEPARATE)
    _photograph(manual / "REFUGE-Test400/Test400/T0001.jpg", SIZES["test"])
    assert set(prepare(Refuge2, tmp_path, manual).info.splits) == {"train"}


IMAGES, TRUTH = ALL_IN_ONE["train"]
MASKS = f"{TRUTH}/Disc_Cup_Masks"
TABLE = f"{TRUTH}/Fovea_location.xlsx"


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _swapped(mask):
    """Cup and outside exchanged."""
    return np.where(mask == 128, mask, 255 - mask)


def _lossy(path, mask):
    content = io.BytesIO()
    Image.fromarray(mask).save(content, "JPEG", quality=75)
    Image.open(content).save(path)


def _resampled(path, mask):
    small = Image.fromarray(mask).resize((24, 20), Image.Resampling.BILINEAR)
    small.resize((48, 40), Image.Resampling.BILINEAR).save(path)


def _cells(**changes):
    def spoil(root):
        book = openpyxl.load_workbook(root / TABLE)
        for cell, value in changes.items():
            book.active[cell] = value
        book.save(root / TABLE)

    return spoil


# How the download is spoilt, what the message must name.
BAD = {
    "image missing": (
        lambda r: (r / IMAGES / "Glaucoma/g0001.jpg").unlink(),
        [IMAGES, "g0001.jpg", "row 2"],
    ),
    "image cut": (
        lambda r: _cut(r / IMAGES / "Glaucoma/g0001.jpg"),
        [f"{IMAGES}/Glaucoma/g0001.jpg", "truncated"],
    ),
    "mask missing": (
        lambda r: (r / MASKS / "Non-Glaucoma/n0001.bmp").unlink(),
        [MASKS, "n0001.jpg"],
    ),
    "mask cut": (lambda r: _cut(r / MASKS / "Non-Glaucoma/n0001.bmp"), ["n0001.bmp", "truncated"]),
    "mask of another size": (
        lambda r: _save(r / MASKS / "Non-Glaucoma/n0001.bmp", _grey((48, 39))),
        ["n0001.bmp", "48x39", "48x40"],
    ),
    "mask inverted": (
        lambda r: _save(r / MASKS / "Glaucoma/g0001.bmp", 255 - _grey(SIZES["train"])),
        ["g0001.bmp", "100 pixels hold other values (127)"],  # a rim of 10 x 12 - 4 x 5
    ),
    "mask inverted but for the rim": (
        lambda r: _save(r / MASKS / "Glaucoma/g0001.bmp", _swapped(_grey(SIZES["train"]))),
        ["g0001.bmp", "no disc"],
    ),
    "mask saved as JPEG": (
        lambda r: _lossy(r / MASKS / "Glaucoma/g0001.bmp", _grey(SIZES["train"])),
        ["Glaucoma/g0001.bmp", "pixels hold other values (", "than 0, 128, 255"],
    ),
    "mask resampled": (
        lambda r: _resampled(r / MASKS / "Glaucoma/g0001.bmp", _grey(SIZES["train"])),
        ["Glaucoma/g0001.bmp", "pixels hold other values (", "than 0, 128, 255"],
    ),
    "mask without disc": (
        lambda r: _save(r / MASKS / "Glaucoma/g0001.bmp", np.full((40, 48), 255, np.uint8)),
        ["g0001.bmp", "no disc"],
    ),
    "row missing": (_cells(B3=None), [TABLE, "no row for the image n0001.jpg"]),
    "row doubled": (_cells(B3="g0001.jpg"), [TABLE, "row 3", "g0001.jpg", "row 2"]),
    "no number": (_cells(C2="left"), [TABLE, "row 2", "g0001", "'left'", "48x40"]),
    "outside": (_cells(D3=40.5), [TABLE, "row 3", "n0001", "40.5", "48x40"]),
    "column missing": (_cells(D1="Y of fovea"), [TABLE, "Fovea_Y", "Y of fovea"]),
    "table missing": (lambda r: (r / TABLE).unlink(), [TRUTH, "Fovea_location.xlsx"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_spoilt_download_is_named_and_leaves_nothing(tmp_path, manual, case):
    spoil, named = BAD[case]
    _first_part(manual, "train", ALL_IN_ONE)
    spoil(manual)
    check_refused(Refuge2, tmp_path, manual, named)


@pytest.mark.parametrize("value", ["2", "likely", ""])
def test_a_label_that_is_none_is_named(tmp_path, manual, value):
    _second_parts(manual)
    table = manual / "REFUGE2/Validation/glaucoma.csv"
    table.write_text(f"FileName,Glaucoma Risk\nV0402.jpg,1\nV0401.jpg,{value}\n")
    named = ["glaucoma.csv, row 3 (V0401.jpg): glaucoma is"]
    check_refused(Refuge2, tmp_path, manual, named)


@pytest.mark.parametrize("kind", [*WRONG_FOLDERS, "images only"])
def test_a_wrong_manual_dir_says_what_is_expected(tmp_path, kind):
    wrong, named = wrong_folder(tmp_path, kind), []
    if kind == "images only":
        _photograph(wrong / "REFUGE-Test400/Test400/T0001.jpg", SIZES["test"])
        named = ["REFUGE-Test400"]
    check_refused(Refuge2, tmp_path, wrong, [str(wrong), "'REFUGE2'", *named])
