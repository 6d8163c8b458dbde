"""Batches of 2-D patches for training: from slices on the device, or read as they are needed.

Both give the same patches for the same (seed, step). Resident: a batch holds `index` and `corner`,
and the compiled step cuts the region out. Streamed: it holds the regions themselves.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence

import grain
import jax
import jax.numpy as jnp
import numpy as np

from segjax.data.pipeline import Stateless
from segjax.data.volumes.sampling import PatchSampler
from segjax.types import Array

Fields = dict[str, np.ndarray]


def margins(patch: Sequence[int], region: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """(before, after) of each axis by which a region reaches beyond the patch in its middle."""
    before = [(r - p) // 2 for p, r in zip(patch, region, strict=True)]
    return tuple((b, r - p - b) for b, p, r in zip(before, patch, region, strict=True))


def cut_region(
    field: Array, corner: Array, *, patch: tuple[int, int], region: tuple[int, int]
) -> Array:
    """The region around each patch, from fields `[b, h, w]` or `[b, h, w, c]`, inside jit.

    Beyond the field lies 0, the mean of a normalised image and the background of labels.

    Args:
        field: slices at least as large as the patch.
        corner: upper left corner of each patch, [b, 2], the patch inside the slice.
        patch: height and width of the patch.
        region: those of the region, no smaller.
    """
    rest = [(0, 0)] * (field.ndim - 3)
    # Padded by the margins, a corner of the patch is the corner of its region; without,
    # dynamic_slice would move a region that reaches beyond the slice back inside, in silence.
    padded = jnp.pad(field, [(0, 0), *margins(patch, region), *rest])

    def cut(image: Array, start: Array) -> Array:
        starts = (start[0], start[1], *[0] * len(rest))
        return jax.lax.dynamic_slice(image, starts, (*region, *image.shape[2:]))

    return jax.vmap(cut)(padded, corner)


class ResidentPatches(Stateless):
    """All slices of all cases as one array a field, to be placed on the device once.

    Args:
        cases: for each case its fields, `image` [d, h, w, c] among them, all [d, h, w] or
            [d, h, w, c]; slices smaller than the largest are filled up with 0.
        sampler: draws the patches.
        examples: how many patches count as an epoch.
    """

    def __init__(self, cases: Sequence[Mapping], sampler: PatchSampler, *, examples: int):
        self.examples, self._sampler = examples, sampler
        shapes = np.array(sampler.shapes)
        self._first = np.concatenate([[0], np.cumsum(shapes[:, 0])])
        # At least the patch: all slices lie in one array, from which patches of one shape are cut
        size = np.maximum(shapes[:, 1:].max(axis=0), sampler.patch)
        # A slice smaller than the patch lies in the middle of one patch.
        self._shift = np.maximum(0, np.array(sampler.patch) - shapes[:, 1:]) // 2
        self.arrays = {
            name: np.zeros((self._first[-1], *size, *array.shape[3:]), array.dtype)
            for name, array in cases[0].items()
        }
        for i, case in enumerate(cases):
            (y, x), (_, height, width) = self._shift[i], shapes[i]
            place = slice(self._first[i], self._first[i + 1])
            for name, array in case.items():
                self.arrays[name][place, y : y + height, x : x + width] = array

    def train_batches(
        self, seed: int, start: int, batch_size: int, rows: slice
    ) -> Iterator[Fields]:
        """Endless batches from step `start`; `rows` is this process's share of each."""
        slots = np.arange(batch_size, dtype=np.int32)
        step = start
        while True:
            choice = self._sampler.draw(seed, step, batch_size)
            batch = {
                # Slices of all cases lie end to end: case i begins at `_first[i]`.
                "index": (self._first[choice.case] + choice.slice).astype(np.int32),
                "corner": (choice.corner + self._shift[choice.case]).astype(np.int32),
                "slot": slots,
                "weight": np.ones(batch_size, np.float32),
            }
            yield {name: array[rows] for name, array in batch.items()}
            step += 1


class StreamedPatches(Stateless):
    """Patches of volumes too large for the device: regions are cut out while the device works.

    Args:
        cases: as `ResidentPatches`; memory-mapped arrays are read slice by slice.
        sampler: draws the patches.
        region: height and width of what is cut out around a patch.
        examples: how many patches count as an epoch.
    """

    def __init__(
        self,
        cases: Sequence[Mapping],
        sampler: PatchSampler,
        *,
        region: tuple[int, int],
        examples: int,
    ):
        self.arrays: Fields = {}
        self.examples = examples
        self._cases, self._sampler = cases, sampler
        self._region = region
        self._reading = grain.ReadOptions(num_threads=8, prefetch_buffer_size=4)

    def train_batches(
        self, seed: int, start: int, batch_size: int, rows: slice
    ) -> Iterator[Fields]:
        """Endless batches from step `start`, the patches of the resident form."""
        slots = np.arange(batch_size, dtype=np.int32)[rows]
        weight = np.ones(len(slots), np.float32)

        def read(number: int) -> Fields:
            # The draw is of the whole batch, though this process reads its rows only: shares of a
            # batch drawn one by one would depend on the number of processes.
            choice = self._sampler.draw(seed, start + number, batch_size)
            parts = [self._region_of(choice, slot) for slot in slots]
            return {name: np.stack([part[name] for part in parts]) for name in parts[0]}

        steps = grain.MapDataset.range(sys.maxsize // 2).map(read)
        for fields in steps.to_iter_dataset(self._reading):
            yield fields | {"slot": slots, "weight": weight}

    def _region_of(self, choice, slot: int) -> Fields:
        case = self._cases[choice.case[slot]]
        (top, _), (left, _) = margins(self._sampler.patch, self._region)
        corner = choice.corner[slot] - (top, left)
        return {
            name: _cut(array[choice.slice[slot]], corner, self._region)
            for name, array in case.items()
        }


def _cut(array: np.ndarray, corner: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """A window of `[h, w, …]` that may reach beyond it, where it is 0."""
    window = np.zeros((*size, *array.shape[2:]), array.dtype)
    inside = [
        slice(max(0, c), min(c + s, n)) for c, s, n in zip(corner, size, array.shape, strict=False)
    ]
    placed = [slice(i.start - c, i.stop - c) for i, c in zip(inside, corner, strict=True)]
    window[tuple(placed)] = array[tuple(inside)]
    return window
