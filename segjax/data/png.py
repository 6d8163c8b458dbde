"""Writes pictures whole or not at all."""

import pathlib

import cv2
import numpy as np

from segjax.config import files


def write_png(path: pathlib.Path, image: np.ndarray) -> None:
    """Writes an RGB or grey uint8 array as PNG, through a temporary file; folders are made."""
    array = image[..., ::-1] if image.ndim == 3 else image
    done, encoded = cv2.imencode(".png", np.ascontiguousarray(array))
    if not done:
        raise ValueError(f"cannot encode an array of shape {image.shape}, {image.dtype} as PNG")
    with files.whole(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
