"""The verb `annotate`: how it starts, ends, and refuses."""

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading

import pytest

from segjax.cli import main
from tests.annotate.serving import Page, photograph


@pytest.fixture
def folder(tmp_path):
    for k in range(2):
        photograph(tmp_path / "photos" / f"{k}.png", seed=k)
    return tmp_path / "photos"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "a.sqlite"


class Running:
    """The verb in a process of its own, up to its address."""

    def __init__(self, folder, file, *more):
        words = "-m", "segjax.cli", "annotate", str(folder), "--annotations", str(file), *more
        self.process = subprocess.Popen(
            [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        late = threading.Timer(60, self.process.kill)
        late.start()
        self.said, found = [], None
        while found is None:
            line = self.process.stdout.readline()
            assert line, self.process.communicate()[1]
            self.said.append(line)
            found = re.search(r"http://127\.0\.0\.1:(\d+)/([\w-]+)/", line)
        late.cancel()
        self.page = Page(int(found[1]), found[2])

    def end(self, number):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


def test_it_goes_on_under_the_same_address_after_a_kill(folder, file):
    first = Running(folder, file, "--port", "0")
    assert first.said[0] == f"2 photographs of {folder}, 0 finished and 0 begun readings\n"
    kim = first.page.annotator("Kim")
    image = kim.images[0]["id"]
    kim.place(image)
    state = kim.mark(image, "drusen", "macula").json["state"]
    first.end(signal.SIGKILL)
    second = Running(folder, file, "--port", str(first.page.port))
    assert second.page == first.page
    kim.page = second.page
    assert kim.edit(image, "done", done=True).json["reading"]["findings"] == {"drusen": ["macula"]}
    assert kim.edit(image, "undo", state=state + 1).json["state"] == state
    status, out, err = second.end(signal.SIGINT)
    assert (status, err) == (0, "")
    assert out.endswith(f"ended; 0 finished and 1 begun readings in {file}\n")


def test_sigterm_ends_it_as_well(folder, file):
    status, out, err = Running(folder, file, "--port", "0").end(signal.SIGTERM)
    assert (status, err) == (0, "") and "ended; 0 finished" in out


def refused(capsys, *words):
    """The one line of a refusal."""
    assert main(["annotate", *map(str, words)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    return said.err


def test_a_port_in_use_leaves_no_file(folder, file, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = refused(capsys, folder, "--annotations", file, "--port", port)
    assert line == f"segjax: --port {port}: is in use; take another one, or 0 for any\n"
    assert not file.exists()
    assert "takes 0 to 65535" in refused(capsys, folder, "--annotations", file, "--port", 70000)


def test_the_file_lies_outside_of_the_folder(folder, tmp_path, capsys):
    (tmp_path / "link").symlink_to(folder)
    places = folder / "a.sqlite", tmp_path / "link" / "a.sqlite", folder / ".." / "photos" / "b.sql"
    for place in places:
        line = refused(capsys, folder, "--annotations", place)
        assert "where nothing is written" in line
        for flag in ("--export", "--table", "--backup"):
            words = folder, "--annotations", tmp_path / "a.sqlite", flag, place.with_suffix(".csv")
            assert f"{flag} " in refused(capsys, *words)
    assert sorted(path.name for path in folder.iterdir()) == ["0.png", "1.png"]


def test_what_is_wrong_is_said_in_a_line(folder, file, tmp_path, capsys):
    line = refused(capsys, tmp_path / "none", "--annotations", file)
    assert line == f"segjax: FOLDER {tmp_path / 'none'}: no such folder\n"
    (tmp_path / "empty").mkdir()
    assert "holds no pictures" in refused(capsys, tmp_path / "empty", "--annotations", file)
    (tmp_path / "b.sqlite").write_text("no database, but a text of some length")
    for more in ((), ("--export", tmp_path / "x.csv"), ("--backup", tmp_path / "x.sqlite")):
        line = refused(capsys, folder, "--annotations", tmp_path / "b.sqlite", *more)
        assert "is no annotation file" in line
    assert "no such file" in refused(capsys, folder, "--annotations", file, "--table", "t.csv")
    words = folder, "--annotations", file, "--run", tmp_path / "none"
    assert "--run" in refused(capsys, *words) and "no such work folder" in refused(capsys, *words)
    words = folder, "--annotations", file, "--backup", tmp_path / "x", "--port", "1"
    assert "--port: is for the page" in refused(capsys, *words)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        assert "segjax[annotate]" in refused(capsys, folder, "--annotations", file)


def test_what_is_refused_leaves_no_file(folder, file, tmp_path, capsys):
    (tmp_path / "list.txt").write_text("")
    (tmp_path / "t.csv").write_text("image\n")
    for more in (
        ("--findings", tmp_path / "list.txt"),
        ("--run", tmp_path),
        ("--import", tmp_path / "t.csv"),
    ):
        refused(capsys, folder, "--annotations", file, *more)
        assert not list(tmp_path.glob("a.sqlite*"))
    (tmp_path / "round").symlink_to(tmp_path / "round")
    assert "circle" in refused(capsys, folder, "--annotations", tmp_path / "round")
    (tmp_path / "nowhere").symlink_to(tmp_path / "none" / "b.sqlite")
    assert "No such file" in refused(capsys, folder, "--annotations", tmp_path / "nowhere")


def test_a_table_that_is_missing_is_named_once(folder, file, tmp_path, capsys):
    for name in ("none.csv", "none.json"):
        path = tmp_path / name
        line = refused(capsys, folder, "--annotations", file, "--import", path)
        assert line == f"segjax: {path}: No such file or directory\n"


def test_a_folder_whose_name_is_not_utf_8_is_refused(tmp_path, capsys):
    name = os.fsencode(tmp_path) + b"/photos \xff"
    try:
        os.mkdir(name)
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    photograph(tmp_path / "a.png").rename(os.fsdecode(name + b"/a.png"))
    (tmp_path / "link").symlink_to(os.fsdecode(name))
    for folder in (os.fsdecode(name), tmp_path / "link"):
        line = refused(capsys, folder, "--annotations", tmp_path / "a.sqlite")
        assert "is not UTF-8; rename the folder" in line


@pytest.mark.parametrize("flag", ["--backup", "--table"])
def test_nothing_is_written_over_what_sqlite_has_beside_the_file(
    folder, file, tmp_path, capsys, flag
):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "b.sqlite").symlink_to(file)
    Running(folder, file, "--port", "0").end(signal.SIGINT)
    for ending in ("-wal", "-shm", "-journal"):
        path = file.with_name(file.name + ending)
        for annotations in (file, tmp_path / "there" / "b.sqlite"):
            line = refused(capsys, folder, "--annotations", annotations, flag, path)
            assert "SQLite's own" in line
        assert not path.exists()


def test_a_photograph_that_has_changed_is_named_at_the_start(folder, file):
    first = Running(folder, file, "--port", "0")
    kim = first.page.annotator("Kim")
    kim.place(kim.images[0]["id"])
    first.end(signal.SIGINT)
    photograph(folder / "0.png", seed=8)
    _, _, err = Running(folder, file, "--port", "0").end(signal.SIGINT)
    assert err == "segjax: 1 photograph is another file than annotated, and refused: 0.png\n"


def test_photographs_that_cannot_be_opened_are_named_at_the_start(folder, file, capsys):
    (folder / "z.jpg").write_bytes(b"nothing")
    running = Running(folder, file, "--port", "0")
    assert running.said[0].startswith("2 photographs of")
    _, _, err = running.end(signal.SIGINT)
    what = "z.jpg: is not a PNG, JPEG, TIFF, BMP or GIF image"
    assert err == f"segjax: 1 photograph cannot be opened: {what}\n"
    for k in range(2):
        (folder / f"{k}.png").unlink()
    line = refused(capsys, folder, "--annotations", file)
    assert "none of its photographs can be opened" in line and what in line


def test_two_photographs_of_one_name_are_refused(folder, file, capsys):
    shutil.copy(folder / "0.png", folder / "0.bmp")
    assert "two images are called '0'" in refused(capsys, folder, "--annotations", file)


def test_a_locked_file_is_named(folder, file, capsys, monkeypatch):
    monkeypatch.setattr("segjax.annotate.opening.WAIT", 0.05)
    Running(folder, file, "--port", "0").end(signal.SIGKILL)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    line = refused(capsys, folder, "--annotations", file, "--port", "0")
    assert line == f"segjax: --annotations {file}: is locked by another program; close it there\n"
    other.close()


def test_transfers_through_the_command(folder, file, tmp_path, capsys):
    running = Running(folder, file, "--port", "0")
    kim = running.page.annotator("Kim")
    image = kim.images[0]["id"]
    kim.place(image)
    kim.mark(image, "drusen", "macula")
    kim.edit(image, "done", done=True)
    words = ["annotate", str(folder), "--annotations", str(file)]
    backup, table, export = (str(tmp_path / n) for n in ("b.sqlite", "t.csv", "e.json"))
    # While the page is in use
    assert main([*words, "--backup", backup]) == 0
    assert main([*words, "--table", table]) == 0
    assert main([*words, "--export", export]) == 0
    running.end(signal.SIGINT)
    assert main([*words[:3], str(tmp_path / "new.sqlite"), "--import", export]) == 0
    said = capsys.readouterr().out.splitlines()
    reading = "1 reading of 1 photograph by 1 annotator"
    assert said == [
        f"{backup}: a copy of {file}",
        f"{table}: {reading}",
        f"{export}: {reading}",
        f"{export}: {reading} added, 0 there already",
    ]
    assert "exists; take another name" in refused(capsys, *words[1:], "--backup", backup)
    assert "exists; take another name" in refused(capsys, *words[1:], "--export", export)
