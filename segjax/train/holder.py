"""One process at a time writes into a folder: a lock that ends with the process that holds it.

The lock is `flock` on the file `.holder`, which names host, process and start. The file stays when
its process ends, however it ends; what counts is the lock, which the kernel lets go then.
"""

import contextlib
import datetime
import json
import os
import pathlib
import socket
import sys
from collections.abc import Callable, Iterator

from segjax.errors import UserError
from segjax.train.workdir import HOLDER

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None


@contextlib.contextmanager
def hold(
    folder: pathlib.Path, *, first: bool = True, told: Callable[[bool], bool] = bool
) -> Iterator[None]:
    """Makes the folder and holds it; where files cannot be locked, a line on stderr says so.

    Of several processes of a job the first one holds it for all; `told` gives its answer to them.

    Raises: UserError naming the holder if there is one already; nothing is changed then.
    """
    handle = _acquire(folder) if first else None
    try:
        if not told(handle is not None):
            raise UserError(_refusal(folder))
        yield
    finally:
        if handle is not None:
            os.close(handle)


def check_free(folder: pathlib.Path) -> None:
    """UserError naming the holder of a folder, if it has one; changes nothing."""
    try:
        # Without O_CREAT: looking leaves nothing behind. A folder without the file has no holder.
        handle = os.open(folder / HOLDER, os.O_RDONLY)
    except OSError:
        return
    try:
        # A shared lock: two that look at once do not take each other for a holder
        if not _lock(handle, folder, shared=True):
            raise UserError(_refusal(folder))
    finally:
        os.close(handle)


def _acquire(folder: pathlib.Path) -> int | None:
    """A handle that keeps the lock until it is closed; None if another process has the lock."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Not truncated by opening it: the name in it is the holder's until the lock is had
        handle = os.open(folder / HOLDER, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"--workdir {folder}: cannot write there: {error}") from error
    if not _lock(handle, folder):
        os.close(handle)
        return None
    start = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    text = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "start": start}) + "\n"
    os.truncate(handle, 0)
    os.write(handle, text.encode())
    return handle


def _lock(handle: int, folder: pathlib.Path, *, shared: bool = False) -> bool:
    """Whether the lock was free; also true, with a warning, where there are no locks."""
    try:
        if fcntl is None:
            raise OSError("no flock on this system")
        # Not lockf, whose lock is lost as soon as this process closes any other handle of the file
        fcntl.flock(handle, fcntl.LOCK_NB | (fcntl.LOCK_SH if shared else fcntl.LOCK_EX))
    except BlockingIOError:
        return False
    except OSError as error:
        print(
            f"segjax: {folder}: cannot be locked ({error}); "
            "see to it that no two processes train in it at once",
            file=sys.stderr,
        )
    return True


def _refusal(folder: pathlib.Path) -> str:
    try:
        found = json.loads((folder / HOLDER).read_text())
        name = f"process {found['pid']} on {found['host']}, started {found['start']}"
    except (OSError, ValueError, KeyError, TypeError):
        name = "another process"  # which has not written its name yet
    return f"--workdir {folder}: in use by {name}; wait for its end, or end it"
