"""The tables of an annotation file, and the steps that bring an older file to them."""

import sqlite3
import zlib
from collections.abc import Sequence

APPLICATION = 0x73676A78  # "sgjx": by it SQLite files of other programs are told apart

# Step k brings a file from version k to version k + 1. A step that was released never changes.
STEPS: list[tuple[str, ...]] = [
    (
        # The last cell of each row is a checksum of the others: SQLite itself notices damage to the
        # order of its pages only
        "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL,"
        " crc INTEGER NOT NULL) STRICT",
        # digest is the SHA-256 of the file that was annotated, size that of its pixels upright
        "CREATE TABLE images (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, digest TEXT NOT NULL,"
        " width INTEGER NOT NULL, height INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT",
        "CREATE TABLE annotators (id INTEGER PRIMARY KEY, name TEXT NOT NULL,"
        " key TEXT NOT NULL UNIQUE, crc INTEGER NOT NULL) STRICT",
        # Every edit adds a state; none is ever changed or removed. Undo goes to `previous`.
        "CREATE TABLE states (id INTEGER PRIMARY KEY,"
        " image TEXT NOT NULL REFERENCES images, annotator INTEGER NOT NULL REFERENCES annotators,"
        " previous INTEGER REFERENCES states, reading TEXT NOT NULL, saved TEXT NOT NULL,"
        " crc INTEGER NOT NULL) STRICT",
        "CREATE INDEX next_states ON states (image, annotator, previous)",
        # The state that holds of each image and annotator; null: the empty one, all undone. Since
        # when it holds, and the edit that led to it, by which its repetition is known
        "CREATE TABLE heads (image TEXT NOT NULL REFERENCES images,"
        " annotator INTEGER NOT NULL REFERENCES annotators, state INTEGER REFERENCES states,"
        " saved TEXT NOT NULL, edit TEXT,"
        " crc INTEGER NOT NULL, PRIMARY KEY (image, annotator)) STRICT",
    ),
]


TABLES = ("settings", "images", "annotators", "states", "heads")


def crc(cells: Sequence[object]) -> int:
    """The checksum of the other cells of a row."""
    return zlib.crc32(repr(tuple(cells)).encode())


def put(connection: sqlite3.Connection, table: str, *cells: object) -> None:
    """Adds a row with its checksum, in place of one of the same key."""
    marks = ", ".join("?" * (len(cells) + 1))
    values = (*cells, crc(cells))
    connection.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", values)


def damaged(connection: sqlite3.Connection) -> str | None:
    """The first row whose cells are others than were written, in words."""
    for table in TABLES:
        for *cells, check in connection.execute(f"SELECT * FROM {table}"):
            if crc(cells) != check:
                return f"row {cells[0]} of {table}"
    return None


def version() -> int:
    """The version that this program writes."""
    return len(STEPS)


def migrate(connection: sqlite3.Connection, steps_from: int) -> None:
    """Brings a file to the current version, all steps or none; within a transaction."""
    for step in STEPS[steps_from:]:
        for statement in step:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {version()}")
