"""Writes pictures whole or not at all."""

import pathlib
import struct
import zlib

import cv2
import numpy as np

from segjax import files

_HEAD = 33  # bytes of the signature and the chunk IHDR, which comes first


def write_png(path: pathlib.Path, image: np.ndarray) -> None:
    """Writes an array as PNG, RGB or grey uint8 or grey uint16; folders are made.

    It is written through a temporary file.

    The file names segjax as its software, by which `outputs.is_own` knows it again.
    """
    array = image[..., ::-1] if image.ndim == 3 else image
    done, encoded = cv2.imencode(".png", np.ascontiguousarray(array))
    if not done:
        raise ValueError(f"cannot encode an array of shape {image.shape}, {image.dtype} as PNG")
    data = encoded.tobytes()
    # The mark goes right behind IHDR, within the first bytes, which are all that `outputs.is_own`
    # reads of a PNG
    files.write_bytes(path, data[:_HEAD] + _software() + data[_HEAD:])


def _software() -> bytes:
    """The text chunk that names the software: length, kind and content, checksum."""
    body = b"tEXtSoftware\0" + files.MARK.encode()
    # The length is that of the content, without the four letters of the kind; the checksum has both
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
