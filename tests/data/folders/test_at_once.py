"""Two preparations of one name at the same time."""

import contextlib

import pytest

from segjax.cli import main
from segjax.data import own, store
from tests.data.folders.settings import mask, picture
from tests.data.folders.test_photographs import records


@pytest.fixture
def folders(tmp_path):
    """Two folders of five and six photographs."""
    for name, count, seed in (("first", 5, 0), ("second", 6, 50)):
        for n in range(count):
            picture(tmp_path / name / "images" / f"{name}{n}.png", seed=seed + n)
            mask(tmp_path / name / "masks" / f"{name}{n}.png")
    return tmp_path


def prepare(folders, name, *words):
    given = ["--images", str(folders / name / "images"), "--masks", str(folders / name / "masks")]
    given += ["--name", "mine", "--data_dir", str(folders / "data"), *words]
    return main(["data", "prepare", "folder", *given])


def faster(monkeypatch, folders, name):
    """Another process prepares a folder while the next one waits for the lock."""
    usual = store._alone

    @contextlib.contextmanager
    def waiting(place):
        monkeypatch.setattr(store, "_alone", usual)
        assert prepare(folders, name) == 0
        with usual(place):
            yield

    monkeypatch.setattr(store, "_alone", waiting)


def test_who_waited_compares_again_and_leaves_the_set_and_its_sheet(folders, monkeypatch, capfd):
    assert prepare(folders, "second", "--dry_run") == 0
    home = folders / "data" / "mine"
    wanted = (home / "contact_sheet_dry_run.png").read_bytes()
    faster(monkeypatch, folders, "second")
    capfd.readouterr()
    assert prepare(folders, "first") == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and "was prepared from something else: " in errors
    assert "--overwrite prepares it again, another --name" in errors
    assert len(records(folders)) == 6
    assert (home / "contact_sheet.png").read_bytes() == wanted


def test_who_waited_for_a_set_of_the_same_content_has_it(folders, monkeypatch, capfd):
    faster(monkeypatch, folders, "first")
    assert prepare(folders, "first") == 0
    shown = capfd.readouterr().out
    assert shown.count("already prepared: ") == 1 and shown.count("wrote ") == 1
    assert len(records(folders)) == 5


def test_who_waited_and_may_overwrite_does(folders, monkeypatch, capfd):
    faster(monkeypatch, folders, "second")
    assert prepare(folders, "first", "--overwrite") == 0
    assert "already prepared" not in capfd.readouterr().out
    assert len(records(folders)) == 5


def test_where_nothing_can_be_locked_the_slower_one_says_so(folders, monkeypatch, capfd):
    monkeypatch.setattr(store, "_alone", contextlib.nullcontext)
    usual = store._make

    def slow(*given, **options):
        monkeypatch.setattr(store, "_make", usual)
        assert prepare(folders, "second") == 0
        return usual(*given, **options)

    monkeypatch.setattr(store, "_make", slow)
    assert prepare(folders, "first") == 2
    assert "was prepared from something else: " in capfd.readouterr().err
    assert own.names(folders / "data") == ["mine"] and len(records(folders)) == 6
