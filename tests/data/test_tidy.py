"""`segjax data prepare` removes what has no owner, and nothing else."""

import os
import pathlib
import shutil

import pytest

from segjax import cli
from segjax.data import array_files, digest, staging, store, tidy

NAME = "synthetic_fundus/48px_1_1_1"
WORDS = ["data", "prepare", NAME, "--data_dir"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tidy") / "data"
    store.prepare(store.builder(NAME, str(folder)))
    return folder


@pytest.fixture
def data(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "data")
    return tmp_path / "data"


def cache(data, found):
    folder = array_files.folder_of(data / array_files.FOLDER, found)
    (folder / "0123456789abcdef").mkdir(parents=True)
    (folder / "0123456789abcdef.npy").write_bytes(b"maps")
    return folder


def test_a_cache_without_an_owner_goes_and_one_with_an_owner_stays(data, capsys):
    own = cache(data, digest.of(store.builder(NAME, str(data))))
    gone = cache(data, "f" * 64)
    old = data / array_files.FOLDER / "00112233445566ff"  # of the time before digests
    old.mkdir()
    (data / array_files.FOLDER / "00112233445566ff.npy").write_bytes(b"")
    (data / array_files.FOLDER / "notes.txt").write_text("mine")
    assert cli.main([*WORDS, str(data)]) == 0
    lines = capsys.readouterr().out.splitlines()
    wanted = f"tidied {data}: removed 3 preprocessed from data that are gone"
    assert [line for line in lines if line.startswith("tidied")] == [wanted]
    assert sorted(p.name for p in (data / array_files.FOLDER).iterdir()) == sorted(
        [own.name, "notes.txt"]
    )
    assert not gone.exists() and len(list(own.iterdir())) == 2
    assert cli.main([*WORDS, str(data)]) == 0
    assert "tidied" not in capsys.readouterr().out


def test_the_owner_may_have_been_prepared_before_digests_were_kept(data):
    made = store.builder(NAME, str(data))
    own = cache(data, digest.of(made))
    (pathlib.Path(made.data_path) / digest.NAME).unlink()
    assert tidy.tidy(str(data)) is None and own.exists()


def test_beside_a_damaged_set_no_cache_is_removed(data):
    made = store.builder(NAME, str(data))
    gone = cache(data, "f" * 64)
    (pathlib.Path(made.data_path) / digest.NAME).unlink()
    (pathlib.Path(made.data_path) / "dataset_info.json").write_text("{")
    assert tidy.tidy(str(data)) is None and gone.exists()


def test_what_a_living_process_works_on_stays(data, monkeypatch):
    monkeypatch.setattr(staging, "_held", {})
    gone = cache(data, "f" * 64)
    staging.hold(gone)
    parent = pathlib.Path(store.builder(NAME, str(data)).data_path).parent
    with staging.folder(parent, "1.0.1") as living:
        assert tidy.tidy(str(data)) is None
        assert gone.exists() and living.exists()
    os.close(staging._held.popitem()[1])
    assert "1 preprocessed" in tidy.tidy(str(data))


def test_the_leftovers_of_killed_preparations_go(data):
    parent = pathlib.Path(store.builder(NAME, str(data)).data_path).parent
    with staging.folder(parent, "1.0.0") as folder:
        killed = folder.with_name(folder.name[:-8] + "k1lled00")
    killed.mkdir()
    (killed / "shard").write_bytes(b"half")
    library = data / "acdc" / "full" / "incomplete.AB12CD_1.0.0"
    library.mkdir(parents=True)
    os.utime(library, (0, 0))
    assert tidy.tidy(str(data)) == f"tidied {data}: removed 2 left by killed preparations"
    assert not killed.exists() and not library.exists()
