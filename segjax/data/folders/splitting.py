"""Which image is trained on and which is held out: by shares, by groups, or by a list."""

import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segjax.checks import nearest
from segjax.data import tables
from segjax.data.folders.listing import counted, shown
from segjax.data.shards import SPLITS
from segjax.errors import UserError

LIST_COLUMNS = {
    "name": ("name", "image", "image name", "image id", "file", "filename", "case"),
    "split": ("split", "set", "subset", "fold"),
}
WORDS = {"training": "train", "val": "validation", "valid": "validation", "testing": "test"}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How a user wants a set to be split: each flag of `segjax data prepare` for it."""

    group: str | None = None
    split: pathlib.Path | None = None
    validation: float = 0.2
    test: float = 0.0
    seed: int = 0

    @property
    def shares(self) -> dict[str, float]:
        """The share of all cases that each split holds out."""
        return {"validation": self.validation, "test": self.test}


def by_shares(
    groups: Mapping[str, str], shares: Mapping[str, float], seed: int, what: str = "image"
) -> dict[str, str]:
    """The split of each image: whole groups are held out until a split has its share of images.

    Args:
        groups: by name of the image the group it belongs to; its own name where it has none.
        shares: of all images, for `validation` and perhaps `test`; the rest is for training.
        seed: of the order in which groups are drawn.
        what: is split, one of it, for messages.

    Raises: UserError where a split that has a share would be empty.
    """
    members: dict[str, list[str]] = {}
    for name, group in sorted(groups.items()):
        members.setdefault(group, []).append(name)
    held = [split for split in ("test", "validation") if shares.get(split, 0) > 0]
    if len(members) < len(held) + 1:
        one, several = (what, f"{what}s")
        if len(members) < len(groups):
            one, several = f"group of {what}s", f"groups of {what}s"
        raise UserError(
            f"{counted(members, one, several)}: too few for the splits "
            f"{', '.join(['train', *reversed(held)])}, of which each wants one; --validation and "
            "--test set their shares"
        )
    order = np.random.Generator(np.random.Philox(seed)).permutation(sorted(members))
    found, waiting = {}, list(order)
    for place, split in enumerate(held):
        wanted, taken = shares[split] * len(groups), 0
        # One group is left for each split to come, and for training
        while len(waiting) > len(held) - place and (not taken or taken < wanted):
            group = waiting[0]
            # Stops on the nearer side of the share
            if taken and taken + len(members[group]) - wanted > wanted - taken:
                break
            waiting.pop(0)
            found |= dict.fromkeys(members[group], split)
            taken += len(members[group])
    return {name: found.get(name, "train") for name in sorted(groups)}


def by_list(
    path: pathlib.Path,
    names: Mapping[str, str],
    fixed: Mapping[str, str] | None = None,
    what: str = "image",
) -> dict[str, str]:
    """The split of each image by a table with the columns name and split.

    Args:
        path: of the table.
        names: of all images, by what they are compared by.
        fixed: the splits of images that need no row.
        what: is split, one of it, for messages.

    Raises: UserError for a split of another name, images without a row (up to ten), rows without
        image, or no image for training or validation.
    """
    rows = tables.rows_by_name(path, tables.read_table(path, LIST_COLUMNS), names)
    found = {name: split for name, split in (fixed or {}).items() if name not in rows}
    if lacking := [written for n, written in names.items() if n not in rows and n not in found]:
        many = counted(lacking, f"{what} has", f"{what}s have")
        raise UserError(f"{path}: {many} no row: {shown(lacking)}")
    if more := [str(row["name"]) for name, row in rows.items() if name not in names]:
        many = counted(more, "row names", "rows name")
        raise UserError(f"{path}: {many} no {what}: {shown(more)}")
    for name in sorted(set(names) - set(found)):
        given = str(rows[name]["split"]).lower()
        found[name] = WORDS.get(given, given)
        if found[name] not in SPLITS:
            raise UserError(
                f"{path}, row {rows[name]['row']}: {rows[name]['split']!r} is no split"
                f"{nearest(found[name], SPLITS)} It takes: {', '.join(SPLITS)}"
            )
    for split in ("train", "validation"):
        if split not in found.values():
            raise UserError(f"{path}: no {what} for the split {split}")
    return found


def check_groups(splits: Mapping[str, str], groups: Mapping[str, str]) -> None:
    """UserError for a group with images on both sides, as far as a list says so."""
    first: dict[str, str] = {}
    for name, group in groups.items():
        other = first.setdefault(group, name)
        if splits[name] != splits[other]:
            raise UserError(
                f"the group {group!r} is on both sides: {other} in {splits[other]}, {name} in "
                f"{splits[name]}"
            )


def check_same(
    splits: Mapping[str, str], same: Sequence[Sequence[str]], where: str, what: str
) -> None:
    """UserError naming images of one content that are in several splits.

    Args:
        splits: of each image.
        same: names of images that are equal.
        where: the splits were said, for messages.
        what: they are equal by, a pixel or a voxel.
    """
    for names in same:
        if len({splits[name] for name in names}) > 1:
            written = shown(f"{name} in {splits[name]}" for name in names)
            raise UserError(f"{where}: one image on both sides, {what} by {what}: {written}")


def joined(groups: Mapping[str, str], same: Sequence[Sequence[str]]) -> dict[str, str]:
    """Groups in which images of one content are together, and so are all that they belong to."""
    found = dict(groups)
    for names in same:
        joint = {found[name] for name in names}
        least = min(joint)
        found = {name: least if group in joint else group for name, group in found.items()}
    return found
