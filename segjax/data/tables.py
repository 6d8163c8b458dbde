"""Reading annotation tables by column name, with the row in every complaint."""

import csv
import io
import math
import os
import pathlib
import re
import zipfile
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from segjax.data import names
from segjax.errors import UserError

Row = dict[str, object]
# Not all that Python takes for one: 1_000, and the digits of other scripts.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf", re.ASCII | re.IGNORECASE)
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # byte order marks


def read_table(
    path: str | os.PathLike,
    columns: Mapping[str, Sequence[str]],
    *,
    optional: Sequence[str] = (),
) -> list[Row]:
    """Reads the named columns of a `.csv` or `.xlsx` table.

    The first row that is not blank holds the headers. They are compared by their letters and digits
    alone, in lower case, so `X- Coordinate` and ` x coordinate` are one. Blank rows are skipped;
    of a workbook the first sheet is read. A `.csv` is UTF-8, or UTF-16 with a byte order mark, and
    separated by commas, semicolons or tabs. Behind the last header may stand remarks, but no
    numbers: what `12,5` leaves in a file separated by commas is the half of one.

    Args:
        path: the table.
        columns: for each key of the result, the headers it may stand under, best first.
        optional: keys whose column may be missing; their values are then None.

    Returns:
        One dict per row: the keys of `columns` (text stripped, an empty cell None) and `row`, the
        number of the row in the file, counted from 1 as a spreadsheet does. A cell of a workbook
        whose formula was saved without its result holds the formula.

    Raises:
        UserError: the file is missing, unreadable, an old `.xls`, empty, lacks a column or has two
            of one name, or a row has a number beyond the headers.
    """
    path = pathlib.Path(path)
    # Numbered before blank rows go: messages name the row that a spreadsheet shows
    lines = [(i, line) for i, line in enumerate(_read_lines(path), 1) if any(_filled(line))]
    if not lines:
        raise UserError(f"{path}: the table is empty")
    headers = [normalised(cell) for cell in lines[0][1]]
    places: dict[str, int | None] = {}
    for key, wanted in columns.items():
        # By name, never by place: releases of one set put other columns before these
        found = [headers.index(normalised(n)) for n in wanted if normalised(n) in headers]
        if not found and key not in optional:
            has = ", ".join(repr(str(cell)) for cell in _filled(lines[0][1]))
            either = " or ".join(repr(name) for name in wanted)
            raise UserError(f"{path}: no column {either}; the headers are {has}")
        places[key] = found[0] if found else None
        # Only a column that is asked for: empty headers after the last one are often alike
        if found and headers.count(headers[found[0]]) > 1:
            name = str(lines[0][1][found[0]]).strip()
            raise UserError(f"{path}: two columns are headed {name!r}; rename one")
    _check_width(path, lines)
    return [
        {"row": i} | {key: _cell(line, place) for key, place in places.items()}
        for i, line in lines[1:]
    ]


def headers(path: str | os.PathLike) -> list[str]:
    """The headers of a table, those that are not blank, as they are written.

    Raises: UserError as `read_table`, and for two that are alike.
    """
    path = pathlib.Path(path)
    first = next((line for line in _read_lines(path) if any(_filled(line))), None)
    if first is None:
        raise UserError(f"{path}: the table is empty")
    found = [names.composed(str(cell).strip()) for cell in _filled(first)]
    for place, header in enumerate(found):
        if normalised(header) in map(normalised, found[:place]):
            raise UserError(f"{path}: two columns are headed {header!r}; rename one")
    return found


def _check_width(path: pathlib.Path, lines: Sequence[tuple[int, Sequence[object]]]) -> None:
    """Raises UserError for the first row with a number beyond the last header."""
    width = max(place for place, cell in enumerate(lines[0][1], 1) if _filled([cell]))
    for row, line in lines[1:]:
        # Remarks may stand there. A number is the sign of a decimal comma, which moved all cells
        # after it one column to the right, silently.
        for cell in line[width:]:
            if not math.isnan(number_of(cell.strip() if isinstance(cell, str) else cell)):
                raise UserError(
                    f"{path}, row {row}: the number {cell} stands beyond the headers; "
                    "decimals take a point, not a comma, and every column a header"
                )


def rows_by_name(
    path: str | os.PathLike, rows: Sequence[Row], known: Collection[str] = ()
) -> dict[str, Row]:
    """Indexes rows by their cell `name` without extension, in lower case, dropping nameless rows.

    Args:
        path: the table, for messages.
        rows: of `read_table`.
        known: names, as `names.key` gives them, that are taken whole.

    Raises:
        UserError: two rows have one name.
    """
    index: dict[str, Row] = {}
    for row in rows:
        if row["name"] is None:
            continue
        name = name_of(row["name"], known)
        if name in index:
            first = index[name]["row"]
            raise UserError(
                f"{path}, row {row['row']}: {row['name']} already stands in row {first}"
            )
        index[name] = row
    return index


def name_of(cell: object, known: Collection[str]) -> str:
    """The name in a cell: whole where it is known so, else without the ending of a file."""
    text, number = names.key(pathlib.PurePath(str(cell)).name), number_of(cell)
    # 17 becomes 17.0 in spreadsheets and data frames
    whole = str(int(number)) if number.is_integer() else text
    found = (name for name in (text, names.stem(text), whole) if name in known)
    return next(found, names.stem(text))


def parse_point(
    path: str | os.PathLike,
    row: Row,
    size: tuple[int, int],
    columns: tuple[str, str] = ("x", "y"),
) -> np.ndarray:
    """Reads two cells of a row as a point inside its image.

    Args:
        path: the table, for messages.
        row: a row of `read_table` with `name` and the two columns.
        size: `(width, height)` of the image in pixels.
        columns: which cells are x and y.

    Returns:
        float32 array `[2]`: x to the right, y down, in pixels, as the table gives them.

    Raises:
        UserError: a value is no number or lies outside `[0, width] x [0, height]`.
    """
    width, height = size
    point = []
    for axis, length in zip(columns, (width, height), strict=True):
        value = row[axis]
        where = f"{path}, row {row['row']} ({row['name']}): {axis} is"
        number = number_of(value)
        if math.isnan(number):
            came = "empty" if value is None else f"{value!r}"
            raise UserError(f"{where} {came}, not a number; the image is {width}x{height} pixels")
        # Both ends: in continuous pixels the right edge of the last pixel is `length`
        if not 0 <= number <= length:
            raise UserError(f"{where} {value}, outside its image of {width}x{height} pixels")
        point.append(number)
    return np.array(point, np.float32)


def parse_class(path: str | os.PathLike, row: Row, key: str, classes: int) -> int:
    """Reads the cell `key` as a whole number from 0 to `classes - 1`, or raises UserError."""
    value = row[key]
    number = number_of(value)
    # Also false for a nan and for 1.5: a float is in a range only where it is whole
    if number not in range(classes):
        came = "empty" if value is None else repr(value)
        wanted = f"a whole number from 0 to {classes - 1} is taken"
        raise UserError(f"{path}, row {row['row']} ({row['name']}): {key} is {came}; {wanted}")
    return int(number)


def number_of(value: object) -> float:
    """The number that a cell holds; NaN where it holds none, or one written in another way."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else math.nan
    # By type: a bool is an int to isinstance, and a cell of a workbook may hold TRUE
    return float(value) if type(value) in (int, float) else math.nan


def _read_lines(path: pathlib.Path) -> list[list[object]]:
    """All rows of the file, blank ones included."""
    kind = path.suffix.lower()
    if kind == ".xls":
        raise UserError(f"{path}: the old .xls format is not read; save it as .xlsx or .csv")
    if kind not in (".csv", ".xlsx"):
        raise UserError(f"{path}: tables are .csv or .xlsx files")
    if not path.is_file():
        raise UserError(f"{path}: no such table")
    try:
        return _read_csv(path) if kind == ".csv" else _read_workbook(path)
    except (OSError, csv.Error, zipfile.BadZipFile, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: is no readable {kind} table: {reason}") from error


def _read_csv(path: pathlib.Path) -> list[list[object]]:
    data = path.read_bytes()
    if data.startswith(_UTF_16):
        text = data.decode("utf-16")
    else:
        # Names and numbers are ASCII; a stray byte elsewhere in another encoding does no harm.
        text = data.decode("utf-8-sig", errors="replace")
    # UTF-16 without its mark decodes as UTF-8 with a zero byte between letters.
    if "\0" in text:
        raise ValueError("it is in another encoding; save it as UTF-8")
    # Counted in the headers only: commas in other rows may be decimals between semicolons
    headers = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(",;\t", key=headers.count)
    return [list(line) for line in csv.reader(io.StringIO(text, newline=""), delimiter=separator)]


def _read_workbook(path: pathlib.Path) -> list[list[object]]:
    import openpyxl  # takes long to import, and few tables are workbooks

    # Once with the results of formulas, and once with the formulas.
    results, formulas = (
        openpyxl.load_workbook(path, data_only=results).worksheets[0].iter_rows(values_only=True)
        for results in (True, False)
    )
    return [
        # A file that no spreadsheet program has computed holds no results; the formula then appears
        # in the complaint, where an empty cell would puzzle.
        [formula if result is None else result for result, formula in zip(*row, strict=True)]
        for row in zip(results, formulas, strict=True)
    ]


def normalised(header: object) -> str:
    """A header by its letters and digits alone, in lower case."""
    return "".join(c for c in names.key(str(header or "")) if c.isalnum())


def _filled(line: Sequence[object]) -> list[object]:
    return [cell for cell in line if cell is not None and str(cell).strip()]


def _cell(line: Sequence[object], place: int | None) -> object:
    value = line[place] if place is not None and place < len(line) else None
    if isinstance(value, str):
        value = names.composed(value.strip())
    return None if value == "" else value
