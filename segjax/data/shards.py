"""The records of a prepared set: opened, and named by their file when it is damaged."""

import bisect
import functools
import itertools
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow_datasets as tfds
from array_record.python import array_record_module

from segjax.errors import DamagedError

INFO = "dataset_info.json"
SPLITS = ("train", "validation", "test")  # in this order in messages


class Source(Sequence):
    """Random access to the examples of a split; UserError names the shard that is damaged."""

    def __init__(self, source: Sequence, files: Sequence[tuple[str, int]]):
        self._source = source
        self._files = [name for name, _ in files]
        self._ends = list(itertools.accumulate(count for _, count in files))

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        # IndexError, for it is what ends a `for` loop over a Sequence
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        place = index % len(self)
        try:
            return self._source[place]
        except (RuntimeError, OSError) as error:
            # `_ends` are exclusive: an index equal to an end belongs to the next shard
            shard = bisect.bisect_right(self._ends, place)
            raise damaged(self._files[shard], error) from error


def open_split(
    made: tfds.core.DatasetBuilder, split: str, fields: tuple[str, ...] | None = None
) -> Source:
    """Random access to a split; with `fields`, all other pictures stay encoded bytes.

    Raises: UserError naming the first shard that is missing or damaged; so does the access to an
        example.
    """
    check(made)
    encoded = {}
    if fields is not None:
        for name, feature in made.info.features.items():
            if name not in fields and isinstance(feature, tfds.features.Image):
                # Decoding takes most of the time of a read, and a task seldom wants all masks
                encoded[name] = tfds.decode.SkipDecoding()
    parts = made.info.splits[split].file_instructions
    files = [(os.fspath(part.filename), part.examples_in_shard) for part in parts]
    return Source(made.as_data_source(split=split, decoders=encoded or None), files)


def in_order(splits: Iterable[str]) -> list[str]:
    """Names of splits as messages list them: `SPLITS` first, then any other."""
    found = list(splits)
    return [name for name in dict.fromkeys((*SPLITS, *found)) if name in found]


def in_words(made: tfds.core.DatasetBuilder) -> str:
    """The splits of a prepared set with their numbers of examples: `train 16, validation 4`."""
    splits = made.info.splits
    return ", ".join(f"{name} {splits[name].num_examples}" for name in in_order(splits))


def check(made: tfds.core.DatasetBuilder) -> None:
    """UserError naming the first file of a prepared set that is missing or cannot be opened.

    Reads the ends of the shards, where their index lies, not their records.
    """
    info = pathlib.Path(made.data_path) / INFO
    if not made.info.splits:
        raise damaged(info, "it lists no split")
    for split in made.info.splits.values():
        for path, count in zip(split.filepaths, split.shard_lengths, strict=True):
            try:
                status = os.stat(path)
                found = _records(os.fspath(path), status.st_size, status.st_mtime_ns)
            except (OSError, RuntimeError) as error:
                raise damaged(path, error) from error
            # Splits are addressed by these counts: a shard of another length would shift all
            # examples after
            if found != count:
                raise damaged(path, f"it holds {found} records, but {INFO} says {count}")


# Every split that is opened checks all shards; a new size or time makes a new key
@functools.lru_cache(maxsize=4096)
def _records(path: str, size: int, time: int) -> int:
    """The number of records of a shard, as long as size and time stay what they are."""
    reader = array_record_module.ArrayRecordReader(path)
    try:
        return reader.num_records()
    finally:
        reader.close()


def damaged(path: str | os.PathLike, why: object) -> DamagedError:
    """What is said of a file of a prepared set that cannot be used."""
    reason = (
        why.strerror if isinstance(why, OSError) and why.strerror else " ".join(f"{why}".split())
    )
    folder = os.path.dirname(os.fspath(path))
    remedy = f"restore it, or remove {folder} and prepare the set again"
    return DamagedError(f"{path}: missing or damaged: {reason}", remedy)
