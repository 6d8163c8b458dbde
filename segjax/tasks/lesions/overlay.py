"""Colours on a photograph: which predicted and annotated pixels agree."""

import cv2
import numpy as np

PREDICTED = (0, 90, 255)  # where nothing says what is right
# As in Fig. 2 of Sarhan et al. (2019)
COLOURS = {
    "true positive": (0, 200, 0),
    "false positive": (230, 0, 0),
    "false negative": (0, 220, 220),
}


def overlay(image: np.ndarray, predicted: np.ndarray, true: np.ndarray | None = None) -> np.ndarray:
    """A photograph with outlines of what was found, missed, and found in vain, pixel by pixel.

    Args:
        image: `[h, w, 3]` uint8.
        predicted: `[h, w]` bool.
        true: `[h, w]` bool; None where it is not known: all that is predicted is blue then.

    Returns: `[h, w, 3]` uint8. Each region is drawn along its outermost pixels, so that what is
        inside is seen still; of a region that is partly right each part has its own outline. A
        pixel has no other colour than its own.
    """
    if true is None:
        parts = [(PREDICTED, predicted)]
    else:
        parts = [
            (COLOURS["true positive"], predicted & true),
            (COLOURS["false positive"], predicted & ~true),
            (COLOURS["false negative"], true & ~predicted),
        ]
    drawn, wide = image.copy(), max(1, round(min(image.shape[:2]) / 1000))
    for colour, part in parts:
        inner = cv2.erode(part.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=wide) > 0
        drawn[part & ~inner] = colour
    return drawn


def reduced(image: np.ndarray, predicted: np.ndarray, true: np.ndarray, longest: int) -> np.ndarray:
    """A small overlay, in which every region shows, however small it is.

    Regions are filled, and grow by what the reduction would take from them.
    """
    factor = max(1.0, max(image.shape[:2]) / longest)
    size = tuple(max(1, round(side / factor)) for side in image.shape[1::-1])
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    ring = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    for name, part in (
        ("false positive", predicted & ~true),
        ("false negative", true & ~predicted),
        ("true positive", predicted & true),
    ):
        cover = cv2.resize(part.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
        # Of what is right and wrong at once the wrong rim is thin: only whole regions grow
        grown = cv2.dilate(cover.astype(np.uint8), ring) > 0 if factor > 2 else cover
        small[grown] = COLOURS[name]
    return small


def window(true: np.ndarray, predicted: np.ndarray, side: int) -> tuple[slice, slice]:
    """The square of a side that holds most of what is annotated or predicted."""
    busy = cv2.boxFilter(
        (true | predicted).astype(np.float32),
        -1,
        (side, side),
        normalize=False,
        borderType=cv2.BORDER_CONSTANT,
    )
    y, x = np.unravel_index(int(np.argmax(busy)), busy.shape)
    corner = [
        min(max(0, c - side // 2), max(0, n - side))
        for c, n in zip((int(y), int(x)), busy.shape, strict=True)
    ]
    return tuple(slice(c, c + side) for c in corner)
