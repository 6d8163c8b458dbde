"""Image features that store and read pictures without TensorFlow.

Prepared data sets name this module in their `features.json`: keep it, and the class, where they
are.
"""

import os

import cv2
import numpy as np
import tensorflow_datasets as tfds


class EncodedImage(tfds.features.Image):
    """A picture kept as the bytes of its file, or, given an array, as PNG.

    Takes a path (the file's bytes are kept untouched), bytes, or an array `[h, w]` or `[h, w, c]`
    of uint8 or uint16 with c of 1 or 3 (RGB).
    """

    def encode_example(self, image):
        # Bytes are stored as they come: coding a JPEG a second time would change its pixels.
        if isinstance(image, (str, os.PathLike)):
            with open(image, "rb") as file:
                return file.read()
        if isinstance(image, bytes):
            return image
        array = np.asarray(image)
        if array.ndim == 3 and array.shape[-1] == 3:
            # OpenCV writes blue, green, red
            array = array[..., ::-1]
        done, encoded = cv2.imencode(".png", np.ascontiguousarray(array))
        if not done:
            raise ValueError(f"cannot encode an array of shape {array.shape}, {array.dtype} as PNG")
        return encoded.tobytes()
