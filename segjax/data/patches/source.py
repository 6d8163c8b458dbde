"""Batches of patches, cut out of photographs on the device, or on the host from memory maps.

Both give the same patches for the same (seed, step, sampler's state). Beyond a photograph lie its
border pixels again, and no lesion.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from segjax.data.patches.photographs import Photograph
from segjax.data.patches.sampling import Choice, PatchSampler
from segjax.data.pipeline import BOOKKEEPING, Stateless
from segjax.types import Array

Fields = dict[str, np.ndarray]
REGION = "region"  # among the arrays: has the height and width of what is cut out
# `draw(seed, step, batch_size)`: photographs [b] and centres [b, 2], or [b, k] and [b, k, 2]
Draw = Callable[[int, int, int], Choice]


def cut_regions(field: Array, index: Array, corner: Array, *, region: tuple[int, int]) -> Array:
    """The regions of some photographs, inside jit.

    Args:
        field: padded photographs `[n, h, w]` or `[n, h, w, c]`.
        index: of the photograph, `[b]` or `[b, k]`.
        corner: upper left corner (y, x), with an axis more.
        region: height and width.

    Returns: `[b, *region]` or `[b, k, *region]`, with the channels that there are.
    """
    rest = field.shape[3:]

    def cut(index: Array, corner: Array) -> Array:
        start = (index, corner[0], corner[1], *[0] * len(rest))
        return jax.lax.dynamic_slice(field, start, (1, *region, *rest))[0]

    for _ in range(index.ndim):
        cut = jax.vmap(cut)
    return cut(index, corner)


def cut_on_host(
    photograph: Photograph, names: Sequence[str], centre: Sequence[int], region: tuple[int, int]
) -> Fields:
    """The region around a pixel of one photograph."""
    return {name: _cut(getattr(photograph, name), centre, region, name) for name in names}


def _cut(array: np.ndarray, centre: Sequence[int], size: Sequence[int], name: str) -> np.ndarray:
    corner = [int(c) - side // 2 for c, side in zip(centre, size, strict=True)]
    inner = [
        slice(min(max(0, c), n - 1), min(max(c + s, 1), n))
        for c, s, n in zip(corner, size, array.shape, strict=False)
    ]
    window = np.asarray(array[tuple(inner)])
    if window.shape[:2] == tuple(size):
        return window
    missing = [(i.start - c, c + s - i.stop) for i, c, s in zip(inner, corner, size, strict=True)]
    return np.pad(window, [*missing, *[(0, 0)] * (array.ndim - 2)], **_beyond(name))


def _beyond(name: str) -> dict[str, str]:
    """What lies beyond a photograph, as `np.pad` takes it."""
    return {"mode": "constant"} if name == "labels" else {"mode": "edge"}


class PatchSource(Stateless):
    """Patches of photographs for training (`tasks/base.py: Source`).

    Args:
        photographs: at the scale of the network.
        names: which of their arrays a batch has.
        draw: which patches a step takes.
        region: height and width of what is cut out around a centre.
        examples: how many examples count as an epoch.
        resident: whether photographs lie on the device as one array.
    """

    def __init__(
        self,
        photographs: Sequence[Photograph],
        names: Sequence[str],
        draw: Draw,
        *,
        region: tuple[int, int],
        examples: int,
        resident: bool,
    ):
        self.examples = examples
        self._photographs, self._names = photographs, tuple(names)
        self._draw, self._region, self._is_resident = draw, tuple(region), resident

    @functools.cached_property
    def arrays(self) -> Fields:
        """All photographs in one array a field, with margins as wide as a region reaches."""
        if not self._is_resident:
            return {}
        margins = [(side // 2, side - side // 2) for side in self._region]
        largest = np.max([p.labels.shape for p in self._photographs], axis=0)
        size = [n + sum(m) for n, m in zip(largest, margins, strict=True)]
        arrays = {}
        for name in self._names:
            first = getattr(self._photographs[0], name)
            whole = np.zeros((len(self._photographs), *size, *first.shape[2:]), first.dtype)
            for place, photograph in enumerate(self._photographs):
                array = getattr(photograph, name)
                wide = np.pad(array, [*margins, *[(0, 0)] * (array.ndim - 2)], **_beyond(name))
                whole[place, : wide.shape[0], : wide.shape[1]] = wide
            arrays[name] = whole
        # Without values: its shape tells the compiled step what to cut out
        return arrays | {REGION: np.zeros((*self._region, 0), np.uint8)}

    def train_batches(
        self, seed: int, start: int, batch_size: int, rows: slice
    ) -> Iterator[Fields]:
        """Endless batches from step `start`; `rows` is this process's share of each."""
        slots = np.arange(batch_size, dtype=np.int32)[rows]
        weight, step = np.ones(len(slots), np.float32), start
        while True:
            # Drawn whole, though this process takes its rows only: the draw knows no processes
            choice = self._draw(seed, step, batch_size)
            yield {
                **self._fields(Choice(choice.photograph[rows], choice.centre[rows])),
                "slot": slots,
                "weight": weight,
            }
            step += 1

    def _fields(self, choice: Choice) -> Fields:
        if self._is_resident:
            # The margin before a photograph is what lies before the centre of a region: its corner
            # in the padded photograph has the numbers of the centre in the bare one.
            corner = choice.centre.astype(np.int32)
            return {"index": choice.photograph.astype(np.int32), "corner": corner}
        shape = choice.photograph.shape
        cut = [
            cut_on_host(self._photographs[i], self._names, centre, self._region)
            for i, centre in zip(
                choice.photograph.ravel(), choice.centre.reshape(-1, 2), strict=True
            )
        ]
        stacked = {name: np.stack([part[name] for part in cut]) for name in self._names}
        return {name: a.reshape(*shape, *a.shape[1:]) for name, a in stacked.items()}


class SelectivePatchSource(PatchSource):
    """One whose sampler scores candidates in the course of a training, and remembers the scores.

    Args:
        sampler: which `draw` draws from.
        seed: of the run, for the pools that are scored.
        others: as of `PatchSource`.
    """

    def __init__(self, *args: Any, sampler: PatchSampler, seed: int, **others: Any):
        super().__init__(*args, **others)
        self._sampler, self._seed = sampler, seed

    def remembered(self) -> Any:
        """The weights of the running period."""
        return self._sampler.remembered()

    def remember(self, content: Any) -> None:
        """Takes them back."""
        self._sampler.remember(content, self._seed)

    def before_step(self, step: int, state: Any) -> None:
        """Scores candidates where a period ends; a scoring that was killed is done again whole."""
        if self._sampler.is_due(step):
            self._sampler.rescore(self._seed, step, state)


def taken(arrays: Mapping[str, Array], batch: Mapping[str, Array]) -> dict:
    """The regions of a batch, inside jit: cut out of resident photographs, or as they came."""
    if "corner" not in batch:
        return {name: field for name, field in batch.items() if name not in BOOKKEEPING}
    region = arrays[REGION].shape[:2]
    return {
        name: cut_regions(field, batch["index"], batch["corner"], region=region)
        for name, field in arrays.items()
        if name != REGION
    }


def to_float(image: Array) -> Array:
    """Intensities in [0, 1]."""
    return image.astype(jnp.float32) / 255.0
