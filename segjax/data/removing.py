"""`segjax data remove`: a prepared set goes whole, with all that was made of it beside it.

What goes is moved aside first, within its folder, and then deleted: whoever looks finds the set, or
none. What a killed removal leaves has the name of something in the making, and is tidied as such.
Plans stay and are named; training refuses them for other data.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
from collections.abc import Iterator, Sequence

from segjax.config import lookup
from segjax.data import array_files, digest, inventory, leftovers, staging, store, tidy
from segjax.data.folders import scan
from segjax.data.volumes import planning
from segjax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Removed:
    """What was removed.

    Attributes:
        sizes: in bytes, by path.
        remarks: on what stays, in words.
    """

    sizes: dict[pathlib.Path, int]
    remarks: Sequence[str]


def remove(
    name: str, data_dir: str, cache_dir: str | None = None, *, caches_only: bool = False
) -> Removed:
    """Removes a prepared set, and what was preprocessed from it.

    A cache that another prepared set of the same content owns stays with the set; so does whatever
    a link leads to. Where no set of the name lies, what its preparations have left is removed.

    Args:
        name: `set` or `set/config`; `set` alone where one config is prepared.
        data_dir: where it lies.
        cache_dir: where its caches lie, if not beside the sets.
        caches_only: whether only the caches go.

    Raises: UserError, with nothing removed, for an unknown name, a set that is not prepared and has
        left nothing, is in the making or being removed, and a set or caches that a training uses.
    """
    there = inventory.prepared(data_dir)
    label = _label(name, data_dir, there, caches_only=caches_only)
    folders = there.get(label, [])
    home = pathlib.Path(data_dir, label)
    _check_no_link([*home.parents[: len(label.split("/")) - 1], home, *folders])
    root = inventory.cache_of(data_dir, cache_dir)
    if cache_dir and not root.is_dir():
        raise UserError(f"--cache_dir {cache_dir}: no such folder")
    sizes: dict[pathlib.Path, int] = {}
    with contextlib.ExitStack() as locks:
        if not caches_only:
            sizes |= _lock_set(locks, label, home, folders)
        if not folders and label in inventory.prepared(data_dir):
            raise UserError(f"{label}: another process has just prepared it in {home}")
        others = [] if caches_only else [paths for key, paths in there.items() if key != label]
        caches, remarks = _caches(folders, others, root, linked=not cache_dir and root.is_symlink())
        for cache in caches:
            _lock_unused(locks, cache)
        if caches_only and not caches and not remarks:
            remarks = [f"{label}: nothing is preprocessed from it in {root}"]
        if not caches_only:
            remarks += _of_plans(label, folders, data_dir)
        gone = [] if caches_only else [*folders, *leftovers.beside(home)]
        sizes |= {path: inventory.size_of(path) for path in [*gone, *caches]}
        # The set first: caches without one are tidied, a set without its caches makes them again
        _delete(home, gone)
        _delete(root, caches)
        if not caches_only:
            _remove_empty(home, pathlib.Path(data_dir))
    if not folders:
        sizes = sizes or {home: 0}
        remarks = [f"{label}: was no set, only what a preparation had left", *remarks]
    return Removed(sizes, remarks)


def _label(
    name: str, data_dir: str, there: dict[str, list[pathlib.Path]], *, caches_only: bool
) -> str:
    """Which of the prepared sets is meant, or else of those that left something.

    Raises: UserError for none, or one of several.
    """
    where = f"NAME={name!r}"
    label = name
    if ":" in name:  # a builder of the user's, whose set lies in a folder of its own name
        module, _, config = name.partition("/")
        label = "/".join(
            [lookup.find("datasets", module, "NAME").name, *([config] if config else [])]
        )
    left = [] if caches_only else leftovers.labels(data_dir)
    for known, lie in ((list(there), "are prepared"), (left, "have left something")):
        if label in known:
            return label
        inside = _configs(label, known)
        if "/" not in label and inside:
            if len(inside) == 1:
                return inside[0]
            raise UserError(
                f"{where}: {len(inside)} configurations of it {lie} in {data_dir}; name one: "
                f"{', '.join(inside)}"
            )
    _check_not_removed(label, data_dir)
    # For its errors: an unknown name is told from a set that is not prepared
    store.builder(name, data_dir, path="NAME")
    inside = _configs(label, list(there))
    prepared = f"; of this set there is {', '.join(inside)}" if inside else ""
    raise UserError(f"{where}: is not prepared in {data_dir}{prepared}")


def _configs(label: str, known: Sequence[str]) -> list[str]:
    """The known configurations of the set that a label is of."""
    return [key for key in known if key.partition("/")[0] == label.partition("/")[0]]


def _check_not_removed(label: str, data_dir: str) -> None:
    """UserError where another process is at work on a set, which is not there any more, or yet."""
    if {"", ".", ".."} & {*label.split("/")}:  # leads to no folder of a set
        return
    home = pathlib.Path(data_dir, label)
    with contextlib.ExitStack() as locks:
        if home.is_dir() and _lock(locks, home) is False:
            raise UserError(
                f"{label}: is just being prepared by another process, or removed, in {home}"
            )


def _check_no_link(places: Sequence[pathlib.Path]) -> None:
    """UserError for a folder that is a link: what it leads to may be anybody's."""
    for place in places:
        if place.is_symlink():
            raise UserError(
                f"{place}: is a link, to {os.readlink(place)}; a set is removed only from the data "
                "folder itself: remove the link, or name the other folder by --data_dir"
            )


def _lock_set(
    locks: contextlib.ExitStack, label: str, home: pathlib.Path, folders: Sequence[pathlib.Path]
) -> dict[pathlib.Path, int]:
    """Keeps others from preparing and opening the set; UserError where one does, or removes it.

    What killed preparations have left in its folder is removed; the sizes of that, by path.
    """
    left = {}
    free = [_lock(locks, home)]
    # Asked again under the lock
    if free[0] is None or (free[0] and not all(folder.exists() for folder in folders)):
        raise UserError(f"{label}: another process has just removed it from {home}")
    free.append(_lock(locks, home / scan.NAME) is not False)
    if all(free):
        left = {path: inventory.size_of(path) for path in staging.made_in(home)}
        # Where the disk knows no locks, a fresh folder in the making tells
        staging.remove_abandoned(home)
    if not all(free) or staging.is_made_in(home):
        raise UserError(
            f"{label}: is just being prepared by another process, or removed, in {home}"
        )
    for folder in folders:
        _lock_unused(locks, folder)
    return {path: size for path, size in left.items() if not path.exists()}


def _lock(locks: contextlib.ExitStack, path: pathlib.Path) -> bool | None:
    """Locks what is at a path; whether nobody else has, None where nothing is there."""
    try:
        return locks.enter_context(staging.alone(path, make=False))
    except FileNotFoundError:
        return None


def _lock_unused(locks: contextlib.ExitStack, path: pathlib.Path) -> None:
    """Keeps others from a folder; UserError where one uses or removes it."""
    free = _lock(locks, path)
    if free is None:
        raise UserError(f"{path}: another process has just removed it")
    staging.check_free(path, free)


def _caches(
    folders: Sequence[pathlib.Path],
    others: Sequence[Sequence[pathlib.Path]],
    root: pathlib.Path,
    *,
    linked: bool,
) -> tuple[list[pathlib.Path], list[str]]:
    """Caches that go with some sets, and what to say of those that stay."""
    # Asked first: the digest of an older set takes a pass over its records
    if not folders or not tidy.caches(root):
        return [], []
    if linked:
        return [], [f"{root}: is a link, whose caches stay; --cache_dir {root} removes them"]
    found, remarks = [], []
    owned = {cache for paths in others for cache in inventory.caches_of(paths, root)}
    for folder in folders:
        try:
            cache = array_files.folder_of(root, tidy.digest_of(folder))
        except UserError as error:
            remarks.append(f"its caches are not known: {error}")
            continue
        if not os.path.lexists(cache):
            continue
        if cache.is_symlink():
            remarks.append(f"{cache}: is a link, and stays")
        elif cache in owned:
            remarks.append(f"{cache}: stays, for another prepared set has the same content")
        else:
            found.append(cache)
    return found, remarks


def _of_plans(label: str, folders: Sequence[pathlib.Path], data_dir: str) -> Iterator[str]:
    """What is said of the plans of a set, which stay."""
    digests = [found for folder in folders if (found := digest.known(folder))]
    for path, plan in planning.plans_of(label, digests, data_dir).items():
        # Those of the time before digests know no data
        then = "refuses it for other data" if plan.data else "takes it for any data"
        beside = planning.fingerprint_path(path)
        also = f", and so does {beside.name} beside it" if beside.exists() else ""
        yield f"{path}: stays, a plan of {label}{also}; `segjax train` {then}"


def _delete(parent: pathlib.Path, paths: Sequence[pathlib.Path]) -> None:
    """Moves what lies in a folder aside, one after the other, and deletes it."""
    if not paths:
        return
    with staging.folder(parent, "removed") as stage:
        for path in paths:
            os.rename(path, stage / f"removed {path.name}")
        # Not left to the end of the block, which says nothing of what cannot be deleted
        shutil.rmtree(stage)


def _remove_empty(folder: pathlib.Path, data_dir: pathlib.Path) -> None:
    """Removes a folder of a set, and that of its configs, where nothing is left in them."""
    while folder != data_dir:
        try:
            folder.rmdir()
        except OSError:  # something of the user's, or another config
            return
        folder = folder.parent


def in_words(removed: Removed) -> Iterator[str]:
    """What was removed and how much room that gives, a line each."""
    for path, size in removed.sizes.items():
        yield f"removed {path}: {inventory.in_words(size)}"
    yield from removed.remarks
    yield f"freed {inventory.in_words(sum(removed.sizes.values()))}"
