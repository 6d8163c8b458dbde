"""idrid/lesions: photographs of part A with masks of lesions, healthy ones of part B."""

import shutil

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from segjax.cli import main
from segjax.data import downloads, store
from segjax.data.dataset import Dataset
from segjax.data.sets import idrid_lesions
from segjax.data.sets.idrid import LESIONS, Idrid
from tests.data import test_idrid as official
from tests.data.preparing import check_refused, examples, opened, prepare, wrong_folder

WIDTH, HEIGHT = official.WIDTH, official.HEIGHT
A_TRAIN, B_TRAIN = official.A_IMAGES, "B. Disease Grading/1. Original Images/a. Training Set"
B_TEST = "B. Disease Grading/1. Original Images/b. Testing Set"
GRADES = {"IDRiD_001": 0, "IDRiD_002": 2, "IDRiD_003": 0, "IDRiD_004": 0}


def photograph(path, seed):
    """A gradient of its own: thumbnails of two differ by far more than copies do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    plane = 128 + 60 * np.sin(2 * np.pi * (x / WIDTH * (seed % 5) + y / HEIGHT * (seed // 5 + 1)))
    Image.fromarray(np.stack([plane] * 3, -1).astype(np.uint8)).save(path, quality=95)


def part_a(root, split, names, first_seed):
    folder, _ = official.SETS[split]
    part = root / "A. Segmentation"
    for number, name in enumerate(names):
        photograph(part / "1. Original Images" / folder / f"{name}.jpg", first_seed + number)
    for kind, (masks_in, suffix) in official.MASKS.items():
        place = part / "2. All Segmentation Groundtruths" / folder / masks_in
        place.mkdir(parents=True)
        for name in names:
            if (name, kind) not in (
                ("IDRiD_02", "microaneurysms"),
                ("IDRiD_01", "soft_exudates"),
            ):
                mask = Image.fromarray(official._inside(kind, name))
                mask.save(place / f"{name}_{suffix}.tif")


def part_b(root, split, grades, first_seed):
    folder, word = official.SETS[split]
    part = root / "B. Disease Grading"
    for number, name in enumerate(grades):
        photograph(part / "1. Original Images" / folder / f"{name}.jpg", first_seed + number)
    table = part / "2. Groundtruths" / f"{folder[:3]}IDRiD_Disease Grading_{word} Labels.csv"
    rows = [(name, grade, 0) for name, grade in grades.items()]
    official._table(table, "Image name,Retinopathy grade,Risk of macular edema ", rows)


@pytest.fixture
def manual(tmp_path):
    """Both parts with their test sets; that of part B has a healthy photograph of its own."""
    root = tmp_path / "downloads"
    part_a(root, "train", ["IDRiD_01", "IDRiD_02"], 0)
    part_a(root, "test", ["IDRiD_55"], 2)
    part_b(root, "train", GRADES, 3)
    part_b(root, "test", {"IDRiD_001": 0, "IDRiD_002": 3}, 7)
    return root


def made_of(tmp_path, manual):
    return prepare(Idrid, tmp_path, manual, "lesions")


def test_lesions_are_those_of_part_a_and_healthy_ones_those_graded_0(tmp_path, manual):
    made = made_of(tmp_path, manual)
    found = {split: examples(made, split) for split in made.info.splits}
    assert made.info.features["healthy"].shape == ()
    assert made.info.features["healthy"].np_dtype == np.uint8
    names = {split: {*each} for split, each in found.items()}
    assert names == {
        "train": {"IDRiD_01", "IDRiD_02"},
        "test": {"IDRiD_55"},
        "healthy": {"IDRiD_001", "IDRiD_003", "IDRiD_004"},
    }
    for split, each in found.items():
        for name, example in each.items():
            assert {*example} == {"image", "image_id", "healthy", *LESIONS}
            assert example["image"].shape == (HEIGHT, WIDTH, 3)
            assert example["healthy"] == (split == "healthy")
            for kind in LESIONS:
                absent = split == "healthy" or (name, kind) in (
                    ("IDRiD_02", "microaneurysms"),
                    ("IDRiD_01", "soft_exudates"),
                )
                expected = np.zeros((HEIGHT, WIDTH)) if absent else official._inside(kind, name)
                assert example[kind].dtype == np.uint8
                np.testing.assert_array_equal(example[kind][..., 0], expected)


def test_a_healthy_photograph_is_the_one_of_the_training_set(tmp_path, manual):
    """Part B begins its numbers anew in the test set, whose photographs are never taken."""
    found = examples(made_of(tmp_path, manual), "healthy")["IDRiD_001"]["image"]
    training, test = (
        np.asarray(Image.open(manual / folder / "IDRiD_001.jpg")) for folder in (B_TRAIN, B_TEST)
    )
    assert np.abs(found.astype(int) - training).max() <= 4
    assert np.abs(found.astype(int) - test).mean() > 10


def test_masks_of_healthy_photographs_have_their_size(tmp_path, manual):
    path = manual / B_TRAIN / "IDRiD_003.jpg"
    Image.open(path).resize((60, 40)).save(path, quality=95)
    example = examples(made_of(tmp_path, manual), "healthy")["IDRiD_003"]
    assert example["image"].shape == (40, 60, 3)
    assert all(example[kind].shape == (40, 60, 1) for kind in LESIONS)


def test_the_test_sets_may_be_missing(tmp_path, manual):
    shutil.rmtree(manual / "A. Segmentation/1. Original Images/b. Testing Set")
    shutil.rmtree(manual / B_TEST)
    (table,) = manual.rglob("*Testing Labels.csv")
    table.unlink()
    assert {*made_of(tmp_path, manual).info.splits} == {"train", "healthy"}


def test_splits_may_be_joined(tmp_path, manual):
    made_of(tmp_path, manual)
    splits = {"train": "train[:1]+healthy[:2]", "validation": "train[1:]+healthy[2:]"}
    section = {"name": "idrid/lesions", "data_dir": str(tmp_path / "prepared"), "splits": splits}
    data = Dataset(ConfigDict(section))
    assert (data.count("train"), data.count("validation")) == (3, 2)
    assert data.column("train", "healthy") == [0, 1, 1]
    assert data.column("validation", "healthy") == [0, 1]
    assert len({*data.names("train"), *data.names("validation")}) == 5


def test_the_order_depends_on_the_names_alone(tmp_path):
    """So that `train[:9]` is the same everywhere, and of more photographs in the same order."""
    names = [f"IDRiD_{number:02d}" for number in range(1, 9)]
    orders = []
    for number, few in enumerate((names, names, names[::2])):
        place = tmp_path / str(number)
        # The second download has other pictures, larger ones, under the same names
        part_a(place / "downloads", "train", few, 8 * number)
        part_b(place / "downloads", "train", GRADES, 30)
        if number == 1:
            for path in (place / "downloads/A. Segmentation").rglob("IDRiD*"):
                picture = Image.open(path)
                picture.resize((WIDTH * 2, HEIGHT * 2), Image.Resampling.NEAREST).save(path)
        made = made_of(place, place / "downloads")
        orders.append([e["image_id"].decode() for e in made.as_data_source(split="train")])
    assert orders[0] == orders[1] != sorted(names)
    assert orders[2] == [name for name in orders[0] if name in names[::2]]


def test_its_source_is_what_may_be_read(tmp_path, manual):
    with opened() as paths:
        made = made_of(tmp_path, manual)
    found = made.source_files(manual)
    read = {path for path in paths if path.is_relative_to(manual)}
    assert read and read <= {*found.values()}
    graded = manual / B_TRAIN / "IDRiD_002.jpg"  # the table may grade it 0 tomorrow
    assert {*found.values()} - read == {graded}
    assert {name.split("/")[0] for name in found} == {"A. Segmentation", "B. Disease Grading"}


# --- photographs that stand twice -----------------------------------------------------------------


def test_of_healthy_photographs_that_show_the_same_the_first_is_taken(tmp_path, manual, capfd):
    folder = manual / B_TRAIN
    # Larger than a thumbnail, as photographs are; then smaller and coded once more: no copied bytes
    large = Image.open(folder / "IDRiD_001.jpg").resize((8 * WIDTH, 8 * HEIGHT))
    large.save(folder / "IDRiD_001.jpg", quality=95)
    large.resize((4 * WIDTH, 4 * HEIGHT)).save(folder / "IDRiD_003.jpg", quality=80)
    shutil.copy(folder / "IDRiD_001.jpg", folder / "IDRiD_004.jpg")
    made = made_of(tmp_path, manual)
    assert {*examples(made, "healthy")} == {"IDRiD_001"}
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("segjax: ")]
    assert len(lines) == 2
    for line, name in zip(lines, ("IDRiD_003.jpg", "IDRiD_004.jpg"), strict=True):
        assert str(folder / "IDRiD_001.jpg") in line and str(folder / name) in line
        assert "only the former is taken" in line


def test_photographs_of_part_a_that_show_the_same_are_said_and_taken(tmp_path, manual, capfd):
    first = manual / A_TRAIN / "IDRiD_01.jpg"
    test = manual / "A. Segmentation/1. Original Images/b. Testing Set/IDRiD_55.jpg"
    shutil.copy(first, test)
    made = made_of(tmp_path, manual)
    assert {s: i.num_examples for s, i in made.info.splits.items()} == {
        "train": 2,
        "test": 1,
        "healthy": 3,
    }
    (line,) = [x for x in capfd.readouterr().err.splitlines() if x.startswith("segjax: ")]
    assert str(first) in line and str(test) in line
    assert "both are taken, one for the split train, one for test" in line


def test_what_differs_is_not_remarked_on(tmp_path, manual, capfd):
    made_of(tmp_path, manual)
    assert "segjax: " not in capfd.readouterr().err


# --- what is refused ------------------------------------------------------------------------------


def regrade(root, grade):
    path = root / official.B_TABLE
    for name in ("IDRiD_001", "IDRiD_003", "IDRiD_004"):
        official._edit(path, f"{name},0", f"{name},{grade}")


def without_masks(root):
    for path in (root / official.A_MASKS).rglob("*.tif"):
        path.unlink()


def rename(root, folder, old, new):
    (root / folder / old).rename(root / folder / new)


BAD = {
    "no part B": (
        lambda r: shutil.rmtree(r / "B. Disease Grading"),
        ["downloads", "'B. Disease Grading'"],
    ),
    "no part A": (lambda r: shutil.rmtree(r / "A. Segmentation"), ["'A. Segmentation'"]),
    "no training set of A": (
        lambda r: shutil.rmtree(r / A_TRAIN),
        [A_TRAIN, "the training set must be there"],
    ),
    "no training set of B": (
        lambda r: shutil.rmtree(r / B_TRAIN),
        [B_TRAIN, "the training set must be there"],
    ),
    "no grades": (
        lambda r: (r / official.B_TABLE).unlink(),
        ["B. Disease Grading/2. Groundtruths", "Training Labels"],
    ),
    "none graded 0": (
        lambda r: regrade(r, 1),
        ["B. Disease Grading", "no photograph of the training set is graded 0"],
    ),
    "a grade missing": (
        lambda r: official._edit(r / official.B_TABLE, "IDRiD_003,0,0", ""),
        [official.B_TABLE, "no row for the image IDRiD_003.jpg"],
    ),
    "no lesion": (without_masks, [official.A_MASKS, "no photograph has the mask of a lesion"]),
    "a folder of masks missing": (
        lambda r: shutil.rmtree(r / official.A_MASKS / "1. Microaneurysms"),
        ["1. Microaneurysms", "missing"],
    ),
    "mask of another size": (
        official._small_mask,
        ["IDRiD_02_EX.tif", f"{WIDTH - 1}x{HEIGHT}", f"{WIDTH}x{HEIGHT}"],
    ),
    "one photograph in both parts": (
        lambda r: shutil.copy(r / A_TRAIN / "IDRiD_02.jpg", r / B_TRAIN / "IDRiD_004.jpg"),
        [f"{A_TRAIN}/IDRiD_02.jpg", f"{B_TRAIN}/IDRiD_004.jpg", "graded 0"],
    ),
    "one name in both splits of A": (
        lambda r: (
            rename(r, A_TRAIN.replace("a. Training", "b. Testing"), "IDRiD_55.jpg", "IDRiD_02.jpg")
            or [
                path.rename(path.with_name(path.name.replace("_55_", "_02_")))
                for path in r.rglob("IDRiD_55_*.tif")
            ]
        ),
        ["IDRiD_02.jpg", "b. Testing Set", "two photographs have one name"],
    ),
    "photograph cut": (
        lambda r: official._cut(r / B_TRAIN / "IDRiD_003.jpg"),
        [f"{B_TRAIN}/IDRiD_003.jpg", "truncated"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_spoilt_download_is_named_and_leaves_nothing(tmp_path, manual, case):
    spoil, named = BAD[case]
    spoil(manual)
    check_refused(Idrid, tmp_path, manual, named, "lesions")


@pytest.mark.parametrize("kind", ["missing", "empty", "other"])
def test_a_wrong_folder_says_what_is_expected(tmp_path, kind):
    named = [str(tmp_path / "wrong"), "A. Segmentation"]
    check_refused(Idrid, tmp_path, wrong_folder(tmp_path, kind), named, "lesions")


# --- commands -------------------------------------------------------------------------------------


def test_the_command_prepares_it_and_takes_no_run(tmp_path, manual, capsys):
    words = ["data", "prepare", "idrid/lesions", "--data_dir", str(tmp_path / "data")]
    assert main([*words, "--manual_dir", str(manual), "--fovea", str(tmp_path)]) == 2
    assert "goes with `segjax data prepare idrid/findings`" in capsys.readouterr().err
    assert main([*words, "--manual_dir", str(manual)]) == 0
    assert "(train 2, test 1, healthy 3)" in capsys.readouterr().out
    made = store.builder("idrid/lesions", str(tmp_path / "data"))
    assert downloads.prepare(made, str(manual), overwrite=False) == (False, "")
    # What the records do not depend on may change
    next(manual.rglob("IDRiD_01_OD.tif")).unlink()
    assert main([*words, "--manual_dir", str(manual)]) == 0
    official._edit(manual / official.B_TABLE, "IDRiD_002,2", "IDRiD_002,0")
    assert main([*words, "--manual_dir", str(manual)]) == 2
    assert "1 changed" in capsys.readouterr().err


def test_the_names_of_the_fields_are_those_of_the_masks():
    assert [*idrid_lesions.features(LESIONS)] == [*LESIONS, "healthy"]
