"""Bringing pictures and masks to a working size."""

import cv2
import numpy as np


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`[h, w, 3]` at `size` (height, width), by area averages when it shrinks."""
    # Linear interpolation reads four pixels and skips the others, and would break thin vessels
    shrinks = image.shape[0] >= size[0] and image.shape[1] >= size[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, size[::-1], interpolation=how)


def resize_mask(mask: np.ndarray, size: tuple[int, int], *, cover: float = 0.5) -> np.ndarray:
    """A bool mask `[h, w]` at `size`: pixels covered by the share `cover`, or the nearest ones."""
    if mask.shape == tuple(size):
        return mask
    if mask.shape[0] >= size[0] and mask.shape[1] >= size[1]:
        covered = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
        # Areas are sums of float32: a pixel covered by exactly `cover` may come out a little below
        return covered >= cover - 1e-5
    # Samples at pixel centres; INTER_NEAREST samples at their corners, half a pixel off the image
    nearest = cv2.INTER_NEAREST_EXACT
    return cv2.resize(mask.astype(np.uint8), size[::-1], interpolation=nearest) > 0
