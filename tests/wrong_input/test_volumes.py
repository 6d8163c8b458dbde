"""A spoilt download of volumes ends `segjax data prepare` with one line that names the file."""

import struct

import numpy as np
import pytest

from segjax.cli import main
from tests.data.fake_volumes import write
from tests.data.test_acdc import BAD, IMAGE, LABELS, SPACING, manual

__all__ = ["manual"]


def _zero_spacing(path):
    """A voxel size of zero in the header, which nibabel would not write."""
    import gzip

    content = bytearray(gzip.decompress(path.read_bytes()))
    content[80:84] = struct.pack("<f", 0.0)  # pixdim[1]
    path.write_bytes(gzip.compress(bytes(content)))


def _four_axes(path):
    write(path, np.zeros((39, 40, 5, 2), np.int16), SPACING)


CASES = {name: BAD[name] for name in ("labels missing", "other size", "other place", "label 4")}
CASES |= {name: BAD[name] for name in ("image cut", "labels cut")}
CASES |= {
    "spacing of zero": (lambda r: _zero_spacing(r / IMAGE), [IMAGE, "0"]),
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
