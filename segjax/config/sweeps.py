"""Sweeps: lists of override dicts. `product`, `zipped` and `chain` build them.

A point maps config paths to values; the key `arg` is reserved: it is joined to the argument string
of the experiment file.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping

Point = dict[str, object]


def zipped(**values: Iterable) -> list[Point]:
    """`zipped(a=[1, 2], b=[3, 4])`: points (1, 3) and (2, 4). Write dots in names as `__`."""
    keys = [key.replace("__", ".") for key in values]
    return [dict(zip(keys, row, strict=True)) for row in zip(*values.values(), strict=True)]


def product(*sweeps: list[Point] | Mapping[str, Iterable], **values: Iterable) -> list[Point]:
    """Every combination of the points of `sweeps` and of the named values.

    A dict in place of a sweep has paths as they are written, with dots, and the values of each.
    """
    lists = []
    # A named value is a sweep of one column, so that all are combined alike
    for sweep in (*sweeps, values):
        named = sweep.items() if isinstance(sweep, Mapping) else ()
        lists += [zipped(**{key: list(value)}) for key, value in named]
        lists += [] if isinstance(sweep, Mapping) else [sweep]
    return [_merge(row) for row in itertools.product(*lists)]


def chain(*sweeps: list[Point]) -> list[Point]:
    """One sweep after the other."""
    return list(itertools.chain(*sweeps))


def _merge(points: Iterable[Point]) -> Point:
    merged: Point = {}
    for point in points:
        for key, value in point.items():
            # Words of both points apply; of any other key the later value replaces the earlier
            joined = key == "arg" and key in merged
            merged[key] = f"{merged[key]},{value}" if joined else value
    return merged


def words(arg: str) -> dict[str, str]:
    """The words of an argument string by name, the last of each; a bare one is 'true'."""
    pairs = (word.strip().partition("=") for word in arg.split(",") if word.strip())
    return {name: value if equals else "true" for name, equals, value in pairs}


def point_id(point: Mapping[str, object]) -> str:
    """A stable name: ten hex digits of a hash of what the point changes."""
    # Sorted: the order in which a sweep names its keys must not make a new point
    text = json.dumps(point, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def row_label(point: Mapping[str, object], given: str = "") -> str:
    """What the point changes, without its seed: the points of one label are one row of a table.

    Words `given` to the whole sweep stand at the head of every point's `arg` and are left out.
    """
    arg = str(point.get("arg", ""))
    own = arg.removeprefix(given).removeprefix(",") if given else arg
    parts = [own] if own else []
    parts += [f"{key}={value}" for key, value in point.items() if key not in ("arg", "seed")]
    return ", ".join(parts) or "as written"
