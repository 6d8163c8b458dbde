"""Makes runs.tar.xz and expected.json: work folders of an earlier version, what it said of them.

    python -m tests.earlier.make

The tests beside this open those folders with the code of today. The archive was made once, by the
commit in its env.json files; it is made again only when that version is no longer to be read.
"""

import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

from tests.earlier.folders import (
    ARCHIVE,
    EXPECTED,
    EXPERIMENT,
    IMAGES,
    SWEEP,
    VOLUMES,
    inputs,
    said_of,
)
from tests.train import runs

PLACE = "/earlier"  # stands in the archive for the folder that the runs were made in


def main() -> None:
    """Trains the three, notes what evaluation and prediction give, and packs them."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name).resolve()
        os.chdir(folder)
        pathlib.Path("experiment.py").write_text(EXPERIMENT)
        for words in (IMAGES, VOLUMES, SWEEP):
            segjax(*words)
        for path in folder.rglob("*.json*"):
            path.write_text(
                path.read_text().replace(str(folder), PLACE).replace(str(runs.ROOT), PLACE)
            )
        with tarfile.open(ARCHIVE, "w:xz") as archive:
            for path in sorted(folder.iterdir()):
                archive.add(path, path.name, filter=packed)
        inputs(folder)
        EXPECTED.write_text(json.dumps(said_of(folder, segjax), indent=1) + "\n")


def segjax(*words: str) -> None:
    """Runs the command, which must end well."""
    command = [sys.executable, "-m", "segjax.cli", *words]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(runs.ROOT)})


def packed(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """An entry without owner; no pictures, events or caches."""
    parts = pathlib.PurePath(entry.name).parts
    if "figures" in parts or "preprocessed" in parts or "__pycache__" in parts:
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    main()
