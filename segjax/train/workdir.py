"""The work folder of a run: made, recognised, and never overwritten by mistake."""

import json
import os
import pathlib
from collections.abc import Mapping

from ml_collections import ConfigDict

from segjax.config import files
from segjax.config.defaults import PLACES
from segjax.errors import UserError

CONFIG = "config.json"
ENVIRONMENT = "env.json"


def check_new(workdir: pathlib.Path, config: ConfigDict) -> None:
    """UserError unless `config` may train here: a new or empty folder, or its own run."""
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"--workdir {workdir}: is a file, not a folder")
    saved = workdir / CONFIG
    if saved.exists():
        difference = files.first_difference(
            _experiment(files.from_json(saved)), _experiment(config)
        )
        if difference:
            raise UserError(
                f"--workdir {workdir}: holds another experiment ({difference}); take another folder"
            )
    elif workdir.is_dir() and any(workdir.iterdir()):
        raise UserError(
            f"--workdir {workdir}: occupied by other files (no {CONFIG}); take another folder"
        )
    check_writable(workdir, "--workdir")


def _experiment(config: ConfigDict) -> dict:
    """A config as its file has it, without the places of this machine."""
    content = json.loads(files.to_json(config))
    if isinstance(content.get("data"), dict):
        content["data"] = {k: v for k, v in content["data"].items() if k not in PLACES}
    return content


def check_writable(folder: pathlib.Path, flag: str) -> None:
    """UserError unless the folder, or the nearest one above it that exists, can be written into."""
    parent = folder
    while not parent.exists():
        parent = parent.parent
    if not os.access(parent, os.W_OK | os.X_OK) or not parent.is_dir():
        raise UserError(f"{flag} {folder}: cannot write into {parent}")


def open_existing(workdir: pathlib.Path, places: Mapping[str, str] | None = None) -> ConfigDict:
    """The config of a trained folder; UserError when there is none or it is damaged.

    `places` has a `data_dir` or `cache_dir` that take the place of the saved ones.
    """
    if not workdir.is_dir():
        raise UserError(f"--workdir {workdir}: no such folder")
    if not (workdir / CONFIG).exists():
        raise UserError(f"--workdir {workdir}: not a work folder (no {CONFIG})")
    config = files.from_json(workdir / CONFIG)
    with config.unlocked():
        config.data.update(places or {})
    return config


def data_digest(workdir: pathlib.Path) -> str | None:
    """The digest of the data that a folder was trained on; None where it is not known."""
    try:
        return json.loads((workdir / ENVIRONMENT).read_text())["data"]["digest"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
