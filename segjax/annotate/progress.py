"""How far annotators are, and how far they agree on the photographs that they have finished."""

import collections
import math
from collections.abc import Collection, Iterable, Mapping, Sequence

from segjax.annotate.photographs import Folder
from segjax.annotate.store import AnnotationFile, Record
from segjax.data.folders import agreement
from segjax.data.folders.annotations import Annotations, Finding


def progress(
    file: AnnotationFile, findings: Mapping[str, str], folder: Folder
) -> dict[str, object]:
    """What the page of progress shows.

    Agreement is of finished readings of what can be graded alone. Fleiss' kappa wants as many
    annotators for every photograph: it is of those that the most frequent number of annotators, at
    least two, has finished.

    Args:
        file: the annotation file.
        findings: labels by name.
        folder: of the photographs; those that cannot be opened count for nothing.
    """
    readable = folder.readable
    records = [record for record in file.records() if record.image.id in readable]
    counts = {who.name: {"done": 0, "begun": 0, "ungradable": 0} for who in file.annotators()}
    for record in records:
        of, given = counts[record.annotator], record.reading
        of["done" if given.done else "begun"] += 1
        of["ungradable"] += given.done and given.ungradable
    finished = [r for r in records if r.reading.done and not r.reading.ungradable]
    names = {each.name for each in folder.listed.values()}
    return {
        "images": len(readable),
        "annotators": [{"name": name, **count} for name, count in counts.items()],
        "findings": [
            {"name": name, "label": label, **_agreement(finished, name, [*counts])}
            for name, label in findings.items()
        ],
        "unreadable": [folder.listed[id].name for id in folder.unreadable],
        "missing": [name for name in file.images() if name not in names],
    }


def _agreement(finished: Iterable[Record], name: str, people: Sequence[str]) -> dict[str, object]:
    """Figures of a finding; pairs stand in the order of `people`."""
    found = _annotations(finished, name)
    pairs = {
        tuple(sorted(pair, key=people.index)): value
        for pair, value in agreement.cohen_pairs(found, name).items()
    }
    ranked = sorted(pairs.items(), key=lambda item: [people.index(who) for who in item[0]])
    mean, count = agreement.cohen(found, name)
    same, compared = agreement.same_regions(found.findings[name])
    most = _most_frequent(len(who) for who in found.annotators.values() if len(who) > 1)
    several = [image for image, who in found.annotators.items() if len(who) == most]
    fleiss = agreement.fleiss(_only(found, several), name) if several else math.nan
    return {
        "present": sum(len(marks) for marks in found.findings[name].marks.values()),
        "cohen": [
            {"a": a, "b": b, "images": images, "kappa": kappa} for (a, b), (images, kappa) in ranked
        ],
        "cohen_mean": mean,
        "cohen_pairs": count,
        "fleiss": fleiss,
        "fleiss_images": len(several),
        "fleiss_annotators": most,
        "jaccard": same,
        "jaccard_pairs": compared,
    }


def _annotations(finished: Iterable[Record], name: str) -> Annotations:
    """Finished readings of a finding as a table of findings would hold them."""
    annotators: dict[str, list[str]] = {}
    marks: dict[str, dict[str, tuple[str, ...]]] = {}
    for record in finished:
        image = record.image.name
        annotators.setdefault(image, []).append(record.annotator)
        if name in record.reading.findings:
            marks.setdefault(image, {})[record.annotator] = record.reading.findings[name]
    return Annotations({name: Finding({}, {}, marks)}, annotators)


def _only(found: Annotations, images: Collection[str]) -> Annotations:
    kept = {image: found.annotators[image] for image in images}
    return Annotations(found.findings, kept)


def _most_frequent(numbers: Iterable[int]) -> int:
    """The number that comes most often, the larger of equals; 0 for none."""
    counts = collections.Counter(numbers)
    return max(counts, key=lambda number: (counts[number], number), default=0)
