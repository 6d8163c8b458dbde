"""What a folder was understood to be, in a few lines."""

import itertools
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from segjax.data import tables
from segjax.data.folders import agreement
from segjax.data.folders.annotations import ABSENT, ALONE, PRESENT, UNDECIDED, Annotations
from segjax.data.folders.columns import PATIENT_COLUMN, Table
from segjax.data.folders.layout import IGNORE
from segjax.data.folders.listing import counted, shown, shown_names
from segjax.data.folders.photographs import Photographs
from segjax.data.folders.volumes import TEST, Volumes
from segjax.data.ignored import IGNORED
from segjax.data.regions import REGIONS
from segjax.data.shards import SPLITS

GROUPS_SHOWN = 3
PATIENT = re.compile(r"(?P<patient>(?P<letters>\D*)\d+)(?P<gap>[ _-])[A-Za-z0-9]{1,6}")


def of_photographs(found: Photographs) -> Iterator[str]:
    """One line for each thing that was understood."""
    sizes = Counter(found.sizes.values())
    yield f"images       {len(found.images)} in {found.request.images}, {_sizes(sizes)}"
    if found.without_row:
        yield f"             {found.without_row} others have no row in the table, and are left out"
    if found.turned:
        many = counted(found.turned, "image is turned by its", "images are turned by their")
        yield (
            f"orientation  {many} orientation tag; masks and points are taken as they are for the "
            "upright picture"
        )
    if found.masks:
        yield f"masks        {found.pattern} in {found.request.masks}"
    for name, each in found.masks.items():
        share, images = found.shares[name]
        values = each.coding.values[each.label]
        if each.coding.kind == "inside":
            written = "all but 0"
        elif each.coding.kind == "colours":
            written = "colour " + shown(f"#{value:06x}" for value in values)
        else:
            written = "value " + shown(values)
        yield (
            f"class        {name}: {written}; in {images} of {len(found.images)} images, "
            f"{_percent(share)} of all pixels"
        )
    if found.has_ignored:
        yield "left out     pixels of the value 255, or of the class that the table calls ignore"
    for name in found.points:
        yield f"point        {name}, in {found.units} of the image, x to the right, y down"
    for name, (names, index) in found.labels.items():
        counts = Counter(index.values())
        each = shown(f"{label} {counts[place]}" for place, label in enumerate(names))
        yield f"labels       {name}: {each}"
    if found.findings:
        yield from _of_findings(found.findings, found.request.needed)
    yield from _together(found, "image", "pixel")
    yield from _of_splits(found, "images")
    if found.findings:
        yield from _one_sided(found)


def of_volumes(found: Volumes) -> Iterator[str]:
    """One line for each thing that was understood."""
    seen = list(found.seen.values())
    yield f"cases        {len(seen)} in {found.request.manual_dir}"
    yield f"channels     {', '.join(found.layout.modalities)}"
    for what, unit, values in (
        ("voxels", "", [each.shape for each in seen]),
        ("spacing", " mm", [each.spacing for each in seen]),
    ):
        least, middle, most = (
            "x".join(f"{value:.4g}" for value in f(values, axis=0))
            for f in (np.min, np.median, np.max)
        )
        yield f"{what:12} {least} to {most}{unit}, median {middle}, slices first"
    voxels = sum(sum(each.labels.values()) for each in seen)
    for place, name in enumerate(found.layout.classes, start=1):
        inside = [each.labels.get(place, 0) for each in seen]
        there = sum(map(bool, inside))
        written = shown(found.layout.written(place))
        yield (
            f"class        {name}: label {written}; in {there} of {len(seen)} cases, "
            f"{_percent(sum(inside) / voxels)} of all voxels"
        )
    for name, classes in found.layout.regions.items():
        yield f"region       {name}: {' + '.join(classes)}"
    if number := found.layout.written(IGNORED):
        ignored = sum(each.labels.get(IGNORED, 0) for each in seen)
        yield (
            f"left out     {_percent(ignored / voxels)} of all voxels, of the label {number[0]} "
            f"({IGNORE})"
        )
    yield from _together(found, "case", "voxel")
    if number := found.unlabelled:
        yield (
            f"imagesTs     {number} volume{'s' * (number > 1)} without labels, not stored; segjax "
            f"predict takes {'them' if number > 1 else 'it'}"
        )
    yield from _of_splits(found, "cases")


def _of_findings(found: Annotations, needed: int | None) -> Iterator[str]:
    """Who annotated, how labels come about, what of each finding there is, how far they agree."""
    several = sorted({len(everyone) for everyone in found.annotators.values()})
    an_image = f"{several[0]} to {several[-1]}" if several[1:] else f"{several[0]}"
    people = {who for everyone in found.annotators.values() for who in everyone}
    if people == {ALONE}:
        yield "annotators   not told apart: what is marked is present"
    else:
        by = "two thirds of an image's annotators, at least 2, or the only one"
        by = f"{needed} annotator{'s' * (needed > 1)}" if needed else by
        yield f"annotators   {len(people)}, {an_image} an image"
        yield f"present      where marked by {by}; by none absent, else undecided and left out"
    if lacking := [name for name in found.annotators if name not in found.points.rows]:
        many = counted(lacking, "image without a mark has", "images without a mark have")
        yield f"note         {many} no disc and fovea, which are stored as nan"
    for name, each in found.findings.items():
        labels = Counter(each.labels.values())
        undecided = f", undecided in {labels[UNDECIDED]}" if labels[UNDECIDED] else ""
        yield (
            f"finding      {name}: present in {labels[PRESENT]}, absent in {labels[ABSENT]}"
            f"{undecided} of {len(each.labels)} images"
        )
        present = [each.regions[image] for image, v in each.labels.items() if v == PRESENT]
        marked = Counter(itertools.chain.from_iterable(present))
        yield f"             in {shown(f'{r} {marked[r]}' for r in REGIONS if marked[r])}"
    if several[-1] < 2:
        return
    for name, each in found.findings.items():
        said = [agreement.kappa_text(found, name)]
        regions, pairs = agreement.same_regions(each)
        many = f"{pairs} pair{'s' * (pairs > 1)} of marks"
        said += [f"Jaccard index of regions {regions:.2f} over {many}"] if pairs else []
        yield f"agreement    {name}: {', '.join(said)}"


def _one_sided(found: Photographs) -> Iterator[str]:
    """What to say of findings of which a split has one side only."""
    for split in SPLITS:
        names = [name for name, of in found.splits.items() if of == split]
        then = "training on it is refused; another --seed or --split may part them better"
        then = "its AUROC is not defined there" if split == "test" else then
        for label, word in ((PRESENT, "with"), (ABSENT, "without")):
            lacking = [
                finding
                for finding, each in found.findings.findings.items()
                if label not in {each.labels[name] for name in names}
            ]
            if names and lacking:
                yield f"note         {split} has no image {word} {shown(lacking)}: {then}"


def _together(found: Photographs | Volumes, what: str, least_part: str) -> Iterator[str]:
    """What is kept in one split: groups, and images of one content."""
    members = Counter(found.groups.values())
    if found.request.group is not None:
        least, most = min(members.values()), max(members.values())
        each = f"{least} to {most}" if least < most else f"{least}"
        each += f" {what}{'s' * (most > 1)} each"
        some = shown_names(sorted(members), GROUPS_SHOWN)
        yield f"groups       {len(members)} by {found.request.group}, {each}: {some}"
    else:
        yield from (f"note         {said}" for said in _likely_groups(found))
    for names in list(found.same)[:3]:
        alike = f"{least_part} by {least_part}"
        written = shown(map(found.name_of, names))
        yield f"same image   {written}: {alike}, kept in one split"
    if len(found.same) > 3:
        yield f"             and {len(found.same) - 3} more"


def _likely_groups(found: Photographs | Volumes) -> Iterator[str]:
    """What may tell which cases are of one patient: a column of a table, and the names."""
    for table in getattr(found, "tables", ()):
        if said := likely_column(table):
            yield said
    if said := likely_patients([found.name_of(key) for key in found.groups]):
        yield said


def likely_column(table: Table) -> str:
    """What to say where a column is called after patients and has several images of some; else ''.

    Only by its header: others repeat, too, as that of the eye, left or right.
    """
    for column in table.headers:
        values = Counter(row[column] for row in table.rows.values())
        repeats = None not in values and 1 < len(values) < values.total()
        if repeats and PATIENT_COLUMN.fullmatch(tables.normalised(column)):
            return (
                f"{table.path.name} has {len(values)} values under {column!r} for "
                f"{values.total()} images: --group {shlex.quote(column)} keeps the images of one "
                "in one split"
            )
    return ""


def likely_patients(names: Sequence[str]) -> str:
    """What to say where most names look like several cases of one patient; '' elsewhere.

    As `heart025_01` and `heart025_02`, or `17 OD` and `17 OS`: letters, a number, and an ending.
    """
    parts = [match for name in names if (match := PATIENT.fullmatch(name))]
    # As patterns do, without regard to capitals
    members = Counter(match["patient"].lower() for match in parts)
    together = [match for match in parts if members[match["patient"].lower()] > 1]
    if len(together) * 2 <= len(names) or len(members) < 2:
        return ""
    first = together[0]["patient"].lower()
    pair = [match[0] for match in together if match["patient"].lower() == first][:2]
    one_word = len({match["letters"].lower() for match in together}) == 1
    start = together[0]["letters"] if one_word else ""
    return (
        f"{' and '.join(pair)}: if those are of one patient, "
        f"--group '{start}{{group}}{together[0]['gap']}*' keeps them in one split"
    )


def _of_splits(found: Photographs | Volumes, what: str) -> Iterator[str]:
    yield f"splits       {_splits(found, what)}"
    if "validation" not in found.splits.values():
        yield (
            "note         nothing is held out for validation, which training needs: leave out "
            "--validation 0, or let config.data.splits.validation name a part of another split"
        )


def _splits(found: Photographs | Volumes, what: str) -> str:
    counts = Counter(found.splits.values())
    each = [f"{split} {counts[split]}" for split in SPLITS if counts[split]]
    if found.request.split is not None:
        return f"{', '.join(each)}, by {found.request.split}"
    # Those of labelsTs are the split `test`, in which nothing else is then
    given = (
        f"; {each.pop()} from labels{TEST}" if isinstance(found, Volumes) and found.tests else ""
    )
    whole = "whole groups" if len(set(found.groups.values())) < len(found.groups) else what
    return f"{', '.join(each)}: {whole} drawn with seed {found.request.seed}{given}"


def _sizes(sizes: Counter) -> str:
    """Of one size, or from the smallest to the largest."""
    if len(sizes) == 1:
        width, height = next(iter(sizes))
        return f"all {width}x{height} pixels"
    (least, most) = (f(sizes, key=lambda size: size[0] * size[1]) for f in (min, max))
    return f"{least[0]}x{least[1]} to {most[0]}x{most[1]} pixels"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
