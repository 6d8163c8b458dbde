"""Predictions that were broken off: what is done already need not be done again.

A note in the output folder says which cases are done, and by what; it goes when all are.
"""

import hashlib
import json
import pathlib
from collections.abc import Sequence

import numpy as np

from segjax import files

NOTE = "unfinished.json"


class Progress:
    """What has been predicted into a folder, of a predictor whose results have an identity.

    Args:
        output: the folder.
        identity: of the networks and options that predict; None keeps nothing.
    """

    def __init__(self, output: pathlib.Path, identity: str | None):
        self._path, self._identity = output / NOTE, identity
        self._done: dict[str, dict] = {}
        if identity is not None and self._path.exists():
            try:
                content = json.loads(self._path.read_bytes())
                if content["identity"] == identity:
                    self._done = dict(content["done"])
            except (OSError, ValueError, LookupError, TypeError):
                self._done = {}  # damaged: all is predicted again

    def row(
        self, name: str, paths: Sequence[pathlib.Path], places: Sequence[pathlib.Path]
    ) -> np.ndarray | None:
        """The row of a case that is done, of the same files, whose outputs are there; or None."""
        done = self._done.get(name)
        if not isinstance(done, dict) or not all(place.exists() for place in places):
            return None
        if done.get("digest") != _digest(paths) or not isinstance(done.get("row"), list):
            return None
        return np.array([np.nan if value is None else value for value in done["row"]], float)

    def keep(self, name: str, paths: Sequence[pathlib.Path], row: np.ndarray) -> None:
        """Notes a case as done."""
        if self._identity is None:
            return
        values = [float(v) if np.isfinite(v) else None for v in row]
        self._done[name] = {"digest": _digest(paths), "row": values}
        content = {"identity": self._identity, "done": self._done}
        files.write_text(self._path, json.dumps(content, indent=1) + "\n")

    def end(self) -> None:
        """All is done: the note goes."""
        if self._identity is not None:
            self._path.unlink(missing_ok=True)


def _digest(paths: Sequence[pathlib.Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()
