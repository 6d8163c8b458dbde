"""`segjax pipeline` in this process, on the pipeline of `tiny.py`."""

import dataclasses
import json
import pathlib
import shutil

import cv2

from segjax.cli import main
from segjax.pipelines import definition
from tests.pipelines import tiny

FILE = str(pathlib.Path(tiny.__file__))


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a pipeline lies, and its data."""

    folder: pathlib.Path
    data: pathlib.Path

    def run(self, action: str, *more: object) -> int:
        """The status of `segjax pipeline ACTION`."""
        places = ["--workdir", self.folder, "--data_dir", self.data]
        return main([str(word) for word in ("pipeline", action, FILE, *places, *more)])

    def copy(self, folder: pathlib.Path) -> "Place":
        shutil.copytree(self.folder, folder)
        return Place(folder, self.data)

    def stage(self, name: str) -> pathlib.Path:
        return self.folder / "stages" / name

    def definition(self, **overrides: str) -> definition.Definition:
        given = {path.replace("__", "."): text for path, text in overrides.items()}
        return definition.load(FILE, given, {"data_dir": str(self.data)})


def content(folder: pathlib.Path) -> dict[str, tuple]:
    """Every file below a folder with its time of change and content."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def metrics_of(place, split="test"):
    """metrics_SPLIT.json, in which nothing is NaN."""

    def refuse(word):
        raise AssertionError(word)

    text = (place.folder / f"metrics_{split}.json").read_text()
    return json.loads(text, parse_constant=refuse)


def result_of(place, split="test"):
    """The same without what it took."""
    return {k: v for k, v in metrics_of(place, split).items() if k != "costs"}


def words(photographs, output, truth=True):
    given = ["--input", photographs / "in", "--output", output]
    return [*given, *(["--truth", photographs / "masks"] if truth else [])]


def files(folder):
    """The content of every file below a folder."""
    return {name: content for name, (_, content) in content(folder).items()}


def picture(path):
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return found[..., ::-1] if found.ndim == 3 else found


def names(photographs):
    return sorted(path.stem for path in (photographs / "in").iterdir())
