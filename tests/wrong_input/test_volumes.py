"""A spoilt download of volumes ends `segjax data prepare` with one line that names the file."""

import gzip
import struct

import numpy as np
import pytest

from segjax.cli import main
from tests.data.fake_volumes import write
from tests.data.test_acdc import BAD, IMAGE, LABELS, SPACING, manual

__all__ = ["manual"]

PIXDIM, VOX_OFFSET = 80, 108  # bytes into the header, the first along x


def _patch(path, place, value):
    """One float32 of the header, which nibabel would not write so."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[place : place + 4] = struct.pack("<f", value)
    path.write_bytes(gzip.compress(bytes(content)))


def _four_axes(path):
    write(path, np.zeros((39, 40, 5, 2), np.int16), SPACING)


CASES = {name: BAD[name] for name in ("labels missing", "other size", "other place", "label 4")}
CASES |= {name: BAD[name] for name in ("image cut", "labels cut")}
CASES |= {
    "spacing of zero": (lambda r: _patch(r / IMAGE, PIXDIM, 0.0), [IMAGE, "voxel size is 0 x"]),
    "spacing of another affine": (
        lambda r: _patch(r / IMAGE, PIXDIM, 0.1),
        [IMAGE, f"voxel size is 0.1 x {SPACING[1]:g} x", f"{SPACING[0]:g} x {SPACING[1]:g} x"],
    ),
    "voxels in the header": (
        lambda r: _patch(r / LABELS, VOX_OFFSET, 0.0),
        [LABELS, "vox_offset is 0, within the header"],
    ),
    "four axes": (lambda r: _four_axes(r / IMAGE), [IMAGE, "39x40x5x2"]),
    "label that is no number": (
        lambda r: write(r / LABELS, np.full((39, 40, 5), 0.5, np.float32), SPACING),
        [LABELS, "0.5"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_spoilt_volume_is_named_in_one_line(tmp_path, manual, case, capfd):
    spoil, named = CASES[case]
    spoil(manual / "ACDC/database/training")
    data_dir = tmp_path / "prepared"
    words = ["data", "prepare", "acdc", "--manual_dir", str(manual), "--data_dir", str(data_dir)]
    assert main(words) == 2
    output, errors = capfd.readouterr()
    assert not output and errors.startswith("segjax: ") and errors.count("\n") == 1, errors
    for part in named:
        assert part in errors
    assert not list(data_dir.rglob("dataset_info.json"))
