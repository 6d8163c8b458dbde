"""The cluster section and its flags; the text of an array job, and how it ends a point."""

import os
import pathlib
import subprocess
import sys

import pytest

from segjax.errors import UserError
from segjax.launch import cluster
from segjax.launch.cluster import Cluster
from segjax.launch.rendering import sbatch
from segjax.launch.rendering.task import Task


def written(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


def test_flags_take_the_place_of_the_section(tmp_path):
    text = (
        '[cluster]\npartition = "gpu"\ntime = "4:00:00"\nnodes = 2\nsetup = ["module load cuda"]\n'
    )
    values = dict.fromkeys(cluster.FLAGS) | {"cluster": written(tmp_path, text), "nodes": 4}
    made = cluster.made(values)
    assert made == Cluster(partition="gpu", time="4:00:00", nodes=4, setup=("module load cuda",))
    assert cluster.made(dict.fromkeys(cluster.FLAGS)) == Cluster()


@pytest.mark.parametrize(
    "text, line",
    [
        (
            "[cluster]\npartiton = 'gpu'",
            "cluster.partiton: no such field, did you mean 'partition'?",
        ),
        ("[cluster]\nnodes = 0", "cluster.nodes 0: takes a whole number"),
        ("[cluster]\nnodes = 2.5", "cluster.nodes=2.5: takes a whole number"),
        ("[cluster]\nnodes = true", "cluster.nodes=True: takes a whole number"),
        ("[cluster]\ntime = 'long'", "cluster.time='long': takes minutes, H:MM:SS or D-HH:MM:SS"),
        ("[cluster]\nname = 'My job'", "cluster.name='My job': takes up to 40 small letters"),
        ("[cluster]\nsetup = 'module load'", "cluster.setup='module load': takes a list of lines"),
        ("[cluster]\naccount = 'a\\nb'", "takes"),
        ('[cluster]\naccount = "a\\nrm"', "takes one line of text"),
        ("[cluster]\naccelerators = 3\ntasks_per_node = 2", "3 accelerators of a machine do not"),
        ("[other]\n", "has no [cluster] section"),
        ("cluster = 3", "has no [cluster] section"),
        ("[cluster", "no TOML"),
    ],
)
def test_a_wrong_section_is_named(tmp_path, text, line):
    given = {"cluster": written(tmp_path, text)}
    if text == "[cluster]\naccount = 'a\\nb'":  # a literal string of TOML: a backslash and an n
        assert cluster.made(given).account == "a\\nb"
        return
    with pytest.raises(UserError) as raised:
        cluster.made(given)
    assert line in str(raised.value) and "\n" not in str(raised.value)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere.toml: No such file"):
        cluster.made({"cluster": str(tmp_path / "nowhere.toml")})


def script(made, folder, count=4, sweep=None):
    places = {"sweep": sweep or folder, "folder": folder, "here": pathlib.Path("/home/a lab")}
    return sbatch.script(made, name="swept-0001", count=count, **places)


def test_an_array_job_has_what_the_section_says():
    made = Cluster(
        partition="gpu", time="2-00:00:00", nodes=4, tasks_per_node=8, accelerators=8,
        accelerator="h100", cpus_per_task=12, memory="900G", array_limit=16, account="lab",
        options=("--exclusive",), setup=("module load cuda",),
    )  # fmt: skip
    text = script(made, pathlib.Path("/shared/50%/swept"), 100)
    options = {line.removeprefix("#SBATCH --") for line in text.splitlines() if "#SBATCH" in line}
    assert options == {
        "job-name=swept-0001", "array=0-99%16", "chdir='/home/a lab'",
        "output=/shared/50%%/swept/%a.txt", "open-mode=append", "nodes=4", "ntasks-per-node=8",
        "cpus-per-task=12", "mem=900G", "gres=gpu:h100:8", "time=2-00:00:00", "partition=gpu",
        "account=lab", "signal=TERM@120", "requeue", "exclusive",
    }  # fmt: skip
    assert "\nmodule load cuda\n" in text
    # One GPU a process is what JAX takes by itself
    assert "JAX_LOCAL_DEVICE_IDS" not in text
    assert "#SBATCH --no-requeue" in script(Cluster(requeue=False), pathlib.Path("/s"))


class Played:
    """A batch script that runs with programs in the place of Slurm's."""

    def __init__(self, folder, made, words):
        self.folder, self.points = folder, folder / "points"
        programs = folder / "programs"
        programs.mkdir(parents=True)
        # As srun does: output appended to the file, in a process for each task
        self._program(programs / "srun", SRUN)
        self._program(programs / "scontrol", 'echo "$@" >>"$ASKED"; exit 1')
        (folder / sbatch.TASKS).write_text(sbatch.tasks([Task("an-id", words)], made))
        self.script = folder / "submit.sh"
        self.script.write_text(script(made, folder, 1))
        self.asked = folder / "asked"
        self.environment = os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "ASKED": str(self.asked),
            "SLURM_ARRAY_TASK_ID": "0",
            "SLURM_JOB_ID": "77",
        }

    def _program(self, path, body):
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def run(self, **more):
        words = ["bash", str(self.script)]
        done = subprocess.run(words, env=self.environment | more, capture_output=True, text=True)
        return done.returncode

    @property
    def printed(self):
        return (self.points / "an-id.txt").read_text()

    @property
    def failed(self):
        path = self.points / "an-id.failed"
        return path.read_text() if path.exists() else None


SRUN = """\
while [[ "$1" == --* ]]; do
    if [[ "$1" == --output=* ]]; then output=${1#--output=}; fi
    shift
done
SLURM_LOCALID=${SLURM_LOCALID:-0} "$@" >>"${output//%%/%}" 2>&1
"""
AWKWARD = [
    "a b",
    "it's",
    '"quoted"',
    "$HOME",
    "`id`",
    "back\\slash",
    "tab\there",
    "new\nline",
    "*",
    "ü",
    "",
]


def test_words_of_a_command_survive(tmp_path):
    show = "import sys; print(sys.argv[1:])"
    played = Played(tmp_path / "a folder", Cluster(), [sys.executable, "-c", show, *AWKWARD])
    assert played.run() == 0
    limits = ["--watchdog=1800", "--start_timeout=600"]
    assert played.printed == f"{[*AWKWARD, *limits]}\n" and played.failed is None


def test_each_process_gets_its_gpus(tmp_path):
    made = Cluster(tasks_per_node=2, accelerators=8)
    show = "import os; print(os.environ['JAX_LOCAL_DEVICE_IDS'])"
    played = Played(tmp_path / "swept", made, [sys.executable, "-c", show])
    for place in "0", "1":
        assert played.run(SLURM_LOCALID=place) == 0
    assert played.printed == "0,1,2,3\n4,5,6,7\n"


ENDS = (
    "import os, sys; print(sys.argv[1], flush=True); status = int(sys.argv[2]); "
    "os.kill(os.getpid(), status) if status > 2 else sys.exit(status)"
)
INTERRUPTED = "segjax: interrupted; nothing half-made is left, run the same command again"
STOPPED = "segjax: stopped by a signal at step 7, saved; the same command goes on"


@pytest.mark.parametrize(
    "line, status, requeue, failed, asked",
    [
        ("all is well", 0, True, None, False),
        ("segjax: wrong", 2, True, "segjax: wrong\n", False),
        ("step 3", 9, True, "ended by signal 9 (out of memory?); it printed ", False),
        (STOPPED, 1, True, None, True),
        (STOPPED, 1, False, None, False),
        (INTERRUPTED, 1, True, None, True),
        ("segjax: a remark\n" + INTERRUPTED, 1, True, None, True),
        ("", 15, True, None, True),
        ("segjax: wrong", 15, True, "segjax: wrong\n", False),
    ],
)
def test_how_a_point_ended_is_kept(tmp_path, line, status, requeue, failed, asked):
    words = [sys.executable, "-c", ENDS, line, str(status)]
    played = Played(tmp_path / "swept", Cluster(requeue=requeue), words)
    # What it failed with before is over, and what it printed before counts no more
    played.points.mkdir()
    (played.points / "an-id.failed").write_text("before\n")
    (played.points / "an-id.txt").write_text(STOPPED + "\n")
    code = played.run()
    assert (code == 0) == (status == 0)
    assert (played.failed or "").startswith(failed or "") and (failed is None) == (
        played.failed is None
    )
    assert played.asked.exists() == asked
    if asked:
        assert played.asked.read_text() == "requeue 77\n"


KILLED = "segjax: ended by SIGKILL"
LOST = "segjax: process 1 of the job has ended, or cannot be reached any more; the same command"


@pytest.mark.parametrize(
    "lines, failed",
    [
        ([KILLED, "segjax: ended by SIGTERM"], KILLED),
        ([KILLED, LOST], KILLED),
        (["segjax: wrong", INTERRUPTED], "segjax: wrong"),
        (["Traceback", "ValueError: why", LOST, INTERRUPTED], "ValueError: why"),
        ([INTERRUPTED, INTERRUPTED], None),
        ([INTERRUPTED], None),  # the other one had not begun
    ],
)
def test_the_cause_is_told_and_not_what_the_others_say_of_it(tmp_path, lines, failed):
    words = [sys.executable, "-c", ENDS, "\n".join(["step 3", *lines]), "1"]
    played = Played(tmp_path / "swept", Cluster(tasks_per_node=2), words)
    assert played.run() == 1
    assert (played.failed or "").strip() == (failed or "")
    assert played.asked.exists() == (failed is None)


def test_percent_signs_of_a_folder_are_its_own(tmp_path):
    # To srun two of them are one
    played = Played(tmp_path / "a%%j", Cluster(), [sys.executable, "-c", "print('here')"])
    assert played.run() == 0 and played.printed == "here\n"


@pytest.mark.parametrize("line", ["id=mine points=/nowhere", "set -eu", "tasks=; before=x"])
def test_lines_of_setup_do_not_disturb_the_script(tmp_path, line):
    words = [sys.executable, "-c", ENDS, "segjax: wrong", "2"]
    played = Played(tmp_path / "swept", Cluster(setup=(line,)), words)
    assert played.run() == 2 and played.failed == "segjax: wrong\n"
