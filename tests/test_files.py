"""Writing files: the whole file or the one of before."""

import csv
import hashlib
import os
import stat

import numpy as np
import pytest
from matplotlib.figure import Figure

from segjax import files
from segjax.data import outputs

pytestmark = pytest.mark.pictures


def failing_replace(*unused):
    raise OSError("disk full")


WRITERS = {
    "text": lambda path: files.write_text(path, "two"),
    "bytes": lambda path: files.write_bytes(path, b"two"),
    "table": lambda path: files.write_table(path, ["a"], ["x"], np.array([[2.0]])),
    "figure": lambda path: files.write_figure(path, Figure()),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_failed_write_leaves_the_file_of_before(tmp_path, monkeypatch, kind):
    path = tmp_path / "deep" / "a.file"
    files.write_text(path, "one")
    assert path.read_text() == "one" and stat.S_IMODE(path.stat().st_mode) == 0o644
    monkeypatch.setattr("os.replace", failing_replace)
    with pytest.raises(OSError, match="disk full"):
        WRITERS[kind](path)
    assert path.read_text() == "one"
    assert [p.name for p in path.parent.iterdir()] == ["a.file"]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_write_makes_folders_and_replaces(tmp_path, kind):
    path = tmp_path / "deep" / "a.file"
    WRITERS[kind](path)
    first = path.read_bytes()
    WRITERS[kind](path)
    assert first and [p.name for p in path.parent.iterdir()] == ["a.file"]


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError) as caught, files.naming(tmp_path / "a"):
        raise OSError(28, "No space left on device")
    assert caught.value.filename == str(tmp_path / "a")


def test_a_table_has_six_digits_and_empty_cells(tmp_path):
    path, rows = tmp_path / "a.csv", np.array([[1 / 3, np.nan], [2e10, np.inf], [12_345_678, 2e20]])
    digest = files.write_table(path, ["x", "y"], ["one, two", 'three"', "4"], rows)
    with path.open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["image", "x", "y"],
            ["one, two", "0.333333", ""],
            ['three"', "20000000000", "inf"],
            ["4", "12345678", "2e+20"],
        ]
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert outputs.is_own(path, ["x", "y"]) and not outputs.is_own(path)


def test_a_figure_is_known_again(tmp_path):
    files.write_figure(tmp_path / "a.png", Figure())
    assert outputs.is_own(tmp_path / "a.png")


def test_several_files_appear_together_in_their_order(tmp_path, monkeypatch):
    folder, order, replace = tmp_path / "new", [], os.replace
    monkeypatch.setattr("os.replace", lambda a, b: (order.append(b.name), replace(a, b)))
    files.write_together(folder, {"b": b"1", "a": b"2"}, stage=".stage-")
    assert order == ["b", "a"] and (folder / "a").read_bytes() == b"2"
    assert sorted(p.name for p in folder.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("there", [False, True])
def test_several_files_or_none(tmp_path, monkeypatch, there):
    folder = tmp_path / "new"
    if there:
        folder.mkdir()
        (folder / ".stage-left").mkdir()
        (folder / "b").write_text("before")
    monkeypatch.setattr("os.replace", failing_replace)
    with pytest.raises(OSError, match="disk full"):
        files.write_together(folder, {"b": b"1", "a": b"2"}, stage=".stage-")
    assert folder.exists() == there
    assert not there or [p.name for p in folder.iterdir()] == ["b"]
