"""Predictions that were broken off: what is done already need not be done again.

A note in the output folder says which cases are done, and by what; it goes when all are.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segjax import files
from segjax.errors import UserError

NOTE = "unfinished.json"


@dataclass(frozen=True)
class Done:
    """A case that was predicted before: its row of the table, and what was said of it."""

    row: np.ndarray
    said: list[str]


def check(output: pathlib.Path) -> None:
    """UserError where something else than a note has its name; nothing is written here."""
    path = output / NOTE
    if os.path.lexists(path) and _read(path) is None:
        raise UserError(
            f"--output {path}: exists, and segjax did not write it; remove it, or take another "
            "folder"
        )


class Progress:
    """What has been predicted into a folder, of a predictor whose results have an identity.

    The note of a prediction by something else goes at once, for its pictures are now written over.

    Args:
        output: the folder.
        identity: of the networks and options that predict; None keeps nothing.
    """

    def __init__(self, output: pathlib.Path, identity: str | None):
        self._path, self._identity = output / NOTE, identity
        note = _read(self._path)
        if note is not None and note["identity"] != identity:
            self._path.unlink()
            note = None
        self._done: dict[str, dict] = dict(note["done"]) if note else {}

    def row(
        self, name: str, sources: Sequence[pathlib.Path], places: Sequence[pathlib.Path]
    ) -> Done | None:
        """A case that is done, of the same files, whose outputs are there; or None."""
        done = self._done.get(name)
        if not isinstance(done, dict) or not all(place.exists() for place in places):
            return None
        row, said = done.get("row"), done.get("said")
        if not (isinstance(row, list) and isinstance(said, list)):
            return None
        if done.get("digest") != _digest(sources):
            return None
        return Done(np.array([np.nan if value is None else value for value in row], float), said)

    def keep(
        self, name: str, sources: Sequence[pathlib.Path], row: np.ndarray, said: Sequence[str] = ()
    ) -> None:
        """Notes a case as done."""
        if self._identity is None:
            return
        values = [float(v) if np.isfinite(v) else None for v in row]
        self._done[name] = {"digest": _digest(sources), "row": values, "said": list(said)}
        content = {"identity": self._identity, "done": self._done}
        files.write_text(self._path, json.dumps(content, indent=1) + "\n")

    def end(self) -> None:
        """All is done: the note goes."""
        if self._identity is not None:
            self._path.unlink(missing_ok=True)


def _read(path: pathlib.Path) -> dict | None:
    """A note; None where there is none, or something else."""
    try:
        content = json.loads(path.read_bytes())
        if isinstance(content["identity"], str) and isinstance(content["done"], dict):
            return content
    except (OSError, ValueError, LookupError, TypeError):
        pass
    return None


def _digest(paths: Sequence[pathlib.Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
