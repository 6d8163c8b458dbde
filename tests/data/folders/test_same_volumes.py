"""Volumes that are there twice: in one split, or refused."""

import shutil

import numpy as np

from tests.data.folders.decathlon import brains, change, image_of, refused, stored  # noqa: F401 (a fixture)
from tests.data.folders.settings import table
from tests.data.folders.test_volumes import labels_of, prepare, records, write


def twice(root, old, new):
    """The image of a case as that of another, with another header and other labels."""
    write(root / new, image_of(int(old[-3:])), (1.0, 2.0, 3.0))
    number = int(new.removesuffix(".nii.gz")[-3:])
    labels = root / new.replace("images", "labels")
    write(labels, labels_of(number), (1.0, 2.0, 3.0))


def test_they_stay_in_one_split(brains, capfd):  # noqa: F811
    for new in (20, 21, 22):
        twice(brains, "BRATS_001", f"imagesTr/BRATS_{new:03d}.nii.gz")
    for seed in range(6):  # the three would not lie together by chance each time
        words = ("--seed", str(seed), "--validation", "0.5", "--overwrite")
        assert prepare(brains, *words) == 0
        names = ["BRATS_001", "BRATS_020", "BRATS_021", "BRATS_022"]
        held = records(brains, "validation")
        assert len({name in held for name in names}) == 1
    shown = capfd.readouterr().out
    line = "same image   BRATS_001, BRATS_020, BRATS_021, BRATS_022: voxel by voxel, kept in one"
    assert line in shown
    np.testing.assert_array_equal(
        stored(brains)["BRATS_020"]["image"], stored(brains)["BRATS_001"]["image"]
    )


def test_a_given_split_that_parts_them_is_refused(brains, capfd):  # noqa: F811
    twice(brains, "BRATS_001", "imagesTr/BRATS_020.nii.gz")
    rows = [(f"BRATS_{n:03d}", "train" if n else "validation") for n in range(5)]
    split = table(brains.parent / "split.csv", ("name", "split"), *rows, ("BRATS_020", "test"))
    message = "split.csv: one image on both sides, voxel by voxel: BRATS_001 in train, BRATS_020 in"
    refused(brains, capfd, message, words=("--split", split))
    table(split, ("name", "split"), *rows, ("BRATS_020", "train"))
    assert prepare(brains, "--split", split) == 0


def test_one_among_the_tests_and_one_to_train_on_are_refused(brains, capfd):  # noqa: F811
    shutil.rmtree(brains / "imagesTs")
    change(brains, test=None)
    write(brains / "imagesTs" / "new_050.nii.gz", image_of(50))
    write(brains / "labelsTs" / "new_050.nii.gz", labels_of(50))
    twice(brains, "BRATS_003", "imagesTs/new_051.nii.gz")
    message = "imagesTs: one image on both sides, voxel by voxel: BRATS_003 in "
    refused(brains, capfd, message, ", new_051 in test\n")
    # Two that are both among the tests are no harm
    twice(brains, "BRATS_050", "imagesTs/new_051.nii.gz")
    assert prepare(brains) == 0
    assert len(records(brains, "test")) == 2
