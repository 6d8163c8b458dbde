"""The files of a folder, and how messages list some of them."""

import pathlib
from collections.abc import Callable, Collection, Iterable

from segjax.data import images as read
from segjax.data import names as naming
from segjax.errors import UserError

DICOM = (".dcm", ".dicom", ".ima")
MOST_SHOWN = 10


def pictures(
    folder: pathlib.Path,
    flag: str,
    check: Callable[[pathlib.Path], None] = read.check_one_page,
) -> dict[str, pathlib.Path]:
    """Every picture below a folder, by its path there; hidden files are passed over.

    Args:
        folder: to look through.
        flag: that named it.
        check: of each picture; raises UserError where it is refused.

    Raises: UserError where the folder is missing, holds none, or holds DICOM files, volumes, or
        files of several pages or frames.
    """
    if not folder.is_dir():
        raise UserError(f"{flag} {folder}: no such folder")
    found = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts) or not path.is_file():
            continue
        _refuse_others(path, flag)
        if path.suffix.lower() in naming.PICTURES:
            check(path)
            name = naming.composed(inside.as_posix())
            if name in found:
                raise UserError(f"{flag}: two files are called {name!r}, in different letters")
            found[name] = path
    if not found:
        raise UserError(f"{flag} {folder}: holds no pictures ({', '.join(naming.PICTURES)})")
    return found


def _refuse_others(path: pathlib.Path, flag: str) -> None:
    name = path.name.lower()
    if name.endswith(DICOM) or _is_dicom(path):
        raise UserError(
            f"{path}: is a DICOM file, which {flag} does not take; convert volumes with dcm2niix "
            "(then `segjax data prepare nnunet`), pictures to PNG with dcmj2pnm --write-png"
        )
    if name.endswith(naming.VOLUMES):
        raise UserError(
            f"{path}: is a volume; `segjax data prepare nnunet` takes volumes, {flag} pictures"
        )


def _is_dicom(path: pathlib.Path) -> bool:
    """Whether a file without extension is DICOM, by its mark behind the preamble."""
    if path.suffix:
        return False
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def by_stem(found: dict[str, pathlib.Path], flag: str) -> dict[str, pathlib.Path]:
    """Images by what their names are compared by, without extension; UserError for two alike."""
    images: dict[str, pathlib.Path] = {}
    for path in found.values():
        name = naming.key(path.stem)
        if name in images:
            raise UserError(f"{flag}: two images are called {path.stem!r}: {images[name]}, {path}")
        images[name] = path
    return images


def counted(names: Collection[object], one: str, several: str) -> str:
    """How many of what, as the number wants it: `1 image has`, `2 images have`."""
    return f"{len(names)} {one if len(names) == 1 else several}"


def shown(names: Iterable[object], most: int = MOST_SHOWN) -> str:
    """Some names, the first ten of them."""
    names = [str(name) for name in names]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def shown_names(names: Iterable[str], most: int) -> str:
    """A few names as examples."""
    names = list(names)
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
