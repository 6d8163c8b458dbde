"""Readings as CSV: all that an annotation file holds, or what `data prepare folder` takes."""

import csv
import io
import math
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from segjax.annotate.reading import POINTS, Reading, from_mapping
from segjax.annotate.store import Record, StoredImage
from segjax.data.folders.annotations import CELLS
from segjax.data.regions import REGIONS
from segjax.data.tables import number_of
from segjax.errors import UserError

NEEDED = ("image", "annotator", "finding", "regions", *CELLS)
ANSWERS = ("normal", "ungradable")
COLUMNS = (*NEEDED, "status", *ANSWERS, "note", "saved", "digest", "width", "height")


# --- all that there is -------------------------------------------------------------------------


def readings(records: Iterable[Record]) -> str:
    """Every reading, a row a finding, one without finding where none is marked."""
    rows = []
    for record in records:
        image, given = record.image, record.reading
        about = {
            "image": image.name,
            "annotator": record.annotator,
            **_cells(given.disc, given.fovea),
            "status": "done" if given.done else "begun",
            **{name: int(getattr(given, name)) for name in ANSWERS},
            "note": given.note,
            "saved": record.saved,
            "digest": image.digest,
            "width": image.width,
            "height": image.height,
        }
        rows += [about | marked for marked in _marked(given)]
    return _text(COLUMNS, rows)


def read(path: pathlib.Path) -> list[Record]:
    """The readings of a table that `readings` or `findings` wrote; of the latter all are done.

    Of an image whose table has no digest and size these are empty and 0.

    Raises: UserError naming the row that makes no sense or contradicts another.
    """
    rows = _rows(path)
    points = _points_of(path, rows)
    found: dict[tuple[str, str], Record] = {}
    for number, row in rows:
        where = f"{path}, row {number} ({row['image']})"
        if "status" not in row:  # of a table of findings, whose points are those of the image
            row = row | dict(zip(CELLS, points.get(row["image"], _placed(row)), strict=True))
        try:
            record = _record(row)
        except (ValueError, UserError) as error:
            raise UserError(f"{where}: {error}") from error
        key = record.image.name, record.annotator
        found[key] = _joined(where, found[key], record) if key in found else record
    return list(found.values())


def _placed(row: Mapping[str, str]) -> list[str]:
    return [row[cell] for cell in CELLS]


def _points_of(path: pathlib.Path, rows: Sequence[tuple[int, Mapping]]) -> dict[str, list[str]]:
    """The cells of disc and fovea of each image of a table of findings, which has them once."""
    found: dict[str, list[str]] = {}
    for number, row in rows:
        if "status" in row or not any(cells := _placed(row)):
            continue
        if found.setdefault(row["image"], cells) != cells:
            raise UserError(
                f"{path}, row {number} ({row['image']}): has other points than rows before it"
            )
    return found


def _rows(path: pathlib.Path) -> list[tuple[int, dict[str, str]]]:
    """The rows with their numbers in the file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            headers = reader.fieldnames or ()
            if lacking := [name for name in NEEDED if name not in headers]:
                raise UserError(f"{path}: has no column {lacking[0]!r}; takes {', '.join(NEEDED)}")
            rows = list(enumerate(reader, 2))  # as a spreadsheet numbers them
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as a table: {error}") from error
    for number, row in rows:
        if None in row or None in row.values():
            raise UserError(
                f"{path}, row {number}: has other cells than the {len(headers)} headers"
            )
        if not row["image"] or not row["annotator"]:
            raise UserError(f"{path}, row {number}: names no image or no annotator")
    return rows


def _record(row: Mapping[str, str]) -> Record:
    sides = [row.get(side) or "0" for side in ("width", "height")]
    image = StoredImage("", row["image"], row.get("digest", ""), *map(_whole, sides))
    marked = tuple(row["regions"].replace(";", " ").split())
    if unknown := [name for name in marked if name not in REGIONS]:
        raise UserError(f"there is no region {unknown[0]!r}; takes {', '.join(REGIONS)}")
    if bool(marked) != bool(row["finding"]):
        raise UserError("a finding takes regions, and regions a finding")
    status = row.get("status", "done")
    # A table of findings has neither: there a row without finding is of a normal eye
    said = {name: row.get(name, "0") for name in ANSWERS}
    if "normal" not in row and not marked:
        said["normal"] = "1"
    if status not in ("done", "begun"):
        raise UserError(f"status {status!r}: takes done or begun")
    for name, cell in said.items():
        if cell not in ("0", "1"):
            raise UserError(f"{name} {cell!r}: takes 0 or 1")
    given = {
        "disc": _point(row, "disc"),
        "fovea": _point(row, "fovea"),
        "findings": {row["finding"]: marked} if marked else {},
        **{name: cell == "1" for name, cell in said.items()},
        "note": row.get("note", ""),
        "done": status == "done",
    }
    return Record(image, row["annotator"], from_mapping(given), row.get("saved", ""))


def _whole(cell: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", cell):
        raise UserError(f"{cell!r} is no size in pixels")
    return int(cell)


def _joined(where: str, before: Record, after: Record) -> Record:
    """Two rows of one reading."""
    one, other = before.reading, after.reading
    both = {**one.findings, **other.findings}
    if (replace(one, findings={}), before.image) != (replace(other, findings={}), after.image):
        raise UserError(f"{where}: contradicts another row of {before.annotator}")
    if len(both) != len(one.findings) + len(other.findings) or not other.findings:
        raise UserError(f"{where}: says twice what {before.annotator} marked")
    return Record(before.image, before.annotator, replace(one, findings=both), before.saved)


def _point(row: Mapping[str, str], name: str) -> tuple[float, float] | None:
    cells = [row[f"{name}_{axis}"] for axis in "xy"]
    if not any(cells):
        return None
    x, y = map(number_of, cells)
    if not (math.isfinite(x) and math.isfinite(y)):
        raise UserError(f"{name} is no point: {', '.join(cells)}")
    return x, y


# --- what the data reader takes ----------------------------------------------------------------


def findings(records: Sequence[Record]) -> str:
    """The finished readings as the table that `segjax data prepare folder --findings` takes.

    Disc and fovea are the medians of those that the annotators of a photograph placed.

    Raises: UserError where nothing is finished, or the medians of a photograph define no regions.
    """
    finished = [record for record in records if record.reading.done]
    if not finished:
        raise UserError("no reading with findings or of a normal eye is finished yet")
    points = {name: _median(every) for name, every in _by_image(finished).items()}
    for name, (disc, fovea) in points.items():
        if disc is not None and disc == fovea:
            raise UserError(f"{name}: the medians of all annotators' disc and fovea are one point")
    rows = []
    for record in finished:
        about = {
            "image": pathlib.PurePosixPath(record.image.name).name,
            "annotator": record.annotator,
            **_cells(*points[record.image.name]),
        }
        rows += [about | marked for marked in _marked(record.reading)]
    return _text(NEEDED, rows)


def spread(records: Sequence[Record]) -> tuple[str, float] | None:
    """Where two annotators placed a point furthest apart: the photograph, and how far, in D.

    D is the distance between the medians of disc and fovea. None where no two placed both.
    """
    finished = [record for record in records if record.reading.done]
    found = {}
    for image, every in _by_image(finished).items():
        disc, fovea = _median(every)
        if len(every) > 1 and disc is not None:
            placed = np.array(every)  # [annotators, 2 points, 2]
            apart = np.linalg.norm(placed[:, None] - placed[None], axis=-1).max()
            found[image] = float(apart / max(math.dist(disc, fovea), 1e-9))
    return max(found.items(), key=lambda item: item[1], default=None)


def _by_image(records: Iterable[Record]) -> dict[str, list[tuple]]:
    """(disc, fovea) of everyone who placed both, by image."""
    found: dict[str, list[tuple]] = {}
    for record in records:
        pair = record.reading.disc, record.reading.fovea
        found.setdefault(record.image.name, []).extend([pair] if None not in pair else [])
    return found


def _median(pairs: Sequence[tuple]) -> tuple:
    """The median disc and fovea, axis by axis; (None, None) without any."""
    if not pairs:
        return None, None
    disc, fovea = np.median(np.array(pairs), axis=0)
    return tuple(map(float, disc)), tuple(map(float, fovea))


# --- both --------------------------------------------------------------------------------------


def _marked(reading: Reading) -> list[dict[str, str]]:
    """The cells of each finding; those of none."""
    found = [{"finding": n, "regions": "; ".join(r)} for n, r in reading.findings.items()]
    return found or [{"finding": "", "regions": ""}]


def _cells(*points: tuple[float, float] | None) -> dict[str, str]:
    """Coordinates with all their digits; empty without a point."""
    found = {}
    for name, point in zip(POINTS, points, strict=True):
        for axis, value in zip("xy", point or ("", ""), strict=True):
            found[f"{name}_{axis}"] = value if value == "" else repr(float(value))
    return found


def _text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
