"""The annotation file: SQLite, in which an edit is on the disk before it is confirmed.

Every edit adds a state to a chain, whose end is the reading that holds; undo steps back along the
chain and redo forth. Nothing is ever removed.
"""

import contextlib
import datetime
import os
import pathlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from segjax.annotate import opening, schema
from segjax.annotate.reading import EMPTY, Reading, from_json
from segjax.data import names as naming
from segjax.data import outputs
from segjax.data.folders.columns import as_text
from segjax.errors import UserError

LONGEST_NAME = 80


class NotSaved(UserError):
    """The file takes nothing at the moment; the same edit may succeed later."""


class OtherState(Exception):
    """An edit of a state that does not hold any more."""


class Identified(Protocol):
    """A photograph as the file remembers it: its pixels upright, the SHA-256 of its file."""

    id: str
    name: str
    digest: str
    width: int
    height: int


@dataclass(frozen=True)
class Held:
    """The reading that holds, and where its chain leads.

    Attributes:
        reading: of a photograph by an annotator.
        state: its number; 0 for none.
        undo: whether there is a state before it.
        redo: whether there is one after it.
        saved: when the last edit, undo or redo was committed, ISO 8601 in UTC; None for none.
        edit: what its page calls the last edit; None where it has no name.
    """

    reading: Reading = EMPTY
    state: int = 0
    undo: bool = False
    redo: bool = False
    saved: str | None = None
    edit: str | None = None


@dataclass(frozen=True)
class Annotator:
    """A person: the number in this file, and the name as first given."""

    id: int
    name: str


@dataclass(frozen=True)
class Record:
    """One reading with what it is of: a row of exports."""

    image: "StoredImage"
    annotator: str
    reading: Reading
    saved: str


@dataclass(frozen=True)
class StoredImage:
    """A photograph that has been annotated (`Identified`)."""

    id: str
    name: str
    digest: str
    width: int
    height: int


class AnnotationFile:
    """An open annotation file; its methods may be called from several threads.

    Args:
        path: of the file.
        writable: whether it is opened to be written, and made where there is none.

    Raises: UserError for a file that is locked, damaged, of another program or of a newer version.
    """

    def __init__(self, path: pathlib.Path, *, writable: bool = True):
        self.path = path
        self._lock = threading.RLock()
        self._db = opening.connect(path, writable=writable)
        self._identity = outputs.identity(path)

    def close(self) -> None:
        """Ends the connection; what was committed is in the file."""
        with self._lock:
            self._db.close()

    def backup(self, path: pathlib.Path) -> None:
        """Copies the file as it is now, edits in progress before or after, to a new one."""
        with self._lock:
            opening.copy(self._db, path)

    # --- settings and annotators ---------------------------------------------------------------

    def setting(self, name: str) -> str | None:
        """A setting of the file."""
        found = self._all("SELECT value FROM settings WHERE name = ?", name)
        return found[0][0] if found else None

    def set(self, name: str, value: str) -> None:
        """Sets it."""
        with self.writing():
            schema.put(self._db, "settings", name, value)

    def annotators(self) -> list[Annotator]:
        """Everyone who has given a name, in the order of their coming."""
        return [Annotator(*row) for row in self._all("SELECT id, name FROM annotators ORDER BY id")]

    def annotator(self, name: str, *, make: bool = False) -> Annotator | None:
        """The person of a name, capitals and spaces aside; made where wanted.

        Raises: UserError for an empty, an overlong or an unprintable name.
        """
        name, key = _person(name)
        find = "SELECT id, name FROM annotators WHERE key = ?"
        if make and not self._all(find, key):
            with self.writing():
                if not self._all(find, key):  # of two at once the second finds the first's
                    schema.put(self._db, "annotators", self._after("annotators"), name, key)
        found = self._all(find, key)
        return Annotator(*found[0]) if found else None

    # --- readings ------------------------------------------------------------------------------

    def held(self, image: str, annotator: int) -> Held:
        """The reading that holds; the empty one where there is none."""
        with self._lock:
            found = self._all(
                "SELECT s.id, s.reading, h.saved, h.edit FROM heads h LEFT JOIN states s"
                " ON s.id = h.state WHERE h.image = ? AND h.annotator = ?",
                image,
                annotator,
            )
            if not found:
                return Held()
            state, text, saved, edit = found[0]
            redo = self._next(image, annotator, state) is not None
        if state is None:
            return Held(redo=redo, saved=saved, edit=edit)
        return Held(from_json(text), state, True, redo, saved, edit)

    def edit(
        self,
        image: Identified,
        annotator: int,
        change: Callable[[Reading], Reading],
        state: int | None = None,
        name: str | None = None,
    ) -> Held:
        """Applies a change to the reading that holds; committed when it returns.

        Args:
            image: the photograph.
            annotator: whose reading it is.
            change: from reading to reading.
            state: the one that has to hold; None for whichever does.
            name: of the edit; the one that was committed last is not done again.

        Raises: OtherState where another one holds; NotSaved where the file takes nothing; UserError
            as `change`, and for a photograph that is another one than was annotated under its name.
        """
        with self.writing():
            self._remember(image)
            before = self.held(image.id, annotator)
            if name is not None and before.edit == name:
                return before
            if state not in (None, before.state):
                raise OtherState
            after = change(before.reading)
            if after != before.reading:
                self._add(image.id, annotator, before.state or None, after, edit=name)
        return self.held(image.id, annotator)

    def step(
        self, image: str, annotator: int, state: int, *, forward: bool, name: str | None = None
    ) -> Held:
        """Undo, or redo (`forward`), of the state that is shown; `name` as for `edit`.

        Raises: OtherState where another one holds by now; UserError where there is nothing to go
            to; NotSaved.
        """
        with self.writing():
            held = self.held(image, annotator)
            if name is not None and held.edit == name:
                return held
            if held.state != state:
                raise OtherState
            if not (held.redo if forward else held.undo):
                raise UserError(f"nothing to {'redo' if forward else 'undo'}")
            if forward:
                target = self._next(image, annotator, state or None)
            else:
                target = self._all("SELECT previous FROM states WHERE id = ?", state)[0][0]
            schema.put(self._db, "heads", image, annotator, target, now(), name)
        return self.held(image, annotator)

    def ever_marked(self) -> list[str]:
        """The findings that somebody has marked, also where they were taken away since."""
        rows = self._all(
            "SELECT DISTINCT f.key FROM states s, json_each(s.reading, '$.findings') f"
        )
        return sorted(name for (name,) in rows)

    def images(self) -> dict[str, StoredImage]:
        """The photographs that have been annotated, by their name."""
        rows = self._all("SELECT id, name, digest, width, height FROM images ORDER BY name")
        return {row[1]: StoredImage(*row) for row in rows}

    def digest(self, image: str) -> str | None:
        """The SHA-256 of the file that was annotated; None where none was."""
        found = self._all("SELECT digest FROM images WHERE id = ?", image)
        return found[0][0] if found else None

    def statuses(self, annotator: int) -> dict[str, str]:
        """'begun' or 'done' of each photograph that an annotator has a reading of."""
        rows = self._all(
            "SELECT h.image, json_extract(s.reading, '$.done') FROM heads h JOIN states s"
            " ON s.id = h.state WHERE h.annotator = ?",
            annotator,
        )
        return {image: "done" if done else "begun" for image, done in rows}

    def records(self) -> list[Record]:
        """All readings that hold, by image and annotator."""
        images = {image.id: image for image in self.images().values()}
        rows = self._all(
            "SELECT h.image, a.name, s.reading, s.saved FROM heads h"
            " JOIN states s ON s.id = h.state JOIN annotators a ON a.id = h.annotator"
            " JOIN images i ON i.id = h.image"
            " ORDER BY i.name, a.key"
        )
        return [Record(images[i], who, from_json(text), saved) for i, who, text, saved in rows]

    def put(self, image: Identified, annotator: int, reading: Reading, saved: str) -> None:
        """Adds a reading of elsewhere, with the time of then; within `writing`."""
        self._remember(image)
        held = self.held(image.id, annotator)
        self._add(image.id, annotator, held.state or None, reading, saved)

    # --- transactions --------------------------------------------------------------------------

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """All that the block writes, or nothing; committed to the disk at its end."""
        with self._lock, _as_not_saved(self.path):
            if self._db.in_transaction:  # part of one that is open
                yield
                return
            # SQLite would go on writing into a file that has no name any more
            if outputs.identity(self.path) != self._identity:
                raise NotSaved(f"{self.path} was moved, removed or replaced; put it back")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _remember(self, image: Identified) -> None:
        known = self.digest(image.id)
        if known and known != image.digest:
            raise UserError(other_picture(image.name))
        if not known:
            cells = image.id, image.name, image.digest, image.width, image.height
            schema.put(self._db, "images", *cells)

    def _add(
        self,
        image: str,
        annotator: int,
        previous: int | None,
        reading: Reading,
        saved: str | None = None,
        edit: str | None = None,
    ) -> None:
        state, saved = self._after("states"), saved or now()
        schema.put(self._db, "states", state, image, annotator, previous, reading.to_json(), saved)
        schema.put(self._db, "heads", image, annotator, state, saved, edit)

    def _after(self, table: str) -> int:
        """The number of the next row."""
        return self._all(f"SELECT coalesce(max(id), 0) + 1 FROM {table}")[0][0]

    def _next(self, image: str, annotator: int, state: int | None) -> int | None:
        """The state that followed last on one: what redo goes to."""
        rows = self._all(
            "SELECT max(id) FROM states WHERE image = ? AND annotator = ? AND previous IS ?",
            image,
            annotator,
            state,
        )
        return rows[0][0]

    def _all(self, statement: str, *values: object) -> Sequence[tuple]:
        with self._lock, _as_not_saved(self.path):
            return self._db.execute(statement, values).fetchall()


@contextlib.contextmanager
def made(path: pathlib.Path) -> Iterator[AnnotationFile]:
    """An open annotation file; one that is new goes again if the block fails."""
    fresh = not os.path.lexists(path)
    file = AnnotationFile(path)
    try:
        yield file
    except BaseException:
        if fresh and not file.images():
            file.close()
            path.unlink(missing_ok=True)
        raise
    finally:
        file.close()


def other_picture(name: str) -> str:
    """What is said of a photograph whose file has changed."""
    return (
        f"{name}: is another file than the one that was annotated; put that one back, or give this "
        "one another name"
    )


def now() -> str:
    """The time, ISO 8601 in UTC."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _person(name: object) -> tuple[str, str]:
    """A name with single blanks, and what it is compared by, as tables of findings do."""
    if not isinstance(name, str) or not (name := " ".join(naming.composed(name).split())):
        raise UserError("name: takes the annotator's name")
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise UserError(f"name: takes at most {LONGEST_NAME} printable characters")
    return name, naming.key(as_text(name))


@contextlib.contextmanager
def _as_not_saved(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise NotSaved(f"{path}: {error}") from error
