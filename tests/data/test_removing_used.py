"""`segjax data remove` beside other processes: those that read the set, and another removal."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
from ml_collections import ConfigDict

from segjax import cli
from segjax.data import removing, staging, store
from segjax.data.dataset import Dataset
from segjax.errors import UserError
from tests.data.test_removing import (
    ALL,
    GRADING,
    KILLED,
    SPELLED,
    cache_of,
    data,
    everything,
    names,
    remove,
)
from tests.wrong_input.conftest import refuses

__all__ = ["data", "everything", "refuses"]
SPLITS = {"train": "train"}
READS = """
import os, subprocess, sys
from ml_collections import ConfigDict
from segjax.data.dataset import Dataset
section = ConfigDict({"name": sys.argv[2], "data_dir": sys.argv[1], "splits": {"train": "train"}})
Dataset(section).open("train", ("image",))
if os.fork() == 0:
    os._exit(0)
os.wait()
# A program of its own, which outlives the reader
left = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
print(left.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def held(monkeypatch):
    """What this process holds, for the length of a test."""
    monkeypatch.setattr(staging, "_held", {})
    yield staging._held
    release()


def release():
    """As at the end of the process."""
    while staging._held:
        os.close(staging._held.popitem()[1])


def dataset(data, name):
    return Dataset(ConfigDict({"name": name, "data_dir": str(data), "splits": SPLITS}))


@pytest.mark.parametrize("name", ["mine", GRADING, SPELLED])
def test_a_set_that_another_process_reads_is_refused(data, refuses, name):
    command = [sys.executable, "-c", READS, str(data), name]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        left = int(reader.stdout.readline())
        try:
            words = ["data", "remove", name, "--data_dir", data]
            place = data / name / "1.0.0"
            named = [f"{place}: in use by another process, such as a training"]
            refuses(*words, names=named, untouched=[data])
            others = ALL - {name}
            assert remove(data, min(others)) == 0 and names(data) == ALL - {min(others)}
            reader.send_signal(signal.SIGKILL)
            reader.wait()
            assert remove(data, name) == 0
        finally:
            os.kill(left, signal.SIGKILL)
    assert names(data) == others - {min(others)}


def test_its_caches_alone_may_go(data):
    own = cache_of(data, "mine")
    dataset(data, "mine").open("train", ())
    assert remove(data, "mine", "--caches") == 0 and not own.exists()
    assert remove(data, "mine") == 2 and "mine" in names(data)


def test_counting_and_naming_hold_nothing(data, held):
    made = dataset(data, "mine")
    assert made.count("train") and made.has("train") and made.digest and made.features
    assert not held and remove(data, "mine") == 0


def test_a_set_that_is_read_may_be_prepared_anew(data, held):
    made = dataset(data, SPELLED)
    before = made.open("train", ("image",))[0]
    assert store.prepare(store.builder(SPELLED, str(data)), replace=True)
    # The reader still has the old one; who removes sees no reader of the new one
    assert (before["image"] == made.open("train", ("image",))[0]["image"]).all()
    assert len(held) == 1 and remove(data, SPELLED) == 2
    release()
    assert remove(data, SPELLED) == 0


def test_a_folder_to_read_only_and_a_disk_without_locks(data, monkeypatch):
    place = data / "mine" / "1.0.0"
    place.chmod(0o555)
    assert dataset(data, "mine").open("train", ()) and remove(data, "mine") == 2
    place.chmod(0o755)
    release()

    def no_locks(*unused):
        raise OSError("no locks")

    monkeypatch.setattr(staging.fcntl, "flock", no_locks)
    assert dataset(data, "mine").open("train", ()) and remove(data, "mine") == 0


def test_a_folder_that_cannot_be_opened_is_taken_as_it_is(tmp_path, held, monkeypatch):
    assert not staging.use(tmp_path / "absent") and not (tmp_path / "absent").exists()

    def denied(*unused):
        raise PermissionError("not yours")

    monkeypatch.setattr(staging.os, "open", denied)
    assert staging.use(tmp_path) and not held


def test_who_opens_a_set_that_was_just_removed_is_told_so(data):
    own, generated = dataset(data, "mine"), dataset(data, SPELLED)
    assert own.is_prepared and remove(data, "mine") == 0 and remove(data, SPELLED) == 0
    with pytest.raises(UserError, match="'mine': another process has just removed it from"):
        own.open("train", ())
    assert len(generated.open("train", ())) == 1 and SPELLED in names(data)


def test_removed_between_its_preparation_and_its_lock(data, monkeypatch):
    made, usual, calls = dataset(data, SPELLED), staging.use, []

    def late(path):
        calls.append(path)
        if len(calls) == 1:
            assert remove(data, SPELLED) == 0
        return usual(path)

    monkeypatch.setattr(staging, "use", late)
    assert len(made.open("train", ())) == 1
    assert len(calls) == 2 and remove(data, SPELLED) == 2


def test_while_another_process_deletes_it(data, refuses):
    """Its folder has been moved aside, and is not all gone yet."""
    command = [sys.executable, "-c", KILLED, str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "deleting\n"
        words = ["data", "remove", "mine", "--data_dir", data]
        named = ["mine: is just being prepared by another process, or removed", data / "mine"]
        errors = refuses(*words, names=named, untouched=[data])
        assert "did you mean" not in errors
        child.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("step", ["_check_no_link", "_lock", "_lock_set"])
@pytest.mark.parametrize("name", ["mine", GRADING])
def test_gone_between_two_steps_of_a_removal(data, monkeypatch, capfd, step, name):
    usual = getattr(removing, step)

    def late(*given):
        monkeypatch.undo()
        shutil.rmtree(data / name)
        return usual(*given)

    monkeypatch.setattr(removing, step, late)
    assert remove(data, name) == 2
    errors = capfd.readouterr().err
    assert f"{name}: another process has just removed it from {data}" in errors
    assert errors.count("\n") == 1 and not (data / name).exists()


def test_two_removals_at_once(data):
    """One removes it, the other one says so, whoever comes first."""
    words = ["data", "remove", "mine", "--data_dir", str(data)]
    command = [sys.executable, "-m", "segjax.cli", *words]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = {child.communicate()[1]: child.returncode for child in both}
    assert sorted(errors.values()) == [0, 2]
    (line,) = (text for text, status in errors.items() if status == 2)
    assert line.startswith("segjax: ") and line.count("\n") == 1
    assert not (data / "mine").exists() and cli.main(["data", "list", "--data_dir", str(data)]) == 0
