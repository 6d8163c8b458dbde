"""What one annotator says of one photograph, and the edits that change it. Touches no file."""

import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace

from segjax import checks
from segjax.data.regions import REGIONS
from segjax.errors import UserError

Point = tuple[float, float]
LONGEST_NOTE = 4000
# Of the shorter side, that disc and fovea lie apart at least: closer they define no regions
NEAREST = 0.02
POINTS = ("disc", "fovea")


@dataclass(frozen=True)
class Reading:
    """A reading of a photograph.

    Attributes:
        disc: (x, y) of the optic disc's centre, continuous pixels of the upright photograph.
        fovea: (x, y) of the fovea.
        findings: the regions in which each finding was marked, in the order of `REGIONS`.
        normal: whether the eye was marked as normal: no findings then.
        ungradable: whether the photograph was marked as one that cannot be graded: neither normal
            nor findings then.
        note: free text.
        done: whether the annotator has finished; never without findings, `normal` or `ungradable`.
    """

    disc: Point | None = None
    fovea: Point | None = None
    findings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    normal: bool = False
    ungradable: bool = False
    note: str = ""
    done: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether it says something: of findings, that there are none, or that none can be told."""
        return self.normal or self.ungradable or bool(self.findings)

    def to_json(self) -> str:
        """As a line of text."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)


EMPTY = Reading()


def from_json(text: str) -> Reading:
    """The reading that `to_json` wrote."""
    given = json.loads(text)
    for name in POINTS:
        given[name] = None if given[name] is None else tuple(given[name])
    given["findings"] = {name: tuple(found) for name, found in given["findings"].items()}
    return Reading(**given)


@dataclass(frozen=True)
class Allowed:
    """What edits of a photograph may hold: findings, and points within its size."""

    findings: Collection[str]
    width: int
    height: int


def edited(reading: Reading, edit: object, allowed: Allowed) -> Reading:
    """A reading after an edit.

    Edits set values, they change nothing relative to the reading: one that arrives twice does no
    harm. Of findings, `normal` and `ungradable` each takes the others away.

    Args:
        reading: before.
        edit: a mapping with the `kind` of the edit, one of `KINDS`, and what belongs to it.
        allowed: findings and the photograph's size.

    Raises: UserError for an edit that makes no sense, or would leave a reading that makes none.
    """
    if not isinstance(edit, Mapping):
        raise UserError("an edit is a mapping with its kind")
    kind = edit.get("kind")
    checks.require("kind", kind, checks.choice(tuple(KINDS)))
    change, keys = KINDS[kind]
    if {*edit} != {"kind", *keys}:
        raise UserError(
            f"an edit {kind!r} takes {', '.join(keys)}; got {', '.join(map(str, edit))}"
        )
    return checked(change(reading, allowed, *(edit[key] for key in keys)), allowed)


def from_mapping(given: Mapping) -> Reading:
    """A reading that comes from elsewhere; UserError for what `edited` would not have made.

    Args:
        given: the attributes of a reading, as JSON has them.
    """
    findings = given["findings"]
    if not isinstance(findings, Mapping):
        raise UserError("findings: takes regions by the name of a finding")
    for name, marked in findings.items():
        _check_regions(marked)
        if not marked:
            raise UserError(f"{name!r} is marked without regions")
    for name in ("normal", "ungradable", "done"):
        checks.require(name, given[name], checks.switch())
    _check_note(given["note"])
    return Reading(
        **{name: None if given[name] is None else _place(name, given[name]) for name in POINTS},
        findings={name: _in_order(marked) for name, marked in findings.items()},
        normal=given["normal"],
        ungradable=given["ungradable"],
        note=given["note"],
        done=given["done"],
    )


def checked(reading: Reading, allowed: Allowed) -> Reading:
    """The reading, no longer done where it says nothing; UserError for one that makes no sense."""
    for name in POINTS:
        point = getattr(reading, name)
        if point is not None:
            x, y = point
            if not (0 <= x <= allowed.width and 0 <= y <= allowed.height):
                raise UserError(
                    f"{name} ({x:g}, {y:g}) lies outside the photograph of "
                    f"{allowed.width}x{allowed.height} pixels"
                )
    if None not in (reading.disc, reading.fovea):
        apart = math.dist(reading.disc, reading.fovea)
        if apart <= NEAREST * min(allowed.width, allowed.height):
            raise UserError(
                f"disc and fovea are {apart:.3g} pixels apart, too close for regions; move one"
            )
    if reading.findings and None in (reading.disc, reading.fovea):
        raise UserError("regions follow from the disc and the fovea: place both first")
    if reading.findings and reading.normal:
        raise UserError("an eye with findings is not normal")
    if reading.ungradable and (reading.findings or reading.normal):
        raise UserError("a photograph that cannot be graded is not normal, and has no findings")
    return reading if reading.is_complete else replace(reading, done=False)


# --- the kinds of edits ------------------------------------------------------------------------


def _point(reading: Reading, allowed: Allowed, name: object, at: object) -> Reading:
    checks.require("point", name, checks.choice(POINTS))
    if at is None and reading.findings:
        raise UserError(f"marked regions follow from the {name}: move it, or take them away first")
    return replace(reading, **{name: None if at is None else _place(name, at)})


def _points(reading: Reading, allowed: Allowed, disc: object, fovea: object) -> Reading:
    return replace(reading, disc=_place("disc", disc), fovea=_place("fovea", fovea))


def _region(
    reading: Reading, allowed: Allowed, finding: object, region: object, marked: object
) -> Reading:
    checks.require("region", region, checks.choice(REGIONS))
    checks.require("marked", marked, checks.switch())
    others = {*reading.findings.get(str(finding), ())} - {region}
    return _finding(reading, allowed, finding, [*others, *([region] if marked else [])])


def _finding(reading: Reading, allowed: Allowed, finding: object, marked: object) -> Reading:
    known = {**dict.fromkeys(allowed.findings), **reading.findings}
    checks.require("finding", finding, checks.choice(tuple(known)))
    _check_regions(marked)
    found = {**reading.findings, finding: _in_order(marked)}
    # In the order of the list, so that readings that say the same are equal. What the list lacks
    # stays: another server, or an import, may have marked it.
    names = [*allowed.findings, *(name for name in found if name not in allowed.findings)]
    kept = {name: found[name] for name in names if found.get(name)}
    if not kept:
        return replace(reading, findings=kept)
    return replace(reading, findings=kept, normal=False, ungradable=False)


def _normal(reading: Reading, allowed: Allowed, normal: object) -> Reading:
    checks.require("normal", normal, checks.switch())
    others = {"findings": {}, "ungradable": False} if normal else {}
    return replace(reading, normal=normal, **others)


def _ungradable(reading: Reading, allowed: Allowed, ungradable: object) -> Reading:
    checks.require("ungradable", ungradable, checks.switch())
    others = {"findings": {}, "normal": False} if ungradable else {}
    return replace(reading, ungradable=ungradable, **others)


def _note(reading: Reading, allowed: Allowed, note: object) -> Reading:
    _check_note(note)
    return replace(reading, note=note)


def _done(reading: Reading, allowed: Allowed, done: object) -> Reading:
    checks.require("done", done, checks.switch())
    if done and not reading.is_complete:
        raise UserError(
            "nothing is marked: mark a finding in a region, the eye as normal, or the photograph "
            "as one that cannot be graded"
        )
    return replace(reading, done=done)


KINDS: dict[str, tuple[Callable[..., Reading], tuple[str, ...]]] = {
    "point": (_point, ("point", "at")),
    "points": (_points, POINTS),
    "region": (_region, ("finding", "region", "marked")),
    "finding": (_finding, ("finding", "regions")),
    "normal": (_normal, ("normal",)),
    "ungradable": (_ungradable, ("ungradable",)),
    "note": (_note, ("note",)),
    "done": (_done, ("done",)),
}


def _check_note(note: object) -> None:
    if not isinstance(note, str) or len(note) > LONGEST_NOTE:
        raise UserError(f"note: takes text of at most {LONGEST_NOTE} characters")
    if not is_text(note):
        raise UserError("note: takes text without half characters and zero bytes")


def _check_regions(marked: object) -> None:
    if not isinstance(marked, list | tuple):
        raise UserError("regions: takes a list of names")
    for name in marked:
        checks.require("regions", name, checks.choice(REGIONS))


def _in_order(marked: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in REGIONS if name in marked)


def _place(name: str, at: object) -> Point:
    number = checks.number()
    if not isinstance(at, list | tuple) or len(at) != 2 or not all(map(number.holds, at)):
        raise UserError(f"{name}: takes (x, y), two finite numbers")
    return float(at[0]), float(at[1])


def is_text(text: str) -> bool:
    """Whether tables can hold it: JSON may have halves of surrogate pairs, and zero bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
