"""The tables of an annotation file, and the steps that bring an older file to them."""

import sqlite3
import zlib

APPLICATION = 0x73676A78  # "sgjx": by it SQLite files of other programs are told apart

# Step k brings a file from version k to version k + 1. A step that was released never changes.
STEPS: list[tuple[str, ...]] = [
    (
        "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
        # digest is the SHA-256 of the file that was annotated, size that of its pixels upright
        "CREATE TABLE images (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, digest TEXT NOT NULL,"
        " width INTEGER NOT NULL, height INTEGER NOT NULL) STRICT",
        "CREATE TABLE annotators (id INTEGER PRIMARY KEY, name TEXT NOT NULL,"
        " key TEXT NOT NULL UNIQUE) STRICT",
        # Every edit adds a state; none is ever changed or removed. Undo goes to `previous`. SQLite
        # notices damage to its pages' order only: `crc` is of the rest of the row.
        "CREATE TABLE states (id INTEGER PRIMARY KEY AUTOINCREMENT,"
        " image TEXT NOT NULL REFERENCES images, annotator INTEGER NOT NULL REFERENCES annotators,"
        " previous INTEGER REFERENCES states, reading TEXT NOT NULL, saved TEXT NOT NULL,"
        " crc INTEGER NOT NULL) STRICT",
        "CREATE INDEX next_states ON states (image, annotator, previous)",
        # The state that holds of each image and annotator; null: the empty one, all undone
        "CREATE TABLE heads (image TEXT NOT NULL REFERENCES images,"
        " annotator INTEGER NOT NULL REFERENCES annotators, state INTEGER REFERENCES states,"
        " PRIMARY KEY (image, annotator)) STRICT",
    ),
]


def crc(*cells: object) -> int:
    """The checksum of a state's image, annotator, previous state, reading and time."""
    return zlib.crc32(repr(cells).encode())


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
