"""What builders of downloaded sets share: finding folders, matching and checking files.

Such a builder has `source_files(manual)`: every file of the user's folder that its records depend
on, by a name that stays the same when the download is moved (`segjax/data/sources.py`).
"""

import os
import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow_datasets as tfds

from segjax.data import images, tables
from segjax.errors import UserError

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")


def manual_folder(dl_manager: tfds.download.DownloadManager, expected: str) -> pathlib.Path:
    """The folder given as `manual_dir`, or a UserError that says what it should hold."""
    try:
        return pathlib.Path(dl_manager.manual_dir)
    except (AssertionError, OSError) as error:
        # TFDS keeps the path to itself when the folder is missing or empty, except in its message.
        given = str(error).partition("Manual directory ")[2].partition(" does not exist")[0]
        given = given or getattr(error, "filename", None) or "none"
        raise UserError(
            f"manual_dir {given}: missing, empty or no folder; it should hold {expected}"
        ) from error


def list_images(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Picture files in a folder and the folders in it, by name in lower case without extension.

    Hidden files, such as the `._` companions that macOS leaves in archives, are passed over.

    Raises:
        UserError: two files have one name.
    """
    found: dict[str, pathlib.Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in IMAGES and not path.name.startswith("."):
            name = path.stem.lower()
            if name in found:
                raise UserError(f"{path}: an image of this name is also at {found[name]}")
            found[name] = path
    return found


def check_rows(
    found: Mapping[str, pathlib.Path],
    folder: pathlib.Path,
    rows: Mapping[str, tables.Row],
    table: pathlib.Path,
) -> None:
    """Raises UserError for the first image of `folder` without a row, or row without an image."""
    for name, path in found.items():
        if name not in rows:
            raise UserError(f"{table}: no row for the image {path.name} of {folder}")
    for name, row in rows.items():
        if name not in found:
            named = f"{table}, row {row['row']} names"
            raise UserError(f"{folder}: the image {row['name']} is missing, which {named}")


def check_masks(
    found: Mapping[str, pathlib.Path], folder: pathlib.Path, masks: Mapping[str, pathlib.Path]
) -> None:
    """Raises UserError for the first mask whose image is not in `folder`."""
    for name, path in masks.items():
        if name not in found:
            raise UserError(f"{folder}: no image for the mask {path}")


def stored_image(path: pathlib.Path) -> tuple[str | np.ndarray, tuple[int, int]]:
    """Decodes an image to make sure that it is whole; gives what to store, and `(width, height)`.

    A colour JPEG is stored untouched, so that nothing is lost and nothing grows. Anything else is
    stored as decoded, because readers of the prepared set expect three channels of 8 bits, and turn
    nothing upright.
    """
    # Decoded even where the bytes are stored: a JPEG cut short is noticed now, not in training
    array = images.read_image(path)
    keep = images.is_plain_jpeg(path)
    return (os.fspath(path) if keep else array), (array.shape[1], array.shape[0])


def check_size(path: pathlib.Path, mask: np.ndarray, size: tuple[int, int]) -> None:
    """Raises UserError unless a mask `[h, w, ...]` has the size `(width, height)` of its image."""
    height, width = mask.shape[:2]
    if (width, height) != size:
        raise UserError(
            f"{path}: the mask has {width}x{height} pixels, its image {size[0]}x{size[1]}"
        )


def read_rows(
    path: pathlib.Path, columns: dict[str, tuple[str, ...]], *, optional: tuple[str, ...] = ()
) -> dict[str, tables.Row]:
    """`tables.read_table` indexed by image name."""
    return tables.rows_by_name(path, tables.read_table(path, columns, optional=optional))
