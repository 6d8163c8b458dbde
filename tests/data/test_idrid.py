import io
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from segjax.data.sets.idrid import MASKS, Idrid
from segjax.errors import UserError
from tests.data.preparing import check_source

WIDTH, HEIGHT = 48, 32
SETS = {"train": ("a. Training Set", "Training"), "test": ("b. Testing Set", "Testing")}
FOVEA = {"IDRiD_001": (10.5, 20.0), "IDRiD_002": (48.0, 0.0), "IDRiD_003": (7.0, 8.25)}
DISC = {"IDRiD_001": (30.0, 12.0), "IDRiD_002": (1.0, 2.0), "IDRiD_003": (3.5, 4.0)}
GRADES = {"IDRiD_001": (3, 2), "IDRiD_002": (0, 0), "IDRiD_003": (4, 1)}


def _photograph(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    image = np.stack([x * 5, y * 7, (x + y + seed * 40) % 256], -1).astype(np.uint8)
    Image.fromarray(image).save(path, quality=95)


def _table(path, header, rows):
    """As the official files: empty trailing columns, blank rows at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [header + ",,,", *(",".join(map(str, row)) + ",,," for row in rows), ",,,,,", ",,,,,"]
    path.write_text("\n".join(lines) + "\n")


def localization(root, split):
    folder, word = SETS[split]
    part = root / "C. Localization"
    truth = part / "2. Groundtruths"
    for i, name in enumerate(FOVEA):
        _photograph(part / "1. Original Images" / folder / f"{name}.jpg", i)
    header = "Image No,X- Coordinate,Y - Coordinate"
    prefix = folder[:3]
    for table, points in (
        (f"2. Fovea Center Location/IDRiD_Fovea_Center_{word} Set_Markups.csv", FOVEA),
        (f"1. Optic Disc Center Location/{prefix}IDRiD_OD_Center_{word} Set_Markups.csv", DISC),
    ):
        _table(truth / table, header, [(name, *xy) for name, xy in points.items()])


def _grading(root, split):
    folder, word = SETS[split]
    part = root / "B. Disease Grading"
    for i, name in enumerate(GRADES):
        _photograph(part / "1. Original Images" / folder / f"{name}.jpg", i)
    table = part / "2. Groundtruths" / f"{folder[:3]}IDRiD_Disease Grading_{word} Labels.csv"
    stray = " " if split == "train" else ""
    header = f"Image name,Retinopathy grade,Risk of macular edema{stray}"
    _table(table, header, [(name, *grades) for name, grades in GRADES.items()])


def _inside(kind, name):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    place = 3 * list(MASKS).index(kind) + int(name[-1])
    mask[place : place + 4, 2 * place : 2 * place + 5] = True
    return mask


# IDRiD_01 has everything, IDRiD_02 no haemorrhages and an all-zero mask of soft exudates.
def _segmentation(root, split):
    folder, _ = SETS[split]
    part = root / "A. Segmentation"
    for i, name in enumerate(("IDRiD_01", "IDRiD_02")):
        _photograph(part / "1. Original Images" / folder / f"{name}.jpg", i)
        for kind, (masks_in, suffix) in MASKS.items():
            if name == "IDRiD_02" and kind == "haemorrhages":
                continue
            inside = _inside(kind, name) & ((name, kind) != ("IDRiD_02", "soft_exudates"))
            path = part / "2. All Segmentation Groundtruths" / folder / masks_in
            path.mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray(inside.astype(np.uint8))
            if i == 0:
                picture.putpalette([0, 0, 0, 255, 0, 0])
            else:
                picture = Image.fromarray(inside)  # one bit
            picture.save(path / f"{name}_{suffix}.tif")


MAKE = {"localization": localization, "grading": _grading, "segmentation": _segmentation}


def _prepare(tmp_path, manual, config, **kwargs):
    builder = Idrid(
        data_dir=str(tmp_path / "prepared"), config=config, file_format="array_record", **kwargs
    )
    settings = tfds.download.DownloadConfig(manual_dir=str(manual))
    builder.download_and_prepare(download_config=settings)
    return builder


def _examples(builder, split="train"):
    return {e["image_id"].decode(): e for e in builder.as_data_source(split=split)}


@pytest.fixture
def manual(tmp_path):
    return tmp_path / "downloads"


def _part(manual, config):
    return {p.name[0]: p for p in manual.iterdir()}[{"l": "C", "s": "A", "g": "B"}[config[0]]]


def test_localization_keeps_points_and_the_bytes_of_the_photographs(tmp_path, manual):
    localization(manual, "train")
    localization(manual, "test")
    builder = _prepare(tmp_path, manual, None)
    assert builder.builder_config.name == "localization"
    assert {k: v.num_examples for k, v in builder.info.splits.items()} == {"train": 3, "test": 3}
    examples = _examples(builder)
    assert set(examples) == set(FOVEA)
    for name, example in examples.items():
        np.testing.assert_array_equal(example["fovea"], np.float32(FOVEA[name]))
        np.testing.assert_array_equal(example["disc"], np.float32(DISC[name]))
        assert example["image"].shape == (HEIGHT, WIDTH, 3)
    keep = tfds.decode.SkipDecoding()
    raw = builder.as_data_source(split="train", decoders={"image": keep})[0]
    folder = manual / "C. Localization/1. Original Images/a. Training Set"
    assert raw["image"] == (folder / f"{raw['image_id'].decode()}.jpg").read_bytes()


@pytest.mark.parametrize("config", list(MAKE))
def test_the_source_is_what_is_read(tmp_path, manual, config):
    for make in MAKE.values():
        make(manual, "train")
        make(manual, "test")
    check_source(Idrid, tmp_path, manual, config)


@pytest.mark.parametrize("config", list(MAKE))
@pytest.mark.parametrize("layout", ["doubled", "the part itself"])
def test_other_places_of_the_part_folder(tmp_path, manual, config, layout):
    MAKE[config](manual, "train")
    part = _part(manual, config)
    if layout == "doubled":
        part.rename(manual / "moved")
        part.mkdir()
        (manual / "moved").rename(part / part.name)
        given = manual
    else:
        given = part
    builder = _prepare(tmp_path, given, config)
    assert list(builder.info.splits) == ["train"]


def test_grading_reads_both_headers(tmp_path, manual):
    _grading(manual, "train")
    _grading(manual, "test")
    builder = _prepare(tmp_path, manual, "grading")
    for split in ("train", "test"):
        for name, example in _examples(builder, split).items():
            got = (example["retinopathy_grade"], example["macular_edema_risk"])
            assert got == GRADES[name]


def test_segmentation_reads_both_encodings_and_missing_lesions(tmp_path, manual):
    _segmentation(manual, "train")
    hidden = manual / "A. Segmentation/1. Original Images/a. Training Set/._IDRiD_01.jpg"
    hidden.write_bytes(b"left by macOS")
    examples = _examples(_prepare(tmp_path, manual, "segmentation"))
    for name, example in examples.items():
        for kind in MASKS:
            absent = name == "IDRiD_02" and kind in ("haemorrhages", "soft_exudates")
            expected = _inside(kind, name) & (not absent)
            assert example[kind].dtype == np.uint8
            np.testing.assert_array_equal(example[kind][..., 0], expected)
    np.testing.assert_array_equal(examples["IDRiD_01"]["findings"], [1, 1, 1, 1])
    np.testing.assert_array_equal(examples["IDRiD_02"]["findings"], [1, 0, 1, 0])


def test_a_photograph_taken_sideways_is_stored_upright(tmp_path, manual):
    """So that it fits its masks and points, and whoever reads the set has nothing to turn."""
    _segmentation(manual, "train")
    path = manual / "A. Segmentation/1. Original Images/a. Training Set/IDRiD_01.jpg"
    upright = np.asarray(Image.open(path))
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer turns it by a quarter clockwise
    sideways = Image.fromarray(np.rot90(upright, 1))
    sideways.save(path, exif=exif, quality=100, subsampling=0)
    example = _examples(_prepare(tmp_path, manual, "segmentation"))["IDRiD_01"]
    assert example["image"].shape == (HEIGHT, WIDTH, 3)
    assert np.abs(example["image"].astype(int) - upright).max() <= 4
    np.testing.assert_array_equal(example["optic_disc"][..., 0], _inside("optic_disc", "IDRiD_01"))


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


C_IMAGES = "C. Localization/1. Original Images/a. Training Set"
C_FOVEA = (
    "C. Localization/2. Groundtruths/2. Fovea Center Location/"
    "IDRiD_Fovea_Center_Training Set_Markups.csv"
)
C_DISC = (
    "C. Localization/2. Groundtruths/1. Optic Disc Center Location/"
    "a. IDRiD_OD_Center_Training Set_Markups.csv"
)
B_TABLE = "B. Disease Grading/2. Groundtruths/a. IDRiD_Disease Grading_Training Labels.csv"
A_IMAGES = "A. Segmentation/1. Original Images/a. Training Set"
A_MASKS = "A. Segmentation/2. All Segmentation Groundtruths/a. Training Set"


def _small_mask(root):
    path = root / A_MASKS / "3. Hard Exudates/IDRiD_02_EX.tif"
    Image.fromarray(np.ones((HEIGHT, WIDTH - 1), bool)).save(path)


def _lossy(path):
    content = io.BytesIO()
    Image.open(path).convert("L").save(content, "JPEG")
    Image.open(content).save(path)


# config, how the download is spoilt, what the message must name
BAD = {
    "image missing": (
        "localization",
        lambda r: (r / C_IMAGES / "IDRiD_002.jpg").unlink(),
        [C_IMAGES, "IDRiD_002", "row 3"],
    ),
    "image cut": (
        "localization",
        lambda r: _cut(r / C_IMAGES / "IDRiD_003.jpg"),
        [C_IMAGES + "/IDRiD_003.jpg", "truncated"],
    ),
    "image empty": (
        "grading",
        lambda r: (
            r / "B. Disease Grading/1. Original Images/a. Training Set/IDRiD_001.jpg"
        ).write_bytes(b""),
        ["IDRiD_001.jpg", "empty"],
    ),
    "fovea row missing": (
        "localization",
        lambda r: _edit(r / C_FOVEA, "IDRiD_002,48.0,0.0", ""),
        [C_FOVEA, "no row for the image IDRiD_002.jpg"],
    ),
    "disc row missing": (
        "localization",
        lambda r: _edit(r / C_DISC, "IDRiD_001,30.0,12.0", ""),
        [C_DISC, "no row for the image IDRiD_001.jpg"],
    ),
    "row doubled": (
        "localization",
        lambda r: _edit(r / C_DISC, "IDRiD_002,1.0", "IDRiD_001,1.0"),
        [C_DISC, "row 3", "IDRiD_001"],
    ),
    "no number": (
        "localization",
        lambda r: _edit(r / C_FOVEA, "7.0,8.25", "7.0,8;25"),
        [C_FOVEA, "row 4", "IDRiD_003", "'8;25'", f"{WIDTH}x{HEIGHT}"],
    ),
    "decimal commas": (
        "localization",
        lambda r: _edit(r / C_FOVEA, "7.0,8.25", "7,0,8,25"),
        [C_FOVEA, "row 4", "the number 8 stands beyond the headers"],
    ),
    "outside": (
        "localization",
        lambda r: _edit(r / C_DISC, "30.0,12.0", "30.0,32.5"),
        [C_DISC, "row 2", "IDRiD_001", "32.5", f"{WIDTH}x{HEIGHT}"],
    ),
    "table missing": (
        "localization",
        lambda r: (r / C_FOVEA).unlink(),
        ["2. Fovea Center Location", "IDRiD_Fovea_Center_Training Set"],
    ),
    "column missing": (
        "grading",
        lambda r: _edit(r / B_TABLE, "Retinopathy grade", "Stage"),
        [B_TABLE, "Retinopathy grade", "Stage"],
    ),
    "grade out of range": (
        "grading",
        lambda r: _edit(r / B_TABLE, "IDRiD_001,3,2", "IDRiD_001,5,2"),
        [B_TABLE, "row 2", "IDRiD_001", "'5'", "0 to 4"],
    ),
    "mask of another size": (
        "segmentation",
        _small_mask,
        ["IDRiD_02_EX.tif", f"{WIDTH - 1}x{HEIGHT}", f"{WIDTH}x{HEIGHT}"],
    ),
    "mask saved as JPEG": (
        "segmentation",
        lambda r: _lossy(r / A_MASKS / "1. Microaneurysms/IDRiD_01_MA.tif"),
        ["1. Microaneurysms/IDRiD_01_MA.tif: holds", "values beside 0"],
    ),
    "mask cut": (
        "segmentation",
        lambda r: _cut(r / A_MASKS / "1. Microaneurysms/IDRiD_01_MA.tif"),
        ["IDRiD_01_MA.tif"],
    ),
    "disc mask missing": (
        "segmentation",
        lambda r: (r / A_MASKS / "5. Optic Disc/IDRiD_02_OD.tif").unlink(),
        ["5. Optic Disc/IDRiD_02_OD.tif", "missing"],
    ),
    "masks missing": (
        "segmentation",
        lambda r: shutil.rmtree(r / A_MASKS / "4. Soft Exudates"),
        ["4. Soft Exudates", "missing"],
    ),
    "image of a mask missing": (
        "segmentation",
        lambda r: (r / A_IMAGES / "IDRiD_01.jpg").unlink(),
        [A_IMAGES, "IDRiD_01_MA.tif"],
    ),
    "no images": (
        "segmentation",
        lambda r: [p.unlink() for p in (r / A_IMAGES).iterdir()],
        [A_IMAGES, "no images"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_spoilt_download_is_named_and_leaves_nothing(tmp_path, manual, case):
    config, spoil, named = BAD[case]
    MAKE[config](manual, "train")
    spoil(manual)
    with pytest.raises(UserError) as caught:
        _prepare(tmp_path, manual, config)
    message = str(caught.value)
    assert "\n" not in message
    for part in named:
        assert part in message
    left = tmp_path / "prepared" / "idrid" / config
    assert not left.exists() or not list(left.rglob("*.*record*"))


@pytest.mark.parametrize("kind", ["missing", "empty", "other", "file"])
def test_a_wrong_manual_dir_says_what_is_expected(tmp_path, kind):
    wrong = tmp_path / "wrong"
    if kind == "file":
        wrong.touch()
    elif kind != "missing":
        wrong.mkdir()
    if kind == "other":
        (wrong / "readme.txt").touch()
    with pytest.raises(UserError, match="C. Localization") as caught:
        _prepare(tmp_path, wrong, "localization")
    assert str(wrong) in str(caught.value)
    assert "\n" not in str(caught.value)
