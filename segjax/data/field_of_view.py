"""The field of view of a fundus photograph: where the camera's black surround ends."""

import numpy as np

# Darker than this share of the bright pixels' value is surround, which sensors do not leave at 0.
DARK = 0.1
# A row or column belongs to the field of view if so many of its pixels do: noise and stamps do not.
FEWEST = 0.02
# A field smaller than this share of either side is none: the photograph is taken as it is.
SMALLEST = 0.1


def bounds(image: np.ndarray) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of the field of view, as slices take them.

    A pixel is inside where its brightest channel has at least a tenth of the 99th percentile; the
    box holds every row and column of which at least a fiftieth is inside.

    Args:
        image: `[h, w, 3]` uint8.

    Returns: the box; the whole image where there is no such field.
    Empty cases: a black image is taken whole.
    """
    height, width = image.shape[:2]
    # Of a large photograph every k-th pixel tells enough
    step = max(1, min(height, width) // 512)
    bright = image[::step, ::step].max(axis=-1)
    level = np.percentile(bright, 99) * DARK
    if level <= 0:
        return 0, height, 0, width
    inside = bright >= level
    (top, bottom), (left, right) = (
        _ends(inside.mean(axis=axis) >= FEWEST, step, size)
        for axis, size in ((1, height), (0, width))
    )
    if bottom - top < SMALLEST * height or right - left < SMALLEST * width:
        return 0, height, 0, width
    return top, bottom, left, right


def _ends(inside: np.ndarray, step: int, size: int) -> tuple[int, int]:
    places = np.flatnonzero(inside)
    if not places.size:
        return 0, 0
    return int(places[0]) * step, min(size, (int(places[-1]) + 1) * step)
