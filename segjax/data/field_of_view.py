"""The field of view of a fundus photograph: where the camera's black surround ends."""

import cv2
import numpy as np

from segjax.types import Bool, Shaped

# Darker than this share of the bright pixels' value is surround, which sensors do not leave at 0.
DARK = 0.1
# A row or column belongs to the field of view if so many of its pixels do: noise and stamps do not.
FEWEST = 0.02
# A field smaller than this share of either side is none: the photograph is taken as it is.
SMALLEST = 0.1
# Pixels of the shorter side on which the mask is looked for: fewer blur its rim, more take longer.
WORKING = 712
# Darker than this share of the field nearby (a sixteenth of the shorter side) is stray light.
BESIDE = 0.5


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


def field_of_view_mask(image: Shaped[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    """The pixels inside the field of view.

    Inside is where the brightest channel has at least a tenth of the 99th percentile, as in
    `bounds`, and half of what such pixels have on average nearby; of these pixels the largest
    connected component counts, with its holes filled. Of large photographs area averages
    are looked at, so that the rim is exact to a pixel or two.

    Args:
        image: `[h, w, 3]` uint8.

    Returns: `[h, w]` bool.
    Empty cases: a black image, or one whose component is narrower than a tenth of its height or
        width, is inside everywhere.
    Cost: 0.1 s for 4288x2848 pixels.
    """
    height, width = image.shape[:2]
    scale = min(1.0, WORKING / min(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # Channels are averaged before the brightest is taken: noise is gone by then
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).max(axis=-1)
    level = np.percentile(small, 99) * DARK
    everywhere = np.ones((height, width), bool)
    if level <= 0:
        return everywhere
    inside = _largest(_bright(small, level))
    rows, columns = (inside.any(axis=axis).sum() for axis in (1, 0))
    if columns < SMALLEST * size[0] or rows < SMALLEST * size[1]:
        return everywhere
    outline, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros(size[::-1], np.float32), outline, -1, 1.0, cv2.FILLED)
    # Interpolated before it is cut at one half, so that the rim has no steps
    return cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR) >= 0.5


def _bright(small: np.ndarray, level: float) -> np.ndarray:
    """1 where a plane `[h, w]` reaches the level, and is not much darker than what does nearby."""
    seen = (small >= level).astype(np.float32)
    window = (2 * (min(small.shape) // 32) + 1,) * 2
    # Sums, not means: the window is cut off at the borders of both alike
    how = {"ddepth": -1, "ksize": window, "normalize": False, "borderType": cv2.BORDER_CONSTANT}
    total, count = cv2.boxFilter(seen * small, **how), cv2.boxFilter(seen, **how)
    return ((seen > 0) & (small * count >= BESIDE * total)).astype(np.uint8)


def _largest(inside: np.ndarray) -> np.ndarray:
    """The largest connected component of a plane of 0 and 1; 0 everywhere where there is none."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=4)
    area = stats[:, cv2.CC_STAT_AREA]
    area[0] = 0  # the surround
    return inside * (labels == np.argmax(area))


def _ends(inside: np.ndarray, step: int, size: int) -> tuple[int, int]:
    places = np.flatnonzero(inside)
    if not places.size:
        return 0, 0
    return int(places[0]) * step, min(size, (int(places[-1]) + 1) * step)
