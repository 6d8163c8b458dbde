"""`--overwrite` beside processes that read the set; a reader whose set was replaced notices it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys

import pytest
from ml_collections import ConfigDict

from segjax import cli
from segjax.data import digest, staging, store
from segjax.data.dataset import Dataset
from segjax.data.folders import preparing
from segjax.errors import UserError
from tests.data.test_interrupted_overwrite import Source
from tests.data.test_removing_used import READS, held
from tests.wrong_input.conftest import snapshot

__all__ = ["held"]
SPLITS = {"train": "train"}


@pytest.fixture(params=["mine", "idrid/grading"])
def source(request, tmp_path):
    """A prepared set whose source has changed since."""
    made = Source(tmp_path, request.param)
    made.before = made.digest()
    made.change()
    return made


def place(source):
    return source.home / "1.0.0"


def dataset(source):
    section = {"name": source.name, "data_dir": str(source.data), "splits": SPLITS}
    return Dataset(ConfigDict(section))


def refused(source, capfd):
    """The set and its contact sheet stay, and one line says why."""
    before = snapshot(place(source)), sheet(source)
    capfd.readouterr()
    assert cli.main([*source.words, "--overwrite"]) == 2
    errors = capfd.readouterr().err
    assert errors == f"segjax: {place(source)}: in use by another process, such as a training\n"
    assert (snapshot(place(source)), sheet(source)) == before
    assert not staging.made_in(source.home)


def sheet(source):
    path = source.home / preparing.SHEET
    return path.read_bytes() if path.exists() else None


def test_a_set_that_another_process_reads_is_not_replaced(source, capfd, monkeypatch):
    command = [sys.executable, "-c", READS, str(source.data), source.name]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        left = int(reader.stdout.readline())
        try:
            with monkeypatch.context() as patch:
                patch.setattr(store, "_download", None)  # refused before anything is made
                refused(source, capfd)
            reader.send_signal(signal.SIGKILL)
            reader.wait()
        finally:
            os.kill(left, signal.SIGKILL)
    assert cli.main([*source.words, "--overwrite"]) == 0
    assert source.digest() != source.before


def test_nor_one_that_is_read_when_the_new_one_is_ready(source, capfd, monkeypatch):
    usual = store._download
    with contextlib.ExitStack() as reading:

        def slow(*given):
            usual(*given)
            reading.enter_context(staging.using(place(source)))

        monkeypatch.setattr(store, "_download", slow)
        before = snapshot(place(source))
        assert cli.main([*source.words, "--overwrite"]) == 2
        assert "in use by another process" in capfd.readouterr().err
        assert snapshot(place(source)) == before and not staging.made_in(source.home)


def test_its_own_use_is_no_obstacle_and_its_lock_goes_on(source, held):
    made = dataset(source)
    made.open("train", ())
    assert len(held) == 1
    staging.check_unused(place(source))
    with staging.alone(place(source)) as free:  # as another process asks
        assert not free
    assert cli.main([*source.words, "--overwrite"]) == 0 and source.digest() != source.before


def test_beside_its_own_use_that_of_another_counts(source, capfd):
    dataset(source).open("train", ())
    with staging.using(place(source)):
        refused(source, capfd)
    with staging.alone(place(source)) as free:  # still locked for this process
        assert not free


def test_where_nothing_would_be_replaced_nobody_is_in_the_way(tmp_path):
    source = Source(tmp_path, "mine")
    with staging.using(place(source)):
        assert cli.main([*source.words, "--overwrite"]) == 0


def test_a_reader_notices_that_its_set_was_replaced(source):
    """As where a disk knows no locks."""
    made = dataset(source)
    assert made.digest == source.before
    names = made.names("train")
    shutil.rmtree(place(source))
    assert cli.main(source.words) == 0
    now = source.digest()
    words = f"was replaced while this process used it: its digest was {digest.short(made.digest)}, "
    # Also of what it has read already
    asked = (lambda: made.open("train", ()), lambda: made.patients(["a"]))
    for ask in (*asked, lambda: made.names("train"), lambda: made.column("train", "image_id")):
        with pytest.raises(UserError, match=f"{place(source)}: {words}and is {digest.short(now)}"):
            ask()
    assert names
