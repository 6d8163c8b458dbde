"""What lies in a data folder: prepared sets and caches, where, and how large. Reads no records."""

import dataclasses
import os
import pathlib
import re
import textwrap
from collections.abc import Iterator, Sequence

import tensorflow_datasets as tfds

from segjax.config import lookup
from segjax.data import array_files, digest, own, shards, store, tidy
from segjax.errors import UserError

WIDTH = 120  # of the table, in characters
NAME = 32
_VERSION = re.compile(r"\d+\.\d+\.\d+")


@dataclasses.dataclass(frozen=True)
class Row:
    """A set that segjax knows or that lies there, or a cache that belongs to none of them.

    Attributes:
        name: `set`, or `set/config`; '' of a cache without a set.
        state: prepared with how many cases a split, or what it needs, in words.
        folder: where it lies, the newest of its versions; None for a set that is not prepared.
        size: of all its versions in bytes.
        caches: bytes of what was preprocessed from it; None where it is not known which that is.
    """

    name: str
    state: str
    folder: pathlib.Path | None = None
    size: int = 0
    caches: int | None = 0


def prepared(data_dir: str | os.PathLike) -> dict[str, list[pathlib.Path]]:
    """The folders of each prepared set, by `set` or `set/config`, the newest version last.

    Sets of TensorFlow Datasets that segjax did not make are none of them. Neither is a set without
    its description, unless it is a user's own one, which is damaged then.
    """
    found: dict[str, list[pathlib.Path]] = {}
    known = lookup.names("datasets")
    root = pathlib.Path(data_dir)
    places = (path for pattern in ("*/*", "*/*/*") for path in root.glob(pattern))
    versions = [path for path in places if _VERSION.fullmatch(path.name)]
    for folder in sorted(versions, key=lambda path: (path.parent, _number(path))):
        inside = folder.relative_to(root).parts[:-1]
        if any(part.startswith(".") for part in inside):  # in the making, or on its way out
            continue
        notes = {
            name for name in (shards.INFO, own.SOURCE, digest.NAME) if (folder / name).exists()
        }
        ours = inside[0] in known or notes & {own.SOURCE, digest.NAME}
        if ours and notes & {shards.INFO, own.SOURCE}:
            found.setdefault("/".join(inside), []).append(folder)
    return found


def _number(version: pathlib.Path) -> list[int]:
    """Of 1.10.0, which comes after 1.9.0."""
    return [int(part) for part in version.name.split(".")]


def rows(data_dir: str, cache_dir: str | None = None) -> list[Row]:
    """Every set that segjax knows or that is prepared there, and caches that none of them owns.

    Args:
        data_dir: where prepared sets lie; it may be missing.
        cache_dir: where caches lie, if not beside the sets.
    """
    there = prepared(data_dir)
    states = dict(store.listing(data_dir))
    for name, folders in there.items():
        if name not in states:
            states[name] = _state(folders[-1])
    root = cache_of(data_dir, cache_dir)
    sizes = {path: size_of(path) for path in tidy.caches(root)}
    owned = {name: caches_of(folders, root) for name, folders in there.items()}
    listed = []
    for name, state in states.items():
        if name not in there:
            listed.append(Row(name, state))
            continue
        caches = sum(sizes.get(path, 0) for path in owned[name] if path is not None)
        # Where no cache is at all, none is of this set either
        known = None not in owned[name] or not sizes
        size = sum(map(size_of, there[name]))
        listed.append(Row(name, state, there[name][-1], size, caches if known else None))
    return listed + list(_without_set(sizes, owned))


def _without_set(
    sizes: dict[pathlib.Path, int], owned: dict[str, list[pathlib.Path | None]]
) -> Iterator[Row]:
    """Caches that no set owns, or one whose digest is not kept, perhaps."""
    state = "caches of no prepared set"
    if unknown := [name for name, paths in owned.items() if None in paths]:
        state += f", or of one whose digest is not kept: {', '.join(unknown)}"
    for path in sorted(sizes.keys() - {path for paths in owned.values() for path in paths}):
        yield Row("", state, path, 0, sizes[path])


def caches_of(folders: list[pathlib.Path], root: pathlib.Path) -> list[pathlib.Path | None]:
    """Where caches of the sets in some folders lie; None for one whose digest is not kept."""
    digests = map(digest.known, folders)
    return [array_files.folder_of(root, found) if found else None for found in digests]


def cache_of(data_dir: str | os.PathLike, cache_dir: str | os.PathLike | None) -> pathlib.Path:
    """Where preprocessed cases lie: beside the prepared sets unless told otherwise."""
    return pathlib.Path(cache_dir) if cache_dir else pathlib.Path(data_dir, array_files.FOLDER)


def _state(folder: pathlib.Path) -> str:
    """The state of a set that is in no list: a config spelled out, or a builder of the user's."""
    try:
        try:
            made = tfds.builder_from_directory(folder)
        except Exception as error:  # whatever the parser of TFDS raises
            raise shards.damaged(folder / shards.INFO, error) from error
        return store.state(made)
    except UserError as error:
        return f"damaged: {error}"


def size_of(path: pathlib.Path) -> int:
    """Bytes of a file, or of all files below a folder; of a link those of the link itself."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except FileNotFoundError:  # someone is at work in it
                pass
    return total


def in_words(size: int) -> str:
    """A number of bytes as people read it: 812 B, 12.3 kB, 4.5 MB, 1.2 GB."""
    number, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        # Rounded first, or 999 990 would become 1000.0 kB
        if round(number, 1) < 1000:
            break
        number, unit = number / 1000, larger
    return f"{size} B" if unit == "B" else f"{number:.1f} {unit}"


def table(listed: list[Row], data_dir: str, cache_dir: str | None = None) -> Iterator[str]:
    """`rows` as lines: columns for what lies there, and below them what it comes to."""
    there = [
        row for row in listed if row.folder is not None and not row.state.startswith("damaged")
    ]
    roots = data_dir, cache_of(data_dir, cache_dir)
    folders = {row.folder: _shown(row.folder, roots) for row in there}
    left = WIDTH - NAME - 24 - max([len(text) for text in folders.values()], default=0)
    wide = min(max(left, 24), max([len(row.state) for row in there], default=0))
    if there:
        yield f"{'set':{NAME}} {'state':{wide}} {'size':>9} {'caches':>9}  folder"
    for row in listed:
        if row.folder not in folders:
            yield f"{row.name:{NAME}} {row.state}"
            continue
        first, *more = _wrapped(row.state, wide)
        size = in_words(row.size) if row.name else "-"
        caches = "?" if row.caches is None else in_words(row.caches) if row.caches else "-"
        name = row.name or "-"
        yield f"{name:{NAME}} {first:{wide}} {size:>9} {caches:>9}  {folders[row.folder]}"
        yield from (f"{'':{NAME}} {text}" for text in more)
    if there:
        yield from _sums(there, data_dir, cache_dir)


def _sums(there: list[Row], data_dir: str, cache_dir: str | None) -> Iterator[str]:
    sets, caches = sum(row.size for row in there), sum(row.caches or 0 for row in there)
    yield f"in {data_dir}: {in_words(sets)} of prepared sets"
    if caches:
        yield f"in {cache_of(data_dir, cache_dir)}: {in_words(caches)} of preprocessed caches"
    if all(row.name for row in there):
        return
    if cache_dir:
        yield "caches of no prepared set may belong to one of another data folder"
    else:
        yield "caches of no prepared set go with the next `segjax data prepare`"


def _shown(path: pathlib.Path, roots: Sequence[str | os.PathLike]) -> str:
    """A path as seen from the first of some folders that it lies in."""
    return str(next(path.relative_to(root) for root in roots if path.is_relative_to(root)))


def _wrapped(state: str, wide: int) -> list[str]:
    """Lines of a state; counts of cases stay with their splits."""
    if state.startswith("prepared"):
        state = state.replace(" ", "\xa0").replace(",\xa0", ", ")
    lines = textwrap.wrap(state, wide, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\xa0", " ") for line in lines]
