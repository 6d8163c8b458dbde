"""What a prepared set holds, as a number: two sets of the same content have the same digest."""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Mapping

import cv2
import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from segjax.data import shards, sources
from segjax.files import write_text

VERSION = 1  # of the rule by which digests are made
NAME = "digest.json"
PNG = b"\x89PNG\r\n\x1a\n"
DIGITS = "0123456789abcdef"
SHOWN = 12  # of them in messages
_computed: dict[tuple, str] = {}  # by the shards' paths and times: what cannot be kept on disk


def of(made: tfds.core.DatasetBuilder) -> str:
    """The digest of a prepared set: kept beside it, else computed, and kept where that is allowed.

    It stands for the content alone: names of splits and classes, and the examples in their order,
    pictures by their pixels or, where the coding loses something (JPEG), by their bytes. Names of
    sets, folders and files, compression and times do not enter, so a set that was moved, copied or
    prepared a second time from the same files keeps its digest. One whose files have changed since
    the digest was kept, by their sizes or times, is read again.

    Returns: 64 hexadecimal digits.
    Raises: UserError naming a file that is missing or damaged.
    Cost: one pass over the records when it is not kept yet, about 30 ms for a volume of ACDC's
        size: a tenth of its preparation.
    """
    # By sizes and times of the files alone, so that the shards need not be opened
    folder = pathlib.Path(made.data_path)
    if (kept := known(folder)) is not None:
        return kept
    found = _of_records(made)
    try:
        kept = {"version": VERSION, "digest": found, "files": _files(folder)}
        write_text(folder / NAME, json.dumps(kept) + "\n")
    except OSError:  # a folder to read only: computed again by the next process
        pass
    return found


def known(folder: pathlib.Path) -> str | None:
    """The digest that is kept in the folder of a prepared set, if it is of the files there now."""
    try:
        digest, files = _kept(folder)
        return digest if digest and files == _files(folder) else None
    except OSError:  # someone is just removing it
        return None


def check(made: tfds.core.DatasetBuilder) -> None:
    """UserError where a set is damaged, or holds something else than when its digest was kept.

    Cost: a pass over the records where files have changed since, by their sizes or times.
    """
    shards.check(made)
    folder = pathlib.Path(made.data_path)
    digest, files = _kept(folder)
    if digest is None or files == (there := _files(folder)):
        return
    if lost := files.keys() - there:
        raise shards.damaged(folder / min(lost), "it is not there")
    if _of_records(made) != digest:
        raise shards.damaged(folder / NAME, "the records are others than those it was made of")
    of(made)  # keeps the new sizes and times


def _of_records(made: tfds.core.DatasetBuilder) -> str:
    """The digest, whatever is kept; computed once for the files that are there."""
    shards.check(made)
    paths = [os.fspath(p) for split in made.info.splits.values() for p in split.filepaths]
    # Times are part of the key, so that a set prepared anew in this process is computed anew
    files = tuple((path, os.stat(path).st_mtime_ns) for path in paths)
    found = _computed[files] = _computed.get(files) or _compute(made)
    return found


def _kept(folder: pathlib.Path) -> tuple[str | None, dict]:
    """The digest that is kept in a folder, None without one, and the files that it is of."""
    try:
        content = json.loads((folder / NAME).read_bytes())
        digest, files = content["digest"], content["files"]
        if content["version"] == VERSION and len(digest) == 64 and not set(digest) - set(DIGITS):
            return digest, files
    # A damaged note is no fault of the data: the digest is computed again and the note replaced
    except (OSError, ValueError, LookupError, TypeError):
        pass
    return None, {}


def _files(folder: pathlib.Path) -> dict[str, list[int]]:
    """Size and time of change of each file of a set, by which a replaced one is noticed."""
    # Hidden files are left out: temporary ones of `files.whole`, and what file managers leave
    found = (path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
    # So are notes: that of the source is written again when a download has moved
    status = {p.name: p.stat() for p in found if p.name not in (NAME, sources.NOTE)}
    return {name: [status[name].st_size, status[name].st_mtime_ns] for name in sorted(status)}


def _compute(made: tfds.core.DatasetBuilder) -> str:
    """The digest, from the records."""
    content = hashlib.sha256()
    # Names of classes are content, since records hold their indices only.
    for name, feature in sorted(made.info.features.items()):
        _add(content, name.encode())
        _add(content, json.dumps(list(getattr(feature, "names", None) or ())).encode())
    # Threads help, since hashing and decoding release the interpreter's lock; `map` keeps the
    # order, on which the digest depends
    threads = min(8, os.cpu_count() or 1)
    for split in sorted(made.info.splits):
        source = shards.open_split(made, split, fields=())
        _add(content, f"{split} {len(source)}".encode())
        bar = {"desc": f"digest of {split}", "total": len(source)}
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            parts = pool.map(lambda i, source=source: of_example(source[i]), range(len(source)))
            for part in tqdm(parts, disable=not sys.stderr.isatty(), **bar):
                content.update(part)
    return content.hexdigest()


def of_example(example: Mapping) -> bytes:
    """The digest of one example: its fields by name, with their types and shapes."""
    content = hashlib.sha256()
    for name in sorted(example):
        _add(content, name.encode())
        _add_value(content, example[name])
    return content.digest()


def _add_value(content, value: object) -> None:
    if isinstance(value, Mapping):
        _add(content, of_example(value))
    elif isinstance(value, list | tuple):
        # Padded with zeros: fields are sorted by name, and items have to stay in their order
        _add(content, of_example({f"{i:09d}": item for i, item in enumerate(value)}))
    elif isinstance(value, bytes | str):
        data = value.encode() if isinstance(value, str) else value
        pixels = None
        if data.startswith(PNG):  # its bytes depend on the library that packed them
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        _add(content, data) if pixels is None else _add_value(content, pixels)
    else:
        array = np.asarray(value)
        if array.dtype == object:
            _add_value(content, [*array.ravel()])
        else:
            # One order of bytes, so that the digest does not depend on the machine
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            _add(content, f"{little.dtype.str}{array.shape}".encode())
            # Flat first: an array without axes has no view of another item size
            _add(content, little.reshape(-1).view(np.uint8))


def _add(content, data) -> None:
    """Bytes with their length before them, so that neighbours cannot be confused."""
    content.update(len(data).to_bytes(8, "little"))
    content.update(data)


def short(digest: str) -> str:
    """A digest as messages show it."""
    return digest[:SHOWN]
