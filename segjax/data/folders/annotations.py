"""A table of findings: who marked which finding in which regions, and what that comes to.

A row is one finding of one image by one annotator; without a finding it says that the annotator
looked at the image and found nothing.
"""

import pathlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segjax.checks import nearest
from segjax.data import names as naming
from segjax.data import regions, tables
from segjax.data.folders import columns
from segjax.data.folders.listing import counted, shown
from segjax.errors import UserError

PRESENT, ABSENT, UNDECIDED = 1, 0, -1
POINTS = ("disc", "fovea")
CELLS = ("disc_x", "disc_y", "fovea_x", "fovea_y")
COLUMNS = {
    "name": columns.NAMES,
    "annotator": ("annotator", "grader", "rater", "reader", "observer"),
    "finding": ("finding",),
    "regions": ("regions", "region"),
} | {cell: (cell,) for cell in CELLS}
ALONE = ""  # who annotates where nobody is told apart
FLAG = "--findings"


@dataclass(frozen=True)
class Finding:
    """What the annotators together say of a finding.

    Attributes:
        labels: of each image, present, absent or undecided.
        regions: of each image, all that somebody marked.
        marks: by image and annotator, who marked the finding, and in which regions.
    """

    labels: Mapping[str, int]
    regions: Mapping[str, tuple[str, ...]]
    marks: Mapping[str, Mapping[str, tuple[str, ...]]]

    def vector(self, name: str) -> np.ndarray:
        """The regions of an image, uint8 `[8]` of 0 and 1."""
        return np.isin(regions.REGIONS, self.regions[name]).astype(np.uint8)


@dataclass(frozen=True)
class Annotations:
    """What a table of findings says of all images.

    Attributes:
        findings: by name, in the order of the alphabet.
        annotators: of each image, everyone who has a row on it.
        table: columns that say one thing of an image, as its patient.
        points: the columns of disc and fovea, of images that have them.
    """

    findings: Mapping[str, Finding]
    annotators: Mapping[str, Sequence[str]]
    table: columns.Table | None = None
    points: columns.Table | None = None


@dataclass(frozen=True)
class _Row:
    """A row: of which image, by whom, which finding ('' for none), in which regions."""

    row: int
    image: str
    written: str
    annotator: str
    finding: str
    regions: tuple[str, ...]
    cells: tables.Row

    def at(self, path: pathlib.Path) -> str:
        """Where it stands, for messages."""
        return f"{path}, row {self.row} ({self.written})"


def read(
    path: pathlib.Path,
    images: Mapping[str, pathlib.Path],
    group: str | None = None,
    needed: int | None = None,
) -> Annotations:
    """The findings of images by a table.

    Args:
        path: of the table.
        images: by what their names are compared by; each has at least one row.
        group: a column that the table may have beside its own.
        needed: annotators who have to mark a finding for it to be present. None: two thirds of
            those of the image and at least two, or the only one.

    Raises: UserError naming the row that makes no sense or contradicts another, images without a
        row and rows without an image, and findings that are nowhere present, or nowhere absent.
    """
    more = _other_columns(path, tables.headers(path), group)
    wanted = COLUMNS | {_key(header): (header,) for header in more}
    read_rows = tables.read_table(path, wanted, optional=["annotator"])
    rows = _rows(path, read_rows, images, has_annotators=_has_annotators(path))
    _check_images(path, rows, images)
    everyone: dict[str, dict[str, None]] = {name: {} for name in images}
    for row in rows:
        everyone[row.image][row.annotator] = None
    annotators = {name: tuple(found) for name, found in everyone.items()}
    most = max(map(len, annotators.values()))
    if needed is not None and needed > most:
        raise UserError(
            f"--needed {needed}: no image has more than {most} annotator{'s' * (most > 1)} in "
            f"{path}"
        )
    marks = _marks(path, rows)
    findings = {name: _joined(marks[name], annotators, needed) for name in sorted(marks)}
    _check_both(path, findings)
    return Annotations(findings, annotators, _of_images(path, rows, more), _pointed(path, rows))


def with_rows(path: pathlib.Path, images: Mapping[str, pathlib.Path]) -> dict[str, pathlib.Path]:
    """Those of the images that a table has a row of.

    Raises: UserError for a table without one of them.
    """
    rows = tables.read_table(path, {"name": COLUMNS["name"]})
    named = {tables.name_of(row["name"], images) for row in rows if row["name"] is not None}
    if not (found := {name: file for name, file in images.items() if name in named}):
        raise UserError(f"{FLAG} {path}: has a row of none of the {len(images)} images")
    return found


def points(
    found: Annotations,
    images: Mapping[str, pathlib.Path],
    sizes: Mapping[str, tuple[int, int]],
    units: str | None,
) -> tuple[dict[str, dict[str, np.ndarray]], str]:
    """Disc and fovea of each image in its pixels, nan where there are none; the table's units.

    Raises: UserError for points as `columns.points`, for a disc that is the fovea, and for images
        with a marked finding and without points.
    """
    path, known = found.points.path, found.points.rows
    marked = {name for each in found.findings.values() for name in each.marks}
    if lacking := [file.name for n, file in images.items() if n in marked and n not in known]:
        many = counted(lacking, "image has a marked finding", "images have marked findings")
        raise UserError(f"{FLAG} {path}: {many}, and no disc and fovea: {shown(lacking)}")
    placed, units = columns.points(found.points, sizes, units, FLAG)
    for name, row in known.items():
        disc, fovea = (placed[point][name] for point in POINTS)
        if np.array_equal(disc, fovea):
            raise UserError(
                f"{path}, row {row['row']} ({row['name']}): disc and fovea are one point, "
                f"({row['disc_x']}, {row['disc_y']})"
            )
    nowhere = np.full(2, np.nan, np.float32)
    return {p: {name: placed[p].get(name, nowhere) for name in images} for p in POINTS}, units


def identifier(text: str) -> str:
    """The name of a finding in small letters, digits and underscores; '' where it gives none."""
    plain = unicodedata.normalize("NFKD", text).lower()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    if any(c.isalnum() and not c.isascii() for c in plain):
        return ""
    made = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    return made if made[:1].isalpha() else ""


# --- columns and rows --------------------------------------------------------------------------


def _key(header: str) -> str:
    """What another column is read under: a header may be called `row`, as nothing else is."""
    return f"={header}"


def _other_columns(path: pathlib.Path, headers: Sequence[str], group: str | None) -> list[str]:
    """Columns beside those of `COLUMNS` that say one thing of an image; UserError for others."""
    known = {tables.normalised(name) for names in COLUMNS.values() for name in names}
    passed = {tables.normalised(name) for name in columns.OTHERS}
    others = [header for header in headers if tables.normalised(header) not in known]
    others = [header for header in others if tables.normalised(header) not in passed]
    takes = ["image", *list(COLUMNS)[1:]]
    for header in others:
        if header != group and not columns.PATIENT_COLUMN.fullmatch(tables.normalised(header)):
            raise UserError(
                f"{FLAG} {path}: has a column {header!r}{nearest(header.lower(), takes)} It takes: "
                f"{', '.join(takes)}, and a column of patients; --group names any other"
            )
    return others


def _has_annotators(path: pathlib.Path) -> bool:
    known = {tables.normalised(name) for name in COLUMNS["annotator"]}
    return any(tables.normalised(header) in known for header in tables.headers(path))


def _rows(
    path: pathlib.Path,
    read_rows: Sequence[tables.Row],
    images: Mapping[str, pathlib.Path],
    *,
    has_annotators: bool,
) -> list[_Row]:
    """Rows with their cells read; UserError for a cell that means nothing."""
    found, spelled = [], {}
    for cells in read_rows:
        row = cells["row"]
        if cells["name"] is None:
            raise UserError(f"{path}, row {row}: names no image")
        where = f"{path}, row {row} ({cells['name']})"
        if has_annotators and cells["annotator"] is None:
            raise UserError(f"{where}: names no annotator, and the table has a column of them")
        annotator = naming.key(columns.as_text(cells["annotator"])) if has_annotators else ALONE
        finding = _finding(where, cells["finding"], row, spelled)
        marked = _regions(where, cells["regions"])
        if finding and not marked:
            raise UserError(
                f"{where}: {cells['finding']!r} is marked without regions, which guidance needs; "
                "of an image on which nothing is found the cell of the finding is empty"
            )
        if marked and not finding:
            raise UserError(f"{where}: has regions ({cells['regions']}) and no finding")
        image = tables.name_of(cells["name"], images)
        found.append(_Row(row, image, str(cells["name"]), annotator, finding, marked, cells))
    return found


def _finding(where: str, cell: object, row: int, spelled: dict[str, tuple[str, int]]) -> str:
    """The name of a finding, one spelling of it noted; '' for an empty cell."""
    if cell is None:
        return ""
    text = columns.as_text(cell)
    if not (name := identifier(text)):
        raise UserError(
            f"{where}: the finding {text!r} gives no name; it takes letters from a to z, digits "
            "and underscores, a letter first"
        )
    other, first = spelled.setdefault(name, (text, row))
    if naming.key(other) != naming.key(text):
        raise UserError(
            f"{where}: the finding {text!r} and {other!r} of row {first} would both be called "
            f"{name}; write them alike"
        )
    return name


def _regions(where: str, cell: object) -> tuple[str, ...]:
    """Names of regions, in the order of `REGIONS`."""
    text = str(cell or "").lower()
    for name in regions.REGIONS:  # with a blank or a hyphen for the underscore, too
        first, _, second = name.partition("_")
        text = re.sub(rf"(?<![\w-]){first}[ -]{second}(?![\w-])", name, text) if second else text
    words = [word for word in re.split(r"[\s;|,]+", text) if word]
    for word in words:
        if word not in regions.REGIONS:
            raise UserError(
                f"{where}: there is no region {word!r}{nearest(word, regions.REGIONS)} "
                f"It takes: {', '.join(regions.REGIONS)}"
            )
    return tuple(name for name in regions.REGIONS if name in words)


def _check_images(path: pathlib.Path, rows: Sequence[_Row], images: Mapping) -> None:
    """UserError for images without a row, and rows without an image (up to ten of either)."""
    known = {row.image for row in rows}
    said = []
    if lacking := [file.name for name, file in images.items() if name not in known]:
        said.append(f"{counted(lacking, 'image has', 'images have')} no row: {shown(lacking)}")
    if more := list(dict.fromkeys(row.written for row in rows if row.image not in images)):
        many = counted(more, "name in it is of no image", "names in it are of no image")
        said.append(f"{many}: {shown(more)}")
    if said:
        raise UserError(f"{FLAG} {path}: {'; '.join(said)}")


# --- what rows say together --------------------------------------------------------------------


def _marks(path: pathlib.Path, rows: Sequence[_Row]) -> dict[str, dict[str, dict[str, tuple]]]:
    """By finding, image and annotator, the regions; UserError for rows that contradict others."""
    found: dict[str, dict[str, dict[str, tuple]]] = {}
    first: dict[tuple[str, str, str], _Row] = {}
    normal: dict[tuple[str, str], _Row] = {}
    marking: dict[tuple[str, str], _Row] = {}
    for row in rows:
        who = row.image, row.annotator
        (marking if row.finding else normal).setdefault(who, row)
        if who in marking and who in normal:
            one, other = normal[who], marking[who]
            raise UserError(
                f"{one.at(path)}: finds nothing{_by(one)}, and row {other.row} {other.finding!r}"
            )
        if not row.finding:
            continue
        before = first.setdefault((*who, row.finding), row)
        if before.regions != row.regions:
            raise UserError(
                f"{row.at(path)}: {row.finding!r}{_by(row)} is in {' '.join(row.regions)}, and by "
                f"row {before.row} in {' '.join(before.regions)}; write all regions in one row"
                + ", or tell annotators apart in a column 'annotator'"
                * (row.annotator == ALONE)
            )
        found.setdefault(row.finding, {}).setdefault(row.image, {})[row.annotator] = row.regions
    if not found:
        raise UserError(f"{FLAG} {path}: names no finding")
    return found


def _by(row: _Row) -> str:
    return f" by {row.cells['annotator']}" if row.annotator != ALONE else ""


def _joined(
    marks: Mapping[str, Mapping[str, tuple]],
    annotators: Mapping[str, tuple[str, ...]],
    needed: int | None,
) -> Finding:
    """A finding as all annotators of each image see it."""
    labels, found = {}, {}
    for name, everyone in annotators.items():
        given = [marks.get(name, {}).get(who, ()) for who in everyone]
        enough = 1 if needed is None and len(everyone) == 1 else needed
        each = regions.aggregated(given, needed=enough)
        labels[name] = UNDECIDED if each.label is None else each.label
        found[name] = each.regions
    return Finding(labels, found, marks)


def _check_both(path: pathlib.Path, findings: Mapping[str, Finding]) -> None:
    """UserError for findings of which there is nothing to learn."""
    for name, each in findings.items():
        for label, word in ((PRESENT, "present"), (ABSENT, "absent")):
            if label not in each.labels.values():
                undecided = sum(value == UNDECIDED for value in each.labels.values())
                more = f" ({undecided} undecided)" if undecided else ""
                others = [other for other in findings if other != name]
                raise UserError(
                    f"{FLAG} {path}: {name!r} is {word} in none of {len(each.labels)} "
                    f"images{more}, so that nothing can be learned of it{nearest(name, others)} "
                    "Mend or leave out its rows"
                )


def _of_images(path: pathlib.Path, rows: Sequence[_Row], headers: Sequence[str]) -> columns.Table:
    """What columns say of images; UserError where two rows of one say different things."""
    found: dict[str, tables.Row] = {}
    for row in rows:
        own = found.setdefault(row.image, {"name": row.written, "row": row.row})
        for header in headers:
            cell = row.cells[_key(header)]
            before = own.setdefault(header, cell)
            if None not in (before, cell) and columns.as_text(before) != columns.as_text(cell):
                raise UserError(
                    f"{row.at(path)}: has {cell!r} under {header!r}, and an earlier row of the "
                    f"image {before!r}"
                )
            own[header] = cell if before is None else before
    return columns.Table(path, tuple(headers), found)


def _pointed(path: pathlib.Path, rows: Sequence[_Row]) -> columns.Table:
    """Disc and fovea by image; UserError where a row has some of the four, or rows differ."""
    found: dict[str, tables.Row] = {}
    for row in rows:
        cells = {cell: row.cells[cell] for cell in CELLS}
        if lacking := [cell for cell, value in cells.items() if value is None]:
            if len(lacking) < len(CELLS):
                given = [cell for cell in CELLS if cell not in lacking]
                raise UserError(
                    f"{row.at(path)}: has {', '.join(given)}, but no {', '.join(lacking)}; a row "
                    "has all four or none"
                )
            continue
        before = found.setdefault(row.image, {"name": row.written, "row": row.row} | cells)
        for cell, value in cells.items():
            if _number(before[cell]) != _number(value):
                raise UserError(
                    f"{row.at(path)}: {cell} is {value}, and {before[cell]} in row "
                    f"{before['row']}, of the same image"
                )
    return columns.Table(path, CELLS, found)


def _number(cell: object) -> object:
    """A cell as a number, and as it is where it is none, which `columns.points` refuses."""
    number = tables.number_of(cell)
    return cell if np.isnan(number) else number
