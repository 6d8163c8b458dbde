import shutil

import numpy as np
import pytest

from segjax.data.sets.acdc import GROUPS, UNKNOWN, Acdc
from tests.data.fake_volumes import cut, edit, write
from tests.data.preparing import (
    WRONG_FOLDERS,
    check_refused,
    check_source,
    examples,
    prepare,
    wrong_folder,
)

SPACING = (1.5625, 1.25, 10.0)  # along x, y, z
# number: frames of ED and ES, group. Patient 4 has its phases in the order of patient 90.
PATIENTS = {1: (1, 12, "DCM"), 2: (1, 8, "NOR"), 3: (2, 9, "RV"), 4: (11, 4, "HCM")}


def _volumes(number, phase):
    rng = np.random.default_rng([number, phase])
    shape = (36 + number, 40, 5)
    image = rng.integers(0, 900, shape).astype(np.int16)
    labels = np.zeros(shape, np.uint8)
    labels[8:20, 10:20, 1:4] = 1
    labels[20:30, 10:20, 1:4] = 2
    labels[22:28, 12:18, 1 : 4 - phase] = 3
    return image, labels


def _patient(folder, number, frames, group):
    folder = folder / f"patient{number:03d}"
    for phase, frame in enumerate(frames):
        for kind, array in zip(("", "_gt"), _volumes(number, phase), strict=True):
            path = folder / f"{folder.name}_frame{frame:02d}{kind}.nii.gz"
            write(path, array, SPACING)
    (folder / f"{folder.name}_4d.nii.gz").write_bytes(b"never opened")
    text = f"ED: {frames[0]}\nES: {frames[1]}\nGroup: {group}\nHeight: 184.0\nNbFrame: 30\n"
    # As some editors leave it, with a byte order mark.
    (folder / "Info.cfg").write_text(text, encoding="utf-8-sig" if number == 2 else "utf-8")


@pytest.fixture
def manual(tmp_path):
    root = tmp_path / "downloads"
    training = root / "ACDC" / "database" / "training"
    for number, (*frames, group) in PATIENTS.items():
        _patient(training, number, frames, group)
    (training / "patients.txt").touch()
    (training / "._patient001").touch()
    return root


@pytest.mark.parametrize("tested", [True, False])
def test_the_source_is_what_is_read(tmp_path, manual, tested):
    if tested:
        _patient(manual / "ACDC/database/testing", 101, (1, 13), "MINF")
    check_source(Acdc, tmp_path, manual)


def test_test_patients_without_labels_are_no_source(manual):
    before = Acdc(data_dir=str(manual.parent)).source_files(manual)
    _patient(manual / "ACDC/database/testing", 101, (1, 13), "MINF")
    for path in (manual / "ACDC/database/testing").rglob("*_gt.nii.gz"):
        path.unlink()
    assert Acdc(data_dir=str(manual.parent)).source_files(manual) == before and len(before) == 20


def _counts(builder):
    return {name: split.num_examples for name, split in builder.info.splits.items()}


def test_every_phase_is_an_example_of_its_half(tmp_path, manual):
    builder = prepare(Acdc, tmp_path, manual)
    assert _counts(builder) == {"train": 4, "validation": 4}
    found = {split: examples(builder, split) for split in ("train", "validation")}
    assert {e["patient"] for e in found["train"].values()} == {b"patient002", b"patient004"}
    everything = found["train"] | found["validation"]
    assert len(everything) == 8
    for number, (*_, group) in PATIENTS.items():
        for phase, name in enumerate(("ED", "ES")):
            example = everything[f"patient{number:03d}_{name}"]
            image, labels = _volumes(number, phase)
            assert example["image"].dtype == np.float32 and example["labels"].dtype == np.uint8
            np.testing.assert_array_equal(example["image"], image.T[..., None])
            np.testing.assert_array_equal(example["labels"], labels.T)
            np.testing.assert_array_equal(example["spacing"], SPACING[::-1])
            assert example["affine"].dtype == np.float64
            np.testing.assert_array_equal(example["affine"][:3, 3], [90, -126, -72])
            np.testing.assert_array_equal(np.diag(example["affine"]), [-1.5625, 1.25, 10, 1])
            assert example["phase"] == phase and GROUPS[example["group"]] == group
    # The classes stand in the order of the labels.
    assert Acdc.CLASSES == ("RV", "M", "LV") and Acdc.MODALITIES == ("MR",)


@pytest.mark.parametrize("place", ["ACDC", "ACDC/database"])
def test_manual_dir_may_lie_deeper(tmp_path, manual, place):
    assert _counts(prepare(Acdc, tmp_path, manual / place)) == {"train": 4, "validation": 4}


def test_test_patients_make_a_split_when_they_are_labelled(tmp_path, manual):
    testing = manual / "ACDC/database/testing"
    _patient(testing, 101, (1, 13), "MINF")
    _patient(testing, 102, (1, 10), "NOR")
    builder = prepare(Acdc, tmp_path, manual)
    assert _counts(builder) == {"train": 4, "validation": 4, "test": 4}
    assert "patient102_ES" in examples(builder, "test")


def test_unlabelled_test_patients_are_left_out(tmp_path, manual):
    testing = manual / "ACDC/database/testing/testing"
    _patient(testing, 101, (1, 13), "MINF")
    for path in testing.rglob("*_gt.nii.gz"):
        path.unlink()
    assert list(prepare(Acdc, tmp_path, manual).info.splits) == ["train", "validation"]


def test_test_patients_with_some_labels_are_an_error(tmp_path, manual):
    testing = manual / "ACDC/database/testing"
    _patient(testing, 101, (1, 13), "MINF")
    missing = testing / "patient101/patient101_frame13_gt.nii.gz"
    missing.unlink()
    check_refused(Acdc, tmp_path, manual, [f"{missing}: the file is missing"])


def test_a_group_that_is_not_noted_is_unknown(tmp_path, manual):
    edit(manual / "ACDC/database/training/patient002/Info.cfg", "Group: NOR\n", "")
    found = examples(prepare(Acdc, tmp_path, manual), "train")
    assert found["patient002_ED"]["group"] == found["patient002_ES"]["group"] == UNKNOWN
    assert GROUPS[found["patient004_ED"]["group"]] == "HCM"


def _rewrite(path, change):
    """Writes one of the labels anew, changed."""
    labels = change(_volumes(3, 1)[1])
    write(path, labels, SPACING)


IMAGE = "patient003/patient003_frame09.nii.gz"
LABELS = "patient003/patient003_frame09_gt.nii.gz"
INFO = "patient003/Info.cfg"
# how the download is spoilt, and what the message must name
BAD = {
    "image missing": (lambda r: (r / IMAGE).unlink(), [IMAGE, "missing", INFO, "as ES"]),
    "labels missing": (lambda r: (r / LABELS).unlink(), [LABELS, "missing"]),
    "Info.cfg missing": (lambda r: (r / INFO).unlink(), [INFO, "missing"]),
    "no ED": (lambda r: edit(r / INFO, "ED: 2\n", ""), [INFO, "'ED: frame'", "none"]),
    "no number": (lambda r: edit(r / INFO, "ES: 9", "ES: nine"), [INFO, "'ES: frame'", "'nine'"]),
    "one frame": (lambda r: edit(r / INFO, "ES: 9", "ES: 2"), [INFO, "both frame 2"]),
    "group": (lambda r: edit(r / INFO, "RV", "LV"), [INFO, "'LV'", "NOR, MINF, DCM, HCM, RV"]),
    "image cut": (lambda r: cut(r / IMAGE), [IMAGE, "damaged or cut short"]),
    "labels cut": (lambda r: cut(r / LABELS), [LABELS, "damaged or cut short"]),
    "label 4": (
        lambda r: _rewrite(r / LABELS, lambda a: a + (a == 3).astype(np.uint8)),
        [LABELS, "label 4", "0, 1, 2, 3"],
    ),
    "other size": (
        lambda r: _rewrite(r / LABELS, lambda a: a[:, :, :4]),
        [LABELS, "39x40x4", IMAGE, "39x40x5"],
    ),
    "other place": (
        lambda r: write(r / LABELS, _volumes(3, 1)[1], SPACING, shift=1.0),
        [LABELS, IMAGE, "1 mm"],
    ),
    "slices along another axis": (
        lambda r: [
            write(r / path, array.transpose(2, 1, 0), SPACING[::-1])
            for path, array in zip((IMAGE, LABELS), _volumes(3, 1), strict=True)
        ],
        [IMAGE, "slices should lie along z", "says x"],
    ),
    "no odd patient": (
        lambda r: [shutil.rmtree(r / f"patient00{n}") for n in (1, 3)],
        ["training", "validation", "odd"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_spoilt_download_is_named_and_leaves_nothing(tmp_path, manual, case):
    spoil, named = BAD[case]
    spoil(manual / "ACDC/database/training")
    check_refused(Acdc, tmp_path, manual, named)


@pytest.mark.parametrize("kind", WRONG_FOLDERS)
def test_a_wrong_manual_dir_says_what_is_expected(tmp_path, kind):
    wrong = wrong_folder(tmp_path, kind)
    check_refused(Acdc, tmp_path, wrong, [str(wrong), "ACDC/database/training"])
