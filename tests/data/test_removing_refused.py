"""What `segjax data remove` refuses: one line, status 2, and nothing is removed."""

import os
import shutil

import pytest

from segjax import cli
from segjax.data import digest, staging, store
from segjax.data.folders import scan
from tests.data.test_removing import (
    GRADING,
    LOCATING,
    SPELLED,
    cache_of,
    data,
    everything,
    names,
    remove,
)
from tests.wrong_input.conftest import refuses

__all__ = ["data", "everything", "refuses"]


@pytest.mark.parametrize("words", [[], ["--caches"]])
@pytest.mark.parametrize(
    "name, named",
    [
        ("idird", ["NAME='idird'", "did you mean 'idrid'?"]),
        ("min", ["did you mean 'mine'?"]),
        ("idrid/gradin", ["did you mean 'grading'?"]),
        (
            "idrid",
            [f"2 configurations of it are prepared in DATA; name one: {GRADING}, {LOCATING}"],
        ),
        ("idrid/segmentation", ["is not prepared in DATA; of this set there is idrid/grading, "]),
        ("drive", ["NAME='drive': is not prepared in DATA"]),
        ("synthetic_fundus/48px_1_1_2", ["is not prepared in DATA", f"there is {SPELLED}"]),
        ("mine/other", ["NAME='mine/other': mine is a set of your own, which has no configs"]),
        ("mine/1.0.0", ["NAME='mine/1.0.0': mine is a set of your own"]),
        ("idrid/grading/1.0.0", ["idrid/grading/1.0.0"]),
        ("..", ["'..'"]),
        ("idrid/..", ["idrid/.."]),
        ("", ["''"]),
        ("preprocessed", ["preprocessed"]),
    ],
)
def test_names_that_are_refused(data, refuses, name, named, words):
    cache_of(data, GRADING)
    wanted = [each.replace("DATA", str(data)) for each in named]
    words = ["--data_dir", data, *words]
    refuses("data", "remove", name, *words, names=wanted, untouched=[data.parent])


def test_a_folder_of_caches_that_is_not_there(data, refuses):
    words = ["data", "remove", "mine", "--data_dir", data, "--cache_dir", "absent"]
    refuses(*words, names=["--cache_dir absent: no such folder"], untouched=[data])


def test_the_sets_of_others_are_not_removed(data, refuses):
    """In a folder that TensorFlow Datasets uses for other sets as well."""
    shutil.copytree(data / GRADING / "1.0.0", data / "mnist" / "1.0.0")
    (data / "mnist/1.0.0" / digest.NAME).unlink()
    words = ["data", "remove", "mnist", "--data_dir", data]
    refuses(*words, names=["'mnist'", "no such data set"], untouched=[data])


def prepares(home):
    return store._alone(home)


def makes(home):
    # Where the disk knows no locks, only the folder tells
    return staging.folder(home, "1.0.0")


class reads:
    """A scan of a source that goes on."""

    def __init__(self, home):
        self.journal = scan.Journal(home / scan.NAME)

    def __enter__(self):
        self.journal.one(self.journal.path, "images", lambda path: [1])
        return self.journal.__enter__()

    def __exit__(self, *unused):
        self.journal.__exit__()


@pytest.mark.parametrize("work", [prepares, makes, reads])
def test_a_set_that_is_just_being_prepared_is_refused(data, refuses, work):
    words = ["data", "remove", "mine", "--data_dir", data]
    with work(data / "mine"):
        named = ["mine: is just being prepared by another process", data / "mine"]
        refuses(*words, names=named, untouched=[data])
        assert remove(data, GRADING) == 0
    assert remove(data, "mine") == 0


@pytest.mark.parametrize("words", [[], ["--caches"]])
def test_caches_that_a_training_uses_are_refused_and_the_set_stays(
    data, refuses, monkeypatch, words
):
    monkeypatch.setattr(staging, "_held", {})
    own = cache_of(data, "mine")
    staging.hold(own)
    words = ["data", "remove", "mine", "--data_dir", data, *words]
    refuses(*words, names=[f"{own}: in use by another process"], untouched=[data])
    os.close(staging._held.popitem()[1])
    assert cli.main(list(map(str, words))) == 0 and not own.exists()


@pytest.mark.parametrize("place", ["idrid", "idrid/grading", "idrid/grading/1.0.0", "mine"])
def test_a_set_behind_a_link_is_refused(data, tmp_path, refuses, place):
    outside = data.parent / "outside"
    (data / place).rename(outside)
    (data / place).symlink_to(outside)
    name = "mine" if place == "mine" else GRADING
    assert name in names(data)
    words = ["data", "remove", name, "--data_dir", data]
    named = [f"{data / place}: is a link, to {outside}"]
    refuses(*words, names=named, untouched=[data, outside])
