"""From a prepared set to batches: resident on the device when it fits, streamed when it does not.

Both give the same batches for the same (seed, step): a dict with `slot` (place in the global
batch), `weight` (0 for padding), and either `index` into the resident arrays or the fields
themselves.
"""

import concurrent.futures
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

import grain
import numpy as np
from tqdm import tqdm

from segjax.data import order

Fields = dict[str, np.ndarray]
# What a batch holds besides the fields of its examples.
BOOKKEEPING = ("index", "slot", "weight")


class Chosen(Sequence):
    """Some examples of a split, by their place in it."""

    def __init__(self, source: Sequence[Mapping], places: Sequence[int]):
        self._source, self._places = source, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Mapping:
        return self._source[self._places[int(index)]]


class Records:
    """Examples of a split as the task wants them: `records[i]` is a dict of arrays."""

    def __init__(self, source: Sequence[Mapping], convert: Callable[[Mapping], Fields]):
        self._source = source
        self._convert = convert

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Fields:
        return self._convert(self._source[int(index)])

    def megabytes(self) -> float:
        """Size of all records together, judged by the first."""
        # Records of a task have one shape, for they are stacked; one of them tells the size of all
        return len(self) * sum(array.nbytes for array in self[0].values()) / 2**20


def read_all(records: Records, *, label: str) -> Fields:
    """Every record, stacked along a leading axis; a progress bar on a terminal."""
    threads = min(8, os.cpu_count() or 1)
    bar = {"total": len(records), "desc": f"reading {label}", "disable": not sys.stderr.isatty()}
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        rows = list(tqdm(pool.map(records.__getitem__, range(len(records))), **bar))
    # Stacked at the end, field by field; `rows` is in the order of the split, as indices expect.
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


class Stateless:
    """What a source of batches does that remembers nothing (`tasks/base.py: Source`)."""

    def remembered(self) -> None:
        """Nothing is saved with a checkpoint."""

    def remember(self, content: object) -> None:
        """Nothing is taken back from a checkpoint."""

    def before_step(self, step: int, state: object) -> None:
        """Nothing changes in the course of a training."""


def is_stateless(source: object) -> bool:
    """Whether a source remembers nothing: it has the three methods of `Stateless` as they are."""
    names = ("remembered", "remember", "before_step")
    # By the methods, not by `isinstance`: a subclass that overrides one remembers something, and a
    # source outside segjax need not derive from this class.
    return all(getattr(type(source), n, None) is getattr(Stateless, n) for n in names)


class Resident(Stateless):
    """A split as one array a field, to be placed on the device once."""

    def __init__(self, records: Records, *, label: str):
        self.arrays = read_all(records, label=label)
        self.examples = len(records)

    def train_batches(
        self, seed: int, start: int, batch_size: int, rows: slice
    ) -> Iterator[Fields]:
        """Endless batches from step `start`; `rows` is this process's share of each."""
        step = start
        slots = np.arange(batch_size, dtype=np.int32)
        while True:
            index = order.batch_indices(seed, step, batch_size, self.examples)
            weight = np.ones(batch_size, np.float32)
            yield {"index": index[rows], "slot": slots[rows], "weight": weight[rows]}
            step += 1

    def evaluation_batches(self, batch_size: int, rows: slice) -> Iterator[Fields]:
        """Every example once, the tail padded with weight 0."""
        slots = np.arange(batch_size, dtype=np.int32)
        for index, weight in order.evaluation_batches(self.examples, batch_size):
            yield {"index": index[rows], "slot": slots[rows], "weight": weight[rows]}

    def fields_of(self, batch: Mapping) -> Fields:
        """The fields of a batch on the host."""
        return {name: array[batch["index"]] for name, array in self.arrays.items()}

    def parts(self) -> Iterator[Fields]:
        """The fields of all examples in their order, in parts that fit into memory: one."""
        yield self.arrays


class Streamed(Stateless):
    """A split too large for the device: read by Grain's threads while the device works."""

    def __init__(self, records: Records, *, threads: int = 8, buffer: int = 32):
        self.arrays: Fields = {}
        self.examples = len(records)
        self.records = records
        self._reading = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=buffer)

    def train_batches(
        self, seed: int, start: int, batch_size: int, rows: slice
    ) -> Iterator[Fields]:
        """Endless batches from step `start`, in the order of the resident form."""
        share = range(batch_size)[rows]
        slots = np.arange(batch_size, dtype=np.int32)[rows]

        def read(number: int) -> Fields:
            # Numbers count the rows of this process alone; position is that in the global order
            step, place = divmod(number, len(share))
            position = (start + step) * batch_size + share[place]
            return self.records[order.example_at(seed, position, self.examples)]

        # "Endless" as a range: the position follows from the number, so that threads may read ahead
        # in any order. No `repeat` and no `shuffle`, which would be another order than the resident
        # one.
        numbers = grain.MapDataset.range(sys.maxsize // 2).map(read).batch(len(share))
        for fields in numbers.to_iter_dataset(self._reading):
            yield fields | {"slot": slots, "weight": np.ones(len(share), np.float32)}

    def evaluation_batches(self, batch_size: int, rows: slice) -> Iterator[Fields]:
        """Every example once, the tail padded with weight 0."""
        plan = order.evaluation_batches(self.examples, batch_size)
        slots = np.arange(batch_size, dtype=np.int32)[rows]
        numbers = [int(i) for index, _ in plan for i in index[rows]]
        data = grain.MapDataset.source(numbers).map(self.records.__getitem__).batch(len(slots))
        for fields, (_, weight) in zip(data.to_iter_dataset(self._reading), plan, strict=True):
            yield fields | {"slot": slots, "weight": weight[rows]}

    def fields_of(self, batch: Mapping) -> Fields:
        """The fields of a batch on the host."""
        return {name: array for name, array in batch.items() if name not in BOOKKEEPING}

    def parts(self, size: int = 32) -> Iterator[Fields]:
        """The fields of all examples in their order, `size` at a time."""
        for batch in self.evaluation_batches(size, slice(0, size)):
            # The padding of the last batch goes
            real = batch["weight"] > 0
            yield {name: array[real] for name, array in self.fields_of(batch).items()}


def gather(arrays: Mapping, batch: Mapping) -> dict:
    """The fields of a batch, inside jit: taken from the resident arrays, or as they came."""
    fields = {name: array for name, array in batch.items() if name not in BOOKKEEPING}
    if "index" in batch:
        # Gathered inside the step: what goes to the device each time is a few numbers, no pictures
        fields |= {name: array[batch["index"]] for name, array in arrays.items()}
    return fields


def share_of(batch_size: int, process: int, processes: int) -> slice:
    """The rows of a global batch that one process loads."""
    rows = batch_size // processes
    return slice(process * rows, (process + 1) * rows)
