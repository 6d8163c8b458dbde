"""Labels of nnU-Net's dataset.json that are no plain classes: what is ignored, and regions."""

import json

import numpy as np
import pytest

from segjax.cli import main
from tests.data.folders.decathlon import CASES, brains, change, made, refused, stored
from tests.data.folders.test_volumes import SHAPE, labels_of, prepare, write

__all__ = ["brains"]

# --- what is ignored ---------------------------------------------------------------------------

IGNORE = {"background": 0, "edema": 1, "tumour": 2, "ignore": 3}


def scribbled(seed):
    """Labels of which half are not known, written as 3."""
    labels = labels_of(seed)
    labels[np.random.default_rng(100 + seed).random(SHAPE) < 0.5] = 3
    labels.reshape(-1)[:4] = 0, 1, 2, 3
    return labels


@pytest.fixture
def scribbles(brains):
    for n in range(CASES):
        write(brains / "labelsTr" / f"BRATS_{n:03d}.nii.gz", scribbled(n))
    change(brains, labels=IGNORE)
    return brains


def test_what_is_ignored_is_stored_as_255(scribbles, capfd):
    assert prepare(scribbles) == 0
    share = np.mean([scribbled(n) == 3 for n in range(CASES)])
    shown = capfd.readouterr().out
    assert f"left out     {100 * share:.3g} % of all voxels, of the label 3 (ignore)" in shown
    assert "class        tumour: label 2; in 5 of 5 cases" in shown
    for name, example in stored(scribbles).items():
        wanted = scribbled(int(name[-3:])).T
        np.testing.assert_array_equal(example["labels"], np.where(wanted == 3, 255, wanted))
    assert made(scribbles).CLASSES == ("edema", "tumour")
    place = ["--data_dir", str(scribbles.parent / "data")]
    assert main(["plan", "livers", *place]) == 0
    plan = json.loads((scribbles.parent / "data" / "plans" / "livers-v1.json").read_text())
    assert plan["classes"] == ["edema", "tumour"]
    for n in range(CASES):
        write(scribbles / "labelsTr" / f"BRATS_{n:03d}.nii.gz", labels_of(n))
    assert prepare(scribbles, "--overwrite") == 0  # the label may be there without a voxel
    assert "left out     0 % of all voxels" in capfd.readouterr().out
    assert "ignored" not in made(scribbles).info.metadata


@pytest.mark.parametrize(
    "labels, message",
    [
        (
            {"background": 0, "ignore": 1, "edema": 2, "tumour": 3},
            "'ignore' takes one number, the highest of all, got 1 beside 0, 2, 3",
        ),
        (
            {"background": 0, "edema": 1, "tumour": 2, "ignore": 2},
            "'ignore' takes one number, the highest of all, got 2 beside 0, 1, 2",
        ),
        (
            {"background": 0, "edema": 1, "tumour": 2, "ignore": [3, 4]},
            "'ignore' takes one number, the highest of all, got 3, 4 beside 0, 1, 2",
        ),
        ({"background": 0, "ignore": 3}, "labels: takes 0, 1, 2, … once each, got 0"),
        (
            {"background": 0, "edema": 1, "tumour": 2, "ignore": 300},
            "labels: 'ignore' takes 0 to 255, got 300",
        ),
        ({"background": 0, "edema": 1, "ignore": 2}, "BRATS_000.nii.gz: holds the label 3; taken"),
    ],
)
def test_numbers_that_cannot_be_ignored(scribbles, capfd, labels, message):
    change(scribbles, labels=labels)
    refused(scribbles, capfd, message)


def test_a_case_without_any_known_voxel(scribbles, capfd):
    path = scribbles / "labelsTr" / "BRATS_004.nii.gz"
    write(path, np.full(SHAPE, 3, np.uint8))
    refused(scribbles, capfd, f"{path}: all of its voxels are labelled ignore")


def test_files_are_read_again_where_dataset_json_gives_them_another_meaning(scribbles, capfd):
    """What a dry run has kept of the files does not hide a label that is no longer listed."""
    assert prepare(scribbles, "--dry_run") == 0
    change(scribbles, labels=IGNORE | {"cyst": 3, "ignore": 4})
    capfd.readouterr()
    assert prepare(scribbles, "--dry_run") == 0
    assert "class        cyst: label 3; in 5 of 5 cases" in capfd.readouterr().out
    change(scribbles, labels={"background": 0, "edema": 1, "tumour": 2})
    refused(scribbles, capfd, "BRATS_000.nii.gz: holds the label 3; taken are 0, 1, 2")


# --- regions -----------------------------------------------------------------------------------


def painted(labels, regions, order):
    """What nnU-Net writes for regions that are predicted without a fault, voxel by voxel."""
    result = np.zeros_like(labels)
    for members, number in zip(regions, order, strict=True):
        result[np.isin(labels, members)] = number
    return result


@pytest.mark.parametrize(
    "regions, order, classes, lines",
    [
        (
            {"whole_tumor": [1, 2, 3], "core": [2, 3], "enhancing": 3},
            [1, 2, 3],
            ("whole_tumor_only", "core_only", "enhancing"),
            [
                "class        core_only: label 2; in 5",
                "region       whole_tumor: whole_tumor_only + core_only + enhancing",
                "region       core: core_only + enhancing",
                "region       enhancing: enhancing",
            ],
        ),
        # As KiTS 2023 has them: numbers out of order
        (
            {"kidney": [1, 2, 3], "masses": [2, 3], "tumour": [2]},
            [1, 3, 2],
            ("kidney_only", "tumour", "masses_only"),
            [
                "class        masses_only: label 3; in 5",
                "region       masses: tumour + masses_only",
            ],
        ),
        # Apart from each other, and one of several numbers
        (
            {"left": [1, 3], "right": [2]},
            [2, 1],
            ("right", "left"),
            ["class        left: label 1, 3; in 5", "region       left: left"],
        ),
    ],
)
def test_regions_become_the_classes_that_nnunet_paints(
    brains, capfd, regions, order, classes, lines
):
    for n in range(CASES):
        write(brains / "labelsTr" / f"BRATS_{n:03d}.nii.gz", scribbled(n))
    change(brains, labels={"background": 0} | regions, regions_class_order=order)
    assert prepare(brains) == 0
    shown = capfd.readouterr().out
    for line in lines:
        assert line in shown, shown
    assert made(brains).CLASSES == classes
    members = [m if isinstance(m, list) else [m] for m in regions.values()]
    for name, example in stored(brains).items():
        wanted = painted(scribbled(int(name[-3:])), members, order)
        np.testing.assert_array_equal(example["labels"], wanted.T)


def test_a_region_that_others_make_up_is_no_class_and_what_is_ignored_stays_so(brains, capfd):
    for n in range(CASES):
        write(brains / "labelsTr" / f"BRATS_{n:03d}.nii.gz", scribbled(n))
    labels = {"background": 0, "both": [1, 2], "one": 1, "two": 2, "ignore": 3}
    change(brains, labels=labels, regions_class_order=[3, 1, 2])
    assert prepare(brains) == 0
    assert "region       both: one + two" in capfd.readouterr().out
    assert made(brains).CLASSES == ("one", "two")
    wanted = scribbled(2).T
    found = stored(brains)["BRATS_002"]["labels"]
    np.testing.assert_array_equal(found, np.where(wanted == 3, 255, wanted))


@pytest.mark.parametrize(
    "labels, order, message",
    [
        (
            {"background": 0, "a": [1, 2], "b": [2, 3]},
            [1, 2],
            "the region 'b' is written over 'a' and is no part of it",
        ),
        (
            {"background": 0, "a": 1, "b": [1, 2]},
            [1, 2],
            "the region 'b' is written over 'a' and is no part of it",
        ),
        (
            {"background": 0, "a": [1, 2], "b": [2, 1]},
            [1, 2],
            "the region 'b' is written over 'a' and is no part of it",
        ),
        (
            {"background": 0, "a": [1, 2], "b": [0, 1]},
            [1, 2],
            "the region 'b' holds 0, the background",
        ),
        (
            {"background": 0, "a": [1, 2], "b": 2},
            [1],
            "regions_class_order: takes a number above 0 for each of a, b, got [1]",
        ),
        (
            {"background": 0, "a": [1, 2], "b": 2},
            None,
            "regions_class_order: takes a number above 0 for each of a, b, got None",
        ),
        (
            {"background": 0, "a": [1, 2], "b": 2},
            [0, 1],
            "regions_class_order: takes a number above 0 for each of a, b, got [0, 1]",
        ),
        (
            {"background": 0, "a": [1, 2], "b": 2},
            [1, 1],
            "regions_class_order: gives 1 to several regions",
        ),
        (
            {"background": 0, "a": [1, 2], "b": 2, "a_only": 3},
            [1, 2, 3],
            "labels: a name ends in '_only'",
        ),
        ({"background": 0, "a": [1, "x"]}, [1], "labels: 'a' has no whole number: [1, 'x']"),
        (
            {"background": 0, "a": [2, 3]},
            [1],
            "BRATS_000.nii.gz: holds the label 1; taken are 0, 2",
        ),
    ],
)
def test_regions_that_are_no_classes(brains, capfd, labels, order, message):
    change(brains, labels=labels, regions_class_order=order)
    refused(brains, capfd, message)
