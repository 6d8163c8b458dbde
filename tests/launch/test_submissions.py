"""What is submitted to Slurm, which scripts play here, and which of its jobs are a sweep's."""

import dataclasses
import os
import shutil
import types

import pytest

from segjax.config.sweeps import point_id, product
from segjax.errors import UserError
from segjax.launch import slurm, status, submissions
from segjax.launch.engines import slurm as slurm_engine
from segjax.launch.engines.slurm import Slurm

SQUEUE = """#!/bin/sh
test -z "$SQUEUE_PARTITION" || exit 0
names=$(echo "$*" | sed 's/.*--name=//; s/ .*//; s/,/\\n/g')
grep -F "$names" "$QUEUE" || true
"""
# It keeps a task of every job; numbers rise
SBATCH = """#!/bin/sh
job=$(($(wc -l <"$QUEUE") + 1))
for word in "$@"; do case $word in --job-name=*) name=${word#*=} ;; esac; done
echo "$job|0|PENDING|Priority||0:00|$name" >>"$QUEUE"
echo "$*" >>"$QUEUE.words"
test -z "$UNCLEAR" || { echo "sbatch: error: failed: Socket timed out" >&2; exit 1; }
echo "$job"
"""
REFUSING = """#!/bin/sh
[ "$(wc -l <"$QUEUE")" -lt 2 ] || { echo "sbatch: error: at a limit" >&2; exit 1; }
"""
SCONTROL = """#!/bin/sh
echo "MaxArraySize            = 3"
"""
POINTS = product(seed=range(8))


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """The lines that squeue prints, with Slurm's commands on the path."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {"squeue": SQUEUE, "sbatch": SBATCH, "scontrol": SCONTROL}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    file = tmp_path / "queue"
    file.touch()
    monkeypatch.setenv("QUEUE", str(file))
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return file


def sweep_of(folder, count, busy=()):
    progress = types.SimpleNamespace(missing=POINTS[:count])
    return types.SimpleNamespace(
        progress=progress, busy=set(busy), workdir=folder, text="experiment.py", extra={}
    )


def submit(engine, folder, count=3):
    engine.run(sweep_of(folder, count, engine.busy(folder)))


def test_a_point_in_the_queue_is_not_submitted_again(queue, tmp_path, capsys):
    folder = tmp_path / "my sweep"
    submit(Slurm(), folder, 1)
    submit(Slurm(), folder, 1)
    assert "1 points are in Slurm's queue already" in capsys.readouterr().out
    (one,) = submissions.read(folder)
    assert one.name.startswith("segjax-my_sweep-") and one.job == 1
    assert slurm.states([one])[point_id(POINTS[0])].shown() == (
        "queued",
        "queued as job 1_0 (Priority)",
    )


def test_of_two_that_asked_at_the_same_time_one_submits_also_without_locks(queue, tmp_path):
    first, second = Slurm(), Slurm()
    for engine in (first, second):
        assert engine.busy(tmp_path) == set()
    first.run(sweep_of(tmp_path, 3))
    with pytest.raises(UserError, match="another process submits this sweep"):
        second.run(sweep_of(tmp_path, 3))
    assert len(queue.read_text().splitlines()) == 1


def test_a_submission_whose_number_was_not_kept_is_found_by_its_name(queue, tmp_path):
    submit(Slurm(), tmp_path, 1)
    # Of the same name but for its last letters, and of another folder
    submit(Slurm(), tmp_path / "b" / tmp_path.name, 1)
    (one,) = submissions.read(tmp_path)
    one.keep(None)
    assert "1 queued" in status.of_points(tmp_path, POINTS[:1])
    assert submissions.read(tmp_path)[0].job is None  # to look writes nothing
    assert Slurm().busy(tmp_path) == {point_id(POINTS[0])}
    assert submissions.read(tmp_path) == [one]


def test_a_job_that_slurm_took_although_sbatch_failed_is_found(queue, tmp_path, monkeypatch):
    monkeypatch.setenv("UNCLEAR", "1")
    with pytest.raises(UserError, match="Socket timed out; it is not known whether"):
        submit(Slurm(), tmp_path, 1)
    monkeypatch.delenv("UNCLEAR")
    submit(Slurm(), tmp_path, 1)
    assert [one.job for one in submissions.read(tmp_path)] == [1]
    assert len(queue.read_text().splitlines()) == 1


def test_one_that_slurm_does_not_list_is_waited_for_and_then_forgotten(
    queue, tmp_path, monkeypatch
):
    monkeypatch.setattr(slurm_engine, "RETRIES", 0)
    submit(Slurm(), tmp_path, 1)
    submissions.read(tmp_path)[0].keep(None)
    queue.write_text("")
    with pytest.raises(UserError, match="a submission was begun 0 s ago, whose job Slurm does not"):
        submit(Slurm(), tmp_path, 1)
    os.utime(tmp_path / "slurm" / "0001", (0, 0))
    submit(Slurm(), tmp_path, 1)
    assert [one.folder.name for one in submissions.read(tmp_path)] == ["0001", "0002"]


def test_a_job_of_the_same_number_that_is_not_the_sweeps_is_no_state_of_it(queue, tmp_path):
    submit(Slurm(), tmp_path, 1)
    made = submissions.read(tmp_path)
    assert slurm.states(made)
    queue.write_text(f"1|0|RUNNING|None|node1|1:00|a|{made[0].name} of another's\n")
    assert slurm.states(made) == {}


def test_a_persons_own_variables_and_options_change_nothing(queue, tmp_path, monkeypatch):
    monkeypatch.setenv("SQUEUE_PARTITION", "elsewhere")
    monkeypatch.setenv("SBATCH_PARTITION", "elsewhere")
    engine = Slurm(partition="here")
    engine.cluster = dataclasses.replace(engine.cluster, options=("--job-name=mine", "--hold"))
    submit(engine, tmp_path, 1)
    words = queue.with_name("queue.words").read_text()
    assert "--partition=here " in words and "--hold" in words
    # The last one counts
    assert words.rpartition("--job-name=")[2].startswith("segjax-")
    assert Slurm().busy(tmp_path) == {point_id(POINTS[0])}


def test_a_copy_of_a_sweep_has_no_jobs_and_one_that_was_moved_has_them(queue, tmp_path):
    submit(Slurm(), tmp_path / "one", 1)
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    assert submissions.read(tmp_path / "copy") == [] and submissions.last(tmp_path / "copy") == 1
    assert Slurm().busy(tmp_path / "copy") == set()
    (tmp_path / "one").rename(tmp_path / "moved")
    assert Slurm().busy(tmp_path / "moved") == {point_id(POINTS[0])}


@pytest.mark.parametrize(
    "text", ["", "null", "[]", '{"job": 1}', '{"job": Infinity, "name": "a", "points": []}']
)
def test_a_damaged_record_is_named(queue, tmp_path, text):
    submit(Slurm(), tmp_path, 1)
    (tmp_path / "slurm" / "0001" / submissions.RECORD).write_text(text)
    with pytest.raises(UserError, match="slurm/0001/job.json: damaged"):
        submissions.read(tmp_path)


def test_other_things_in_the_folder_are_no_submissions(queue, tmp_path):
    submit(Slurm(), tmp_path, 1)
    folder = tmp_path / "slurm"
    shutil.copytree(folder / "0001", folder / "0001.bak")
    (folder / "0002").symlink_to("nowhere")
    # Only the record counts
    for name in ("points.txt", "submit.sh"):
        (folder / "0001" / name).unlink()
    assert Slurm().busy(tmp_path) == {point_id(POINTS[0])}
    submit(Slurm(), tmp_path, 2)
    assert [one.folder.name for one in submissions.read(tmp_path)] == ["0001", "0003"]


def test_a_submission_that_cannot_be_written_leaves_nothing(queue, tmp_path, monkeypatch):
    def full(path, text):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(slurm, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        submit(Slurm(), tmp_path, 1)
    monkeypatch.undo()
    assert submissions.last(tmp_path) == 0


def test_the_limit_of_points_at_once_holds_over_several_jobs(queue, tmp_path):
    submit(Slurm(array_limit=2), tmp_path, 4)
    submit(Slurm(array_limit=2), tmp_path, 5)
    words = queue.with_name("queue.words").read_text().splitlines()
    after = [line.partition("--dependency=")[2].split(" ")[0] for line in words]
    assert after == ["", "afterany:1", "afterany:1:2"]


@pytest.mark.parametrize("name", ["back\\slash", "new\nline"])
def test_folders_that_slurm_cannot_write_into_are_refused(queue, tmp_path, name):
    with pytest.raises(UserError, match="Slurm takes no backslashes or line breaks there"):
        submit(Slurm(), tmp_path / name, 1)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("time", ["1", "4:59", "0:04:59"])
def test_a_limit_in_which_no_point_could_save_is_refused(queue, time):
    with pytest.raises(UserError, match=f"cluster.time='{time}': takes at least 5 minutes"):
        Slurm(time=time).check([])


def test_other_engines_keep_off_points_that_slurm_has(queue, tmp_path, capsys, monkeypatch):
    submit(Slurm(), tmp_path, 1)
    with pytest.raises(UserError, match=r"1 points are in Slurm's queue, or run \(job 1\): --eng"):
        slurm.check_idle(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(slurm.shutil, "which", lambda name: None)
    assert slurm.check_idle(tmp_path) == set()
    assert "to Slurm, which cannot be asked: no squeue on this machine" in capsys.readouterr().err


def test_more_points_than_an_array_has_are_several_jobs(queue, tmp_path, capsys):
    submit(Slurm(), tmp_path, 8)
    # Places in an array are 0 to MaxArraySize - 1
    assert [len(one.points) for one in submissions.read(tmp_path)] == [3, 3, 2]
    scripts = [path.read_text() for path in sorted((tmp_path / "slurm").glob("*/submit.sh"))]
    assert ["--array=0-2" in text for text in scripts] == [True, True, False]
    assert capsys.readouterr().out.count("submitted ") == 3
