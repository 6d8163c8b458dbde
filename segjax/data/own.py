"""Sets that a person has made of a folder: found by their name in the folder of prepared sets."""

import csv
import json
import os
import pathlib
from typing import Any

import tensorflow_datasets as tfds

from segjax.data import shards
from segjax.errors import DamagedError

SOURCE = "source.json"  # what it was made of; its name tells an own set from others
SPLIT_TABLE = "splits.csv"


def names(data_dir: str | os.PathLike) -> list[str]:
    """The names of all own sets that lie there."""
    return sorted({path.parts[-3] for path in pathlib.Path(data_dir).glob(f"*/*/{SOURCE}")})


def folder_of(name: str, data_dir: str | os.PathLike) -> pathlib.Path | None:
    """Where an own set lies, the newest of its versions; None without one."""
    found = sorted(pathlib.Path(data_dir, name).glob(f"*/{SOURCE}"))
    return found[-1].parent if found else None


def opened(name: str, data_dir: str | os.PathLike) -> tfds.core.DatasetBuilder | None:
    """The builder of an own set; None where there is none of this name.

    Raises: UserError where its description is missing or damaged.
    """
    folder = folder_of(name, data_dir)
    if folder is None:
        return None
    info = folder / shards.INFO
    if not info.is_file():
        raise shards.damaged(info, "the description is not there")
    try:
        made = tfds.builder_from_directory(folder)
        metadata = dict(made.info.metadata or {})
    except Exception as error:  # whatever the parser of TFDS raises
        raise shards.damaged(info, error) from error
    for key in ("classes", "modalities"):
        if key in metadata:
            setattr(made, key.upper(), tuple(metadata[key]))
    return made


def unnoted(name: str, data_dir: str | os.PathLike) -> pathlib.Path | None:
    """Where an own set lies that has lost its note; None without one."""
    found = sorted(pathlib.Path(data_dir, name).glob(f"*/{SPLIT_TABLE}"))
    folders = [path.parent for path in found if (path.parent / shards.INFO).is_file()]
    return folders[-1] if folders and folder_of(name, data_dir) is None else None


def patients(made: tfds.core.DatasetBuilder) -> dict[str, str]:
    """What each case of an own set belongs to (`--group`), by name; empty for any other set.

    Raises: UserError where the table of splits is damaged.
    """
    folder = pathlib.Path(made.data_path)
    if not (folder / SOURCE).exists():
        return {}
    found = splits(folder)
    if len(found) != (count := made.info.splits.total_num_examples):
        raise _damaged(folder / SPLIT_TABLE, f"it names {len(found)} cases of {count}")
    return {name: group for name, (_, group) in found.items()}


def splits(folder: pathlib.Path) -> dict[str, tuple[str, str]]:
    """The split and the group of each case; UserError where the table of them is damaged."""
    path = folder / SPLIT_TABLE
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return {row["name"]: (row["split"], row["group"]) for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise _damaged(path, error) from error


def _damaged(path: pathlib.Path, error: object) -> DamagedError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else error
    return DamagedError(f"{path}: damaged: {why}", "prepare the set with --overwrite")


def source(folder: pathlib.Path) -> dict[str, Any]:
    """What an own set was made of; UserError where the note is missing or damaged."""
    path = folder / SOURCE
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict) or not isinstance(content.get("digests"), dict):
            raise ValueError("not the note of a source")
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    return content
