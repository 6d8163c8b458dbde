"""A folder of images with what they show, understood before anything is stored."""

import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import tensorflow_datasets as tfds

from segjax.data.features import EncodedImage
from segjax.data.fields import ANNOTATED, LABEL, REGIONS
from segjax.data.folders import annotations, coding, columns, listing, pairing, scan, splitting
from segjax.data.sets import common
from segjax.errors import UserError

# Flags that say more of what others name.
GO_WITH = {
    "mask_pattern": (("masks",), "whose files it finds"),
    "classes": (("masks",), "whose classes it names"),
    "colours": (("masks",), "whose colours it explains"),
    "units": (("points", "findings"), "whose points it measures"),
    "needed": (("findings",), "whose annotators it counts"),
    "partial": (("findings",), "whose rows say which images are taken"),
}
# Fields that every set has, or that mean something of their own.
TAKEN = ("image", "image_id", "group", ANNOTATED)


@dataclass(frozen=True, kw_only=True)
class Request(splitting.Wanted):
    """What a person has said of a folder; each flag of `segjax data prepare folder`."""

    images: pathlib.Path
    masks: pathlib.Path | None = None
    mask_pattern: str | None = None
    classes: tuple[str, ...] = ()
    colours: pathlib.Path | None = None
    points: pathlib.Path | None = None
    units: str | None = None
    labels: pathlib.Path | None = None
    findings: pathlib.Path | None = None
    needed: int | None = None
    partial: bool = False

    @property
    def folder(self) -> pathlib.Path:
        """The folder that the set is made of."""
        return self.images

    @property
    def sources(self) -> dict[str, pathlib.Path]:
        """Folders that are only read, by their flags."""
        return {"--images": self.images} | ({"--masks": self.masks} if self.masks else {})


@dataclass(frozen=True)
class MaskField:
    """A field of masks: of what class, which file of each image, how it is read."""

    label: str
    files: Mapping[str, pathlib.Path]
    coding: coding.Coding


@dataclass(frozen=True)
class Photographs:
    """What a folder was understood to be.

    Attributes:
        images: by what their names are compared by.
        sizes: (width, height) of each.
        masks: by field, where there are masks.
        pattern: by which masks were found.
        shares: of all pixels that are labelled, by field; and the images that have some.
        points: by field and image, in pixels.
        units: of the points in their table.
        labels: by field the names of classes, and the class of each image.
        groups: of each image; its own name where nobody has said.
        splits: of each image.
        same: images that are equal pixel by pixel.
        turned: images that an orientation noted in the file has turned.
        digests: of each image and its masks.
        findings: what annotators say, where a table of findings is given.
        without_row: how many images were left out, of which that table has no row.
        tables: of what is said of each image.
    """

    request: Request
    images: Mapping[str, pathlib.Path]
    sizes: Mapping[str, tuple[int, int]]
    splits: Mapping[str, str]
    groups: Mapping[str, str]
    same: Sequence[Sequence[str]]
    turned: Sequence[str]
    digests: Mapping[str, str]
    masks: Mapping[str, MaskField] = field(default_factory=dict)
    pattern: str = ""
    shares: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    points: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    units: str = ""
    labels: Mapping[str, tuple[tuple[str, ...], Mapping[str, int]]] = field(default_factory=dict)
    findings: annotations.Annotations | None = None
    without_row: int = 0
    tables: Sequence[columns.Table] = ()

    @property
    def has_ignored(self) -> bool:
        """Whether some pixels are left out."""
        return any(each.coding.ignored for each in self.masks.values())

    @cached_property
    def fingerprint(self) -> str:
        """Stands for the content of all files, and for all that changes what is stored.

        The order of the masks is not in it: sets of earlier versions would all count as changed. A
        set that is there has it itself, and is compared by it (`preparing`).
        """
        said = {
            "masks": {f: [m.label, m.coding.kind, m.coding.values, m.coding.ignored]
                      for f, m in self.masks.items()},
            "points": {f: {n: p.tolist() for n, p in found.items()}
                       for f, found in self.points.items()},
            "labels": self.labels,
            "groups": self.groups,
            "splits": self.splits,
            "digests": self.digests,
        }  # fmt: skip
        if self.findings:  # only then: sets of earlier versions have a fingerprint without it
            found = self.findings.findings
            said["findings"] = {name: [each.labels, each.regions] for name, each in found.items()}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def features(self) -> dict[str, tfds.features.FeatureConnector]:
        """The fields of an example."""
        mask = EncodedImage(shape=(None, None, 1), dtype=np.uint8)
        fields = {
            "image": EncodedImage(shape=(None, None, 3), dtype=np.uint8),
            "image_id": tfds.features.Text(),
            "group": tfds.features.Text(),
        }
        fields |= dict.fromkeys(self.masks, mask)
        fields |= {ANNOTATED: mask} if self.has_ignored else {}
        point = tfds.features.Tensor(shape=(2,), dtype=np.float32)
        fields |= dict.fromkeys(self.points, point)
        for name, (names, _) in self.labels.items():
            fields[name] = tfds.features.ClassLabel(names=list(names))
        for name in self.findings.findings if self.findings else ():
            fields[f"{name}{LABEL}"] = tfds.features.Tensor(shape=(), dtype=np.int8)
            fields[f"{name}{REGIONS}"] = tfds.features.Tensor(shape=(8,), dtype=np.uint8)
        return fields

    @property
    def metadata(self) -> dict:
        """Names of the fields of masks, in the order of the classes."""
        return {"classes": list(self.masks)}

    def name_of(self, key: str) -> str:
        """The name of an image without its extension, as the file has it."""
        return self.images[key].stem

    def example(self, name: str) -> dict[str, object]:
        """One image with all that belongs to it."""
        image, size = common.stored_image(self.images[name])
        made = {"image": image, "image_id": self.images[name].stem, "group": self.groups[name]}
        annotated = np.ones((size[1], size[0]), np.uint8)
        for path in {each.files[name] for each in self.masks.values() if name in each.files}:
            fields = {f: m for f, m in self.masks.items() if m.files.get(name) == path}
            found = next(iter(fields.values())).coding
            planes, counted = found.planes(path)
            made |= {f: planes[m.label][..., None] for f, m in fields.items()}
            annotated = annotated if counted is None else annotated & counted
        for absent in set(self.masks) - set(made):
            made[absent] = np.zeros((size[1], size[0], 1), np.uint8)
        made |= {ANNOTATED: annotated[..., None]} if self.has_ignored else {}
        made |= {f: found[name] for f, found in self.points.items()}
        for finding, each in self.findings.findings.items() if self.findings else ():
            made[f"{finding}{LABEL}"] = np.int8(each.labels[name])
            made[f"{finding}{REGIONS}"] = each.vector(name)
        return made | {f: found[name] for f, (_, found) in self.labels.items()}


def understood(request: Request, journal: scan.Journal) -> Photographs:
    """Reads every file once, and finds out what belongs together and what it means.

    Raises: UserError naming the file, flag or row that makes no sense.
    """
    _check_flags(request)
    images, masks = _files(request)
    every = len(images)
    if request.partial:
        images = annotations.with_rows(request.findings, images)
    pairs = None
    if masks:
        pairs = pairing.paired(images, masks, request.masks, request.mask_pattern)
    given = {
        flag: columns.read(path, images, f"--{flag}")
        for flag, path in (("points", request.points), ("labels", request.labels))
        if path is not None
    }
    seen = scan.pictures(journal, images.values())
    sizes = {name: seen[path].size for name, path in images.items()}
    turned = [name for name, path in images.items() if seen[path].turned]
    found: dict = {"digests": {name: seen[path].content for name, path in images.items()}}
    tables = list(given.values())
    if request.findings is not None:
        more = annotations.read(request.findings, images, request.group, request.needed)
        found["findings"] = more
        found["points"], found["units"] = annotations.points(more, images, sizes, request.units)
        tables.append(more.table)
    if pairs:
        found |= _of_masks(request, journal, pairs, (sizes, turned), found["digests"])
    if "points" in given:
        points, found["units"] = columns.points(given["points"], sizes, request.units)
        found["points"] = _as_fields(points, found.get("masks", {}))
    if "labels" in given:
        without = [request.group] if request.group else []
        found["labels"] = _as_fields(
            columns.labels(given["labels"], without),
            found.get("masks", {}),
            found.get("points", {}),
        )
    groups = columns.groups(request.group, images, request.images, tables)
    same = scan.duplicates({name: seen[path] for name, path in images.items()})
    if request.findings is not None:
        _check_same(request.findings, found["findings"], images, same)
    splits = _splits(request, groups, same, images)
    return Photographs(
        request,
        images,
        sizes,
        splits,
        groups,
        same,
        turned,
        pattern=pairs.pattern if pairs else "",
        without_row=every - len(images),
        tables=tables,
        **found,
    )


def _check_same(
    path: pathlib.Path,
    found: annotations.Annotations,
    images: Mapping[str, pathlib.Path],
    same: Sequence[Sequence[str]],
) -> None:
    """UserError for images that are equal pixel by pixel, one with and one without a finding."""
    for group in same:
        for finding, each in found.findings.items():
            of = {each.labels[name]: images[name].name for name in group if name in each.labels}
            if {annotations.PRESENT, annotations.ABSENT} <= {*of}:
                both = f"{of[annotations.PRESENT]} and {of[annotations.ABSENT]}"
                raise UserError(
                    f"{annotations.FLAG} {path}: {both} are one image, pixel by pixel, with "
                    f"{finding!r} and without it"
                )


def _check_flags(request: Request) -> None:
    """UserError unless something says what the images show, a table of findings alone."""
    for flag, (those, why) in GO_WITH.items():
        if getattr(request, flag) and not any(getattr(request, other) for other in those):
            with_ = " or ".join(f"--{other}" for other in those)
            raise UserError(f"--{flag}: goes with {with_}, {why}")
    others = ("masks", "points", "labels")
    given = [flag for flag in others if getattr(request, flag) is not None]
    if request.findings is None:
        if not given:
            raise UserError(
                "--masks, --points, --labels or --findings: one of them says what the images show"
            )
    elif given:
        raise UserError(f"--findings: has points of its own, and is not taken with --{given[0]}")


def _files(request: Request) -> tuple[dict[str, pathlib.Path], dict[str, pathlib.Path]]:
    """Images by name, and masks by their path, also where both lie in one folder."""
    everything = listing.pictures(request.images, "--images")
    if request.masks is None:
        return listing.by_stem(everything, "--images"), {}
    masks = listing.pictures(request.masks, "--masks")
    if request.masks.resolve() == request.images.resolve():
        if request.mask_pattern is None:
            raise UserError(
                f"--masks {request.masks}: is the folder of the images too; --mask_pattern, as in "
                "'{name}_mask.png', tells the masks from them"
            )
        masks = {
            inside: p
            for inside, p in masks.items()
            if pairing.is_mask(inside, request.mask_pattern)
        }
    taken = set(masks.values())
    images = {inside: path for inside, path in everything.items() if path not in taken}
    if not images:
        raise UserError(f"--images {request.images}: holds masks only")
    return listing.by_stem(images, "--images"), masks


def _of_masks(request, journal, pairs, images, digests) -> dict:
    """Fields of masks, the share of each, and digests that stand for images and masks."""
    sizes, turned = images
    files = {path: name for found in pairs.masks.values() for name, path in found.items()}
    coloured = request.colours is not None and coding.is_coloured(request.colours)
    levels = scan.masks(journal, files, coloured=coloured)
    for path, name in files.items():
        if levels[path].size != sizes[name]:
            (width, height), size = levels[path].size, sizes[name]
            upright = ", upright by its orientation tag" if name in turned else ""
            raise UserError(
                f"{path}: the mask has {width}x{height} pixels, its image {size[0]}x{size[1]}"
                f"{upright}"
            )
    fields = _mask_fields(request, pairs, levels)
    shares = {}
    for name, each in fields.items():
        values = each.coding.values[each.label]
        inside = [
            sum(count for value, count in levels[path].pixels.items()
                if (value in values if each.coding.kind != "inside"
                    else value and value not in each.coding.ignored))
            for path in each.files.values()
        ]  # fmt: skip
        pixels = sum(width * height for width, height in sizes.values())
        shares[name] = (sum(inside) / pixels, sum(map(bool, inside)))
    found = dict(digests)
    for path, name in sorted(files.items()):
        found[name] += levels[path].content
    return {"masks": fields, "shares": shares, "digests": found}


def _mask_fields(request, pairs, levels) -> dict[str, MaskField]:
    where = f"--masks {request.masks}"
    if list(pairs.masks) == [""]:
        files = pairs.masks[""]
        of = {path: levels[path] for path in files.values()}
        if request.colours is not None:
            found = coding.by_table(request.colours, of, where)
        else:
            found = coding.of_one_kind(of, request.classes, pairs.affix or "mask", where)
        return _as_fields({label: MaskField(label, files, found) for label in found.classes})
    if request.colours is not None:
        raise UserError(
            "--colours: is for masks that hold several classes; here each has its files"
        )
    of = {label: {p: levels[p] for p in files.values()} for label, files in pairs.masks.items()}
    codings = coding.of_each_class(of, where)
    if request.classes and set(request.classes) != set(codings):
        raise UserError(
            f"--classes {','.join(request.classes)}: the masks are of {', '.join(codings)}"
        )
    order = request.classes or sorted(codings)
    return _as_fields(
        {label: MaskField(label, pairs.masks[label], codings[label]) for label in order}
    )


def _as_fields(found: Mapping[str, object], *others: Mapping) -> dict:
    """With names that fields of a data set may have, none of them twice."""
    made: dict = {}
    for label, value in found.items():
        taken = [*TAKEN, *made, *(name for other in others for name in other)]
        made[coding.field_name(label, taken)] = value
    return made


def _splits(request, groups, same, images) -> dict[str, str]:
    """The split of each image; images of one content are never on both sides."""
    if request.split is None:
        return splitting.by_shares(splitting.joined(groups, same), request.shares, request.seed)
    written = {name: path.stem for name, path in images.items()}
    splits = splitting.by_list(request.split, written)
    # Messages have the names of the files
    shown = {written[name]: split for name, split in splits.items()}
    splitting.check_groups(shown, {written[name]: group for name, group in groups.items()})
    alike = [[written[name] for name in names] for names in same]
    splitting.check_same(shown, alike, str(request.split), "pixel")
    return splits
