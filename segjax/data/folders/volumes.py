"""A folder of volumes in nnU-Net's layout, understood before anything is stored.

dataset.json                      channels, labels, and how files end: `layout`
imagesTr/CASE_0000.nii.gz         one file a channel, or CASE.nii.gz with four axes
labelsTr/CASE.nii.gz
imagesTs, labelsTs                the same of test cases; without labels they are left alone
"""

import hashlib
import json
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from segjax.data import names as naming
from segjax.data.folders import columns, listing, scan, splitting
from segjax.data.folders.layout import DESCRIPTION, IGNORE, Layout, read_layout
from segjax.data.ignored import IGNORED
from segjax.data.sets import volume_features
from segjax.errors import UserError

CHANNEL = re.compile(r"(.+)_(\d{4})")
TRAINING, TEST = "Tr", "Ts"  # endings of folders


@dataclass(frozen=True)
class Case:
    """The files of one case, a channel a file, or one file with all of them."""

    name: str
    images: tuple[pathlib.Path, ...]
    labels: pathlib.Path


def find_cases(folder: pathlib.Path, layout: Layout, part: str = TRAINING) -> dict[str, Case]:
    """The cases of imagesTr and labelsTr, or of imagesTs and labelsTs, by name.

    Raises: UserError for images without labels and labels without image (up to ten), a channel that
        is missing or too many, and files that dataset.json names and that are not there.
    """
    places = [folder / f"{what}{part}" for what in ("images", "labels")]
    images, labels = (_files(place, layout.ending) for place in places)
    channels: dict[str, dict[int, pathlib.Path]] = {}
    for name, path in images.items():
        match = CHANNEL.fullmatch(name)
        # A case may end in four digits itself, where images are one file each
        if match and match[1] in labels:
            channels.setdefault(match[1], {})[int(match[2])] = path
        else:
            channels.setdefault(name, {})[-1] = path
    if lacking := _as_cases([name for name in channels if name not in labels], layout):
        many = listing.counted(lacking, "case has", "cases have")
        raise UserError(f"{places[1]}: {many} no labels: {listing.shown(lacking)}")
    if lacking := [name for name in labels if name not in channels]:
        many = listing.counted(lacking, "case has", "cases have")
        raise UserError(f"{places[0]}: {many} no image: {listing.shown(lacking)}")
    if part == TRAINING:
        _check_listed(folder, layout, places[1], layout.labels)
    _check_listed(folder, layout, places[0], layout.images if part == TRAINING else layout.tests)
    cases = {}
    for name in sorted(channels):
        found = channels[name]
        wanted = list(range(len(layout.modalities)))
        if sorted(found) not in (wanted, [-1]):
            raise UserError(
                f"{places[0]}: {name} has the channels {listing.shown(sorted(found))}, "
                f"{DESCRIPTION} says {listing.shown(wanted)}"
            )
        cases[name] = Case(name, tuple(found[key] for key in sorted(found)), labels[name])
    return cases


def find_tests(folder: pathlib.Path, layout: Layout) -> tuple[dict[str, Case], int]:
    """The cases of imagesTs and labelsTs; without labels, how many images there are.

    Raises: UserError as `find_cases`, where there are labels at all.
    """
    images, labels = (
        _there(folder / f"{what}{TEST}", layout.ending) for what in ("images", "labels")
    )
    if labels:
        return find_cases(folder, layout, TEST), 0
    if images:
        _check_listed(folder, layout, folder / f"images{TEST}", layout.tests)
    return {}, len(_as_cases(list(images), layout))


def _as_cases(names: Sequence[str], layout: Layout) -> list[str]:
    """The cases of files without labels, by the names of the files without their ending."""
    files: dict[str, dict[str, int]] = {}
    for name in names:
        match = CHANNEL.fullmatch(name)
        case, channel = (match[1], int(match[2])) if match else (name, 0)
        files.setdefault(case, {})[name] = channel
    # Names that end in four digits, but for no channel, are cases of one file each
    whole = [*range(len(layout.modalities))]
    found = []
    for case, channels in files.items():
        found += [case] if sorted(channels.values()) == whole else channels
    return found


def _check_listed(
    folder: pathlib.Path, layout: Layout, place: pathlib.Path, names: tuple[str, ...]
) -> None:
    """UserError for files that dataset.json lists and that are not there, whole or by channels."""
    there = {naming.composed(path.name) for path in place.iterdir()}
    stems = [CHANNEL.fullmatch(name.removesuffix(layout.ending)) for name in there]
    there |= {f"{match[1]}{layout.ending}" for match in stems if match}
    if lacking := [name for name in names if naming.composed(name) not in there]:
        many = listing.counted(lacking, "file that is", "files that are")
        raise UserError(
            f"{folder / DESCRIPTION}: names {many} not in {place.name}: {listing.shown(lacking)}"
        )


def _there(folder: pathlib.Path, ending: str) -> dict[str, pathlib.Path]:
    """The files of a folder that end so, by their names without it; none where it is missing."""
    found: dict[str, pathlib.Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.endswith(ending) and not path.name.startswith("."):
            name = naming.composed(path.name.removesuffix(ending))
            if name in found:
                raise UserError(f"{folder}: two files are called {name!r}, in different letters")
            found[name] = path
    return found


def _files(folder: pathlib.Path, ending: str) -> dict[str, pathlib.Path]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    if found := _there(folder, ending):
        return found
    others = [path.name for path in sorted(folder.iterdir())][:3]
    raise UserError(f"{folder}: no files *{ending}; it holds {listing.shown(others) or 'nothing'}")


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
    """What one case is: voxels and spacing `(z, y, x)`, voxels by stored label, two hashes.

    That of `content` stands for image and labels, that of `image` for the voxels of the image.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    labels: Mapping[int, int]
    content: str
    image: str


@dataclass(frozen=True)
class Volumes:
    """What a folder was understood to be.

    Attributes:
        layout: what dataset.json says.
        cases: by name.
        seen: what is in them.
        splits, groups: of each case.
        same: cases whose images are equal voxel by voxel.
        unlabelled: how many volumes of imagesTs have no labels, and are not stored.
    """

    request: Request
    layout: Layout
    cases: Mapping[str, Case]
    seen: Mapping[str, Seen]
    splits: Mapping[str, str]
    groups: Mapping[str, str]
    same: Sequence[Sequence[str]] = ()
    unlabelled: int = 0

    @property
    def tests(self) -> list[str]:
        """The cases of labelsTs."""
        return [n for n, case in self.cases.items() if case.labels.parent.name == f"labels{TEST}"]

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
        """Names of the classes from 1 on, and of the channels; `ignored` where voxels are."""
        names = {"classes": list(self.layout.classes), "modalities": list(self.layout.modalities)}
        ignored = any(IGNORED in each.labels for each in self.seen.values())
        return names | ({"ignored": IGNORED} if ignored else {})

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
    tests, unlabelled = find_tests(request.manual_dir, layout)
    if both := [name for name in tests if name in cases]:
        raise UserError(
            f"{request.manual_dir / f'labels{TEST}'}: {len(both)} cases have names of "
            f"labels{TRAINING}: {listing.shown(both)}"
        )
    cases |= tests
    found = _look_at_all(cases, layout, journal)
    for place, name in enumerate(layout.classes, start=1):
        if not any(each.labels.get(place) for each in found.values()):
            raise UserError(
                f"{request.manual_dir / f'labels{TRAINING}'}: the class {name!r} "
                f"({listing.shown(layout.written(place))}) is in no volume"
            )
    # By file names alone: a case of labelsTs may be of a patient of labelsTr
    names = {name: request.manual_dir / case.labels.name for name, case in cases.items()}
    groups = columns.groups(request.group, names, request.manual_dir, [])
    same = _same_images(found)
    splits = _splits(request, groups, dict.fromkeys(tests, "test"), same)
    return Volumes(request, layout, cases, found, splits, groups, same, unlabelled)


def _same_images(seen: Mapping[str, Seen]) -> list[list[str]]:
    """Names of cases whose images are the same, voxel by voxel."""
    names: dict[str, list[str]] = {}
    for name, each in seen.items():
        names.setdefault(each.image, []).append(name)
    return [same for same in names.values() if len(same) > 1]


def _look_at_all(
    cases: Mapping[str, Case], layout: Layout, journal: scan.Journal
) -> dict[str, Seen]:
    """What is in each case, from the journal where nothing has changed."""
    by_image = {case.images[0]: case for case in cases.values()}

    def read(path: pathlib.Path) -> list:
        return _look(by_image[path], layout)

    # A case is read again where one of its files has changed, or what they mean: all are part of
    # what it is kept by
    meant = f"{len(layout.modalities)} {sorted(layout.values.items())}"
    kinds = {path: f"case and image {meant} {_status(case)}" for path, case in by_image.items()}
    found = {}
    for path, kind in tqdm(kinds.items(), desc="reading cases", disable=not sys.stderr.isatty()):
        shape, spacing, labels, *hashes = journal.one(path, kind, read)
        seen = Seen(tuple(shape), tuple(spacing), dict(map(tuple, labels)), *hashes)
        if {*seen.labels} == {IGNORED}:
            raise UserError(f"{by_image[path].labels}: all of its voxels are labelled {IGNORE}")
        found[by_image[path].name] = seen
    return found


def _splits(
    request: Request,
    groups: Mapping[str, str],
    tests: Mapping[str, str],
    same: Sequence[Sequence[str]],
) -> dict[str, str]:
    """The split of each case; those of labelsTs are `tests`, unless a table says otherwise.

    Images of one content are never on both sides.
    """
    if request.split is not None:
        written = {naming.key(name): name for name in groups}
        fixed = {naming.key(name): split for name, split in tests.items()}
        found = splitting.by_list(request.split, written, fixed, "case")
        splits = {written[name]: split for name, split in found.items()}
    else:
        if tests and request.test:
            raise UserError(
                f"--test {request.test:g}: labels{TEST} holds the {len(tests)} test cases already"
            )
        drawn = {name: group for name, group in groups.items() if name not in tests}
        kept = [[n for n in names if n in drawn] for names in same]
        joint = splitting.joined(drawn, [names for names in kept if names])
        splits = splitting.by_shares(joint, request.shares, request.seed, "case") | tests
    splitting.check_groups(splits, groups)
    where = str(request.split or request.manual_dir / f"images{TEST}")
    splitting.check_same(splits, same, where, "voxel")
    return splits


def _status(case: Case) -> str:
    files = (*case.images[1:], case.labels)
    return " ".join(f"{p.stat().st_size}-{p.stat().st_mtime_ns}" for p in files)


def _read(case: Case, layout: Layout):
    return volume_features.read_case(
        case.images,
        case.labels,
        known=layout.values,
        remap=layout.remap,
        channels=len(layout.modalities),
        said=f"{DESCRIPTION} lists",
    )


def _look(case: Case, layout: Layout) -> list:
    """Shape, spacing, voxels by label and the hashes of a case."""
    image, labels = _read(case, layout)
    counts = np.bincount(labels.array.reshape(-1), minlength=256)
    content = hashlib.sha256(np.ascontiguousarray(image.array))
    content.update(np.ascontiguousarray(labels.array))
    content.update(image.affine.tobytes())
    # Of the voxels alone: a copy may have another header
    voxels_only = hashlib.sha256(f"{image.array.shape}".encode())
    voxels_only.update(np.ascontiguousarray(image.array))
    voxels = [[int(label), int(counts[label])] for label in np.flatnonzero(counts)]
    spacing = [float(size) for size in image.spacing]
    return [list(labels.array.shape), spacing, voxels, content.hexdigest(), voxels_only.hexdigest()]
