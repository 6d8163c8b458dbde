"""How a command ends: its exit status, and the one line for the user."""

import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from segjax.errors import Interrupted, UserError

# A path that cannot be what it is used as; whatever else goes wrong with files keeps its traceback.
UNUSABLE = {
    errno.EACCES,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
# The disk, a quota or a limit of sizes takes no more.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FULL_WORDS = (*map(os.strerror, FULL), "Not enough disk space")


def status_of(work: Callable[[], int | None]) -> int:
    """Runs a command: 0 done; 2 the input was wrong; 1 anything else, each with one line."""
    try:
        with _terminable(), _unraisable():
            status = work() or 0
            # Within: a full disk shows when what was printed is written
            sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return _say("interrupted; nothing half-made is left, run the same command again", 1)
    except Exception as error:
        # First: libraries and segjax alike wrap such an error in one that reads as a mistake in the
        # input.
        if line := _full_disk(error):
            return _say(line, 1)
        if isinstance(error, UserError):
            return _say(str(error), 2)
        if isinstance(error, (Interrupted, FloatingPointError)):
            return _say(str(error), 1)
        if isinstance(error, OSError) and error.errno in UNUSABLE:
            return _say(f"{error.filename}: {error.strerror}", 2)
        if line := _no_device(error):
            return _say(line, 2)
        raise


def _say(line: str, status: int) -> int:
    # One line, whatever line breaks an error has brought from elsewhere
    print(f"segjax: {' '.join(line.split())}", file=sys.stderr)
    return status


def _no_device(error: Exception) -> str | None:
    """One line when JAX finds no device, which is behind whatever went wrong then."""
    names = ("JAX_PLATFORMS", "JAX_NUM_CPU_DEVICES", "XLA_FLAGS", "CUDA_VISIBLE_DEVICES")
    told = ", ".join(f"{name}={os.environ[name]!r}" for name in names if name in os.environ)
    if not told:
        return None
    try:
        import jax

        # Asked again: what went wrong may be a consequence, in any library's words
        jax.devices()
    except Exception:
        return f"JAX finds no device ({told}): {error or 'there is none of that kind'}"
    return None


def _full_disk(error: BaseException) -> str | None:
    """One line when a full disk is behind an exception, which libraries wrap in their own."""
    behind: BaseException | None = error
    while behind is not None:
        words = [text for text in FULL_WORDS if text in str(behind)]
        if isinstance(behind, OSError) and (behind.errno in FULL or words):
            place = f"{behind.filename}: " if behind.filename else ""
            return f"{place}{behind.strerror or words[0]}; {FULL_ADVICE}"
        if words:  # of an exception from compiled code only the text is left
            return f"{words[0]} ({' '.join(str(behind).split())[:200]}); {FULL_ADVICE}"
        behind = behind.__cause__ or behind.__context__
    return None


FULL_ADVICE = "make room and run the same command again"


@contextlib.contextmanager
def _unraisable() -> Iterator[None]:
    """What Python would only print, because no code waits for it.

    A signal that comes while objects are collected, which JAX takes part in, raises its
    KeyboardInterrupt there, where it is lost: the signal is sent again. What a failed save of Orbax
    prints about its event loop is left out, for the error itself is raised; so is what its reads
    and writes that a signal broke off print, from threads that outlast the command.
    """
    before = sys.unraisablehook

    def without_loops(unraisable):
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    def hook(unraisable):
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            # Later, when the collector has ended: raised here it would be lost as well
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        else:
            without_loops(unraisable)

    sys.unraisablehook, after = hook, before
    try:
        yield
    except KeyboardInterrupt:
        after = without_loops
        raise
    finally:
        sys.unraisablehook = after


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does: what is half made is removed on the way out."""
    # Python lets only the main thread set handlers of signals
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*unused):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
