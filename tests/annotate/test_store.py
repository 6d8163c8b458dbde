"""The annotation file: chains of states, several at once, and what is refused."""

import os
import shutil
import sqlite3
import stat
import threading
from dataclasses import dataclass, replace

import pytest

from segjax.annotate import opening, schema
from segjax.annotate.reading import EMPTY
from segjax.annotate.store import AnnotationFile, NotSaved, OtherState
from segjax.errors import UserError


@dataclass
class Image:
    id: str = "a1"
    name: str = "a.png"
    digest: str = "d"
    width: int = 100
    height: int = 80


@pytest.fixture
def file(tmp_path):
    made = AnnotationFile(tmp_path / "a.sqlite")
    yield made
    made.close()


def note(file, text, image=None, annotator=1):
    return file.edit(image or Image(), annotator, lambda before: replace(before, note=text))


@pytest.fixture
def kim(file):
    return file.annotator("Kim", make=True).id


def test_undo_and_redo_walk_along_the_chain(file, kim):
    assert file.held("a1", kim).reading == EMPTY
    for text in "abc":
        held = note(file, text)
    assert (held.reading.note, held.undo, held.redo) == ("c", True, False)
    for text in ("b", "a", ""):
        held = file.step("a1", kim, held.state, forward=False)
        assert held.reading.note == text and held.redo
    assert held.state == 0 and not held.undo
    with pytest.raises(UserError, match="nothing to undo"):
        file.step("a1", kim, 0, forward=False)
    held = file.step("a1", kim, 0, forward=True)
    assert held.reading.note == "a"
    held = note(file, "d")
    assert not held.redo and file.step("a1", kim, held.state, forward=False).reading.note == "a"


def test_the_chain_survives_another_opening(file, kim):
    note(file, "a")
    held = note(file, "b")
    file.step("a1", kim, held.state, forward=False)
    again = AnnotationFile(file.path)
    found = again.held("a1", kim)
    assert (found.reading.note, found.undo, found.redo) == ("a", True, True)
    again.close()


def test_undo_of_a_state_that_is_not_the_last_is_refused(file, kim):
    first = note(file, "a")
    note(file, "b")
    with pytest.raises(OtherState):
        file.step("a1", kim, first.state, forward=False)
    assert file.held("a1", kim).reading.note == "b"


def test_an_edit_that_changes_nothing_adds_no_state(file, kim):
    held = note(file, "a")
    assert note(file, "a") == held


def test_annotators_do_not_see_each_other(file, kim):
    lee = file.annotator("Lee", make=True).id
    note(file, "a")
    assert file.held("a1", lee).reading == EMPTY and file.statuses(lee) == {}


def test_an_edit_of_the_name_of_the_last_is_not_done_again(file, kim):
    def write(text, name):
        return file.edit(Image(), kim, lambda before: replace(before, note=text), None, name)

    write("a", "1")
    held = write("b", "2")
    assert write("c", "2") == held
    back = file.step("a1", kim, held.state, forward=False, name="3")
    assert file.step("a1", kim, held.state, forward=False, name="3") == back
    with pytest.raises(OtherState):
        file.step("a1", kim, held.state, forward=False, name="4")
    assert back.reading.note == "a"


def test_saved_is_when_the_last_step_was_committed(file, kim, monkeypatch):
    times = iter("1234")
    monkeypatch.setattr("segjax.annotate.store.now", lambda: next(times))
    held = [note(file, "a"), note(file, "b")]
    held.append(file.step("a1", kim, 2, forward=False))
    held.append(file.step("a1", kim, 1, forward=False))
    assert [each.saved for each in held] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("other", ["kim", " KIM ", "Kim"])
def test_spellings_of_a_name_are_one_annotator(file, kim, other):
    assert file.annotator(other, make=True).id == kim and len(file.annotators()) == 1


def test_what_cannot_be_graded_survives_another_opening(file, kim):
    file.edit(Image(), kim, lambda before: replace(before, ungradable=True, done=True))
    again = AnnotationFile(file.path)
    assert again.held("a1", kim).reading == replace(EMPTY, ungradable=True, done=True)
    assert again.statuses(kim) == {"a1": "done"}
    again.close()


def test_asking_for_an_annotator_makes_none(file):
    assert file.annotator("Kim") is None and file.annotators() == []


@pytest.mark.parametrize("name", ["", "  ", "a" * 81, "a\x07b", None, 3])
def test_what_is_no_name_is_refused(file, name):
    with pytest.raises(UserError, match="name: takes"):
        file.annotator(name, make=True)


def test_another_file_under_one_name_is_refused(file, kim):
    note(file, "a")
    with pytest.raises(UserError, match=r"a\.png: is another file than the one"):
        note(file, "b", Image(digest="e"))
    assert file.held("a1", kim).reading.note == "a"


def test_many_at_once_lose_nothing(file):
    people = [file.annotator(f"p{k}", make=True).id for k in range(4)]

    def work(annotator):
        for k in range(25):
            note(file, f"{annotator} {k}", annotator=annotator)

    threads = [threading.Thread(target=work, args=(who,)) for who in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for who in people:
        held = file.held("a1", who)
        assert held.reading.note == f"{who} 24"
        for k in reversed(range(24)):
            held = file.step("a1", who, held.state, forward=False)
            assert held.reading.note == f"{who} {k}"


def test_two_programs_may_share_a_file(file, kim):
    other = AnnotationFile(file.path)
    note(file, "a")
    note(other, "b")
    assert file.held("a1", kim).reading.note == "b"
    other.close()


def test_a_failed_change_leaves_no_trace(file, kim):
    def fail(reading):
        raise UserError("no")

    with pytest.raises(UserError, match="no"):
        file.edit(Image(), kim, fail)
    assert file.images() == {} and file.records() == []


def test_it_is_synchronised_with_each_commit_and_private(file):
    assert file._all("PRAGMA journal_mode") == [("wal",)]
    assert file._all("PRAGMA synchronous") == [(2,)]
    assert stat.S_IMODE(os.stat(file.path).st_mode) == 0o600


def test_a_file_that_was_moved_away_takes_nothing(file, kim):
    note(file, "a")
    os.rename(file.path, file.path.with_suffix(".moved"))
    with pytest.raises(NotSaved, match="moved, removed or replaced"):
        note(file, "b")
    os.rename(file.path.with_suffix(".moved"), file.path)
    assert note(file, "c").reading.note == "c"


def test_a_locked_file_takes_nothing_and_says_so(file, kim, monkeypatch):
    file._db.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(file.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(NotSaved, match="locked"):
        note(file, "a")
    monkeypatch.setattr(opening, "WAIT", 0.05)
    with pytest.raises(UserError, match="is locked by another program"):
        AnnotationFile(file.path)
    other.execute("ROLLBACK")
    assert note(file, "a").reading.note == "a"
    other.close()


def test_a_backup_is_a_whole_file_also_while_it_is_written(file, kim, tmp_path):
    note(file, "a")
    file.backup(tmp_path / "b.sqlite")
    note(file, "b")
    copy = AnnotationFile(tmp_path / "b.sqlite", writable=False)
    assert [record.reading.note for record in copy.records()] == ["a"]
    copy.close()
    assert sorted(p.name for p in tmp_path.iterdir() if "b.sqlite" in p.name) == ["b.sqlite"]


# --- opening -----------------------------------------------------------------------------------


def test_what_is_no_annotation_file_is_refused_and_left(tmp_path):
    text = tmp_path / "text.sqlite"
    text.write_text("a, b, c, and so on, a table of mine")
    foreign = tmp_path / "foreign.sqlite"
    other = sqlite3.connect(foreign)
    other.execute("CREATE TABLE mine (a)")
    other.commit()
    other.close()
    before = {path: path.read_bytes() for path in (text, foreign)}
    for path, says in ((text, "no annotation file"), (foreign, "of another program")):
        with pytest.raises(UserError, match=says):
            AnnotationFile(path)
        assert path.read_bytes() == before[path]
    with pytest.raises(UserError, match="is a folder"):
        AnnotationFile(tmp_path)
    with pytest.raises(UserError, match="there is no folder"):
        AnnotationFile(tmp_path / "none" / "a.sqlite")
    with pytest.raises(UserError, match="no such file"):
        AnnotationFile(tmp_path / "none.sqlite", writable=False)
    assert not (tmp_path / "none.sqlite").exists()


def test_an_empty_file_of_a_start_that_was_killed_is_taken(tmp_path):
    (tmp_path / "a.sqlite").touch()
    file = AnnotationFile(tmp_path / "a.sqlite")
    assert file.annotator("Kim", make=True).id == 1 and file.records() == []
    file.close()


@pytest.mark.parametrize("place", ["pages", "a letter", "not UTF-8", "cut short"])
def test_a_damaged_file_is_refused(file, kim, place):
    for k in range(60):
        note(file, "a" * 900 + str(k))
    file.close()
    data = bytearray(file.path.read_bytes())
    text = data.index(b"a" * 500) + 100
    if place == "pages":
        data[120:3000] = os.urandom(2880)
    elif place == "cut short":
        del data[len(data) // 2 :]
    else:
        data[text] = ord("b") if place == "a letter" else 0xFF
    file.path.write_bytes(data)
    for writable in (True, False):
        with pytest.raises(UserError, match=r"a\.sqlite: is (damaged|a SQLite file of another)"):
            AnnotationFile(file.path, writable=writable)
    assert file.path.read_bytes() == data


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE heads SET state = 1 WHERE annotator = 1",
        "UPDATE heads SET image = 'b2'",
        "UPDATE images SET digest = 'e'",
        "UPDATE annotators SET name = 'Lee'",
        "UPDATE states SET saved = 'then' WHERE id = 1",
        "UPDATE settings SET value = 'other'",
    ],
)
def test_a_row_that_is_not_as_it_was_written_is_refused(file, kim, change):
    note(file, "a")
    note(file, "b")
    file.set("token", "t")
    file._db.execute("PRAGMA foreign_keys = OFF")
    file._db.execute(change)
    with pytest.raises(UserError, match=r"is damaged \(row .* of "):
        AnnotationFile(file.path)


def test_a_lost_log_loses_nothing(file, kim):
    """Commits are in the file itself: a copy without its -wal is whole."""
    note(file, "a")
    note(file, "b")
    copy = file.path.with_name("copy.sqlite")
    shutil.copy(file.path, copy)
    found = AnnotationFile(copy, writable=False)
    assert [record.reading.note for record in found.records()] == ["b"]
    found.close()
    assert [p.name for p in copy.parent.glob("copy*")] == ["copy.sqlite"]


def test_an_edit_of_a_state_that_does_not_hold_is_refused(file, kim):
    first = note(file, "a")
    note(file, "b")
    with pytest.raises(OtherState):
        file.edit(Image(), kim, lambda before: replace(before, note="c"), first.state)
    assert file.held("a1", kim).reading.note == "b"


def test_a_newer_file_is_refused(file):
    file._db.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match="has version 99"):
        AnnotationFile(file.path)


def test_an_older_file_is_brought_up_to_date_or_left(file, kim, tmp_path, monkeypatch):
    note(file, "a")
    file.close()
    shutil.copy(file.path, tmp_path / "other.sqlite")
    broken = ("ALTER TABLE states ADD COLUMN more TEXT", "SELECT nonsense FROM nowhere")
    monkeypatch.setattr(schema, "STEPS", [*schema.STEPS, broken])
    with pytest.raises(UserError, match="nowhere"):
        AnnotationFile(file.path)
    with pytest.raises(UserError, match="open it once"):
        AnnotationFile(file.path, writable=False)
    monkeypatch.setattr(schema, "STEPS", [*schema.STEPS[:-1], broken[:1]])
    again = AnnotationFile(file.path)
    assert again._all("PRAGMA user_version") == [(2,)]
    assert "more" in [row[1] for row in again._all("PRAGMA table_info(states)")]
    assert again.held("a1", kim).reading.note == "a"
    again.close()


def test_the_first_version_is_as_it_was_released():
    """A step that was released never changes: files of that version lie on disks."""
    import hashlib

    first = hashlib.sha256("\n".join(schema.STEPS[0]).encode()).hexdigest()
    assert first.startswith("d4bb95d60c2551d7")
