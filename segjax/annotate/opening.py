"""Opens annotation files, makes and copies them, and says in one line what is wrong with one."""

import os
import pathlib
import sqlite3

from segjax import files
from segjax.annotate import schema
from segjax.errors import UserError

FLAG = "--annotations"
WAIT = 5.0  # seconds for another program to let go of the file
_START = b"SQLite format 3\0"
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def connect(path: pathlib.Path, *, writable: bool) -> sqlite3.Connection:
    """A connection to an annotation file, which is made or brought to this version if need be.

    Commits are on the disk when they return: a write-ahead log, synchronised with each of them.

    Raises: UserError for a file that is missing, where it may not be made, locked, damaged, of
        another program, or of a newer version.
    """
    _check(path, writable=writable)
    made = writable and _make_private(path)
    try:
        # mode=rw: a file that has vanished meanwhile is an error, not a new one. It is also for
        # reading, where the last one to close tidies the log away
        mode = "rw" if writable or os.access(path, os.W_OK) else "ro"
        uri = f"{path.absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(
            uri, uri=True, timeout=WAIT, isolation_level=None, check_same_thread=False
        )
        # What is no UTF-8 any more is other text then, which its checksum tells
        connection.text_factory = lambda raw: raw.decode(errors="replace")
        try:
            _prepare(connection, path, writable=writable)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if made:
            path.unlink(missing_ok=True)
        raise UserError(f"{FLAG} {path}: {_what(error)}") from error
    return connection


def copy(connection: sqlite3.Connection, path: pathlib.Path) -> None:
    """Copies a file that is open, and perhaps in use, to a new one, whole or not at all."""
    with files.whole(path) as temporary:
        made = sqlite3.connect(temporary)
        try:
            connection.backup(made)
            # A copy is one file: nothing of it waits in a log beside
            made.execute("PRAGMA journal_mode = DELETE")
            found = made.execute("PRAGMA integrity_check").fetchone()[0]
        finally:
            made.close()
        if found != "ok":
            raise UserError(f"the copy is damaged: {found}")
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o600)


def _check(path: pathlib.Path, *, writable: bool) -> None:
    if path.is_dir():
        raise UserError(f"{FLAG} {path}: is a folder, a file is wanted")
    if not path.exists():
        if not writable:
            raise UserError(f"{FLAG} {path}: no such file")
        if not path.parent.is_dir():
            raise UserError(f"{FLAG} {path}: there is no folder {path.parent}")
        return
    if not path.is_file():
        raise UserError(f"{FLAG} {path}: is no file")
    with path.open("rb") as stream:
        start = stream.read(len(_START))
    if start and start != _START:
        raise UserError(f"{FLAG} {path}: is no annotation file (SQLite); take another name")


def _make_private(path: pathlib.Path) -> bool:
    """Makes an empty file, which its owner alone reads for its token; whether there was none."""
    if path.exists():
        return False
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    except OSError as error:
        raise UserError(f"{FLAG} {path}: {error.strerror}") from error
    return True


def _prepare(connection: sqlite3.Connection, path: pathlib.Path, *, writable: bool) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    empty = not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if not empty and application != schema.APPLICATION:
        raise UserError(f"{FLAG} {path}: is a SQLite file of another program; take another name")
    if version > schema.version():
        raise UserError(
            f"{FLAG} {path}: has version {version}, and this segjax knows versions up to "
            f"{schema.version()}; use the segjax that wrote it, or a newer one"
        )
    found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found == "ok" and version:
        found = schema.damaged(connection) or "ok"
    if found != "ok":
        raise UserError(f"{FLAG} {path}: is damaged ({_line(found)}); go back to a backup")
    if not writable:
        connection.execute("PRAGMA query_only = ON")
        if empty:
            raise UserError(f"{FLAG} {path}: is empty; was it copied without its -wal file?")
        if version < schema.version():
            raise UserError(
                f"{FLAG} {path}: has version {version}, this segjax writes {schema.version()}; "
                "open it once with `segjax annotate` to bring it up to date"
            )
        return
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    # Into the file itself with each commit: a log that gets lost, or lies beside another file, is
    # next to nothing then
    connection.execute("PRAGMA wal_autocheckpoint = 1")
    connection.execute("PRAGMA foreign_keys = ON")
    # At once, so that a file that cannot be written is refused now and not at the first click
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Asked again: another process may have been first
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        schema.migrate(connection, version)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _line(text: str) -> str:
    """What SQLite says of damage, in one short line."""
    return " ".join(text.replace("*", " ").split())[:120]


def _what(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "is damaged; go back to a backup"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _BUSY:
        return "is locked by another program; close it there"
    if code in _DAMAGED:
        return f"is damaged ({_line(str(error))}); go back to a backup"
    if code == sqlite3.SQLITE_READONLY:
        return "cannot be written; change its permissions"
    return str(error)
