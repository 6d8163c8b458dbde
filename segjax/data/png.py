"""Writes pictures whole or not at all."""

import os
import pathlib
import struct
import zlib

import cv2
import numpy as np

from segjax.data.outputs import MARK

_HEAD = 33  # bytes of the signature and the chunk IHDR, which comes first


def write_png(path: pathlib.Path, image: np.ndarray) -> None:
    """Writes an RGB or grey uint8 array as PNG, through a temporary file; folders are made.

    The file names segjax as its software, by which `outputs.is_own` knows it again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    array = image[..., ::-1] if image.ndim == 3 else image
    done, encoded = cv2.imencode(".png", np.ascontiguousarray(array))
    if not done:
        raise ValueError(f"cannot encode an array of shape {image.shape}, {image.dtype} as PNG")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        data = encoded.tobytes()
        temporary.write_bytes(data[:_HEAD] + _software() + data[_HEAD:])
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _software() -> bytes:
    """The text chunk that names the software: length, kind and content, checksum."""
    body = b"tEXtSoftware\0" + MARK.encode()
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
