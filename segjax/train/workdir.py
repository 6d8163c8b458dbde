"""The work folder of a run: made, recognised, and never overwritten by mistake."""

import json
import os
import pathlib

from ml_collections import ConfigDict

from segjax.config import files
from segjax.errors import UserError

CONFIG = "config.json"
HOLDER = ".holder"  # who writes there (`train/holder.py`)
TABLE = "metrics_validation.json"
DONE = "done.json"  # written last: how training ended, and the step that TABLE is of


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
    elif workdir.is_dir() and not is_fresh(workdir, CONFIG):
        raise UserError(
            f"--workdir {workdir}: occupied by other files (no {CONFIG}); take another folder"
        )
    check_writable(workdir, "--workdir")


def is_fresh(folder: pathlib.Path, first: str) -> bool:
    """Whether a folder holds nothing but what a run leaves that ended before it wrote `first`."""
    names = [path.name for path in folder.iterdir()]
    return all(name == HOLDER or name.startswith(f".{first}.") for name in names)


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


def read_done(workdir: pathlib.Path) -> dict | None:
    """What DONE says of the end of training; None while it goes on."""
    content = _read(workdir / DONE)
    return None if content is None else {k: v for k, v in content.items() if k != "table"}


def write_done(workdir: pathlib.Path, book: dict, step: int) -> None:
    """Says that all is done: training, and the table of the checkpoint of `step`."""
    files.write_atomic(workdir / DONE, json.dumps(book | {"table": step}) + "\n")


def is_done(workdir: pathlib.Path) -> bool:
    """Whether the run of a folder came to its very end, and its own table is there still.

    Someone may have evaluated the folder before the run did, or another checkpoint after it.
    Versions before wrote DONE when training ended, the table next, and report.md at the very end.
    """
    done, table = _read(workdir / DONE), workdir / TABLE
    if done is None or not table.exists():
        return False
    if "table" not in done and not (workdir / "report.md").exists():
        return False
    step = done.get("table", done.get("best_step", -1))
    evaluated = (_read(table) or {}).get("step", step)  # a damaged table is named where it is read
    return step < 0 or evaluated == step


def _read(path: pathlib.Path) -> dict | None:
    """A JSON object; None if there is none, or it is damaged."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
