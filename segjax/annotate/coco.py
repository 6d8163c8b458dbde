"""Readings as COCO: an annotation is a finding by an annotator, its regions are polygons.

What COCO has no place for stands beside it, where readers of COCO pass it over: who annotated, the
names of the regions, and `readings` of an image, with disc, fovea, note and state.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

import segjax
from segjax import checks
from segjax.annotate.reading import POINTS, from_mapping, is_text
from segjax.annotate.store import Record, StoredImage
from segjax.data import regions
from segjax.data.regions.outlines import area
from segjax.errors import UserError

# Of a reading, beside its findings
KEPT = (*POINTS, "normal", "ungradable", "note", "done")
DIGITS = 2  # of a pixel, in polygons; points keep all


def document(records: Sequence[Record], findings: Mapping[str, str]) -> str:
    """All readings as a COCO file.

    Args:
        records: of an annotation file.
        findings: the list that was chosen from, labels by name: the categories.
    """
    categories = {name: number for number, name in enumerate(findings, 1)}
    images: dict[str, dict] = {}
    annotations: list[dict] = []
    for record in records:
        image, given = record.image, record.reading
        entry = images.setdefault(
            image.name,
            {
                "id": len(images) + 1,
                "file_name": image.name,
                "width": image.width,
                "height": image.height,
                "sha256": image.digest,
                "readings": [],
            },
        )
        entry["readings"].append(
            {
                "annotator": record.annotator,
                **{name: getattr(given, name) for name in KEPT},
                "saved": record.saved,
            }
        )
        for finding, marked in given.findings.items():
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": entry["id"],
                    "category_id": categories[finding],
                    "annotator": record.annotator,
                    "regions": list(marked),
                    **_shape(record, marked),
                }
            )
    whole = {
        "info": {"description": "Findings by regions of the fundus", "segjax": segjax.__version__},
        "images": list(images.values()),
        "annotations": annotations,
        "categories": [
            {"id": categories[name], "name": name, "label": label, "supercategory": "finding"}
            for name, label in findings.items()
        ],
    }
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def read(path: pathlib.Path) -> tuple[list[Record], dict[str, str]]:
    """The readings of a file that `document` wrote, and its list of findings.

    Raises: UserError for a file that is none.
    """
    try:
        given = json.loads(path.read_text(encoding="utf-8-sig"))
        findings = {_text(each["name"]): _text(each["label"]) for each in given["categories"]}
        names = {each["id"]: each["name"] for each in given["categories"]}
        marked: dict[tuple, dict[str, list[str]]] = {}
        for each in given["annotations"]:
            of = marked.setdefault((each["image_id"], each["annotator"]), {})
            name = names[each["category_id"]]
            if name in of:
                raise UserError(f"two annotations of {name!r} by {each['annotator']} in one image")
            of[name] = each["regions"]
        records = [
            _record(image, each, marked.pop((image["id"], each["annotator"]), {}))
            for image in given["images"]
            for each in image["readings"]
        ]
        if marked:
            image, annotator = next(iter(marked))
            raise UserError(f"image {image!r} has annotations by {annotator!r}, and no reading")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: is no COCO file of `segjax annotate`: {error!r}") from error
    return records, findings


def _record(image: Mapping, given: Mapping, marked: Mapping[str, list[str]]) -> Record:
    name, digest = _text(image["file_name"]), _text(image["sha256"])
    stored = StoredImage("", name, digest, _side(image["width"]), _side(image["height"]))
    kept = {each: given[each] for each in KEPT}
    try:
        reading = from_mapping({**kept, "findings": marked})
    except UserError as error:
        raise UserError(f"{name} by {given['annotator']}: {error}") from error
    return Record(stored, _text(given["annotator"]), reading, _text(given["saved"]))


def _text(value: object) -> str:
    if not isinstance(value, str) or not is_text(value):
        raise UserError(f"{ascii(value)[:60]} stands where a text is taken")
    return value


def _side(value: object) -> int:
    checks.require("width or height", value, checks.whole(least=1, most=999_999))
    return value


def _shape(record: Record, marked: Sequence[str]) -> dict[str, object]:
    """Polygons, area and box of regions: they do not overlap, so areas add up."""
    image, given = record.image, record.reading
    every = regions.polygons(given.disc, given.fovea, image.height, image.width)
    found = [polygon for name in marked for polygon in every[name]]
    if not found:  # regions outside the photograph: an empty mask, run lengths of nothing
        nothing = {"counts": [image.width * image.height], "size": [image.height, image.width]}
        return {"segmentation": nothing, "area": 0.0, "bbox": [0, 0, 0, 0], "iscrowd": 0}
    low, high = (f([f(p, axis=0) for p in found], axis=0) for f in (np.min, np.max))
    return {
        "segmentation": [np.round(p, DIGITS).ravel().tolist() for p in found],
        "area": round(sum(abs(area(p)) for p in found), DIGITS),
        "bbox": np.round([*low, *(high - low)], DIGITS).tolist(),
        "iscrowd": 0,
    }
