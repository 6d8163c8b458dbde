"""The list of findings that annotators choose from: the project's, or a file's; kept with marks."""

import json
import pathlib
from collections.abc import Mapping

from segjax.annotate.store import AnnotationFile
from segjax.data.folders.annotations import identifier
from segjax.errors import UserError
from segjax.recipes.findings import FINDINGS

FLAG = "--findings"
_SETTING = "findings"
_LABELS = {"rnfl_defect": "RNFL defect"}


def standard() -> dict[str, str]:
    """The findings that experiments of segjax know, by name, with their labels."""
    return {name: label_of(name) for name in FINDINGS}


def read(path: pathlib.Path) -> dict[str, str]:
    """Findings of a text file, one a line, by the name that data sets give them.

    Raises: UserError for a file that is missing, empty or no text, and for lines that give no name
        or the same one.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{FLAG} {path}: is no text in UTF-8") from error
    except OSError as error:
        raise UserError(f"{FLAG} {path}: {error.strerror}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        label = " ".join(line.split())
        if not label:
            continue
        name = identifier(label)
        if not name or not label.isprintable():
            raise UserError(
                f"{FLAG} {path}, line {number}: {label!r} gives no name; it takes letters from a "
                "to z, digits and underscores, a letter first"
            )
        if name in found:
            raise UserError(f"{FLAG} {path}, line {number}: {label!r} stands there twice")
        found[name] = label
    if not found:
        raise UserError(f"{FLAG} {path}: names no finding; it takes one a line")
    return found


def label_of(name: str) -> str:
    """What a finding without a label of its own is called."""
    return _LABELS.get(name, name.replace("_", " ").capitalize())


def held(file: AnnotationFile) -> dict[str, str]:
    """The list that holds now, and behind it what is marked all the same."""
    found = kept(file) or standard()
    return found | {name: label_of(name) for name in file.ever_marked() if name not in found}


def kept(file: AnnotationFile) -> dict[str, str] | None:
    """The list that an annotation file was made with; None for a new one."""
    text = file.setting(_SETTING)
    return None if text is None else dict(json.loads(text))


def chosen(
    file: AnnotationFile, path: pathlib.Path | None, otherwise: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The list to annotate with, which the file keeps.

    Args:
        file: the annotation file.
        path: of a list; None: the file's own.
        otherwise: the list of a file that has none yet; None: the standard one.

    Raises: UserError as `read`, and for a list without findings that are marked in the file.
    """
    before = kept(file)
    found = read(path) if path is not None else before or dict(otherwise or {}) or standard()
    # Of the whole history: undo may bring a mark back
    if lost := [name for name in file.ever_marked() if name not in found]:
        raise UserError(
            f"{FLAG} {path}: lacks {', '.join(lost)}, which {file.path} has marks of; add it"
        )
    keep(file, found)
    return found


def keep(file: AnnotationFile, found: dict[str, str]) -> None:
    """Writes the list down, where it is not the file's own already."""
    if kept(file) != found or list(kept(file)) != list(found):
        file.set(_SETTING, json.dumps(list(found.items()), ensure_ascii=False))
