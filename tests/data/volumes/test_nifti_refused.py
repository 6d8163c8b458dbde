"""NIfTI files that are damaged, or whose header says nothing sensible, are named and refused."""

import gzip
import struct

import numpy as np
import pytest

from segjax.data.volumes import nifti
from segjax.errors import UserError
from tests.data.volumes.nifti_files import SROW, array, file_bytes, put, second_bytes

__all__ = ["array"]


def _flip(data, place):
    return data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :]


def _with(array, value):
    array = array.astype(np.float32)
    array[1, 2, 1] = value
    return file_bytes(array)


def _offset_352(array):
    data = bytearray(second_bytes(array))
    struct.pack_into("<q", data, 168, 352)
    return bytes(data)


def _large():
    """Larger than any buffer, so that reading the voxels alone stops before the checksum."""
    voxels = np.random.default_rng(2).integers(0, 900, (64, 64, 40)).astype(np.int16)
    return gzip.compress(file_bytes(voxels))


SHEARED = [[3, 0.8, 0, 0], [0, 0.6, 0, 0], [0, 0, 1, 0]]
RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
# how the file's bytes are made, and what the message holds beside its name
BAD = {
    "empty": (lambda a: b"", "the file is empty"),
    "empty zipped": (lambda a: gzip.compress(b""), "the file is empty"),
    "text": (lambda a: b"frame;label\n" * 99, "is not a NIfTI file"),
    "zipped text": (lambda a: gzip.compress(b"frame;label\n" * 99), "is not a NIfTI file"),
    "cut header": (lambda a: file_bytes(a)[:200], "is not a NIfTI file"),
    "cut voxels": (lambda a: file_bytes(a)[:-3], "damaged or cut short"),
    "cut zip": (lambda a: gzip.compress(file_bytes(a))[:-40], "damaged or cut short"),
    "zip without end": (lambda a: gzip.compress(file_bytes(a))[:-8], "damaged or cut short"),
    "wrong checksum": (lambda a: _flip(_large(), -7), "damaged or cut short: CRC check failed"),
    "too large": (lambda a: file_bytes(a, dim=(3, 32767, 32767, 32767)), "damaged or cut short"),
    "2-D": (lambda a: file_bytes(a[..., 0]), "has 4x5 voxels; three axes are taken"),
    "4-D": (lambda a: file_bytes(np.stack([a, a], -1)), "has 4x5x3x2 voxels; three axes"),
    "no voxels": (lambda a: file_bytes(a[:, :0]), "has 4x0x3 voxels; three axes are taken"),
    "zero spacing": (lambda a: file_bytes(a, pixdim=(1, 0, 1)), "voxel size is 1 x 0 x 1;"),
    "negative": (lambda a: file_bytes(a, pixdim=(1, 1, -2)), "voxel size is 1 x 1 x -2;"),
    "NaN spacing": (lambda a: file_bytes(a, pixdim=(np.nan, 1, 1)), "voxel size is nan x 1 x 1"),
    "inf spacing": (lambda a: file_bytes(a, pixdim=(1, np.inf, 1)), "voxel size is 1 x inf x 1"),
    "metres": (lambda a: file_bytes(a, unit=1), "in metres; millimetres are taken"),
    "microns": (lambda a: file_bytes(a, unit=3 + 8), "in micrometres; millimetres are taken"),
    "flat affine": (lambda a: file_bytes(a, srow=SROW * 0), "affine cannot be inverted"),
    "NaN affine": (lambda a: file_bytes(a, srow=SROW * np.nan), "affine cannot be inverted"),
    "complex": (lambda a: file_bytes(a.astype(np.complex64)), "voxels are complex numbers; real"),
    "RGB": (lambda a: file_bytes(np.zeros(a.shape, RGB)), "voxels are colours; real numbers"),
    "NaN": (lambda a: _with(a, np.nan), "1 voxels are not finite numbers"),
    "infinite": (lambda a: _with(a, -np.inf), "1 voxels are not finite numbers"),
    "too far": (lambda a: file_bytes(a * 1e300), "voxels are not finite numbers"),
    "scaled to infinity": (lambda a: file_bytes(a, slope=(3e38, 0)), "are not finite numbers"),
    "voxels in the header": (
        lambda a: file_bytes(a, offset=0),
        "its vox_offset is 0, within the header; voxels begin at 352 or later",
    ),
    "voxels in the last word": (lambda a: file_bytes(a, offset=348), "its vox_offset is 348"),
    "offset NaN": (lambda a: file_bytes(a, offset=np.nan), "its vox_offset is nan"),
    "second with offset 352": (lambda a: _offset_352(a), "its vox_offset is 352"),
    "pixdim of another affine": (
        lambda a: file_bytes(a, pixdim=(0.5, 1.5, 0.8)),
        "voxel size is 0.5 x 1.5 x 0.8 mm by pixdim, 0.5 x 1.5 x 8 mm by the affine's columns",
    ),
    "pixdim off by 2 %": (lambda a: file_bytes(a, pixdim=(0.51, 1.5, 8)), "0.51 x 1.5 x 8 mm by"),
    # Columns (3, 0, 0), (4, 3, 0)/5 and (0, 0, 1): a voxel holds 3 * 3/5 mm3, not 3 * 1 * 1.
    "sheared": (
        lambda a: file_bytes(a, pixdim=(3, 1, 1), srow=SHEARED),
        "not at right angles (a voxel holds 0.6 of",
    ),
    "sform against qform": (
        lambda a: file_bytes(a, qform=1),
        "its axes point to ALS by sform, to RAS by qform",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_named(tmp_path, array, case):
    make, part = BAD[case]
    path = put(tmp_path / "bad.nii.gz", make(array))
    with pytest.raises(UserError) as caught:
        nifti.read_volume(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and part in message and "\n" not in message
    if "finite" not in part:  # those voxels are refused as labels with another message
        with pytest.raises(UserError) as caught:
            nifti.read_labels(path, range(256))
        assert str(caught.value) == message


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(UserError, match="none.nii.gz: no such file"):
        nifti.read_volume(tmp_path / "none.nii.gz")
    with pytest.raises(UserError, match=f"{tmp_path}: cannot be read: .*irectory"):
        nifti.read_volume(tmp_path)
