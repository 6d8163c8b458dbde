"""`segjax data prepare folder`: understood and shown first, then stored whole."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from segjax.config import lookup
from segjax.data import images, own, store
from segjax.data.contact_sheet import write_contact_sheet
from segjax.data.folders import builder, description, listing, photographs, scan
from segjax.errors import UserError

SHEET = "contact_sheet.png"
ON_SHEET = 12  # images


def prepare(
    name: str, said: Mapping[str, Any], data_dir: str, *, overwrite: bool, dry_run: bool
) -> tuple[Any, bool]:
    """Makes the set called `name` of a folder; its builder, and whether it was made now.

    Args:
        name: of the set.
        said: the fields of a `photographs.Request` that a person has given.
        data_dir: where prepared sets lie.
        overwrite: whether a set of other content may be replaced.
        dry_run: understand and show only; the builder is None then.

    Raises: UserError for what makes no sense in the folder, and where a set of this name was made
        of something else.
    """
    builder.check_name(name, lookup.names("datasets"))
    request = photographs.Request(**said)
    home = pathlib.Path(data_dir, name)
    _check_apart(request, home)
    content = photographs.understood(request, scan.Journal(home / scan.NAME))
    print("\n".join(description.lines(content)))
    sheet = home / SHEET
    write_contact_sheet(sheet, _examples(content))
    print(f"wrote {sheet}")
    if dry_run:
        return None, False
    there = own.folder_of(name, data_dir)
    if there is not None:
        changes = _changes(own.source(there), content)
        if not changes:
            return store.builder(name, data_dir), False
        if not overwrite:
            raise UserError(
                f"{there}: was prepared from something else: {changes}; --overwrite prepares it "
                "again, another --name makes a second set"
            )
    made = builder.of(name, content)(data_dir=data_dir, file_format=store.FORMAT)
    store.prepare(made, replace=there is not None)
    return store.builder(name, data_dir), True


def _check_apart(request: photographs.Request, home: pathlib.Path) -> None:
    """UserError where the set would lie in the folder that it is made of."""
    for flag in ("images", "masks"):
        source = getattr(request, flag)
        if source is not None and home.resolve().is_relative_to(source.resolve()):
            raise UserError(
                f"--data_dir: {home} lies in --{flag} {source}, into which nothing is written; "
                "take another --data_dir"
            )


def _examples(content: photographs.Photographs) -> list[dict]:
    """The first images of each split, as they will be read."""
    names = sorted(content.images, key=lambda name: (content.splits[name], name))
    step = max(1, len(names) // ON_SHEET)
    return [_shown(content.example(name)) for name in names[::step][:ON_SHEET]]


def _shown(example: Mapping[str, Any]) -> dict[str, Any]:
    """An example as the contact sheet takes it: a JPEG that is stored as its file is read."""
    image = example["image"]
    made = {k: v.encode() if isinstance(v, str) else np.asarray(v) for k, v in example.items()}
    return made | {"image": images.read_image(image) if isinstance(image, str) else image}


def _changes(before: Mapping[str, Any], content: photographs.Photographs) -> str:
    """In which a set that is there differs from what would be made now; '' where in nothing."""
    if before.get("fingerprint") == content.fingerprint:
        return ""
    old, new = before["digests"], content.digests
    changed = [name for name in new if name in old and old[name] != new[name]]
    lists = {
        "new": [name for name in new if name not in old],
        "gone": [name for name in old if name not in new],
        "changed": changed,
    }
    found = [f"{len(n)} {what} ({listing.shown(n, 3)})" for what, n in lists.items() if n]
    return "images " + ", ".join(found) if found else "other flags, tables, or another split"
