"""What a table says of images: points, labels, groups, by the headers of its columns."""

import pathlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segjax.checks import nearest
from segjax.data import names as naming
from segjax.data import tables
from segjax.data.folders.listing import counted, shown
from segjax.errors import UserError

NAMES = ("name", "image", "image name", "image id", "image no", "imageid", "file") + (
    "filename",
    "file name",
    "case",
    "id",
)
# What else tables of this kind hold.
OTHERS = ("split", "set", "subset", "fold")
# Headers of columns that say whose images they are.
PATIENT_COLUMN = re.compile(
    r"(patient|subject|person|participant)s?(id|no|nr|num|number|name|code)?"
)
MOST_LABELS = 100
UNITS = ("pixels", "fractions")


@dataclass(frozen=True)
class Table:
    """A table with a row for every image: its file, headers, and rows by image name."""

    path: pathlib.Path
    headers: tuple[str, ...]
    rows: Mapping[str, tables.Row]

    def has(self, column: str) -> bool:
        """Whether it has a column of this name."""
        return column in self.headers


def read(path: pathlib.Path, images: Mapping[str, pathlib.Path], flag: str) -> Table:
    """A table that has a row for every image.

    Raises: UserError for a table without a column of names, images without a row and rows without
        an image (listed, up to ten).
    """
    headers = tables.headers(path)
    known = {tables.normalised(name) for name in NAMES}
    name = next((h for h in headers if tables.normalised(h) in known), None)
    if name is None:
        raise UserError(
            f"{flag} {path}: no column of image names (such as {', '.join(NAMES[:3])}); the "
            f"headers are {', '.join(headers)}"
        )
    wanted = {header: (header,) for header in headers if header != name} | {"name": (name,)}
    rows = tables.rows_by_name(path, tables.read_table(path, wanted), images)
    if lacking := [file.name for key, file in images.items() if key not in rows]:
        many = counted(lacking, "image has", "images have")
        raise UserError(f"{flag} {path}: {many} no row: {shown(lacking)}")
    if more := [str(row["name"]) for key, row in rows.items() if key not in images]:
        many = counted(more, "row names", "rows name")
        raise UserError(f"{flag} {path}: {many} no image: {shown(more)}")
    return Table(path, tuple(h for h in headers if h != name), rows)


def points(
    table: Table,
    sizes: Mapping[str, tuple[int, int]],
    units: str | None,
    flag: str = "--points",
) -> tuple[dict[str, dict[str, np.ndarray]], str]:
    """Points by their name, then by image, in pixels of the image; and the units of the table.

    Columns `x` and `y` are one point, called `point`; `fovea_x` and `fovea_y` one called `fovea`.
    Coordinates that are all at most 1 are fractions of width and height, unless `units` says
    pixels.

    Raises: UserError for a table without points, with one axis of a point only, or where no
        `units` are given and some points seem to be in fractions, others in pixels.
    """
    _check_whole(table, flag)
    pairs = _pairs(table.headers)
    if not pairs:
        raise UserError(
            f"{flag} {table.path}: no columns x and y, nor such as fovea_x and fovea_y; the "
            f"headers are {', '.join(table.headers)}"
        )
    units = units or _units(table, pairs, flag)
    found: dict[str, dict[str, np.ndarray]] = {}
    for point, (x, y) in pairs.items():
        for name, row in table.rows.items():
            whole = (1, 1) if units == "fractions" else sizes[name]
            place = tables.parse_point(table.path, row, whole, (x, y))
            scale = np.array(sizes[name] if units == "fractions" else (1, 1), np.float32)
            found.setdefault(point, {})[name] = place * scale
    return found, units


def _units(table: Table, pairs: Mapping[str, tuple[str, str]], flag: str) -> str:
    """Fractions where all coordinates are at most 1, else pixels; UserError for some of each."""
    largest = {}
    for point, x_and_y in pairs.items():
        _check_rows(table, point, x_and_y, flag)
        cells = [tables.number_of(row[column]) for row in table.rows.values() for column in x_and_y]
        # Cells that hold no number are named by their rows, later
        if not np.isnan(cells).all():
            largest[point] = np.nanmax(cells)
    low = [point for point, value in largest.items() if value <= 1]
    high = [point for point in largest if point not in low]
    if low and high:
        raise UserError(
            f"{flag} {table.path}: {low[0]!r} is nowhere above 1, as fractions are, and "
            f"{high[0]!r} is, as pixels are; bring them to one unit, or say by --units what they "
            "are"
        )
    return "pixels" if high else "fractions"


def _check_rows(table: Table, point: str, columns: Sequence[str], flag: str) -> None:
    """UserError naming a row that seems to be in fractions among others in pixels."""
    highest = {
        name: max(tables.number_of(row[column]) for column in columns)
        for name, row in table.rows.items()
    }
    above = [value > 1 for value in highest.values()]
    for name, value in highest.items():
        if value <= 1 and any(above):
            row = table.rows[name]
            raise UserError(
                f"{flag} {table.path}, row {row['row']} ({row['name']}): {point!r} is nowhere "
                "above 1, as fractions are, and in other rows is, as pixels are; bring them to one "
                "unit, or say by --units what they are"
            )


def _pairs(headers: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The columns of each point, by its name."""
    pairs = {}
    for header in headers:
        axis = re.fullmatch(r"(?:(.*?)[\s_\-.]*)x(?:[\s_\-.]*coordinate)?", header.strip(), re.I)
        if axis is None:
            continue
        if other := _found(headers, _other_axis(header)):
            pairs[(axis[1] or "point").strip(" _-.").lower() or "point"] = (header, other)
    return pairs


def _check_whole(table: Table, flag: str) -> None:
    """UserError for a column of one axis without that of the other.

    Only where x or y stands apart, as in `disc_x`, `disc X` and `discX`: `sex` and `day` are words.
    """
    apart = re.compile(r"(?:|.*[\s_\-.]|.*[a-z](?=[XY]))[xyXY](?:[\s_\-.]*(?i:coordinate))?")
    for header in table.headers:
        if apart.fullmatch(header.strip()):
            other = _other_axis(header)
            if _found(table.headers, other) is None:
                raise UserError(
                    f"{flag} {table.path}: has a column {header!r}, but none {other!r}; the "
                    f"headers are {', '.join(table.headers)}"
                )


def _found(headers: Sequence[str], wanted: str) -> str | None:
    """A header that differs by spaces, marks and the size of letters at most."""
    same = (h for h in headers if tables.normalised(h) == tables.normalised(wanted))
    return next(same, None)


def _other_axis(header: str) -> str:
    """The header of the other axis: the last x that stands for one becomes y, and y x."""
    text = header.strip()
    place = [m.start() for m in re.finditer(r"[xy](?=[\s_\-.]*coordinate$|$)", text, re.I)][-1]
    other = {"x": "y", "X": "Y", "y": "x", "Y": "X"}[text[place]]
    return text[:place] + other + text[place + 1 :]


def labels(
    table: Table, without: Sequence[str]
) -> dict[str, tuple[tuple[str, ...], dict[str, int]]]:
    """Each column that labels images: the names of its classes, and the index of each image.

    Raises: UserError for an empty cell, and where no column is left.
    """
    passed = {tables.normalised(name) for name in (*without, *OTHERS)}
    found = {}
    for column in table.headers:
        if tables.normalised(column) in passed:
            continue
        cells = {name: row[column] for name, row in table.rows.items()}
        if empty := [str(table.rows[name]["name"]) for name, c in cells.items() if c is None]:
            many = counted(empty, "image has", "images have")
            raise UserError(
                f"--labels {table.path}: {many} nothing under {column!r}: {shown(empty)}"
            )
        names = _classes(cells.values())
        if len(names) > MOST_LABELS:
            raise UserError(
                f"--labels {table.path}: {column!r} holds {len(names)} different values, which are "
                "no classes; remove the column"
            )
        index = {name: place for place, name in enumerate(names)}
        found[column] = (names, {name: index[as_text(cell)] for name, cell in cells.items()})
    if not found:
        raise UserError(f"--labels {table.path}: no column of labels beside that of the names")
    return found


def _classes(cells) -> tuple[str, ...]:
    """The different values of a column, numbers in their order."""
    names = {as_text(cell) for cell in cells}
    numbers = {name: tables.number_of(name) for name in names}
    if not np.isnan(list(numbers.values())).any():
        return tuple(sorted(names, key=numbers.get))
    return tuple(sorted(names))


def as_text(cell: object) -> str:
    """A cell as the name of a class: 1 and 1.0 are one."""
    number = tables.number_of(cell)
    return str(int(number)) if number.is_integer() else str(cell)


def groups(
    how: str | None, images: Mapping[str, pathlib.Path], root: pathlib.Path, given: Sequence[Table]
) -> dict[str, str]:
    """The group of each image: by a column of a table, or a pattern of paths with `{group}`.

    Raises: UserError for a column that no table has, an empty cell, and images that the pattern
        does not fit (up to ten).
    """
    if how is None:
        return {name: name for name in images}
    how = naming.composed(how)
    if "{group}" in how:
        return _by_pattern(how, images, root)
    table = next((table for table in given if table.has(how)), None)
    if table is None:
        columns = [header for table in given for header in table.headers]
        raise UserError(
            f"--group {how!r}: no table has such a column{nearest(how, columns)} A pattern of "
            "file names has {group} in it, as in 'patient{group}_*'"
        )
    cells = {name: table.rows[name][how] for name in images}
    if empty := [images[name].name for name, cell in cells.items() if cell is None]:
        many = counted(empty, "image has", "images have")
        raise UserError(f"--group {how!r}: {many} none: {shown(empty)}")
    return {name: as_text(cell) for name, cell in cells.items()}


def _by_pattern(
    pattern: str, images: Mapping[str, pathlib.Path], root: pathlib.Path
) -> dict[str, str]:
    """Groups by the names of the files or, where the pattern has a '/', by their paths.

    Neither `{group}` nor `*` takes a folder together with what lies in it.
    """
    if pattern.count("{group}") > 1:
        raise UserError(f"--group {pattern!r}: takes {{group}} once")
    fixed = re.split(r"(\{group\}|\*)", pattern)
    kinds = {"{group}": "(?P<group>[^/]+?)", "*": "[^/]*"}
    expression = re.compile("".join(kinds.get(part, re.escape(part)) for part in fixed), re.I)
    found, lacking = {}, []
    for name, path in images.items():
        text = path.relative_to(root).as_posix() if "/" in pattern else path.name
        text = naming.composed(text)
        # First without its extension, which is no part of a group: 'p{group}' also fits p01.png
        texts = (naming.stem(text), text)
        match = next((m for m in map(expression.fullmatch, texts) if m), None)
        if match is None:
            lacking.append(path.name)
        else:
            found[name] = match["group"]
    if lacking:
        many = counted(lacking, "image", "images")
        raise UserError(f"--group {pattern!r}: does not fit {many}: {shown(lacking)}")
    return found
