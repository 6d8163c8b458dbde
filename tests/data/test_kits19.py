import nibabel
import numpy as np
import pytest

from segjax.data.sets.kits19 import Kits19
from tests.data import fake_volumes
from tests.data.fake_volumes import cut
from tests.data.preparing import check_refused, check_source, examples, prepare

SPACING = (3.0, 0.75, 0.8)  # along slices, rows, columns
SLICES = 9
KEPT = [2, 3, 4, 6]  # the slices with a label; the fifth between them has none
# Rows and columns of each case: one is wider than the others, as case 160 of the official set.
SIZES = {0: (40, 40), 1: (36, 48), 2: (32, 32), 209: (32, 32)}


def write(path, array, spacing, *, shift=0.0):
    """With the directions of the official files: slices to the foot, rows front, columns left."""
    fake_volumes.write(path, array, spacing, shift=shift, axes=(2, 1, 0))


def _volumes(case):
    rows, columns = SIZES[case]
    rng = np.random.default_rng(case)
    image = rng.integers(-1000, 1000, (SLICES, rows, columns)).astype(np.float32)
    labels = np.zeros(image.shape, np.uint8)
    labels[KEPT, 6:20, 8:30] = 1
    labels[3, 10:16, 12:20] = 2
    return image, labels


@pytest.fixture
def manual(tmp_path):
    data = tmp_path / "downloads" / "kits19" / "data"
    for case in SIZES:
        folder = data / f"case_{case:05d}"
        for name, array in zip(("imaging", "segmentation"), _volumes(case), strict=True):
            write(folder / f"{name}.nii.gz", array, SPACING)
    for case in (210, 299):  # the official test set
        write(data / f"case_{case:05d}" / "imaging.nii.gz", _volumes(2)[0], SPACING)
    (data / "kits.json").touch()
    return tmp_path / "downloads"


@pytest.mark.parametrize("config", ["paper", "full"])
def test_the_source_is_what_is_read(tmp_path, manual, config):
    check_source(Kits19, tmp_path, manual, config)


def _splits(builder):
    return {split: examples(builder, split) for split in builder.info.splits}


def test_full_keeps_every_slice_as_it_is(tmp_path, manual):
    found = _splits(prepare(Kits19, tmp_path, manual, "full"))
    assert set(found["train"]) == {"case_00000", "case_00002"}
    assert set(found["validation"]) == {"case_00001", "case_00209"}
    for case in SIZES:
        example = (found["train"] | found["validation"])[f"case_{case:05d}"]
        image, labels = _volumes(case)
        np.testing.assert_array_equal(example["image"], image.T[..., None])
        np.testing.assert_array_equal(example["labels"], labels.T)
        np.testing.assert_array_equal(example["spacing"], np.float32(SPACING[::-1]))
        np.testing.assert_array_equal(example["affine"][:3, 3], [90, -126, -72])
        assert example["patient"] == example["image_id"]
    assert Kits19.CLASSES == ("kidney", "tumor") and Kits19.MODALITIES == ("CT",)


def _bicubic(old, new):
    """`[new, old]`: Keys' kernel (a = -1/2), widened by the factor when it shrinks."""
    step = old / new
    wide = max(step, 1.0)
    centres = (np.arange(new) + 0.5) * step
    t = np.abs(np.arange(old) + 0.5 - centres[:, None]) / wide
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    weights = np.where(t < 1, near, np.where(t < 2, far, 0))
    return weights / weights.sum(1, keepdims=True)


def _nearest(old, new):
    return np.floor((np.arange(new) + 0.5) * old / new).astype(int)


def test_paper_keeps_labelled_slices_of_one_size(tmp_path, manual):
    big = manual / "kits19/data/case_00002"
    rng = np.random.default_rng(7)  # 512 pixels, so that this one shrinks
    image = rng.integers(-1000, 1000, (3, 512, 512)).astype(np.int16)
    labels = rng.integers(0, 3, image.shape).astype(np.uint8)
    labels[0] = 0
    write(big / "imaging.nii.gz", image, SPACING)
    write(big / "segmentation.nii.gz", labels, SPACING)
    builder = prepare(Kits19, tmp_path, manual)
    assert builder.builder_config.name == "paper"
    found = _splits(builder)
    cases = {0: (*_volumes(0), KEPT), 1: (*_volumes(1), KEPT), 2: (image, labels, [1, 2])}
    for case, (image, labels, kept) in cases.items():
        example = (found["train"] | found["validation"])[f"case_{case:05d}"]
        _, rows, columns = image.shape
        assert example["image"].shape == (256, 256, len(kept), 1)
        assert example["image"].dtype == np.float32 and example["labels"].dtype == np.uint8
        down, across = _bicubic(rows, 256), _bicubic(columns, 256)
        for place, k in enumerate(kept):
            expected = down @ image[k].astype(np.float64) @ across.T
            got = example["image"][:, :, place, 0].T
            np.testing.assert_allclose(got, expected, atol=2e-3)
            expected = labels[k][np.ix_(_nearest(rows, 256), _nearest(columns, 256))]
            np.testing.assert_array_equal(example["labels"][:, :, place].T, expected)
        spacing = [SPACING[2] * columns / 256, SPACING[1] * rows / 256, SPACING[0]]
        np.testing.assert_allclose(example["spacing"], spacing, rtol=1e-6)


def test_paper_moves_the_affine_with_the_slices(tmp_path, manual):
    found = _splits(prepare(Kits19, tmp_path, manual, "paper"))["validation"]
    affine = found["case_00001"]["affine"]
    rows, columns = SIZES[1]
    old = np.zeros((4, 4))
    old[[2, 1, 0], [0, 1, 2]] = (-SPACING[0], SPACING[1], np.float64(np.float32(SPACING[2])))
    old[:, 3] = (90, -126, -72, 1)
    # The outer corner of the first labelled slice, half a pixel outside its first centre.
    np.testing.assert_allclose(
        affine @ [0, -0.5, -0.5, 1], old @ [KEPT[0], -0.5, -0.5, 1], rtol=1e-14
    )
    np.testing.assert_allclose(
        affine @ [1, 255.5, 255.5, 1], old @ [KEPT[1], rows - 0.5, columns - 0.5, 1], rtol=1e-14
    )


@pytest.mark.parametrize("config", ["paper", "full"])
def test_axes_in_another_order_are_cut_along_the_slices_all_the_same(tmp_path, manual, config):
    """As a tool leaves them that writes (x, y, z): the same case, the same example."""
    expected = _splits(prepare(Kits19, tmp_path, manual, config))["validation"]["case_00001"]
    folder = manual / "kits19/data/case_00001"
    for name, array in zip(("imaging", "segmentation"), _volumes(1), strict=True):
        path = folder / f"{name}.nii.gz"
        turned = nibabel.load(path)
        affine = turned.affine[:, [2, 1, 0, 3]]
        nibabel.save(nibabel.Nifti1Image(array.transpose(2, 1, 0), affine), path)
    found = _splits(prepare(Kits19, tmp_path / "again", manual, config))["validation"]["case_00001"]
    for field, value in expected.items():
        np.testing.assert_array_equal(found[field], value, err_msg=field)
    assert found["image"].shape[2] == (4 if config == "paper" else 9)


@pytest.mark.parametrize("place", ["kits19", "kits19/data"])
def test_manual_dir_may_lie_deeper(tmp_path, manual, place):
    found = _splits(prepare(Kits19, tmp_path, manual / place, "full"))
    assert set(found["train"]) == {"case_00000", "case_00002"}


IMAGE, LABELS = "case_00001/imaging.nii.gz", "case_00001/segmentation.nii.gz"
# how the download is spoilt, and what the message must name
BAD = {
    "labels missing": (
        lambda r: (r / "case_00209/segmentation.nii.gz").unlink(),
        ["case_00209/segmentation.nii.gz", "missing"],
    ),
    "image missing": (
        lambda r: (r / IMAGE).unlink(),
        [IMAGE, "missing", "starter_code.get_imaging"],
    ),
    "image cut": (lambda r: cut(r / IMAGE), [IMAGE, "damaged or cut short"]),
    "labels cut": (lambda r: cut(r / LABELS), [LABELS, "damaged or cut short"]),
    "label 3": (
        lambda r: write(r / LABELS, _volumes(1)[1] + np.uint8(1), SPACING),
        [LABELS, "label 3", "0, 1, 2"],
    ),
    "other size": (
        lambda r: write(r / LABELS, _volumes(1)[1][:-1], SPACING),
        [LABELS, "8x36x48", IMAGE, "9x36x48"],
    ),
    "other place": (
        lambda r: write(r / LABELS, _volumes(1)[1], SPACING, shift=3.0),
        [LABELS, IMAGE, "3 mm"],
    ),
    # The slices lie along the first axis by their spacing, along the last by the affine.
    "affine lost": (
        lambda r: [
            fake_volumes.write(r / path, array, SPACING)
            for path, array in zip((IMAGE, LABELS), _volumes(1), strict=True)
        ],
        [IMAGE, "slices should lie along z", "3 x 0.75 x 0.8 mm along x, y, z, says x"],
    ),
    "no label": (
        lambda r: write(r / LABELS, _volumes(1)[1] * np.uint8(0), SPACING),
        [LABELS, "no slice has a label"],
    ),
    "no odd case": (
        lambda r: [(r / f"case_{n:05d}").rename(r / f"old_{n}") for n in (1, 209)],
        ["data", "validation", "below 210"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_spoilt_download_is_named_and_leaves_nothing(tmp_path, manual, case):
    spoil, named = BAD[case]
    spoil(manual / "kits19/data")
    check_refused(Kits19, tmp_path, manual, named)


def test_a_missing_manual_dir_says_what_is_expected(tmp_path):
    check_refused(Kits19, tmp_path, tmp_path / "none", ["none", "data/case_00000"])
