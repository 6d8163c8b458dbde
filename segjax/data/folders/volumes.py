"""A folder of volumes in nnU-Net's layout, understood before anything is stored.

    dataset.json                      version 2: channel_names, labels by name, file_ending
    imagesTr/CASE_0000.nii.gz         one file a channel
    labelsTr/CASE.nii.gz

The layout of version 1 and of the Medical Segmentation Decathlon is read too: `modality`, labels by
number, and images of one file each, whose fourth axis is the channel.
"""

import json
import pathlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import tensorflow_datasets as tfds

from segjax.data.folders import listing
from segjax.data.sets import volume_features
from segjax.errors import UserError

DESCRIPTION = "dataset.json"
CHANNEL = re.compile(r"(.+)_(\d{4})")
IGNORE = "ignore"


@dataclass(frozen=True)
class Layout:
    """What dataset.json says.

    Attributes:
        modalities: names of the channels, in their order.
        classes: names of the labels from 1 on.
        known: all labels that a file may hold.
        ending: of the files, as in .nii.gz.
        listed: names of the training cases, where the file lists them.
    """

    modalities: tuple[str, ...]
    classes: tuple[str, ...]
    known: tuple[int, ...]
    ending: str
    listed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """The files of one case, a channel a file, or one file with all of them."""

    name: str
    images: tuple[pathlib.Path, ...]
    labels: pathlib.Path


def read_layout(folder: pathlib.Path) -> Layout:
    """dataset.json of a folder; UserError where it is missing, damaged, or lacks something."""
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
        **_labels(path, labels),
        ending=str(content.get("file_ending", ".nii.gz")),
        listed=_listed(path, content.get("training", ())),
    )


def _channels(path: pathlib.Path, channels: Mapping) -> tuple[str, ...]:
    try:
        found = {int(number): str(name) for number, name in channels.items()}
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: channel_names: takes numbers as keys: {error}") from error
    if sorted(found) != list(range(len(found))):
        raise UserError(f"{path}: channel_names: takes 0, 1, …, got {listing.shown(sorted(found))}")
    return tuple(found[number] for number in range(len(found)))


def _labels(path: pathlib.Path, labels: Mapping) -> dict:
    """Classes and known labels; of version 2 by name, of version 1 by number."""
    by_name = {}
    for key, value in labels.items():
        name, number = (value, key) if str(key).isdigit() else (key, value)
        if isinstance(number, list | tuple):
            raise UserError(
                f"{path}: labels: {name!r} is a region of several labels, which overlap; segjax "
                "takes one class a voxel. Name the labels themselves"
            )
        try:
            by_name[str(name)] = int(number)
        except (TypeError, ValueError) as error:
            raise UserError(f"{path}: labels: {name!r} has no whole number: {number!r}") from error
    if IGNORE in by_name:
        raise UserError(
            f"{path}: labels: {IGNORE!r} is not taken yet: every voxel of a volume is labelled"
        )
    numbers = sorted(by_name.values())
    if numbers != list(range(len(numbers))) or len(numbers) < 2:
        raise UserError(f"{path}: labels: takes 0, 1, 2, … once each, got {listing.shown(numbers)}")
    names = {number: name for name, number in by_name.items()}
    return {"classes": tuple(names[n] for n in numbers[1:]), "known": tuple(numbers)}


def _listed(path: pathlib.Path, training: object) -> tuple[str, ...]:
    """Cases that a dataset.json of version 1 lists; version 2 lists none."""
    names = []
    for entry in training if isinstance(training, list) else ():
        text = entry.get("label") if isinstance(entry, dict) else None
        if not isinstance(text, str):
            raise UserError(f"{path}: training: takes objects with image and label, got {entry!r}")
        names.append(pathlib.PurePosixPath(text).name)
    return tuple(names)


def find_cases(folder: pathlib.Path, layout: Layout) -> dict[str, Case]:
    """The cases of imagesTr and labelsTr, by name.

    Raises: UserError for images without labels and labels without image (up to ten), a channel that
        is missing or too many, and files that dataset.json names and that are not there.
    """
    images, labels = (_files(folder / name, layout.ending) for name in ("imagesTr", "labelsTr"))
    channels: dict[str, dict[int, pathlib.Path]] = {}
    for name, path in images.items():
        match = CHANNEL.fullmatch(name)
        # A case may end in four digits itself, where images are one file each
        if match and match[1] in labels:
            channels.setdefault(match[1], {})[int(match[2])] = path
        else:
            channels.setdefault(name, {})[-1] = path
    if lacking := [name for name in channels if name not in labels]:
        shown = listing.shown(lacking)
        raise UserError(f"{folder / 'labelsTr'}: {len(lacking)} images have no labels: {shown}")
    if lacking := [name for name in labels if name not in channels]:
        shown = listing.shown(lacking)
        raise UserError(f"{folder / 'imagesTr'}: {len(lacking)} labels have no image: {shown}")
    there = {path.name for path in labels.values()}
    if lacking := [name for name in layout.listed if name not in there]:
        raise UserError(
            f"{folder / DESCRIPTION}: names {len(lacking)} files that are not in labelsTr: "
            f"{listing.shown(lacking)}"
        )
    cases = {}
    for name in sorted(channels):
        found = channels[name]
        wanted = list(range(len(layout.modalities)))
        if sorted(found) not in (wanted, [-1]):
            raise UserError(
                f"{folder / 'imagesTr'}: {name} has the channels {listing.shown(sorted(found))}, "
                f"{DESCRIPTION} says {listing.shown(wanted)}"
            )
        cases[name] = Case(name, tuple(found[key] for key in sorted(found)), labels[name])
    return cases


def _files(folder: pathlib.Path, ending: str) -> dict[str, pathlib.Path]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    found = {
        path.name.removesuffix(ending): path
        for path in sorted(folder.iterdir())
        if path.name.endswith(ending) and not path.name.startswith(".")
    }
    if not found:
        others = [path.name for path in sorted(folder.iterdir())][:3]
        raise UserError(
            f"{folder}: no files *{ending}; it holds {listing.shown(others) or 'nothing'}"
        )
    return found


def features(layout: Layout) -> dict[str, tfds.features.FeatureConnector]:
    """The fields of an example."""
    return volume_features.volume_features(len(layout.modalities))


def examples(cases: Iterator[Case], layout: Layout, groups: Mapping[str, str]):
    """Cases, read one after the other."""
    for case in cases:
        image, labels = volume_features.read_case(case.images, case.labels, known=layout.known)
        yield (
            case.name,
            volume_features.volume_example(
                image, labels, image_id=case.name, patient=groups[case.name]
            ),
        )
