"""`segjax data prepare folder` and `nnunet`: understood and shown first, then stored whole."""

import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from segjax.config import lookup
from segjax.data import digest, images, own, shards, sources, staging, store
from segjax.data.contact_sheet import write_contact_sheet
from segjax.data.folders import builder, description, listing, photographs, scan, volumes
from segjax.data.folders.content import Content
from segjax.errors import DamagedError, UserError

SHEET = "contact_sheet.png"
DRY_SHEET = "contact_sheet_dry_run.png"  # not the other one, which shows what is stored
ON_SHEET = 12  # cases
HELD_OUT = 3  # of them, at most, of each split but train
# By the word of the command: what a user says, how it is understood, and how that is described.
KINDS = {
    "folder": (photographs.Request, photographs.understood, description.of_photographs),
    "nnunet": (volumes.Request, volumes.understood, description.of_volumes),
}


def prepare(
    kind: str,
    name: str,
    said: Mapping[str, Any],
    data_dir: str,
    *,
    overwrite: bool,
    dry_run: bool,
) -> tuple[Any, bool]:
    """Makes the set called `name` of a folder; its builder, and whether it was made now.

    Args:
        kind: of `KINDS`.
        name: of the set.
        said: the fields of the kind's `Request` that a user has given.
        data_dir: where prepared sets lie.
        overwrite: whether a set of other content, or a damaged one, may be replaced.
        dry_run: understand and show only; the builder is None then.

    Raises: UserError for what makes no sense in the folder, and where a set of this name was made
        of something else, is damaged, or may be replaced and is in use by another process.
    """
    make_request, understood, described = KINDS[kind]
    builder.check_name(name, lookup.names("datasets"))
    request = make_request(**said)
    home = pathlib.Path(data_dir, name)
    _check_apart(request.sources, home)
    with staging.no_empty_folder(home), scan.Journal(home / scan.NAME) as journal:
        content = understood(request, journal)
    print("\n".join(described(content)))
    if dry_run:
        _draw(home / DRY_SHEET, content)
        if (there := _there(name, data_dir)) is not None:
            print(_difference(there, content) or f"{there}: was prepared from the same")
        return None, False
    # Before the lock, for who may not write there, and where there is nothing to wait for
    if not _is_wanted(name, data_dir, content, overwrite=overwrite):
        _draw(home / SHEET, content)
        return store.builder(name, data_dir), False

    def wanted() -> bool:
        """Asked under the lock: who was waited for may have made a set of this name."""
        new = _is_wanted(name, data_dir, content, overwrite=overwrite)
        # The sheet of a set that stays is left as it is
        if new:
            _draw(home / SHEET, content)
        return new

    def twin(folder: str) -> builder.FolderSet:
        return builder.of(name, content)(data_dir=folder, file_format=store.FORMAT)

    fresh = store.make(home / builder.RELEASE, twin, wanted)
    if not fresh:  # where files cannot be locked, another process was faster
        _is_wanted(name, data_dir, content, overwrite=False)
    return store.builder(name, data_dir), fresh


def _there(name: str, data_dir: str) -> pathlib.Path | None:
    """Where a set of this name lies, whole or not; None without one."""
    place = pathlib.Path(data_dir, name, builder.RELEASE)
    return own.folder_of(name, data_dir) or (place if (place / shards.INFO).is_file() else None)


def _is_wanted(name: str, data_dir: str, content: Content, *, overwrite: bool) -> bool:
    """Whether a set is to be made, for none is there that is whole and was made of this content.

    Raises: UserError where another one may not be replaced, or is in use by another process.
    """
    there = _there(name, data_dir)
    if there is None:
        return True
    why = _difference(there, content)
    if why and not overwrite:
        raise UserError(f"{why}; --overwrite prepares it again, another --name makes a second set")
    if why:
        staging.check_unused(there)
    return bool(why)


def _difference(there: pathlib.Path, content: Content) -> str:
    """Why a set that lies there is not what would be made now; '' where it is, and is whole."""
    if not (there / own.SOURCE).is_file():
        return f"{there}: has lost {own.SOURCE}, the note of what it was made of"
    try:
        if changes := _changes(there, own.source(there), content):
            return f"{there}: was prepared from something else: {changes}"
        made = own.opened(there.parent.name, there.parent.parent)
        own.patients(made)
        # Last, for it notes the sizes and times of files that have been found whole
        digest.check(made)
    except DamagedError as error:
        return error.fault
    before, now = getattr(made, "CLASSES", ()), content.metadata["classes"]
    if list(before) != list(now):
        order = f"{', '.join(before)}, not {', '.join(now)}"
        return f"{there}: was prepared with the classes in another order: {order}"
    return ""


def _draw(sheet: pathlib.Path, content: Content) -> None:
    """The contact sheet of a folder, beside its set."""
    write_contact_sheet(sheet, list(_shown(content)), classes=content.metadata["classes"])
    print(f"wrote {sheet}")


def _check_apart(sources: Mapping[str, pathlib.Path], home: pathlib.Path) -> None:
    """UserError where the set would lie in a folder that it is made of."""
    for flag, source in sources.items():
        if home.resolve().is_relative_to(source.resolve()):
            raise UserError(
                f"--data_dir: {home} lies in {flag} {source}, into which nothing is written; "
                "take another --data_dir"
            )


def _drawn(splits: Mapping[str, str]) -> list[str]:
    """Cases spread over each split; what is held out has some of the places, train the others."""
    members: dict[str, list[str]] = {}
    for key in sorted(splits, key=lambda key: (splits[key] != "train", splits[key], key)):
        members.setdefault(splits[key], []).append(key)
    places = {split: min(len(keys), HELD_OUT) for split, keys in members.items()}
    others = sum(count for split, count in places.items() if split != "train")
    places["train"] = ON_SHEET - others
    return [
        key
        for split, keys in members.items()
        for key in keys[:: max(1, len(keys) // places[split])][: places[split]]
    ]


def _shown(content: Content) -> Iterator[dict[str, Any]]:
    """Some cases of each split, as the contact sheet takes them."""
    for key in _drawn(content.splits):
        example = content.example(key)
        made = {k: v.encode() if isinstance(v, str) else np.asarray(v) for k, v in example.items()}
        # A JPEG that is stored as its file is read
        path = example["image"] if isinstance(example["image"], str) else None
        made |= {"image": images.read_image(path)} if path else {}
        # First in the caption, which is cut where it is too long
        yield {"split": content.splits[key].encode()} | made


def _changes(there: pathlib.Path, before: Mapping[str, Any], content: Content) -> str:
    """In which a set that is there differs from what would be made now; '' where in nothing."""
    if before.get("fingerprint") == content.fingerprint:
        return ""
    found = sources.in_words(before["digests"], content.digests)
    found = found or _changed_flags(before.get("request"), content)
    return found or _changed_groups(there, content) or "a table has changed"


def _changed_flags(before: object, content: Content) -> str:
    """The flags that were others when a set was made; '' where none was, or none is noted."""
    if not isinstance(before, Mapping):
        return ""
    now = json.loads(json.dumps(builder.source_of(content)["request"]))
    absent = object()
    return ", ".join(
        f"--{flag} was {_as_said(before[flag])}, is {_as_said(value)}"
        for flag, value in now.items()
        if before.get(flag, absent) not in (value, absent)
    )


def _changed_groups(there: pathlib.Path, content: Content) -> str:
    """Which cases are of another split or group than they were; '' for none."""
    before = own.splits(there)
    now = {content.name_of(k): (split, content.groups[k]) for k, split in content.splits.items()}
    changed = [name for name, found in now.items() if before.get(name) != found]
    many = listing.counted(changed, "case is", "cases are")
    return f"{many} of another split or group ({listing.shown(changed, 3)})" if changed else ""


def _as_said(value: object) -> str:
    """The value of a flag as on the command line."""
    if isinstance(value, list):
        value = ",".join(map(str, value)) or None
    return "not given" if value is None else str(value)
