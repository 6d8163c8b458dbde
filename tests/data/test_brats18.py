import pathlib
import shutil

import numpy as np
import pytest

from segjax.data.sets.brats18 import Brats18
from tests.data.fake_volumes import cut, write
from tests.data.preparing import check_refused, check_source, examples, prepare

SHAPE = (40, 36, 32)
SPACING = (1.0, 1.0, 1.0)
# In the order of their names, which is not that of their numbers.
NAMES = (
    "Brats18_2013_10_1",
    "Brats18_2013_2_1",
    "Brats18_CBICA_AAB_1",
    "Brats18_TCIA01_131_1",
    "Brats18_TCIA08_469_1",
)
SUFFIXES = ("t2", "t1", "t1ce", "flair")


def _image(case, suffix):
    rng = np.random.default_rng([case, SUFFIXES.index(suffix)])
    return rng.integers(0, 2000, SHAPE).astype(np.int16)


def _labels(case):
    labels = np.zeros(SHAPE, np.uint8)
    labels[10:30, 8:28, 9:25] = 2
    labels[14:24, 12:22, 11:20] = 4
    labels[15:20, 13:20, 12 : 14 + case] = 1
    return labels


@pytest.fixture
def manual(tmp_path):
    root = tmp_path / "downloads"
    part = root / "MICCAI_BraTS_2018_Data_Training"
    for case, name in enumerate(NAMES):
        for suffix in SUFFIXES:
            path = part / "HGG" / name / f"{name}_{suffix}.nii.gz"
            write(path, _image(case, suffix), SPACING)
        write(part / "HGG" / name / f"{name}_seg.nii.gz", _labels(case), SPACING)
    (part / "LGG" / "Brats18_TCIA09_141_1").mkdir(parents=True)
    (part / "HGG" / "notes.txt").touch()
    (part / "survival_data.csv").touch()
    return root


def test_the_source_is_what_is_read(tmp_path, manual):
    check_source(Brats18, tmp_path, manual)


def _last(path):
    return path.name[::-1]


def test_cases_are_dealt_out_in_turn_with_four_channels(tmp_path, manual, monkeypatch):
    listed = pathlib.Path.glob  # in whatever order the file system likes
    monkeypatch.setattr(pathlib.Path, "glob", lambda *a: iter(sorted(listed(*a), key=_last)))
    builder = prepare(Brats18, tmp_path, manual)
    found = {split: examples(builder, split) for split in builder.info.splits}
    assert set(found["train"]) == set(NAMES[::2])
    assert set(found["validation"]) == set(NAMES[1::2])
    assert Brats18.MODALITIES == ("T2", "T1", "T1ce", "FLAIR")
    for case, name in enumerate(NAMES):
        example = (found["train"] | found["validation"])[name]
        assert example["image"].dtype == np.float32
        assert example["image"].shape == (*SHAPE[::-1], 4)
        for channel, suffix in enumerate(SUFFIXES):
            np.testing.assert_array_equal(example["image"][..., channel], _image(case, suffix).T)
        expected = _labels(case).T
        expected = np.where(expected == 4, 3, expected)
        assert example["labels"].dtype == np.uint8
        np.testing.assert_array_equal(example["labels"], expected)
        assert set(np.unique(example["labels"])) == {0, 1, 2, 3}
        np.testing.assert_array_equal(example["spacing"], SPACING)
        np.testing.assert_array_equal(example["affine"][:3, 3], [90, -126, -72])
        assert example["patient"].decode() == name[:-2]
    assert Brats18.CLASSES == ("NCR_NET", "ED", "ET")


@pytest.mark.parametrize("place", ["", "/HGG"])
def test_manual_dir_may_lie_deeper(tmp_path, manual, place):
    given = f"{manual}/MICCAI_BraTS_2018_Data_Training{place}"
    assert set(examples(prepare(Brats18, tmp_path, given), "train")) == set(NAMES[::2])


def _three(path):
    write(path, np.minimum(_labels(2), 3), SPACING)


CASE = f"HGG/{NAMES[2]}/{NAMES[2]}"
# how the download is spoilt, and what the message must name
BAD = {
    "channel missing": (
        lambda r: (r / f"{CASE}_t1ce.nii.gz").unlink(),
        [f"{CASE}_t1ce.nii.gz", "missing"],
    ),
    "labels missing": (
        lambda r: (r / f"{CASE}_seg.nii.gz").unlink(),
        [f"{CASE}_seg.nii.gz", "missing"],
    ),
    "channel cut": (lambda r: cut(r / f"{CASE}_flair.nii.gz"), [f"{CASE}_flair.nii.gz", "cut"]),
    "label 3": (lambda r: _three(r / f"{CASE}_seg.nii.gz"), [CASE, "label 3", "0, 1, 2, 4"]),
    "channel of another size": (
        lambda r: write(r / f"{CASE}_t1.nii.gz", _image(2, "t1")[1:], SPACING),
        [f"{CASE}_t1.nii.gz", "39x36x32", f"{CASE}_t2.nii.gz", "40x36x32"],
    ),
    "channel elsewhere": (
        lambda r: write(r / f"{CASE}_flair.nii.gz", _image(2, "flair"), SPACING, shift=-2.0),
        [f"{CASE}_flair.nii.gz", f"{CASE}_t2.nii.gz", "2 mm"],
    ),
    "labels elsewhere": (
        lambda r: write(r / f"{CASE}_seg.nii.gz", _labels(2), SPACING, shift=-2.0),
        [f"{CASE}_seg.nii.gz", "2 mm"],
    ),
    "one case": (
        lambda r: [shutil.rmtree(r / "HGG" / name) for name in NAMES[1:]],
        ["HGG", "validation"],
    ),
    "no cases": (
        lambda r: [shutil.rmtree(r / "HGG" / name) for name in NAMES],
        ["should hold the folder 'HGG'"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_spoilt_download_is_named_and_leaves_nothing(tmp_path, manual, case):
    spoil, named = BAD[case]
    spoil(manual / "MICCAI_BraTS_2018_Data_Training")
    check_refused(Brats18, tmp_path, manual, named)


def test_a_missing_manual_dir_says_what_is_expected(tmp_path):
    check_refused(Brats18, tmp_path, tmp_path / "none", ["none", "HGG"])
