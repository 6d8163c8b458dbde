"""A folder of volumes in nnU-Net's layout, understood before anything is stored.

    dataset.json                      version 2: channel_names, labels by name, file_ending
    imagesTr/CASE_0000.nii.gz         one file a channel
    labelsTr/CASE.nii.gz

The layout of version 1 and of the Medical Segmentation Decathlon is read too: `modality`, labels by
number, and images of one file each, whose fourth axis is the channel.
"""

import hashlib
import json
import pathlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from segjax.data.folders import columns, listing, scan, splitting
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


@dataclass(frozen=True, kw_only=True)
class Request(splitting.Wanted):
    """What a user has said of a folder; each flag of `segjax data prepare nnunet`."""

    manual_dir: pathlib.Path

    @property
    def folder(self) -> pathlib.Path:
        """The folder that the set is made of."""
        return self.manual_dir

    @property
    def sources(self) -> dict[str, pathlib.Path]:
        """Folders that are only read, by their flags."""
        return {"--manual_dir": self.manual_dir}


@dataclass(frozen=True)
class Seen:
    """What one case is: voxels and spacing `(z, y, x)`, voxels by label, a hash."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    labels: Mapping[int, int]
    content: str


@dataclass(frozen=True)
class Volumes:
    """What a folder was understood to be.

    Attributes:
        layout: what dataset.json says.
        cases: by name.
        seen: what is in them.
        splits, groups: of each case.
    """

    request: Request
    layout: Layout
    cases: Mapping[str, Case]
    seen: Mapping[str, Seen]
    splits: Mapping[str, str]
    groups: Mapping[str, str]

    @property
    def digests(self) -> dict[str, str]:
        """Of each case."""
        return {name: each.content for name, each in self.seen.items()}

    @property
    def fingerprint(self) -> str:
        """Stands for the content of all files, and for all that changes what is stored."""
        said = [self.layout.classes, self.layout.modalities, self.splits, self.groups, self.digests]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    @property
    def metadata(self) -> dict:
        """Names of the labels from 1 on, and of the channels."""
        return {"classes": list(self.layout.classes), "modalities": list(self.layout.modalities)}

    def features(self) -> dict[str, tfds.features.FeatureConnector]:
        """The fields of an example."""
        return volume_features.volume_features(len(self.layout.modalities))

    def name_of(self, key: str) -> str:
        """The name of a case."""
        return key

    def example(self, key: str) -> dict[str, object]:
        """One case, read from its files."""
        image, labels = _read(self.cases[key], self.layout)
        return volume_features.volume_example(image, labels, image_id=key, patient=self.groups[key])


def understood(request: Request, journal: scan.Journal) -> Volumes:
    """Reads every file once, and finds out what is in it.

    Raises: UserError naming the file or flag that makes no sense.
    """
    if not request.manual_dir.is_dir():
        raise UserError(f"--manual_dir {request.manual_dir}: no such folder")
    layout = read_layout(request.manual_dir)
    cases = find_cases(request.manual_dir, layout)
    by_image = {case.images[0]: case for case in cases.values()}

    def read(path: pathlib.Path) -> list:
        return _look(by_image[path], layout)

    # A case is read again where one of its files has changed: all are part of what it is kept by
    kinds = {path: f"case {_status(case)}" for path, case in by_image.items()}
    found = {}
    for path, kind in tqdm(kinds.items(), desc="reading cases", disable=not sys.stderr.isatty()):
        shape, spacing, labels, content = journal.one(path, kind, read)
        found[by_image[path].name] = Seen(
            tuple(shape), tuple(spacing), dict(map(tuple, labels)), content
        )
    for place, name in enumerate(layout.classes, start=1):
        if not any(each.labels.get(place) for each in found.values()):
            raise UserError(
                f"{request.manual_dir / 'labelsTr'}: the class {name!r} ({place}) is in no volume"
            )
    names = {name: case.labels for name, case in cases.items()}
    groups = columns.groups(request.group, names, request.manual_dir / "labelsTr", [])
    return Volumes(request, layout, cases, found, _splits(request, groups), groups)


def _splits(request: Request, groups: Mapping[str, str]) -> dict[str, str]:
    if request.split is None:
        return splitting.by_shares(groups, request.shares, request.seed)
    by_lower = {name.lower(): name for name in groups}
    found = splitting.by_list(request.split, list(by_lower))
    splits = {by_lower[name]: split for name, split in found.items()}
    splitting.check_groups(splits, groups)
    return splits


def _status(case: Case) -> str:
    files = (*case.images[1:], case.labels)
    return " ".join(f"{p.stat().st_size}-{p.stat().st_mtime_ns}" for p in files)


def _read(case: Case, layout: Layout):
    return volume_features.read_case(case.images, case.labels, known=layout.known)


def _look(case: Case, layout: Layout) -> list:
    """Shape, spacing, voxels by label and a hash of a case."""
    image, labels = _read(case, layout)
    counts = np.bincount(labels.array.reshape(-1), minlength=256)
    content = hashlib.sha256(np.ascontiguousarray(image.array))
    content.update(np.ascontiguousarray(labels.array))
    content.update(image.affine.tobytes())
    voxels = [[int(label), int(counts[label])] for label in np.flatnonzero(counts)]
    spacing = [float(size) for size in image.spacing]
    return [list(labels.array.shape), spacing, voxels, content.hexdigest()]
