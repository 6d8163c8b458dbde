"""The work folder of a run: made, recognised, and never overwritten by mistake."""

import contextlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping

from ml_collections import ConfigDict

from segjax.config import files, modules
from segjax.config.defaults import PLACES
from segjax.errors import Interrupted, UserError

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
    """UserError unless the folder, or the nearest one above it that exists, can be written into.

    It is tried out: permissions do not tell of /proc, full quotas and read-only mounts.
    """
    parent = folder
    while not os.path.lexists(parent):
        parent = parent.parent
    if parent.is_symlink() and not parent.exists():
        raise UserError(
            f"{flag} {folder}: {parent} is a link to {parent.readlink()}, which is gone"
        )
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".segjax-", dir=parent))
    except OSError as error:
        raise UserError(f"{flag} {folder}: cannot write into {parent}: {error.strerror}") from error


@contextlib.contextmanager
def in_use(workdir: pathlib.Path) -> Iterator[None]:
    """Interrupted, in one line, if the folder was deleted meanwhile, whatever failed for it."""
    saved = workdir / CONFIG
    there = saved.exists()  # for all but the first process it may come later
    error = None
    try:
        yield
    except Exception as raised:
        error = raised
    if there and not saved.exists():
        raise Interrupted(
            f"{workdir}: the work folder was deleted while it was in use; the run is lost"
        ) from error
    if error is not None:
        raise error


def open_existing(workdir: pathlib.Path, places: Mapping[str, str] | None = None) -> ConfigDict:
    """The config of a trained folder; UserError when there is none or it is damaged.

    `places` has a `data_dir` or `cache_dir` that take the place of the saved ones. Modules of the
    user's that the config names are looked for beside the experiment file from now on.
    """
    if not workdir.is_dir():
        raise UserError(f"--workdir {workdir}: no such folder")
    if not (workdir / CONFIG).exists():
        raise UserError(f"--workdir {workdir}: not a work folder (no {CONFIG})")
    modules.enter(experiment_of(workdir))
    config = files.from_json(workdir / CONFIG)
    with config.unlocked():
        config.data.update(places or {})
    return config


def experiment_of(workdir: pathlib.Path) -> pathlib.Path | None:
    """The experiment file that a folder was trained from, beside which its config's names lie."""
    try:
        text = json.loads((workdir / ENVIRONMENT).read_text()).get("experiment")
    except (AttributeError, OSError, ValueError):
        return None
    return pathlib.Path(text) if isinstance(text, str) else None


def data_digest(workdir: pathlib.Path) -> str | None:
    """The digest of the data that a folder was trained on; None where it is not known."""
    try:
        return json.loads((workdir / ENVIRONMENT).read_text())["data"]["digest"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
