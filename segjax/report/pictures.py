"""The pictures of a run's report with their captions: drawn now, or left by an earlier report."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from segjax import files

REPORT, FOLDER = "report.md", "figures"


@dataclass(frozen=True)
class Picture:
    """A picture of a report.

    Attributes:
        caption: what it shows.
        figure: to be written; None where the file is there already.
    """

    caption: str
    figure: Figure | None = None


def drawn(figures: Mapping[str, Figure], split: str) -> dict[str, Picture]:
    """The figures of a split, of which the captions say that they are its."""
    return {
        f"{name}_{split}": Picture(_of(split, figure.get_label()), figure)
        for name, figure in figures.items()
    }


def left(folder: pathlib.Path, split: str, splits: Iterable[str]) -> dict[str, Picture]:
    """What an earlier report drew of a split, with the captions that it gave.

    Args:
        folder: the work folder.
        split: whose pictures they are.
        splits: all that the folder has tables of; a name may end with that of another.
    """
    longer = [f"_{other}" for other in splits if other.endswith(f"_{split}")]
    names = [path.stem for path in sorted((folder / FOLDER).glob(f"*_{split}.png"))]
    report = folder / REPORT
    text = report.read_text(errors="replace") if report.exists() else ""
    captions = {name: _caption(text, name) or "Drawn by an earlier report." for name in names}
    return {
        name: Picture(_of(split, captions[name]))
        for name in names
        if not name.endswith(tuple(longer))
    }


def _of(split: str, caption: str) -> str:
    """A caption behind the name of its split."""
    mark = f"**{split}.** "
    return mark + caption.removeprefix(mark)


def _shown(name: str) -> str:
    return f"![{name}]({FOLDER}/{name}.png)"


def _caption(report: str, name: str) -> str:
    """What stands below a picture in the text of a report; nothing where it is not shown."""
    below = report.partition(f"{_shown(name)}\n\n")[2].partition("\n")[0]
    # The picture behind it, where this one has no caption
    return "" if below.startswith("![") else below


def write(folder: pathlib.Path, pictures: Mapping[str, Picture]) -> None:
    """Writes what was drawn."""
    for name, picture in pictures.items():
        if picture.figure is not None:
            files.write_figure(folder / FOLDER / f"{name}.png", picture.figure)


def lines(pictures: Mapping[str, Picture]) -> list[str]:
    """The pictures in Markdown, each with its caption below."""
    found: list[str] = []
    for name, picture in pictures.items():
        caption: Sequence[str] = ["", picture.caption] if picture.caption else []
        found += [_shown(name), *caption, ""]
    return found
