"""Training patches out of volumes: which slice, and where, as a pure function of (seed, step)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segjax.data.ignored import IGNORED

# Positions kept of each class of a case; more are thinned out evenly at random.
MOST_POSITIONS = 10_000


@dataclass(frozen=True)
class Choice:
    """A batch of patches.

    Attributes:
        case: index of the case, [b].
        slice: index of the slice within its case, [b].
        corner: upper left corner (y, x) of the patch in its slice, [b, 2]; negative where the slice
            is smaller than the patch, which then holds it in its middle.
    """

    case: np.ndarray
    slice: np.ndarray
    corner: np.ndarray


class PatchSampler:
    """Draws 2-D patches from cases, a share of them around foreground.

    Cases are drawn uniformly, with replacement. The last round(foreground * b) patches of a batch
    are placed on foreground: a class that the case has, a slice that has the class, a voxel of it
    there, and the patch around that voxel, moved so as to stay inside the slice. The others lie
    anywhere on any slice; of a case with voxels of which nothing is known (label 255) they are
    placed on a voxel with any other label, background or not, in the same way.

    Source: nnU-Net (Isensee et al. 2021), its 2-D loader: a third of each batch on foreground; of
    voxels without a label its version 2.
    Departures: the patch is moved inside at both ends of an axis, there at the lower end only.

    Args:
        labels: label volumes [d, h, w], class indices, 0 the background, 255 not known.
        patch: height and width in pixels.
        foreground: share of a batch placed on foreground, 0 to 1.

    Attributes:
        ignores: whether any voxel is labelled 255.
    """

    def __init__(
        self, labels: Sequence[np.ndarray], *, patch: tuple[int, int], foreground: float = 0.33
    ):
        self.shapes = [volume.shape for volume in labels]
        self.patch, self.foreground = patch, foreground
        # The seed of a case's thinning is its number, not that of the run: the same voxels are kept
        # in every run and process.
        self._positions = [_positions(volume, seed) for seed, volume in enumerate(labels)]
        self._labelled = [_labelled(volume, seed) for seed, volume in enumerate(labels)]
        self.ignores = any(labelled is not None for labelled in self._labelled)

    def draw(self, seed: int, step: int, batch_size: int) -> Choice:
        """The patches of a step, the same whoever asks."""
        # Counter-based: a step is drawn without those before it. Words of the key are unsigned.
        generator = np.random.Generator(np.random.Philox(key=[seed % 2**64, step]))
        # The first ones lie anywhere, the last ones on foreground, as in nnU-Net
        anywhere = round(batch_size * (1 - self.foreground))
        cases = generator.integers(len(self.shapes), size=batch_size)
        drawn = [self._place(generator, case, i >= anywhere) for i, case in enumerate(cases)]
        slices, corners = zip(*drawn, strict=True)
        return Choice(cases, np.array(slices), np.array(corners, np.int32))

    def _place(self, generator: np.random.Generator, case: int, on_foreground: bool):
        """Slice and corner of one patch."""
        shape, classes = self.shapes[case], self._positions[case]
        if not (on_foreground and classes):
            classes = {0: self._labelled[case]} if self._labelled[case] else {}
        if not classes:
            corner = [generator.integers(_room(n, p) + 1) for n, p in self._sides(shape)]
            return generator.integers(shape[0]), self._centred(shape, corner)
        slices = classes[list(classes)[generator.integers(len(classes))]]
        # Class, then slice, then voxel: small classes and sections come as often as large ones
        index = list(slices)[generator.integers(len(slices))]
        voxel = slices[index][generator.integers(len(slices[index]))]
        corner = [
            min(max(v - p // 2, 0), _room(n, p))
            for v, (n, p) in zip(voxel, self._sides(shape), strict=True)
        ]
        return index, self._centred(shape, corner)

    def _sides(self, shape: tuple[int, ...]):
        return tuple(zip(shape[1:], self.patch, strict=True))

    def _centred(self, shape: tuple[int, ...], corner: Sequence[int]) -> list[int]:
        sides = self._sides(shape)
        # In a slice smaller than the patch `corner` is 0, and goes back by half of what lacks
        return [c - max(0, p - n) // 2 for c, (n, p) in zip(corner, sides, strict=True)]


def _room(size: int, patch: int) -> int:
    """The last place where a patch may begin."""
    return max(0, size - patch)


def _positions(labels: np.ndarray, seed: int) -> Mapping[int, Mapping[int, np.ndarray]]:
    """Class -> slice -> positions [n, 2] of foreground voxels, at most MOST_POSITIONS a class."""
    generator = np.random.default_rng(seed)
    classes = [int(k) for k in np.unique(labels) if k not in (0, IGNORED)]
    return {k: _by_slice(np.asarray(labels) == k, generator) for k in classes}


def _labelled(labels: np.ndarray, seed: int) -> Mapping[int, np.ndarray] | None:
    """Slice -> positions of voxels with a label; None where all have one, empty where none has."""
    known = np.asarray(labels) != IGNORED
    if known.all():
        return None
    return _by_slice(known, np.random.default_rng(seed)) if known.any() else {}


def _by_slice(mask: np.ndarray, generator: np.random.Generator) -> dict[int, np.ndarray]:
    """Positions [n, 2] of a mask [d, h, w] by their slice, at most MOST_POSITIONS of them."""
    places = np.argwhere(mask)
    if len(places) > MOST_POSITIONS:
        # Sorted again: `places` is ordered by slice, and the split below needs that
        kept = np.sort(generator.choice(len(places), MOST_POSITIONS, replace=False))
        places = places[kept]
    slices, first = np.unique(places[:, 0], return_index=True)
    parts = np.split(places[:, 1:], first[1:])
    return {int(z): part for z, part in zip(slices, parts, strict=True)}
