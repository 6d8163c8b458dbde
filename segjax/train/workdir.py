"""The work folder of a run: made, recognised, and never overwritten by mistake."""

import json
import os
import pathlib

from ml_collections import ConfigDict

from segjax.config import files
from segjax.errors import UserError

CONFIG = "config.json"


def check_new(workdir: pathlib.Path, config: ConfigDict) -> None:
    """UserError unless `config` may train here: a new or empty folder, or its own run."""
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"--workdir {workdir}: is a file, not a folder")
    saved = workdir / CONFIG
    if saved.exists():
        old = files.from_json(saved)
        new = json.loads(files.to_json(config))
        difference = files.first_difference(json.loads(files.to_json(old)), new)
        if difference:
            raise UserError(
                f"--workdir {workdir}: holds another experiment ({difference}); take another folder"
            )
    elif workdir.is_dir() and any(workdir.iterdir()):
        raise UserError(
            f"--workdir {workdir}: occupied by other files (no {CONFIG}); take another folder"
        )
    check_writable(workdir, "--workdir")


def check_writable(folder: pathlib.Path, flag: str) -> None:
    """UserError unless the folder, or the nearest one above it that exists, can be written into."""
    parent = folder
    while not parent.exists():
        parent = parent.parent
    if not os.access(parent, os.W_OK | os.X_OK) or not parent.is_dir():
        raise UserError(f"{flag} {folder}: cannot write into {parent}")


def open_existing(workdir: pathlib.Path) -> ConfigDict:
    """The config of a trained folder; UserError when there is none or it is damaged."""
    if not workdir.is_dir():
        raise UserError(f"--workdir {workdir}: no such folder")
    if not (workdir / CONFIG).exists():
        raise UserError(f"--workdir {workdir}: not a work folder (no {CONFIG})")
    return files.from_json(workdir / CONFIG)
