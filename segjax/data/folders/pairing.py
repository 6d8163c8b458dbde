"""Which mask belongs to which image: found from the names of the files, or said by a pattern.

images/17.png        masks/17.png                   one file an image
images/17.png        masks/17_mask.png              an ending, or a beginning, in common
images/17.png        masks/17_disc.png, 17_cup.png  a class an ending
images/17.png        masks/disc/17.png              a class a folder
"""

import os
import pathlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from segjax.data import names as naming
from segjax.data.folders.listing import counted, shown, shown_names
from segjax.errors import UserError

# Between the name of an image and what a mask adds to it: `17` is no part of `170_mask`.
SEPARATORS = "_-. "
# More endings than a set has kinds of masks: then they are parts of names.
MOST_ENDINGS = 32
FIELD = re.compile(r"\{(name|class)\}")


@dataclass(frozen=True)
class Pairing:
    """The masks of all images.

    Attributes:
        pattern: by which they were found, as `--mask_pattern` takes it.
        masks: by class, then by the name of the image; of one kind of masks the class is ''.
    """

    pattern: str
    masks: Mapping[str, Mapping[str, pathlib.Path]]

    @property
    def affix(self) -> str:
        """What names of masks add to those of images, of a single pattern."""
        return _affix(self.pattern)


def paired(
    images: Mapping[str, pathlib.Path],
    masks: Mapping[str, pathlib.Path],
    folder: pathlib.Path,
    pattern: str | None = None,
) -> Pairing:
    """Finds the masks of images.

    Args:
        images: by what their names are compared by.
        masks: every picture below `folder`, by its path there.
        folder: named in messages.
        pattern: a path below `folder` with `{name}` for the image's and perhaps `{class}`; `*` as
            extension is any. None: found out.

    Returns: the pairing, every mask in it.
    Raises: UserError naming masks without image, images without mask (up to ten), a mask that two
        files claim to be, or that no rule fits.
    """
    found = _by_pattern(images, masks, pattern) if pattern else _by_convention(images, masks)
    if found is None or not found.masks:
        some = shown_names(masks, 3)
        others = shown_names((path.stem for path in images.values()), 3)
        how = f"--mask_pattern {pattern!r} fits none" if pattern else "no rule was found"
        raise UserError(
            f"{folder}: {how} by which masks ({some}) belong to images ({others}); "
            "say it as in --mask_pattern '{name}_mask.png' or '{class}/{name}.png'"
        )
    _check(images, masks, folder, found)
    return found


def is_mask(inside: str, pattern: str) -> bool:
    """Whether a path below the folder of masks is one by a pattern, whatever images there are."""
    return re.fullmatch(_expression(pattern), inside, re.IGNORECASE) is not None


def _by_convention(
    images: Mapping[str, pathlib.Path], masks: Mapping[str, pathlib.Path]
) -> Pairing | None:
    """The first of the conventions by which most masks have an image, or most images a mask."""
    nested = sum("/" in name for name in masks) * 2 > len(masks)
    stems = [_stem(name) for name in masks]
    same = [stem.lower() for stem in stems if stem.lower() in images]
    if len(same) * 2 >= len(masks) or len({*same}) * 2 >= len(images):
        return _by_pattern(images, masks, "{class}/{name}.*" if nested else "{name}.*")
    affixes = _affixes(images, stems)
    patterns = [f"{before}{{name}}{after}.*" for before, after in affixes]
    if len(patterns) == 1:
        return _by_pattern(images, masks, "{class}/" * nested + patterns[0])
    # Each of several endings is a class, in whatever folder it lies
    patterns = ["*/" * nested + pattern for pattern in patterns]
    found = {}
    for pattern in patterns:
        found[_affix(pattern)] = _by_pattern(images, masks, pattern).masks.get("", {})
    return Pairing(" and ".join(patterns), found) if found else None


def _affixes(images: Mapping[str, pathlib.Path], stems: Iterable[str]) -> list[tuple[str, str]]:
    """What masks add before or after the names of images; nothing where that is no rule."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for written in stems:
        stem = written.lower()
        # The longest name: of the images `17` and `17_a`, `17_a_mask` is of the second
        behind = next(
            (
                i
                for i in range(len(stem) - 1, 0, -1)
                if stem[i] in SEPARATORS and stem[:i] in images
            ),
            None,
        )
        before = next(
            (i for i in range(1, len(stem)) if stem[i - 1] in SEPARATORS and stem[i:] in images),
            None,
        )
        if behind is not None:
            found.setdefault(("", stem[behind:]), ("", written[behind:]))
        elif before is not None:
            found.setdefault((stem[:before], ""), (written[:before], ""))
    return list(found.values()) if len(found) <= MOST_ENDINGS else []


def _by_pattern(
    images: Mapping[str, pathlib.Path], masks: Mapping[str, pathlib.Path], pattern: str
) -> Pairing:
    if "{name}" not in pattern or set(re.findall(r"\{[^}]*\}", pattern)) - {"{name}", "{class}"}:
        raise UserError(f"--mask_pattern {pattern!r}: takes {{name}}, and perhaps {{class}}")
    expression = _expression(pattern)
    found: dict[str, dict[str, pathlib.Path]] = {}
    for mask, path in masks.items():
        for match in _matches(expression, mask):
            if (name := match["name"].lower()) in images:
                label = match.groupdict().get("label") or ""
                _put(found.setdefault(label, {}), name, path)
                break
    return Pairing(pattern, found)


def _put(files: dict[str, pathlib.Path], name: str, path: pathlib.Path) -> None:
    if name in files:
        raise UserError(f"{path}: is a mask of the image {name!r}, as {files[name]} is")
    files[name] = path


def _expression(pattern: str) -> str:
    """A regular expression in which `{name}` and `{class}` are groups."""
    fixed = FIELD.split(naming.composed(pattern).removesuffix(".*"))
    parts = [
        re.escape(part).replace(r"\*", "[^/]*")
        if index % 2 == 0
        else "(?P<name>[^/]+)"
        if part == "name"
        else LABEL
        for index, part in enumerate(fixed)
    ]
    return "".join(parts) + (r"\.[^./]+" if pattern.endswith(".*") else "")


LABEL = "(?P<label>[^/]+)"


def _matches(expression: str, mask: str) -> Iterable[re.Match]:
    """All ways in which a path is a name and a class, the longest name first."""
    match = re.fullmatch(expression, mask, re.IGNORECASE)
    while match:
        yield match
        # A shorter name, where the class may take the rest
        shorter = len(match["name"]) - 1
        if "label" not in match.groupdict() or shorter < 1:
            return
        limited = expression.replace("(?P<name>[^/]+)", f"(?P<name>[^/]{{1,{shorter}}})")
        match = re.fullmatch(limited, mask, re.IGNORECASE)


def _affix(pattern: str) -> str:
    file = pattern.rpartition("/")[2]
    return os.path.splitext(file)[0].replace("{name}", "").replace("{class}", "").strip(SEPARATORS)


def _stem(name: str) -> str:
    return os.path.splitext(name.rpartition("/")[2])[0]


def _check(images, masks, folder: pathlib.Path, found: Pairing) -> None:
    """UserError for masks that belong to no image, and images that have no mask at all."""
    taken = {path for files in found.masks.values() for path in files.values()}
    wrong = []
    if strangers := [name for name, path in masks.items() if path not in taken]:
        many = counted(strangers, "mask has", "masks have")
        wrong.append(f"{many} no image by {found.pattern}: {shown(strangers)}")
    known = set().union(*found.masks.values())
    if lacking := [path.name for name, path in images.items() if name not in known]:
        many = counted(lacking, "image has", "images have")
        wrong.append(f"{many} no mask by {found.pattern}: {shown(lacking)}")
    if wrong:
        raise UserError(f"{folder}: {'; '.join(wrong)}")
