"""Annotation files out and in: exports, imports and backups. The photographs are only read."""

import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from segjax import files
from segjax.annotate import coco, findings, tables
from segjax.annotate.photographs import Folder, Listed, id_of
from segjax.annotate.reading import Allowed, checked
from segjax.annotate.store import AnnotationFile, Record, StoredImage, now, other_picture
from segjax.data import names as naming
from segjax.data.folders.annotations import identifier
from segjax.data.folders.listing import counted, shown
from segjax.errors import UserError

KINDS = (".csv", ".json")
SQLITES = ("-wal", "-shm", "-journal")  # what it adds to a file's name for its own


def export(file: AnnotationFile, path: pathlib.Path) -> str:
    """Writes all readings, as CSV or COCO by the ending; says what was written."""
    _check_kind("--export", path)
    records = file.records()
    if path.suffix.lower() == ".csv":
        text = tables.readings(records)
    else:
        text = coco.document(records, findings.held(file))
    files.write_text(path, text)
    return f"{path}: {_sum(records)}"


def export_table(file: AnnotationFile, folder: Folder, path: pathlib.Path) -> list[str]:
    """Writes the table that `data prepare folder --findings` takes; says what was written.

    Of the photographs of the folder alone: a table knows them by the names of their files, and an
    annotation file may have others of the same name.

    Raises: UserError where nothing is finished, or a file is another one than was annotated.
    """
    every = file.records()
    records = [record for record in every if record.image.id in folder.listed]
    finished = [record for record in records if record.reading.done]
    for image in {record.image.id: record.image for record in finished}.values():
        if folder.digest(image.id) != image.digest:
            raise UserError(other_picture(image.name))
    gradable = [record for record in finished if not record.reading.ungradable]
    files.write_text(path, tables.findings(gradable))
    said = [f"{path}: {_sum(gradable)}"]
    if len(gradable) < len(finished):
        some = counted(finished[len(gradable) :], "reading is", "readings are")
        said.append(f"{some} of photographs that cannot be graded, and left out")
    if len(finished) < len(records):
        some = counted(records[len(finished) :], "reading is", "readings are")
        said.append(f"{some} not finished, and left out")
    if len(records) < len(every):
        some = counted(every[len(records) :], "reading is", "readings are")
        said.append(f"{some} of photographs that {folder.path} lacks, and left out")
    if (furthest := tables.spread(gradable)) is not None:
        image, apart = furthest
        said.append(
            "disc and fovea are medians over annotators; furthest apart they are on "
            f"{image}, by {apart:.2f} of the distance from disc to fovea"
        )
    return said


def import_(
    file: AnnotationFile, folder: Folder, path: pathlib.Path, listed: pathlib.Path | None
) -> list[str]:
    """Adds the readings of an export, or of a table of findings: all of them or none.

    Says what was added, and which list holds where neither the file nor the export has one.

    Readings that the file has already in the same words stay as they are.

    Args:
        file: to add to.
        folder: of the photographs.
        path: of the export, CSV or COCO by its ending.
        listed: a file with the findings to choose from from now on.

    Raises: UserError for what contradicts a reading of the file, or the photographs of the folder.
    """
    _check_kind("--import", path)
    labels: Mapping[str, str] = {}
    if path.suffix.lower() == ".csv":
        records = tables.read(path)
    else:
        records, labels = coco.read(path)
    with file.writing():
        is_default = not (listed or labels or findings.kept(file))
        chosen = dict(findings.chosen(file, listed, labels))
        for name in dict.fromkeys(n for record in records for n in record.reading.findings):
            if name != identifier(name):
                raise UserError(f"{path}: {name!r} is no name of a finding")
            chosen.setdefault(name, labels.get(name, findings.label_of(name)))
        findings.keep(file, chosen)
        added = _add(file, folder, path, records, chosen)
    there = f"{len(records) - len(added)} there already"
    said = [f"{path}: {_sum(added)} added, {there}" if added else f"{path}: nothing new, {there}"]
    if is_default:
        said.append(
            "a CSV has no list of findings: segjax's own is taken, with what is marked besides; "
            f"{findings.FLAG} LIST gives one's own"
        )
    return said


def check_apart(folder: pathlib.Path, path: pathlib.Path, flag: str) -> None:
    """UserError for a file inside the folder of photographs, where nothing is written."""
    try:
        root = folder.resolve()
        inside = path.absolute().parent.resolve().is_relative_to(root)
        inside = inside or path.resolve().is_relative_to(root)
    except (OSError, RuntimeError) as error:
        raise UserError(f"{flag} {path}: is a link that leads in a circle") from error
    if inside:
        raise UserError(
            f"{flag} {path}: lies in {folder}, where nothing is written; take another place"
        )


def check_new(path: pathlib.Path, flag: str, annotations: pathlib.Path) -> None:
    """UserError for a file that is there, or SQLite's own beside FILE, or whose folder is not."""
    place = path.parent.resolve() / path.name
    for file in (annotations.parent.resolve() / annotations.name, annotations.resolve()):
        if place in [file.with_name(file.name + ending) for ending in SQLITES]:
            raise UserError(
                f"{flag} {path}: is SQLite's own beside {annotations}; take another name"
            )
    if path.exists() or path.is_symlink():
        raise UserError(f"{flag} {path}: exists; take another name, or remove it")
    if not path.parent.is_dir():
        raise UserError(f"{flag} {path}: there is no folder {path.parent}")


def _check_kind(flag: str, path: pathlib.Path) -> None:
    if path.suffix.lower() not in KINDS:
        raise UserError(f"{flag} {path}: takes a name in .csv, or in .json for COCO")


def _add(
    file: AnnotationFile,
    folder: Folder,
    path: pathlib.Path,
    records: Sequence[Record],
    chosen: Mapping[str, str],
) -> list[Record]:
    """Adds what is new, within a transaction; UserError for what contradicts."""
    known = {naming.key(pathlib.PurePath(each.name).stem): each for each in folder.listed.values()}
    added, other = [], []
    for record in records:
        image = _image(folder, known, record.image, path)
        try:
            reading = checked(record.reading, Allowed(chosen, image.width, image.height))
            annotator = file.annotator(record.annotator, make=True)
        except UserError as error:
            where = f"{path}, {record.image.name} by {record.annotator}"
            raise UserError(f"{where}: {error}") from error
        found = {n: reading.findings[n] for n in chosen if n in reading.findings}
        reading = replace(reading, findings=found)
        held = file.held(image.id, annotator.id)
        if held.state == 0:
            file.put(image, annotator.id, reading, record.saved or now())
            added.append(record)
        elif held.reading != reading:
            other.append(f"{image.name} by {annotator.name}")
    if other:
        many = counted(other, "reading differs", "readings differ")
        raise UserError(f"{path}: {many} from those of {file.path}: {shown(other)}")
    return added


def _image(
    folder: Folder, known: Mapping[str, Listed], given: StoredImage, path: pathlib.Path
) -> StoredImage:
    """The photograph of the folder that is meant; as the export says where the folder lacks it."""
    id = id_of(naming.composed(given.name))
    stem = naming.key(naming.stem(pathlib.PurePosixPath(given.name).name))
    listed = folder.listed.get(id) or known.get(stem)
    if listed is None:
        if not (given.digest and given.width > 0 and given.height > 0):
            raise UserError(f"{path}: {given.name} is not in {folder.path}")
        return replace(given, id=id)
    opened = folder.open(listed.id)
    if given.digest not in ("", opened.digest):
        raise UserError(f"{path}: {other_picture(listed.name)}")
    return StoredImage(opened.id, opened.name, opened.digest, opened.width, opened.height)


def _sum(records: Sequence[Record]) -> str:
    images = {record.image.name for record in records}
    people = {record.annotator for record in records}
    return (
        f"{counted(records, 'reading', 'readings')} of "
        f"{counted(images, 'photograph', 'photographs')} by "
        f"{counted(people, 'annotator', 'annotators')}"
    )
