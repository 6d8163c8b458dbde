"""NIfTI files as volumes: read, written, and compared with each other."""

import gzip
import os
import struct

import numpy as np
import pytest

from segjax.data.volumes import nifti
from segjax.data.volumes.nifti import Volume
from segjax.errors import UserError
from tests.data.volumes.nifti_files import (
    CODES,
    SPACING,
    SROW,
    array,
    file_bytes,
    put,
    second_bytes,
)

__all__ = ["array"]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("zipped", [False, True])
def test_axes_are_reversed_and_the_affine_is_the_files_own(tmp_path, array, order, dtype, zipped):
    data = file_bytes(array.astype(dtype), order)
    path = put(tmp_path / "v.nii", gzip.compress(data) if zipped else data)
    volume = nifti.read_volume(path)
    assert volume.array.dtype == np.float32 and volume.array.flags.c_contiguous
    assert volume.array.shape == (3, 5, 4)
    for x, y, z in np.ndindex(4, 5, 3):
        assert volume.array[z, y, x] == array[x, y, z]
    assert volume.spacing.dtype == np.float32
    np.testing.assert_array_equal(volume.spacing, np.float32(SPACING[::-1]))
    assert volume.affine.dtype == np.float64
    np.testing.assert_array_equal(volume.affine, [*SROW, [0, 0, 0, 1]])


def test_the_second_standard_is_read_too(tmp_path, array):
    volume = nifti.read_volume(put(tmp_path / "v.nii.gz", gzip.compress(second_bytes(array))))
    np.testing.assert_array_equal(volume.array, array.T)
    np.testing.assert_array_equal(volume.affine[:3], SROW)
    np.testing.assert_array_equal(volume.spacing, SPACING[::-1])


def test_stored_integers_are_scaled_as_the_header_says(tmp_path, array):
    path = put(tmp_path / "v.nii", file_bytes(array, slope=(0.25, -1024)))
    np.testing.assert_array_equal(nifti.read_volume(path).array, array.T * 0.25 - 1024)


def test_a_single_time_point_is_a_volume(tmp_path, array):
    path = put(tmp_path / "v.nii", file_bytes(array[..., None, None]))
    np.testing.assert_array_equal(nifti.read_volume(path).array, array.T)


def test_the_voxels_outlive_the_file(tmp_path, array):
    path = put(tmp_path / "v.nii", file_bytes(array.astype(np.float32)))
    volume = nifti.read_volume(path)
    path.write_bytes(b"")
    np.testing.assert_array_equal(volume.array, array.T)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_labels_of_every_kind_are_read_and_renamed(tmp_path, dtype):
    stored = np.array([0, 1, 2, 4, 4, 0], dtype).reshape(1, 2, 3)
    path = put(tmp_path / "l.nii", file_bytes(stored))
    labels = nifti.read_labels(path, (0, 1, 2, 4))
    assert labels.array.dtype == np.uint8
    np.testing.assert_array_equal(labels.array, stored.T)
    renamed = nifti.read_labels(path, (0, 1, 2, 4), {4: 3, 1: 7})
    np.testing.assert_array_equal(renamed.array.T.ravel(), [0, 7, 2, 3, 3, 0])
    np.testing.assert_array_equal(renamed.affine[:3], SROW)


@pytest.mark.parametrize(
    "dtype, value, shown",
    [
        ("uint8", 3, "3"),
        ("int16", -1, "-1"),
        ("int16", 256, "256"),  # 0 in eight bits
        ("int32", 258, "258"),
        ("float32", 1.5, "1.5"),
        ("float32", 1.998, "1.998"),
        ("float64", 2.0010001, "2.0010001"),
        ("float32", np.nan, "nan"),
        ("float64", np.inf, "inf"),
        ("float64", -256.0, "-256"),
    ],
)
def test_an_unknown_label_is_named(tmp_path, dtype, value, shown):
    stored = np.zeros((2, 3, 4), dtype)
    stored[1, 1, 1] = value
    path = put(tmp_path / "l.nii", file_bytes(stored))
    with pytest.raises(UserError) as caught:
        nifti.read_labels(path, (4, 0, 2))
    assert str(caught.value) == f"{path}: holds the label {shown}; taken are 0, 2, 4"


def test_labels_nearly_whole_are_rounded(tmp_path):
    """As a resampler, or a scaling of 1/255 in the header, leaves them."""
    stored = np.array([0.0009, -0.0009, 1.9991, 2, 4.0009, 0]).reshape(1, 2, 3)
    for dtype in ("float32", "float64"):
        path = put(tmp_path / "l.nii", file_bytes(stored.astype(dtype)))
        labels = nifti.read_labels(path, (0, 2, 4))
        np.testing.assert_array_equal(labels.array.T.ravel(), [0, 0, 2, 2, 4, 0])
    stored = np.array([0, 255, 510, 0, 0, 255], np.int16).reshape(1, 2, 3)
    path = put(tmp_path / "l.nii", file_bytes(stored, slope=(1 / 255, 0)))
    np.testing.assert_array_equal(
        nifti.read_labels(path, range(3)).array.T.ravel(), [0, 1, 2, 0, 0, 1]
    )


def test_a_scaling_that_is_none_leaves_the_voxels(tmp_path, array):
    for slope in ((0, 5), (np.nan, np.nan)):
        path = put(tmp_path / "v.nii", file_bytes(array, slope=slope))
        np.testing.assert_array_equal(nifti.read_volume(path).array, array.T)


def test_a_single_voxel_is_a_volume(tmp_path):
    path = put(tmp_path / "v.nii", file_bytes(np.full((1, 1, 1), 7, np.int16)))
    np.testing.assert_array_equal(nifti.read_volume(path).array, [[[7]]])


def test_voxel_sizes_rounded_to_a_percent_are_taken(tmp_path, array):
    path = put(tmp_path / "v.nii", file_bytes(array, pixdim=(0.504, 1.5, 8)))
    np.testing.assert_array_equal(nifti.read_volume(path).spacing, np.float32([8, 1.5, 0.504]))


def test_written_labels_are_whole_exact_and_reproducible(tmp_path):
    labels = np.random.default_rng(1).integers(0, 256, (3, 5, 4))
    affine = np.array([*SROW, [0, 0, 0, 1]])
    path = tmp_path / "new" / "case.nii.gz"
    nifti.write_labels(path, labels, affine, np.float32(SPACING[::-1]))
    data = gzip.decompress(path.read_bytes())
    assert path.read_bytes()[4:8] == bytes(4)  # no time of writing
    assert struct.unpack_from("<8h", data, 40)[:4] == (3, 4, 5, 3)
    assert struct.unpack_from("<h", data, 70) == (CODES["uint8"],)
    assert struct.unpack_from("<4f", data, 76)[1:] == SPACING
    assert data[123] & 7 == 2
    assert struct.unpack_from("<h", data, 254)[0] > 0
    np.testing.assert_array_equal(struct.unpack_from("<12f", data, 280), SROW.ravel())
    start = int(struct.unpack_from("<f", data, 108)[0])
    np.testing.assert_array_equal(np.frombuffer(data[start:], np.uint8), labels.ravel())
    read = nifti.read_labels(path, range(256))
    np.testing.assert_array_equal(read.array, labels)
    np.testing.assert_array_equal(read.affine, affine)
    np.testing.assert_array_equal(read.spacing, SPACING[::-1])
    assert os.listdir(path.parent) == ["case.nii.gz"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = put(tmp_path / "case.nii.gz", b"old")

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        nifti.write_labels(path, np.zeros((2, 2, 2), np.uint8), np.eye(4), np.ones(3))
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["case.nii.gz"]


@pytest.mark.parametrize(
    "name, labels, part",
    [
        ("a.nii", np.zeros((2, 2, 2), int), "nii.gz"),
        ("a.nii.gz", np.zeros((2, 2), int), r"\[z, y, x\]"),
        ("a.nii.gz", np.zeros((2, 2, 2)), "integers"),
        ("a.nii.gz", np.full((2, 2, 2), 256), "0 to 255"),
        ("a.nii.gz", np.full((2, 2, 2), -1), "0 to 255"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, name, labels, part):
    with pytest.raises(ValueError, match=part):
        nifti.write_labels(tmp_path / name, labels, np.eye(4), np.ones(3))
    assert not os.listdir(tmp_path)


def _volume(shape=(3, 5, 4), shift=0.0, turn=0.0):
    affine = np.diag([0.5, 1.5, 8.0, 1])
    affine[0, 3] += shift
    affine[1, 0] += turn
    return Volume(np.zeros(shape, np.float32), np.float32([8, 1.5, 0.5]), affine)


@pytest.mark.parametrize(
    "other, parts",
    [
        (_volume((3, 4, 5)), ["labels.nii: has 5x4x3 voxels, image.nii has 4x5x3"]),
        (_volume(shift=0.06), ["labels.nii: its affine differs from that of image.nii", "0.06 mm"]),
        # Three voxels along x, 0.02 mm each.
        (_volume(turn=0.02), ["labels.nii: its affine differs", "0.06 mm"]),
        (_volume(), None),
        (_volume(shift=0.04), None),
        (_volume(turn=0.016), None),
    ],
)
def test_a_pair_shares_its_grid(other, parts):
    if parts is None:
        nifti.check_pair("image.nii", _volume(), "labels.nii", other)
        return
    with pytest.raises(UserError) as caught:
        nifti.check_pair("image.nii", _volume(), "labels.nii", other)
    assert all(part in str(caught.value) for part in parts)


@pytest.mark.parametrize("channels", [(), (2,)])
def test_axes_change_places_and_no_voxel_moves(channels):
    """Official KiTS19 has slices, rows, columns; the same in (x, y, z), here turned a little."""
    shape = (3, 5, 4)  # z, y, x
    array = np.random.default_rng(3).normal(size=(*shape, *channels)).astype(np.float32)
    affine = np.array([[-0.8, 0.1, 0, 9], [0.1, 0.7, 0, -4], [0, 0, 3.0, 6], [0, 0, 0, 1]])
    volume = Volume(array, np.float32([3, 0.7, 0.8]), affine)
    turned = nifti.in_order("v.nii", volume, (2, 1, 0))
    assert turned.array.shape == (4, 5, 3, *channels) and turned.array.flags.c_contiguous
    np.testing.assert_array_equal(turned.spacing, np.float32([0.8, 0.7, 3]))
    for x, y, z in np.ndindex(4, 5, 3):
        np.testing.assert_array_equal(turned.array[x, y, z], array[z, y, x])
        np.testing.assert_allclose(turned.affine @ [z, y, x, 1], affine @ [x, y, z, 1], rtol=1e-15)
    back = nifti.in_order("v.nii", turned, (0, 1, 2))
    np.testing.assert_array_equal(back.array, array)
    np.testing.assert_array_equal(back.affine, affine)
    cycled = nifti.in_order("v.nii", volume, (1, 2, 0))  # no exchange of two
    assert cycled.array.shape == (4, 3, 5, *channels)
    np.testing.assert_allclose(cycled.affine @ [2, 1, 3, 1], affine @ [3, 2, 1, 1], rtol=1e-15)


def test_slices_lie_where_the_spacing_says():
    volume = Volume(np.zeros((3, 4, 5)), np.float32([0.8, 0.8, 3]), np.diag([3, 0.8, 0.8, 1]))
    with pytest.raises(UserError, match="^v.nii: its slices .* z .* 3 x 0.8 x 0.8 mm .* says x;"):
        nifti.check_slices("v.nii", volume, 0)
    nifti.check_slices("v.nii", volume, 2)
    for spacing in ([1, 1, 1], [0.5, 1.2, 1.2], [1, 1, 1.9]):  # says nothing
        nifti.check_slices("v.nii", Volume(volume.array, np.float32(spacing), np.eye(4)), 0)


def _channels(count=3):
    return np.random.default_rng(1).integers(-900, 900, (4, 5, 3, count)).astype(np.int16)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_fourth_axis_is_the_channels(tmp_path, zipped):
    array = _channels()
    data = file_bytes(array, slope=(2, 1))
    path = put(tmp_path / "v.nii", gzip.compress(data) if zipped else data)
    assert nifti.count_channels(path) == 3
    image = nifti.read_image([path], 3, "it takes")
    assert image.array.dtype == np.float32 and image.array.shape == (3, 5, 4, 3)
    for x, y, z, channel in np.ndindex(array.shape):
        assert image.array[z, y, x, channel] == 2 * array[x, y, z, channel] + 1
    np.testing.assert_array_equal(image.spacing, np.float32(SPACING[::-1]))
    np.testing.assert_array_equal(image.affine, [*SROW, [0, 0, 0, 1]])


def test_channels_in_files_of_their_own_are_the_same_image(tmp_path):
    array = _channels()
    whole = put(tmp_path / "v.nii", file_bytes(array))
    paths = [put(tmp_path / f"{k}.nii", file_bytes(array[..., k])) for k in range(3)]
    assert [nifti.count_channels(path) for path in paths] == [1, 1, 1]
    one, several = nifti.read_image([whole], 3, ""), nifti.read_image(paths, 3, "")
    np.testing.assert_array_equal(one.array, several.array)
    np.testing.assert_array_equal(one.affine, several.affine)
    single = nifti.read_image(paths[:1], 1, "")
    np.testing.assert_array_equal(single.array[..., 0], nifti.read_volume(paths[0]).array)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: file_bytes(_channels(2)), "holds 2 channels (4x5x3x2 voxels); it takes 3"),
        (lambda: file_bytes(_channels()[..., 0]), "holds 1 channel (4x5x3 voxels); it takes 3"),
        (
            lambda: file_bytes(np.stack([_channels()] * 2, -1)),
            "has 4x5x3x3x2 voxels; three or four axes are taken",
        ),
        (
            lambda: file_bytes(np.full((4, 5, 3, 3), np.nan, np.float32)),
            "180 voxels are not finite numbers",
        ),
        (lambda: file_bytes(_channels())[:-5], "damaged or cut short"),
    ],
)
def test_images_of_other_channels_are_named(tmp_path, make, message):
    path = put(tmp_path / "bad.nii", make())
    with pytest.raises(UserError) as caught:
        nifti.read_image([path], 3, "it takes")
    assert str(caught.value).startswith(f"{path}: {message}") and "\n" not in str(caught.value)


def test_labels_lie_on_the_grid_of_an_image_with_channels():
    image, labels = _volume(), _volume()
    image = Volume(np.stack([image.array] * 2, -1), image.spacing, image.affine)
    nifti.check_pair("i.nii", image, "l.nii", labels)
    for other in (_volume((3, 5, 3)), _volume(shift=1.0)):
        with pytest.raises(UserError, match=r"^l\.nii: "):
            nifti.check_pair("i.nii", image, "l.nii", other)
