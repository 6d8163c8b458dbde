"""Writes pictures whole or not at all."""

import os
import pathlib

import cv2
import numpy as np


def write_png(path: pathlib.Path, image: np.ndarray) -> None:
    """Writes an RGB or grey uint8 array as PNG, through a temporary file; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = image[..., ::-1] if image.ndim == 3 else image
    done, encoded = cv2.imencode(".png", np.ascontiguousarray(array))
    if not done:
        raise ValueError(f"cannot encode an array of shape {image.shape}, {image.dtype} as PNG")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(encoded.tobytes())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
