"""What the pixels of masks mean: inside or outside, an index a class, or a colour a class.

255 beside other indices is a pixel that nobody has labelled: it is left out of losses and metrics.
"""

import hashlib
import pathlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segjax.checks import nearest
from segjax.data import images, tables
from segjax.data.folders.listing import shown
from segjax.data.ignored import IGNORED
from segjax.errors import UserError

# More values than a set has classes: then they are intensities, or what JPEG made of a mask.
MOST_VALUES = 64
IGNORE_NAMES = ("ignore", "ignored", "void", "unlabelled", "unlabeled")
BACKGROUND_NAMES = ("background", "none")
COLUMNS = {
    "class": ("class", "name", "label", "structure"),
    "value": ("value", "index", "level", "id"),
    "red": ("red", "r"),
    "green": ("green", "g"),
    "blue": ("blue", "b"),
    "colour": ("colour", "color", "hex"),
}


@dataclass(frozen=True)
class Levels:
    """What one mask holds: its (width, height), pixels by value, a hash. Colours are 0xRRGGBB."""

    size: tuple[int, int]
    pixels: Mapping[int, int]
    content: str = ""


@dataclass(frozen=True)
class Coding:
    """The values of each class, and those that are left out.

    Attributes:
        kind: inside, indices, or colours.
        values: by class, in the order of the classes.
        ignored: values that nobody has labelled.
    """

    kind: str
    values: Mapping[str, tuple[int, ...]]
    ignored: tuple[int, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, without the background."""
        return tuple(self.values)

    def planes(self, path: pathlib.Path) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
        """A mask `[h, w]` of 0 and 1 a class, and which pixels are labelled, None for all."""
        array = read_values(path, coloured=self.kind == "colours")
        if self.kind == "inside":
            (name,) = self.values
            inside = (array > 0) & ~np.isin(array, self.ignored)
            planes = {name: inside}
        else:
            planes = {name: np.isin(array, found) for name, found in self.values.items()}
        counted = ~np.isin(array, self.ignored) if self.ignored else None
        as_bytes = {name: plane.astype(np.uint8) for name, plane in planes.items()}
        return as_bytes, None if counted is None else counted.astype(np.uint8)


def read_values(path: pathlib.Path, *, coloured: bool) -> np.ndarray:
    """The values of a mask, `[h, w]`: indices of a palette, grey levels, or colours 0xRRGGBB."""
    if coloured:
        red, green, blue = np.moveaxis(images.read_image(path).astype(np.int32), -1, 0)
        return red << 16 | green << 8 | blue
    return images.read_indices(path)


def levels_of(path: pathlib.Path, *, coloured: bool) -> Levels:
    """The values of a mask, counted."""
    array = read_values(path, coloured=coloured)
    if coloured:
        found, counts = np.unique(array, return_counts=True)
    else:
        counts = np.bincount(array.reshape(-1), minlength=256)
        found = np.flatnonzero(counts)
        counts = counts[found]
    pixels = dict(zip(found.tolist(), counts.tolist(), strict=True))
    content = hashlib.sha256(np.ascontiguousarray(array)).hexdigest()
    return Levels((array.shape[1], array.shape[0]), pixels, content)


def of_one_kind(
    found: Mapping[pathlib.Path, Levels], names: Sequence[str], default: str, where: str
) -> Coding:
    """What masks mean of which each image has one, by the values that they hold.

    Args:
        found: the values of every mask.
        names: of the classes, in the order of their values; empty where nobody has said.
        default: the name of a single class that nobody has named.
        where: the flag and folder, for messages.

    Raises: UserError for masks whose values are not told apart, or another number of `names`, and
        where nothing, or everything, is inside.
    """
    _check_few(found)
    several = [set(levels.pixels) for levels in found.values() if len({*levels.pixels} - {0}) > 1]
    values = sorted(set().union(*(levels.pixels for levels in found.values())) - {0})
    if not values:
        raise UserError(f"{where}: all masks are empty{_in_alpha(found)}")
    # Of one value each, as 0/1 here and 0/255 there: inside or outside
    if not several and (len(values) == 1 or set(values) <= {1, IGNORED}):
        if not any(0 in levels.pixels for levels in found.values()):
            raise UserError(
                f"{where}: every pixel of every mask is inside, for none is 0{_in_alpha(found)}"
            )
        return Coding("inside", {_single(names, default, where): (1,)})
    # Beside an index in one mask: else it may be the inside of masks that are 0 and 255
    ignored = (IGNORED,) if any(IGNORED in each for each in several) else ()
    indices = [value for value in values if value not in ignored]
    if indices != list(range(1, len(indices) + 1)) and len(names) != max(indices):
        raise UserError(
            f"{where}: masks hold the values {shown([0, *values])}, no indices 0, 1, 2 …; say what "
            "they mean by --classes, or by a table of class and value: --colours FILE.csv"
        )
    if names and len(names) != max(indices):
        raise UserError(f"--classes: {len(names)} names for the values {shown(indices)} of {where}")
    names = names or [f"class_{index}" for index in range(1, max(indices) + 1)]
    coding = Coding("indices", {n: (i,) for i, n in enumerate(names, start=1)}, ignored)
    _check_seen(coding, found, where)
    return coding


def of_each_class(
    found: Mapping[str, Mapping[pathlib.Path, Levels]], where: str
) -> Mapping[str, Coding]:
    """What masks mean that are one file a class: inside or outside."""
    codings = {}
    for name, levels in found.items():
        codings[name] = of_one_kind(levels, (), name, f"{where} ({name})")
        if codings[name].kind != "inside":
            values = sorted(set().union(*(each.pixels for each in levels.values())))
            raise UserError(
                f"{where}: masks of {name!r} hold the values {shown(values)}; where a class has "
                "files of its own, they hold 0 and one value"
            )
    return codings


def by_table(path: pathlib.Path, found: Mapping[pathlib.Path, Levels], where: str) -> Coding:
    """What masks mean by a table with the columns class and value, or class and red, green, blue.

    Classes called ignore are left out; those called background are none.
    """
    rows = tables.read_table(path, COLUMNS, optional=[key for key in COLUMNS if key != "class"])
    coloured = is_coloured(path)
    values: dict[str, tuple[int, ...]] = {}
    ignored: list[int] = []
    first: dict[int, str] = {}
    for row in rows:
        value = _value_of(path, row, coloured)
        name = str(row["class"])
        if (other := first.setdefault(value, name)) != name:
            what = f"{'colour' if coloured else 'value'} {_written(value, coloured)}"
            raise UserError(f"{path}: gives the {what} to both {other!r} and {name!r}")
        if name.lower() in IGNORE_NAMES:
            ignored.append(value)
        elif name.lower() not in BACKGROUND_NAMES:
            values[name] = (*values.get(name, ()), value)
    if not values:
        raise UserError(f"{path}: names no class")
    coding = Coding("colours" if coloured else "indices", values, tuple(ignored))
    background = {_value_of(path, row, coloured) for row in rows if _is_background(row)} or {0}
    known = {v for each in values.values() for v in each} | set(ignored) | background
    for mask, levels in found.items():
        if strange := sorted(set(levels.pixels) - known):
            few = shown([_written(value, coloured) for value in strange], 4)
            raise UserError(f"{mask}: holds {few}, which {path} does not name")
    _check_seen(coding, found, where)
    return coding


def is_coloured(path: pathlib.Path) -> bool:
    """Whether a table gives colours, not values."""
    rows = tables.read_table(path, COLUMNS, optional=[key for key in COLUMNS if key != "class"])
    if not rows:
        raise UserError(f"{path}: names no class")
    given = {key for key, value in rows[0].items() if value is not None}
    if not ({"red", "green", "blue"} <= given or given & {"colour", "value"}):
        raise UserError(f"{path}: takes columns class and value, or class, red, green and blue")
    return "value" not in given


def _is_background(row: tables.Row) -> bool:
    return str(row["class"]).lower() in BACKGROUND_NAMES


def _value_of(path: pathlib.Path, row: tables.Row, coloured: bool) -> int:
    named = row | {"name": row["class"]}
    return _colour(path, row) if coloured else tables.parse_class(path, named, "value", 256)


def _colour(path: pathlib.Path, row: tables.Row) -> int:
    """A colour as 0xRRGGBB, from three columns or from one such as #ff8000."""
    if row["colour"] is not None:
        text = str(row["colour"]).lstrip("#")
        try:
            return int(text, 16) if len(text) == 6 else int("", 16)
        except ValueError as error:
            what = f"{row['colour']!r} is no colour such as #ff8000"
            raise UserError(f"{path}, row {row['row']}: {what}") from error
    named = row | {"name": row["class"]}
    red, green, blue = (
        tables.parse_class(path, named, key, 256) for key in ("red", "green", "blue")
    )
    return red << 16 | green << 8 | blue


def _written(value: int, coloured: bool) -> str:
    return f"#{value:06x}" if coloured else str(value)


def _in_alpha(found: Iterable[pathlib.Path]) -> str:
    """What to say where masks differ in their alpha channel only; '' where they have none."""
    drawn = next((path for path in found if images.has_drawn_alpha(path)), None)
    if drawn is None:
        return ""
    return (
        f"; the drawing seems to lie in the alpha channel of {drawn.name}, which is not read: "
        f"`magick {drawn.name} -alpha extract new.png` makes a mask of it"
    )


def _single(names: Sequence[str], default: str, where: str) -> str:
    if len(names) > 1:
        raise UserError(f"--classes: {len(names)} names for the masks of {where}, which have one")
    return names[0] if names else default


def _check_few(found: Mapping[pathlib.Path, Levels]) -> None:
    for path, levels in found.items():
        if len(levels.pixels) > MOST_VALUES:
            raise UserError(
                f"{path}: holds {len(levels.pixels)} values, more than classes; was it resampled, "
                "or saved with loss as JPEG is?"
            )


def _check_seen(coding: Coding, found: Mapping[pathlib.Path, Levels], where: str) -> None:
    """UserError for a class that no mask holds."""
    total: Counter[int] = Counter()
    for levels in found.values():
        total.update(levels.pixels)
    for name, values in coding.values.items():
        if not any(total[value] for value in values):
            coloured = coding.kind == "colours"
            written = shown([_written(value, coloured) for value in values])
            raise UserError(f"{where}: the class {name!r} ({written}) is in no mask")


def field_name(name: str, taken: Sequence[str]) -> str:
    """The name of a class as that of a field of the data set: letters, digits and underscores."""
    made = "".join(c if c.isascii() and c.isalnum() else "_" for c in name.lower()).strip("_")
    made = made or "class"
    made = f"class_{made}" if made[0].isdigit() else made
    if made in taken:
        near = nearest(made, taken)
        raise UserError(f"--classes: {name!r} cannot be the name of a class{near} Take another")
    return made
