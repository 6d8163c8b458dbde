"""nnU-Net's layout beyond the plain one: images of four axes, listed files, test images."""

import numpy as np
import pytest

from segjax.cli import main
from tests.data.folders.decathlon import (
    CASES,
    CHANNELS,
    brains,
    change,
    image_of,
    made,
    refused,
    stored,
)
from tests.data.folders.settings import table
from tests.data.folders.test_volumes import SHAPE, labels_of, prepare, records, write

__all__ = ["brains"]

# --- four axes ---------------------------------------------------------------------------------


def test_one_file_with_all_channels_is_a_case(brains, capfd):
    before = {path: path.stat().st_mtime_ns for path in brains.rglob("*")}
    assert prepare(brains) == 0
    shown = capfd.readouterr().out
    assert f"channels     {', '.join(CHANNELS)}" in shown
    assert "imagesTs     5 volumes without labels, not stored; segjax predict takes them" in shown
    assert {path: path.stat().st_mtime_ns for path in brains.rglob("*")} == before
    found = stored(brains)
    assert sorted(found) == [f"BRATS_{n:03d}" for n in range(CASES)]
    for name, example in found.items():
        voxels = image_of(int(name[-3:]))
        assert example["image"].shape == (*SHAPE[::-1], 4)
        for x, y, z, channel in np.ndindex(voxels.shape):
            assert example["image"][z, y, x, channel] == voxels[x, y, z, channel]
        np.testing.assert_array_equal(example["labels"], labels_of(int(name[-3:])).T)
        np.testing.assert_array_equal(example["spacing"], [3, 1, 1])
    assert made(brains).MODALITIES == CHANNELS
    assert set(made(brains).info.splits) == {"train", "validation"}


def test_names_of_cases_may_end_in_four_digits(brains):
    for folder in ("imagesTr", "labelsTr"):
        for path in sorted((brains / folder).iterdir()):
            path.rename(path.with_name(path.name.replace("_00", "_000")))
    change(brains, training=None)
    assert prepare(brains) == 0
    assert sorted(stored(brains)) == [f"BRATS_{n:04d}" for n in range(CASES)]


def test_a_file_of_another_number_of_channels(brains, capfd):
    path = brains / "imagesTr" / "BRATS_002.nii.gz"
    for voxels, holds in (
        (image_of(2, 3), "holds 3 channels (6x5x4x3 voxels)"),
        (image_of(2)[..., 0], "holds 1 channel (6x5x4 voxels)"),
    ):
        write(path, voxels)
        refused(brains, capfd, f"{path}: {holds}; dataset.json lists 4")
    write(path, np.zeros((*SHAPE, 2, 4), np.float32))
    refused(brains, capfd, f"{path}: has 6x5x4x2x4 voxels; three or four axes are taken")
    write(path, image_of(2))
    change(brains, modality={"0": "FLAIR"})
    refused(brains, capfd, "BRATS_000.nii.gz: holds 4 channels", "; dataset.json lists 1")


def test_an_image_of_four_axes_on_another_grid_than_its_labels(brains, capfd):
    write(brains / "labelsTr" / "BRATS_001.nii.gz", labels_of(1)[:5])
    refused(brains, capfd, "labelsTr/BRATS_001.nii.gz: has 5x5x4 voxels, ", "has 6x5x4")
    write(brains / "labelsTr" / "BRATS_001.nii.gz", labels_of(1), (1.0, 2.0, 3.0))
    refused(brains, capfd, "labelsTr/BRATS_001.nii.gz: its affine differs from that of ")
    write(brains / "labelsTr" / "BRATS_001.nii.gz", np.stack([labels_of(1)] * 4, axis=-1))
    refused(brains, capfd, "labelsTr/BRATS_001.nii.gz: has 6x5x4x4 voxels; three axes are taken")


@pytest.mark.parametrize(
    "listed, message",
    [
        (
            {
                "training": [
                    {"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/BRATS_001.nii.gz"}
                ]
            },
            "names 1 file that is not in imagesTr: a.nii.gz",
        ),
        (
            {
                "training": [
                    {"image": "./imagesTr/BRATS_001.nii.gz", "label": "./labelsTr/b.nii.gz"}
                ]
            },
            "names 1 file that is not in labelsTr: b.nii.gz",
        ),
        ({"training": ["./imagesTr/a.nii.gz"]}, "training: takes objects with image and label"),
        ({"test": ["./imagesTs/c.nii.gz"]}, "names 1 file that is not in imagesTs: c.nii.gz"),
    ],
)
def test_files_that_are_listed_and_not_there(brains, capfd, listed, message):
    change(brains, **listed)
    refused(brains, capfd, "dataset.json: ", message)


def test_images_listed_without_their_channels_are_those_of_nnunet_v1(brains):
    """Its dataset.json lists CASE.nii.gz where the files are CASE_0000.nii.gz and so on."""
    for path in sorted((brains / "imagesTr").iterdir()):
        number = int(path.name[6:9])
        for channel in range(4):
            name = path.name.replace(".nii.gz", f"_{channel:04d}.nii.gz")
            write(path.with_name(name), image_of(number)[..., channel])
        path.unlink()
    assert prepare(brains) == 0
    found = stored(brains)["BRATS_003"]["image"]
    np.testing.assert_array_equal(found, np.moveaxis(image_of(3), -1, 0).T)


# --- imagesTs ----------------------------------------------------------------------------------


def label_tests(root, numbers=range(CASES)):
    for n in numbers:
        write(root / "labelsTs" / f"BRATS_{n + 50:03d}.nii.gz", labels_of(n + 50))


def test_test_images_with_labels_are_the_split_test(brains, capfd):
    label_tests(brains)
    assert prepare(brains) == 0
    shown = capfd.readouterr().out
    assert (
        "splits       train 4, validation 1: cases drawn with seed 0; test 5 from labelsTs" in shown
        and "imagesTs" not in shown
    )
    tests = records(brains, "test")
    assert sorted(tests) == [f"BRATS_{n + 50:03d}" for n in range(CASES)]
    np.testing.assert_array_equal(tests["BRATS_052"]["labels"], labels_of(52).T)
    np.testing.assert_array_equal(tests["BRATS_052"]["image"], image_of(52).transpose(2, 1, 0, 3))
    assert sorted(stored(brains)) == [f"BRATS_{n:03d}" for n in range(CASES)]
    # The split that is written down is taken again, and gives the same set
    splits = brains.parent / "data" / "livers" / "1.0.0" / "splits.csv"
    kept = splits.rename(brains.parent / "kept.csv")
    (brains.parent / "data").rename(brains.parent / "first")
    assert prepare(brains, "--split", kept) == 0
    assert splits.read_text() == kept.read_text()


def test_a_table_need_not_name_the_tests_and_may_move_them(brains):
    label_tests(brains)
    rows = [(f"BRATS_{n:03d}", "train" if n else "validation") for n in range(CASES)]
    split = table(brains.parent / "split.csv", ("name", "split"), *rows)
    assert prepare(brains, "--split", split) == 0
    assert len(records(brains, "test")) == CASES and len(records(brains, "train")) == 4
    rows += [(f"BRATS_{n + 50:03d}", "train") for n in range(CASES)]
    table(split, ("name", "split"), *rows)
    assert prepare(brains, "--split", split, "--overwrite") == 0
    assert len(records(brains, "train")) == 9


def test_what_is_wrong_with_test_images(brains, capfd):
    label_tests(brains, range(3))
    refused(brains, capfd, "labelsTs: 2 cases have no labels: BRATS_053, BRATS_054")
    label_tests(brains)
    words = ("--test", "0.2")
    refused(brains, capfd, "--test 0.2: labelsTs holds the 5 test cases already", words=words)
    words = ("--group", "BRATS_0{group}[0-9]")
    refused(brains, capfd, "does not fit", words=words)
    for n in range(CASES):  # every fifth case is of one patient
        for what in ("images", "labels"):
            for part, number in (("Tr", n), ("Ts", n + 50)):
                old = brains / f"{what}{part}" / f"BRATS_{number:03d}.nii.gz"
                old.rename(old.with_name(f"p{n}_{number}.nii.gz"))
    change(brains, training=None, test=None)
    for words in (("--group", "p{group}_*"), ("--group", "{group}_*")):
        refused(brains, capfd, "is on both sides: p", words=words)
    for n in range(CASES):
        for what in ("images", "labels"):
            old = brains / f"{what}Ts" / f"p{n}_{n + 50}.nii.gz"
            old.rename(old.with_name(f"p{n}_{n}.nii.gz"))
    refused(brains, capfd, "labelsTs: 5 cases have names of labelsTr: p0_0, p1_1")


def test_labels_of_tests_without_images(brains, capfd):
    label_tests(brains)
    (brains / "imagesTs" / "BRATS_051.nii.gz").unlink()
    change(brains, test=None)
    refused(brains, capfd, "imagesTs: 1 case has no image: BRATS_051")


@pytest.mark.parametrize(
    "names, channels, count",
    [
        (["a_0000", "a_0001", "b_0000", "b_0001"], 2, 2),
        (["a_0000", "b_0000", "c_0000"], 1, 3),
        (["case_0001", "case_0002", "case_0007"], 2, 3),
        (["a", "b"], 2, 2),
    ],
)
def test_test_images_are_counted_by_case(brains, capfd, names, channels, count):
    for path in [*(brains / "imagesTs").iterdir(), *(brains / "imagesTr").iterdir()]:
        path.unlink()
    for n in range(CASES):
        write(brains / "imagesTr" / f"BRATS_{n:03d}.nii.gz", image_of(n, channels))
    for name in names:
        (brains / "imagesTs" / f"{name}.nii.gz").write_bytes(b"")
    change(brains, modality={str(n): f"m{n}" for n in range(channels)}, test=None)
    assert prepare(brains, "--dry_run") == 0
    assert f"imagesTs     {count} volumes without labels, not stored" in capfd.readouterr().out


def test_a_data_dir_within_the_folder_is_refused(brains, capfd):
    before = sorted(brains.rglob("*"))
    words = ["data", "prepare", "nnunet", "--manual_dir", str(brains), "--name", "livers"]
    assert main([*words, "--data_dir", str(brains / "data")]) == 2
    assert "into which nothing is written" in capfd.readouterr().err
    assert sorted(brains.rglob("*")) == before
