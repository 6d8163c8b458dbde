"""NIfTI files byte by byte from the standard, so that no library reads its own writing."""

import struct

import numpy as np
import pytest

CODES = {"uint8": 2, "int16": 4, "int32": 8, "float32": 16, "complex64": 32, "float64": 64}
SPACING = (0.5, 1.5, 8.0)  # along x, y, z
SROW = np.array([[0, -1.5, 0, 7.25], [0.5, 0, 0, -3], [0, 0, 8, 100]])


def file_bytes(
    array, order="<", dim=None, pixdim=SPACING, slope=(0, 0), unit=2, srow=SROW, offset=352, qform=0
):
    """A single-file NIfTI-1 of an array (x, y, z); `qform` is a code, for no turn at all."""
    head = bytearray(352)
    shape = dim or (array.ndim, *array.shape)
    pack = struct.pack_into
    pack(f"{order}i", head, 0, 348)
    pack(f"{order}8h", head, 40, *shape, *[1] * (8 - len(shape)))
    bits = 8 * array.dtype.itemsize
    pack(f"{order}2h", head, 70, CODES.get(array.dtype.name, 128), bits)
    pack(f"{order}8f", head, 76, 1, *pixdim, *[1] * (7 - len(pixdim)))
    pack(f"{order}3f", head, 108, offset, *slope)
    head[123] = unit
    pack(f"{order}2h", head, 252, qform, 1)
    pack(f"{order}12f", head, 280, *np.ravel(srow))
    head[344:348] = b"n+1\0"
    stored = array if array.dtype.names else array.astype(array.dtype.newbyteorder(order))
    return bytes(head) + stored.tobytes(order="F")


def second_bytes(array):
    """The same as NIfTI-2."""
    head = bytearray(544)
    struct.pack_into("<i8s2h8q", head, 0, 540, b"n+2\0\r\n\x1a\n", 4, 16, 3, *array.shape, *[1] * 4)
    struct.pack_into("<8d q", head, 104, 1, *SPACING, 1, 1, 1, 1, 544)
    struct.pack_into("<2i", head, 344, 0, 1)
    struct.pack_into("<12d", head, 400, *SROW.ravel())
    struct.pack_into("<i", head, 500, 2)
    return bytes(head) + array.astype("<i2").tobytes(order="F")


@pytest.fixture
def array():
    rng = np.random.default_rng(0)
    return rng.integers(-900, 900, (4, 5, 3)).astype(np.int16)


def put(path, data):
    path.write_bytes(data)
    return path
