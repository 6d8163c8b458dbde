"""What is submitted to Slurm, which scripts play here, and which of its jobs are a sweep's."""

import json
import types

import pytest

from segjax.config.sweeps import point_id, product
from segjax.errors import UserError
from segjax.launch import slurm
from segjax.launch.engines.slurm import Slurm

SQUEUE = """#!/bin/sh
case "$*" in
*--format=%F) name=$(echo "$*" | sed 's/.*--name=//; s/ .*//')
    grep -F "|$name" "$QUEUE" | cut -d'|' -f1 ;;
*) cat "$QUEUE" ;;
esac
"""
# It keeps a task of every job; numbers rise
SBATCH = """#!/bin/sh
job=$(($(wc -l <"$QUEUE") + 1))
name=$(sed -n 's/^#SBATCH --job-name=//p' "$2")
echo "$job|0|PENDING|Priority||0:00|$name" >>"$QUEUE"
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
    (one,) = slurm.submissions(folder)
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
    # Of the same name, as it was before each had letters of its own, and of another folder
    submit(Slurm(), tmp_path / "b" / tmp_path.name, 1)
    (tmp_path / "slurm" / "0001" / slurm.JOB).unlink()
    # Another name in the user's file does not matter
    assert Slurm().busy(tmp_path) == {point_id(POINTS[0])}
    kept = json.loads((tmp_path / "slurm" / "0001" / slurm.JOB).read_text())
    assert kept == {"job": 1, "points": [point_id(POINTS[0])]}


def test_a_job_of_the_same_number_that_is_not_the_sweeps_is_no_state_of_it(queue, tmp_path):
    submit(Slurm(), tmp_path, 1)
    made = slurm.submissions(tmp_path)
    assert slurm.states(made)
    queue.write_text("1|0|RUNNING|None|node1|1:00|a|name of another's\n")
    assert slurm.states(made) == {}


def test_where_a_later_job_is_refused_the_earlier_ones_are_told(queue, tmp_path):
    program = queue.parent / "bin" / "sbatch"
    program.write_text(REFUSING + SBATCH.partition("\n")[2])
    line = "limit; 6 of 8 points are submitted, and the same command submits the others"
    with pytest.raises(UserError, match=line):
        submit(Slurm(), tmp_path, 8)
    assert [len(one.points) for one in slurm.submissions(tmp_path)] == [3, 3]
    program.write_text(SBATCH)
    queue.write_text("")
    submit(Slurm(), tmp_path, 8)


def test_a_slurm_without_array_jobs_is_told(queue, tmp_path):
    program = queue.parent / "bin" / "scontrol"
    program.write_text(SCONTROL.replace("= 3", "= 0"))
    with pytest.raises(UserError, match="--engine slurm: this Slurm takes no array jobs"):
        submit(Slurm(), tmp_path, 1)


def test_what_is_not_slurms_is_refused(queue):
    pod = {"accelerator": "tpu-v5-lite-podslice", "accelerators": 4, "topology": "2x2"}
    with pytest.raises(UserError, match="--engine slurm: cluster.accelerator='tpu-v5.*not Slurm's"):
        Slurm(**pod).check([])
    with pytest.raises(UserError, match="--topology 2x2: is of TPUs"):
        Slurm(topology="2x2").check([])


def test_more_points_than_an_array_has_are_several_jobs(queue, tmp_path, capsys):
    submit(Slurm(), tmp_path, 8)
    # Places in an array are 0 to MaxArraySize - 1
    assert [len(one.points) for one in slurm.submissions(tmp_path)] == [3, 3, 2]
    scripts = [path.read_text() for path in sorted((tmp_path / "slurm").glob("*/submit.sh"))]
    assert ["--array=0-2" in text for text in scripts] == [True, True, False]
    assert capsys.readouterr().out.count("submitted ") == 3
