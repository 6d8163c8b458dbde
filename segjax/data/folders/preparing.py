"""`segjax data prepare folder` and `nnunet`: understood and shown first, then stored whole."""

import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from segjax.config import lookup
from segjax.data import images, own, sources, staging, store
from segjax.data.contact_sheet import write_contact_sheet
from segjax.data.folders import builder, description, photographs, scan, volumes
from segjax.data.folders.content import Content
from segjax.errors import UserError

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
        overwrite: whether a set of other content may be replaced.
        dry_run: understand and show only; the builder is None then.

    Raises: UserError for what makes no sense in the folder, and where a set of this name was made
        of something else.
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
        _compare(own.folder_of(name, data_dir), content)
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

    made = builder.of(name, content)(data_dir=data_dir, file_format=store.FORMAT)
    fresh = store.prepare(made, replace=overwrite, wanted=wanted)
    if not fresh:  # where files cannot be locked, another process was faster
        _is_wanted(name, data_dir, content, overwrite=False)
    return store.builder(name, data_dir), fresh


def _compare(there: pathlib.Path | None, content: Content) -> None:
    """Says of a set that is stored whether it is what would be made now."""
    if there is not None:
        changes = _changes(own.source(there), content)
        verdict = f"something else: {changes}" if changes else "the same"
        print(f"{there}: was prepared from {verdict}")


def _is_wanted(name: str, data_dir: str, content: Content, *, overwrite: bool) -> bool:
    """Whether a set is to be made, for none is there that was made of this content.

    Raises: UserError where one was made of something else and may not be replaced.
    """
    there = own.folder_of(name, data_dir)
    if there is None:
        return True
    changes = _changes(own.source(there), content)
    if changes and not overwrite:
        raise UserError(
            f"{there}: was prepared from something else: {changes}; --overwrite prepares it "
            "again, another --name makes a second set"
        )
    return bool(changes)


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


def _changes(before: Mapping[str, Any], content: Content) -> str:
    """In which a set that is there differs from what would be made now; '' where in nothing."""
    if before.get("fingerprint") == content.fingerprint:
        return ""
    found = sources.in_words(before["digests"], content.digests)
    return found or _changed_flags(before.get("request"), content) or "a table has changed"


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


def _as_said(value: object) -> str:
    """The value of a flag as on the command line."""
    if isinstance(value, list):
        value = ",".join(map(str, value)) or None
    return "not given" if value is None else str(value)
