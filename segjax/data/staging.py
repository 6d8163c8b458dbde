"""Folders in the making: named after who makes them, locked while he lives, tidied after him.

What takes long to write is written into such a folder and then moved to its place whole. A killed
process leaves its folder behind; its lock ends with it, so that the next process can tell.
"""

import contextlib
import fcntl
import os
import pathlib
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator

from segjax.errors import UserError

ABANDONED = 24 * 3600.0  # seconds without a write after which another machine's folder is nobody's
_HOST = re.sub(r"[^A-Za-z0-9-]", "-", platform.node()) or "unnamed"
_PREFIX = ".making."
_MADE = re.compile(rf"{re.escape(_PREFIX)}(?P<name>.+)\.(?P<host>[A-Za-z0-9-]+)\.[A-Za-z0-9_]+")
_LIBRARY = "incomplete."  # folders that TFDS writes into
REPLACED = "replaced"  # within a folder in the making, what has made room for the new
# Handles stay open as long as the process lives: the kernel drops a lock with its last handle
_held: dict[str, int] = {}


@contextlib.contextmanager
def folder(parent: str | os.PathLike, name: str) -> Iterator[pathlib.Path]:
    """A folder in `parent` to write into, locked; it goes at the end, with what is left in it.

    What has been set aside there as REPLACED goes back to `parent / name`, if nothing is there.
    """
    while True:
        path = pathlib.Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{name}.{_HOST}.", dir=parent))
        with contextlib.suppress(FileNotFoundError):  # it was tidied before it was locked
            lock = os.open(path, os.O_RDONLY)
            _flock(lock, fcntl.LOCK_EX)
            # Between mkdtemp and the lock another process may have taken it for abandoned and
            # removed it; the lock is then on a folder without a name, and another one is made.
            if _is_at(lock, path):
                break
            os.close(lock)
    try:
        yield path
    finally:
        # Here, where every end comes by: a signal may arrive right after a rename
        _move_back(path, pathlib.Path(parent, name))
        shutil.rmtree(path, ignore_errors=True)
        # Last, so that nobody tidies what is being removed or moved
        os.close(lock)


@contextlib.contextmanager
def no_empty_folder(path: pathlib.Path) -> Iterator[None]:
    """Removes a folder and those above it that the block has made, if it fails and leaves none in.

    A block that gives up, by Ctrl-C among others, looks as if it had not begun.
    """
    # From the inside out, in which order they can be removed again while they are empty
    absent = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        yield
    except BaseException:
        for folder in absent:
            with contextlib.suppress(OSError):  # what another process made there meanwhile stays
                folder.rmdir()
        raise


@contextlib.contextmanager
def alone(
    path: str | os.PathLike, waits: Callable[[], None] | None = None, *, make: bool = True
) -> Iterator[bool]:
    """Locks a folder or file for the block; whether nobody else has it, by a lock of his.

    Args:
        path: is made, a folder, where it is not there.
        waits: called when somebody else has the lock, who is then waited for. Without it nobody is
            waited for.
        make: False raises FileNotFoundError where nothing is at the path.

    Where the disk knows no locks, it is taken to be free.
    """
    while True:
        if make and not os.path.isfile(path):
            os.makedirs(path, exist_ok=True)
        # The folder itself is locked: a lock file would be left behind
        handle = os.open(path, os.O_RDONLY)
        free = _flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB) is not False
        # Tried without waiting first, only to say why nothing happens
        if not free and waits is not None:
            waits()
            free = _flock(handle, fcntl.LOCK_EX) is not False
        # Who was waited for may have removed it: the lock is then on a folder without a name.
        if not free or _is_at(handle, path):
            break
        os.close(handle)
    try:
        yield free
    finally:
        os.close(handle)


def is_made_in(parent: pathlib.Path) -> bool:
    """Whether something is in the making in a folder, as far as its name tells."""
    return any(_MADE.fullmatch(path.name) for path in parent.glob(f"{_PREFIX}*"))


@contextlib.contextmanager
def unused(path: str | os.PathLike) -> Iterator[None]:
    """Keeps others from using a folder for the block; that this process uses it is no obstacle.

    Raises: UserError where another process uses it.
    """
    key = os.path.realpath(path)
    own = _held.get(key)
    if own is None or not _is_at(own, key):
        with alone(path, make=False) as free:
            check_free(path, free)
            yield
        return
    # Its own lock becomes exclusive, for a second one would wait for the first
    free = _flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB) is not False
    try:
        check_free(path, free)
        yield
    finally:
        _flock(own, fcntl.LOCK_SH)


def check_unused(path: str | os.PathLike) -> None:
    """UserError where another process uses a folder just now."""
    with unused(path):
        pass


def check_free(path: str | os.PathLike, free: bool) -> None:
    if not free:
        raise UserError(f"{path}: in use by another process, such as a training")


@contextlib.contextmanager
def using(path: str | os.PathLike) -> Iterator[None]:
    """Keeps a folder from being removed or replaced for the block."""
    handle = os.open(path, os.O_RDONLY)
    try:
        share(handle)
        yield
    finally:
        os.close(handle)


def share(handle: int) -> None:
    """Locks an open file as long as it is open, beside others that share it."""
    _flock(handle, fcntl.LOCK_SH)


def hold(path: str | os.PathLike) -> None:
    """Keeps a folder from being tidied as long as this process lives; it makes it if need be."""
    key = os.path.realpath(path)
    # As in `folder`: a lock counts only once the path is seen to lead to what is locked.
    while key not in _held or not _is_at(_held[key], key):
        os.makedirs(key, exist_ok=True)
        if key in _held:
            os.close(_held.pop(key))
        _held[key] = os.open(key, os.O_RDONLY)
        # Shared, for several trainings read one cache; `remove` asks for an exclusive lock
        _flock(_held[key], fcntl.LOCK_SH)


def use(path: str | os.PathLike) -> bool:
    """Keeps a folder from being removed as long as this process lives; whether it is there.

    As `hold`, but nothing is made. Who is just removing the folder is waited for. One that cannot
    be locked, for its permissions, is taken as it is.
    """
    key = os.path.realpath(path)
    while key not in _held or not _is_at(_held[key], key):
        try:
            handle = os.open(key, os.O_RDONLY)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        if key in _held:
            os.close(_held.pop(key))
        _held[key] = handle
        _flock(handle, fcntl.LOCK_SH)
    return True


def remove(path: pathlib.Path) -> bool:
    """Deletes a file, or a folder that no living process holds; whether it did.

    Where the disk knows no locks, nobody holds what was not written to for a day.
    """
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return True
    with _free(path) as free:
        if free:
            shutil.rmtree(path, ignore_errors=True)
        return free and not path.exists()


@contextlib.contextmanager
def _free(path: pathlib.Path) -> Iterator[bool]:
    """Whether no living process holds a folder, which is locked for the block."""
    lock = os.open(path, os.O_RDONLY)
    try:
        locked = _flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield locked is True or (locked is None and is_old(path))
    finally:
        os.close(lock)


def made_in(parent: pathlib.Path) -> list[pathlib.Path]:
    """The folders in the making in a folder, of the living and of the killed, by their names."""
    return sorted(
        path
        for path in [*parent.glob(f"{_PREFIX}*"), *parent.glob(f"{_LIBRARY}*")]
        if path.is_dir() and (_MADE.fullmatch(path.name) or path.name.startswith(_LIBRARY))
    )


def remove_abandoned(parent: pathlib.Path) -> int:
    """Deletes what killed processes left in `parent`; the number of folders.

    A folder of this machine is abandoned when nobody holds its lock; one of another machine, or one
    that TFDS wrote, where locks may not be seen, a day after its last write besides.
    """
    removed = 0
    for path in made_in(parent):
        with contextlib.suppress(OSError):  # its owner is just putting it in its place
            removed += _may_be_nobodys(path) and remove(path)
    return removed


def put_back(parent: pathlib.Path) -> list[pathlib.Path]:
    """Moves back what killed processes had set aside and not replaced yet; its places."""
    found = []
    for path in made_in(parent):
        made = _MADE.fullmatch(path.name)
        if made is None or not (path / REPLACED).is_dir() or not _may_be_nobodys(path):
            continue
        place = parent / made["name"]
        with contextlib.suppress(OSError), _free(path) as free:  # as above
            if free and _move_back(path, place):
                found.append(place)
    return found


def _move_back(stage: pathlib.Path, place: pathlib.Path) -> bool:
    """Moves what a folder in the making has set aside to its place, if that is free."""
    if not (stage / REPLACED).is_dir() or place.exists():
        return False
    os.rename(stage / REPLACED, place)
    return True


def _may_be_nobodys(path: pathlib.Path) -> bool:
    """Whether a lock tells if a folder in the making is abandoned, or else its age."""
    made = _MADE.fullmatch(path.name)
    return (made is not None and made["host"] == _HOST) or is_old(path)


def is_old(folder: pathlib.Path) -> bool:
    """Whether a day has passed since the last write into a folder."""
    # Of all files: the folder's own time stays while a file in it grows
    newest = 0.0
    for path in (folder, *folder.rglob("*")):
        try:
            newest = max(newest, path.stat().st_mtime)
        except FileNotFoundError:  # someone is at work in it
            return False
    return time.time() - newest > ABANDONED


def _flock(handle: int, kind: int) -> bool | None:
    """Locks; False when somebody else holds it, None where the disk knows no locks."""
    try:
        fcntl.flock(handle, kind)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(handle: int, path: str | os.PathLike) -> bool:
    """Whether an open folder still has this path."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except OSError:
        return False
