"""Every file of a source read once: is it whole, how large, what is in it. Kept as it goes on.

What was found of a file is written down line by line, so that a scan that was stopped goes on where
it was; a file that changed since, by its size or time, is read again.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
from tqdm import tqdm

from segjax.data import images, staging
from segjax.data.folders import coding

NAME = ".scan.jsonl"
AT_ONCE = 64  # files a thread pool is given, which bounds what waits to be written


@dataclass(frozen=True)
class Seen:
    """What one picture is: (width, height), a hash of its pixels, was it turned by its tag."""

    size: tuple[int, int]
    content: str
    turned: bool = False


class Journal:
    """What was found of files, in a file that grows; `found` reads each file at most once."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        self._known: dict[str, Any] = {}
        self._stream: TextIO | None = None
        if path.exists():
            for line in path.read_text(errors="replace").splitlines():
                try:
                    key, value = json.loads(line)
                except (ValueError, TypeError):  # cut short when its writer was killed
                    continue
                self._known[key] = value

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *unused) -> None:
        if self._stream is None:
            return
        try:
            self._stream.close()
        finally:
            # Given up before its first line, as on a full disk
            if self.path.exists() and not self.path.stat().st_size:
                self.path.unlink()

    def found(
        self, files: Iterable[pathlib.Path], kind: str, read: Callable[[pathlib.Path], Any]
    ) -> dict[pathlib.Path, Any]:
        """`read(path)` of each file, JSON; UserError of the first that cannot be read."""
        files = list(files)
        keys = {path: _key(path, kind) for path in files}
        waiting = [path for path in files if keys[path] not in self._known]
        for path, value in _in_threads(waiting, read, kind):
            self._keep(keys[path], value)
        return {path: self._known[keys[path]] for path in files}

    def one(self, path: pathlib.Path, kind: str, read: Callable[[pathlib.Path], Any]) -> Any:
        """`read(path)` of one file, as `found` gives it of many."""
        key = _key(path, kind)
        if key not in self._known:
            self._keep(key, read(path))
        return self._known[key]

    def _keep(self, key: str, value: Any) -> None:
        if self._stream is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self.path.open("a", buffering=1)  # a line at a time
            # Shared, for several may read one source; `segjax data remove` asks for it alone
            staging.share(self._stream.fileno())
        self._known[key] = value
        self._stream.write(json.dumps([key, value]) + "\n")


def _key(path: pathlib.Path, kind: str) -> str:
    status = path.stat()
    return f"{kind} {status.st_size} {status.st_mtime_ns} {os.path.abspath(path)}"


def _in_threads(files: list, read: Callable, kind: str) -> Iterator[tuple[pathlib.Path, Any]]:
    if not files:
        return
    threads = os.cpu_count() or 1
    bar = tqdm(total=len(files), desc=f"reading {kind}", disable=not sys.stderr.isatty())
    with concurrent.futures.ThreadPoolExecutor(threads) as pool, bar:
        for start in range(0, len(files), AT_ONCE):
            some = files[start : start + AT_ONCE]
            for path, value in zip(some, pool.map(read, some), strict=True):
                bar.update()
                yield path, value


def pictures(journal: Journal, files: Iterable[pathlib.Path]) -> dict[pathlib.Path, Seen]:
    """Size, content and orientation of images."""
    found = journal.found(files, "pictures", _picture)
    return {path: Seen(tuple(size), *more) for path, (size, *more) in found.items()}


def _picture(path: pathlib.Path) -> list:
    array, turned = images.read_turned(path)
    content = hashlib.sha256(f"{array.shape}".encode())
    content.update(np.ascontiguousarray(array))
    return [[array.shape[1], array.shape[0]], content.hexdigest(), turned]


def masks(
    journal: Journal, files: Iterable[pathlib.Path], *, coloured: bool
) -> dict[pathlib.Path, coding.Levels]:
    """The values of masks."""

    def read(path: pathlib.Path) -> list:
        levels = coding.levels_of(path, coloured=coloured)
        pixels = [[value, count] for value, count in levels.pixels.items()]
        return [list(levels.size), pixels, levels.content]

    found = journal.found(files, "coloured masks" if coloured else "masks", read)
    return {
        path: coding.Levels(tuple(size), dict(map(tuple, pixels)), content)
        for path, (size, pixels, content) in found.items()
    }


def duplicates(seen: Mapping[str, Seen]) -> list[list[str]]:
    """Names of images that are the same, pixel by pixel."""
    names: dict[str, list[str]] = {}
    for name, each in seen.items():
        names.setdefault(each.content, []).append(name)
    return [same for same in names.values() if len(same) > 1]
