"""What a downloaded set was made of: noted beside its records, compared when it is prepared again.

A file is the same as long as its size and time of change are. Where only the time differs its
content decides, so that a download that was moved or copied is still the same, and gigabytes are
read for this once, when the set is made. Sets of a user's folder have a note of the same form
(`own.SOURCE`), of what was understood of each file.
"""

import concurrent.futures
import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import sys
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import tensorflow_datasets as tfds
from tqdm import tqdm

from segjax import files
from segjax.errors import UserError

# Not the name of an own set's note, by which those are found
NOTE = "download.json"
MOST_SHOWN = 10  # names in a message


@dataclasses.dataclass(frozen=True)
class Source:
    """The files that a set is made of, as they lie there now.

    Attributes:
        folder: the user's `--manual_dir`.
        paths: each file by a name that stays the same when the download is moved.
        status: of each file its size in bytes and its time of change in nanoseconds.
    """

    folder: str
    paths: Mapping[str, pathlib.Path]
    status: Mapping[str, list[int]]


def of(made: tfds.core.DatasetBuilder, manual_dir: str) -> Source:
    """What a set would be made of: the `source_files` of its builder, else all that lies there.

    Raises: UserError where the folder holds nothing of the set.
    """
    manual = pathlib.Path(manual_dir)
    find = getattr(made, "source_files", below)
    paths = dict(sorted(find(manual).items()))
    return Source(manual_dir, paths, {name: _status(path) for name, path in paths.items()})


def below(folder: pathlib.Path, endings: Collection[str] = ()) -> dict[str, pathlib.Path]:
    """The files below a folder, by their path there; hidden ones are passed over.

    Args:
        folder: may be missing, and holds nothing then.
        endings: extensions in lower case that count, as in ('.csv', '.jpg'); () takes all.
    """
    found = {}
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if not hidden and path.is_file() and (not endings or path.suffix.lower() in endings):
            found[inside.as_posix()] = path
    return found


def note(source: Source) -> str:
    """What is written down of a source, as the text of `NOTE`.

    Raises: UserError for a file that has changed since `source` was taken, for then nobody knows
        which of its two contents is in the records.
    Cost: one pass over all files.
    """
    digests = _digests(source.paths)
    for name, path in source.paths.items():
        if _status(path) != source.status[name]:
            raise UserError(f"{path}: has changed while the set was prepared; prepare it again")
    return _text(source, digests)


def changes(folder: pathlib.Path, source: Source) -> str | None:
    """In what a source differs from the one that a prepared set was made of, in words.

    Args:
        folder: of the prepared set. Where all is the same but the times of files, its note takes
            up the new ones.
        source: what it would be made of now.

    Returns: '' where in nothing; None where the set has no note, as one that was prepared before
        there were notes.
    Cost: the content of those files only whose time, but not their size, is another.
    """
    kept = _kept(folder / NOTE)
    if kept is None:
        return None
    before, noted = kept
    now, doubtful = {}, {}
    for name, status in source.status.items():
        if noted.get(name) == status:
            now[name] = before[name]
        elif name in noted and noted[name][0] == status[0]:
            doubtful[name] = source.paths[name]
        else:
            now[name] = ""  # no digest: another size is another content
    now |= _digests(doubtful)
    found = in_words(before, now)
    if doubtful and not found:
        try:
            files.write_text(folder / NOTE, _text(source, now))
        except OSError:  # a folder to read only: the content is compared again the next time
            pass
    return found


def in_words(before: Mapping[str, str], now: Mapping[str, str], most: int = MOST_SHOWN) -> str:
    """Which names are new, gone, or have another digest, with up to `most` of them; '' for none."""
    lists = {
        "new": [name for name in now if name not in before],
        "gone": [name for name in before if name not in now],
        "changed": [name for name in now if name in before and before[name] != now[name]],
    }
    # In turns, so that a long list leaves room for the names of a short one
    turns = itertools.zip_longest(*([(kind, n) for n in names] for kind, names in lists.items()))
    some = itertools.islice((each for turn in turns for each in turn if each), most)
    shown: dict[str, list[str]] = {kind: [] for kind in lists}
    for kind, name in some:
        shown[kind].append(name)
    return ", ".join(
        f"{len(names)} {kind}{_examples(shown[kind], len(names))}"
        for kind, names in lists.items()
        if names
    )


def _examples(names: list[str], count: int) -> str:
    if not names:
        return ""
    return f" ({', '.join(names)}{', …' if len(names) < count else ''})"


def _status(path: pathlib.Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _digests(paths: Mapping[str, pathlib.Path]) -> dict[str, str]:
    """SHA-256 of the content of each file."""
    threads = min(8, os.cpu_count() or 1)
    bar: dict[str, Any] = {"desc": "digest of the source", "total": len(paths)}
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        found: Iterable[str] = pool.map(_digest, paths.values())
        shown = tqdm(found, disable=not paths or not sys.stderr.isatty(), **bar)
        return dict(zip(paths, shown, strict=True))


def _digest(path: pathlib.Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _text(source: Source, digests: Mapping[str, str]) -> str:
    content = {
        "kind": "download",
        "request": {"manual_dir": os.path.abspath(source.folder)},
        "digests": {name: digests[name] for name in source.paths},
        "files": source.status,
    }
    return json.dumps(content, indent=1) + "\n"


def _kept(path: pathlib.Path) -> tuple[dict[str, str], dict[str, list[int]]] | None:
    """Digests and status in the note of a set; None without one that can be read."""
    try:
        content = json.loads(path.read_bytes())
        digests, noted = content["digests"], content["files"]
        # A damaged note is no fault of the data: it counts as none
        if digests.keys() != noted.keys() or not all(len(one) == 2 for one in noted.values()):
            return None
        return digests, noted
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
