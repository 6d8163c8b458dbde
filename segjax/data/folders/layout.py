"""dataset.json of nnU-Net's layout: channels, classes, regions, what is ignored, files it lists."""

import json
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass

from segjax.data.folders import listing
from segjax.data.ignored import IGNORED
from segjax.errors import UserError

DESCRIPTION = "dataset.json"
IGNORE = "ignore"  # nnU-Net's name for voxels of which nothing is known
ONLY = "_only"  # ends the name of what later regions leave of a region
LARGEST = 255  # labels are kept as bytes


@dataclass(frozen=True)
class Layout:
    """What dataset.json says.

    Attributes:
        modalities: names of the channels, in their order.
        classes: names of the classes 1, 2, ….
        values: by each number that a file of labels may hold, what it is stored as: 0, the place of
            its class from 1 on, or `IGNORED`.
        ending: of the files, as in .nii.gz.
        regions: by name, the classes that it is made up of; empty where labels are classes.
        images, labels, tests: names of the files that version 1 lists for training and testing.
    """

    modalities: tuple[str, ...]
    classes: tuple[str, ...]
    values: Mapping[int, int]
    ending: str
    regions: Mapping[str, tuple[str, ...]]
    images: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()

    @property
    def remap(self) -> dict[int, int]:
        """The numbers of the files that are stored as others."""
        return {value: stored for value, stored in self.values.items() if value != stored}

    def written(self, stored: int) -> tuple[int, ...]:
        """The numbers of the files that are stored as this one."""
        return tuple(value for value, other in sorted(self.values.items()) if other == stored)


def read_layout(folder: pathlib.Path) -> Layout:
    """dataset.json of a folder.

    Raises: UserError where it is missing or damaged, lacks channels or labels, numbers labels
        otherwise than nnU-Net, or has regions that cannot be told apart voxel by voxel.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        raise UserError(
            f"--manual_dir {folder}: should hold {DESCRIPTION}, imagesTr and labelsTr, as nnU-Net "
            "has them"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(content, dict):
            raise ValueError("not an object")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: damaged: {error}") from error
    channels = content.get("channel_names", content.get("modality"))
    labels = content.get("labels")
    for key, value in (("channel_names", channels), ("labels", labels)):
        if not isinstance(value, dict) or not value:
            raise UserError(f"{path}: has no {key!r}, which says what the numbers mean")
    return Layout(
        modalities=_channels(path, channels),
        **_labels(path, labels, content.get("regions_class_order")),
        ending=str(content.get("file_ending", ".nii.gz")),
        **_listed(path, content),
    )


def _channels(path: pathlib.Path, channels: Mapping) -> tuple[str, ...]:
    try:
        found = {int(number): str(name) for number, name in channels.items()}
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: channel_names: takes numbers as keys: {error}") from error
    if sorted(found) != list(range(len(found))):
        raise UserError(f"{path}: channel_names: takes 0, 1, …, got {listing.shown(sorted(found))}")
    return tuple(found[number] for number in range(len(found)))


def _labels(path: pathlib.Path, labels: Mapping, order: object) -> dict:
    """`classes`, `values` and `regions`, of version 2 by name, of version 1 by number."""
    by_name: dict[str, tuple[int, ...]] = {}
    for key, value in labels.items():
        name, numbers = (value, key) if str(key).isdigit() else (key, value)
        if str(name) in by_name:
            raise UserError(f"{path}: labels: two are called {str(name)!r}")
        by_name[str(name)] = _numbers(path, str(name), numbers)
    ignored = by_name.pop(IGNORE, ())
    others = sorted({number for numbers in by_name.values() for number in numbers})
    if ignored and (len(ignored) > 1 or ignored[0] <= max(others, default=0)):
        raise UserError(
            f"{path}: labels: {IGNORE!r} takes one number, the highest of all, got "
            f"{listing.shown(ignored)} beside {listing.shown(others)}"
        )
    several = any(len(numbers) > 1 for numbers in by_name.values())
    found = _regions(path, by_name, order) if several else _exclusive(path, by_name)
    return found | {"values": found["values"] | dict.fromkeys(ignored, IGNORED)}


def _numbers(path: pathlib.Path, name: str, value: object) -> tuple[int, ...]:
    """The numbers of a label: one, or several of a region."""
    given = value if isinstance(value, list) else [value]
    # True and 1.5 are numbers for int(), and no labels
    whole = [int(v) for v in given if type(v) is int or (isinstance(v, str) and v.isdigit())]
    if len(whole) < len(given) or not whole:
        raise UserError(f"{path}: labels: {name!r} has no whole number: {value!r}")
    if not 0 <= min(whole) <= max(whole) <= LARGEST:
        raise UserError(f"{path}: labels: {name!r} takes 0 to {LARGEST}, got {value!r}")
    return tuple(dict.fromkeys(whole))


def _exclusive(path: pathlib.Path, by_name: Mapping[str, tuple[int, ...]]) -> dict:
    """Of labels that are one number each."""
    names = {number: name for name, (number,) in by_name.items()}
    numbers = sorted(number for (number,) in by_name.values())
    if numbers != list(range(len(numbers))) or len(numbers) < 2:
        raise UserError(f"{path}: labels: takes 0, 1, 2, … once each, got {listing.shown(numbers)}")
    _check_many(path, len(numbers) - 1)
    classes = tuple(names[number] for number in numbers[1:])
    return {"classes": classes, "values": {number: number for number in numbers}, "regions": {}}


def _regions(path: pathlib.Path, by_name: Mapping[str, tuple[int, ...]], order: object) -> dict:
    """Of regions of several labels: the exclusive classes that nnU-Net paints them as.

    It writes one region over the other, in the order of `labels`, each with its number of
    `regions_class_order`. A label so has the class of the last region that it is part of.
    """
    regions = {name: numbers for name, numbers in by_name.items() if numbers != (0,)}
    names = list(regions)
    fits = isinstance(order, list) and all(type(number) is int and number > 0 for number in order)
    if not fits or len(order) != len(names):
        raise UserError(
            f"{path}: regions_class_order: takes a number above 0 for each of {', '.join(names)}, "
            f"got {order!r}"
        )
    _check_nested(path, regions)
    painted = {}
    for name in names:
        painted |= dict.fromkeys(regions[name], name)
    numbers = dict(zip(names, order, strict=True))
    # Of a region that those within it make up as a whole, no label is left
    kept = sorted({*painted.values()}, key=lambda name: (numbers[name], name))
    if twice := [b for a, b in zip(kept, kept[1:], strict=False) if numbers[a] == numbers[b]]:
        raise UserError(
            f"{path}: regions_class_order: gives {numbers[twice[0]]} to several regions of which "
            "labels are left, which would then be one class"
        )
    _check_many(path, len(kept))
    values = {value: kept.index(name) + 1 for value, name in painted.items()}
    whole = {name for name in kept if all(painted[value] == name for value in regions[name])}
    classes = tuple(name if name in whole else f"{name}{ONLY}" for name in kept)
    if len({*classes}) < len(classes):
        raise UserError(f"{path}: labels: a name ends in {ONLY!r}, as what is left of a region")
    parts = {
        name: tuple(c for k, c in enumerate(classes, 1) if any(values[v] == k for v in members))
        for name, members in regions.items()
    }
    return {"classes": classes, "values": {0: 0} | values, "regions": parts}


def _check_nested(path: pathlib.Path, regions: Mapping[str, tuple[int, ...]]) -> None:
    """UserError unless each region is a part of the earlier ones that it has labels of."""
    names = list(regions)
    for place, later in enumerate(names):
        if 0 in regions[later]:
            raise UserError(f"{path}: labels: the region {later!r} holds 0, the background")
        for earlier in names[:place]:
            inner, outer = {*regions[later]}, {*regions[earlier]}
            if inner & outer and not inner < outer:
                raise UserError(
                    f"{path}: labels: the region {later!r} is written over {earlier!r} and is no "
                    "part of it, so that one class a voxel cannot tell both; segjax takes regions "
                    "that are parts of those before them, or apart from them"
                )


def _check_many(path: pathlib.Path, classes: int) -> None:
    if classes >= IGNORED:
        raise UserError(f"{path}: labels: names {classes} classes; {IGNORED - 1} are taken at most")


def _listed(path: pathlib.Path, content: Mapping) -> dict[str, tuple[str, ...]]:
    """The files that a dataset.json of version 1 lists; version 2 lists none."""
    found: dict[str, list[str]] = {"images": [], "labels": [], "tests": []}
    training, tests = (content.get(key) for key in ("training", "test"))
    for entry in training if isinstance(training, list) else ():
        texts = [entry.get(key) for key in ("image", "label")] if isinstance(entry, dict) else [0]
        if not all(isinstance(text, str) for text in texts):
            raise UserError(f"{path}: training: takes objects with image and label, got {entry!r}")
        for key, text in zip(("images", "labels"), texts, strict=True):
            found[key].append(pathlib.PurePosixPath(text).name)
    for entry in tests if isinstance(tests, list) else ():
        if isinstance(entry, str):
            found["tests"].append(pathlib.PurePosixPath(entry).name)
    return {key: tuple(names) for key, names in found.items()}
