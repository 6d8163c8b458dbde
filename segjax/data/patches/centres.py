"""Where patches may lie: candidate centres of a set of photographs, as a compact index."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Centres:
    """Pixels of several photographs, four bytes each.

    Attributes:
        places: y * width + x of each pixel, uint32, photograph by photograph, rising.
        first: where the pixels of each photograph begin, and at last their number.
        widths: of the photographs.
    """

    places: np.ndarray
    first: np.ndarray
    widths: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    @property
    def nbytes(self) -> int:
        """Bytes that the index takes."""
        return self.places.nbytes + self.first.nbytes + self.widths.nbytes

    def at(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The photographs `[n]` and pixels (y, x) `[n, 2]` of some candidates, by their numbers."""
        photograph = np.searchsorted(self.first, numbers, side="right") - 1
        place, width = self.places[numbers].astype(np.int64), self.widths[photograph]
        return photograph, np.stack([place // width, place % width], axis=-1)


def centres(masks: Iterable[np.ndarray], *, most: int | None = None) -> Centres:
    """The pixels of some masks, or as many of them as are wanted, spread evenly.

    Of n pixels m are kept so: the k-th is one of those from k n / m to (k + 1) n / m, at random, in
    the order of rows. The same ones are kept in every run and process.

    Args:
        masks: one a photograph, `[h, w]`; above 0 is a candidate. Looked at one after the other,
            so that a generator needs the memory of one.
        most: how many to keep of each photograph; None keeps all.

    Returns: the index.
    Empty cases: a mask without pixels adds none.
    """
    places, first, widths = [], [0], []
    for number, mask in enumerate(masks):
        found = np.flatnonzero(mask)
        if most is not None and len(found) > most:
            generator = np.random.default_rng(number)
            cell = (np.arange(most) + generator.random(most)) * (len(found) / most)
            found = found[np.minimum(cell.astype(np.int64), len(found) - 1)]
        places.append(found.astype(np.uint32))
        first.append(first[-1] + len(found))
        widths.append(mask.shape[1])
    joined = np.concatenate(places) if places else np.zeros(0, np.uint32)
    return Centres(joined, np.array(first, np.int64), np.array(widths, np.int64))


def around(mask: np.ndarray, width: int) -> np.ndarray:
    """The pixels within `width` pixels of a mask that are not of it, bool `[h, w]`.

    Empty cases: an empty mask and a width of 0 have none.
    """
    inner = np.ascontiguousarray(mask > 0, np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    return cv2.dilate(inner, disc) > inner
