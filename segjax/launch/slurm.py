"""What Slurm says of the points of a sweep, and what was submitted.

DIR/slurm/0001/points.txt     the points of a submission and their commands, a line each
DIR/slurm/0001/submit.sh      the batch script
DIR/slurm/0001/job.json       the job's number, when sbatch has given it, and the ids of points
DIR/slurm/0001/0.txt, …       what Slurm prints of each task of the array
"""

import json
import pathlib
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from segjax.errors import UserError
from segjax.files import write_text
from segjax.launch.cluster import Cluster
from segjax.launch.rendering import sbatch
from segjax.launch.rendering.task import Task

FOLDER = "slurm"
JOB = "job.json"
SCRIPT = "submit.sh"
LONGEST = 60  # seconds in which Slurm answers
# States of tasks that are yet to end, as squeue names them
WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"}
RUNNING = {"RUNNING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"}
ENDING = {"COMPLETING"}
# Job, place in the array, state, reason, nodes, time, name
SQUEUE = ("%F", "%K", "%T", "%r", "%N", "%M", "%j")


class Unavailable(Exception):
    """Slurm cannot be asked; the text says why."""


@dataclass(frozen=True)
class Submission:
    """An array job of some points.

    Attributes:
        folder: of the submission.
        job: Slurm's number of it; None while sbatch has not given it, or where that was not kept.
        name: of the job, which no other one has; empty where none was submitted.
        points: ids, in the order of the array.
    """

    folder: pathlib.Path
    job: int | None
    name: str
    points: Sequence[str]

    @property
    def number(self) -> int:
        """Of the submission, from 1 on."""
        return int(self.folder.name)


@dataclass(frozen=True)
class State:
    """Where Slurm sees a point."""

    name: str
    job: str
    reason: str
    nodes: str
    time: str

    @property
    def is_live(self) -> bool:
        """Whether the point is in the queue, runs, or is just ending."""
        return self.name in WAITING | RUNNING | ENDING

    def shown(self) -> tuple[str, str]:
        """`queued` or `running`, and in words; of one that has ended what came of it."""
        if self.name in WAITING:
            reason = f" ({self.reason})" if self.reason not in ("", "None") else ""
            return "queued", f"queued as job {self.job}{reason}"
        if self.name in RUNNING:
            word = "running" if self.name == "RUNNING" else self.name.lower()
            return "running", f"{word} as job {self.job} on {self.nodes} for {self.time}"
        if self.name in ENDING:
            return "running", f"ending, job {self.job} on {self.nodes}"
        return "begun", f"job {self.job}: {self.name}"


def submissions(sweep: pathlib.Path) -> list[Submission]:
    """All submissions of a sweep, the oldest first; UserError for a damaged record."""
    found = []
    for folder in sorted((sweep / FOLDER).glob("[0-9]*")):
        path, tasks, script = folder / JOB, folder / sbatch.TASKS, folder / SCRIPT
        try:
            job = int(json.loads(path.read_text())["job"]) if path.exists() else None
            lines = tasks.read_text().splitlines() if tasks.exists() else []
            name = _name_in(script.read_text()) if script.exists() else ""
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: damaged: not the record of a submission") from error
        found.append(Submission(folder, job, name, [line.partition("\t")[0] for line in lines]))
    return found


def _name_in(script: str) -> str:
    """The name of the job of a batch script."""
    found = re.search(r"^#SBATCH --job-name=(\S+)$", script, re.M)
    return found.group(1) if found else ""


def states(made: Sequence[Submission]) -> dict[str, State]:
    """By id of a point, where Slurm sees it last; points that Slurm has forgotten are not there.

    Raises: Unavailable where Slurm cannot be asked.
    """
    by_job = {one.job: one for one in made if one.job is not None}
    if not by_job:
        return {}
    found: dict[str, State] = {}
    for job, place, state in sorted(_asked(by_job), key=lambda row: row[0]):
        points = by_job[job].points
        # A later job of the same point has the last word, unless an earlier one is there still
        if place < len(points) and not (
            points[place] in found and found[points[place]].is_live and not state.is_live
        ):
            found[points[place]] = state
    return found


def _asked(by_job: Mapping[int, Submission]) -> Iterator[tuple[int, int, State]]:
    """Job, place in the array and state of all tasks that squeue knows."""
    # One that has ended is known for some minutes; more is only in an accounting data base
    words = ["squeue", "--noheader", "--array", "--states=all", f"--format={'|'.join(SQUEUE)}"]
    text = ask([*words, "--me"])
    for line in text.splitlines():
        job, place, state, reason, nodes, time, name = line.split("|", len(SQUEUE) - 1)
        # Numbers begin again where Slurm was set up anew
        one = by_job.get(int(job)) if job.isdigit() and place.isdigit() else None
        if one is not None and name == one.name:
            yield one.job, int(place), State(state, f"{job}_{place}", reason, nodes, time)


def named(name: str) -> int | None:
    """The number of a job by its name, whose submission was broken off before it was kept."""
    text = ask(["squeue", "--noheader", "--me", "--states=all", f"--name={name}", "--format=%F"])
    numbers = {int(line) for line in text.split() if line.isdigit()}
    return max(numbers, default=None)


def ask(words: Sequence[str]) -> str:
    """What a command of Slurm's prints; Unavailable if there is none, or it fails."""
    if shutil.which(words[0]) is None:
        raise Unavailable(f"no {words[0]} on this machine")
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=LONGEST)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{words[0]} does not answer within {LONGEST} s") from error
    if done.returncode:
        # Several lines at times; the first says what is wrong
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise Unavailable(re.sub(r"^\w+: (error: )?", f"{words[0]}: ", lines[0]))
    return done.stdout


def largest_array() -> int:
    """How many tasks an array job may have here; Unavailable where there may be none."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", ask(["scontrol", "show", "config"]), re.M)
    size = int(found.group(1)) if found else 1001
    if size == 0:
        raise Unavailable("this Slurm takes no array jobs (MaxArraySize=0)")
    return size


def check(cluster: Cluster, folder: pathlib.Path) -> None:
    """UserError unless sbatch would take a job like this; submits nothing."""
    places = {"sweep": folder, "folder": folder, "here": pathlib.Path.cwd()}
    script = sbatch.script(cluster, name=cluster.name, count=1, **places)
    # Of an array job Slurm would test each task
    script = re.sub(r"^#SBATCH --array=.*\n", "", script, flags=re.M)
    if shutil.which("sbatch") is None:
        raise UserError(
            "--engine slurm: no sbatch on this machine; run it where Slurm's commands are, or let "
            "--engine render write the script"
        )
    done = subprocess.run(
        ["sbatch", "--test-only"], input=script, capture_output=True, text=True, timeout=LONGEST
    )
    if done.returncode:
        raise UserError(f"--engine slurm: {_refusal(done.stderr)}")


def submit(sweep: pathlib.Path, number: int, tasks: Sequence[Task], cluster: Cluster) -> Submission:
    """Submits one array job.

    Args:
        sweep: its folder.
        number: of the submission, by those that there were when Slurm was asked.
        tasks: the points.
        cluster: what each point gets.

    Raises: UserError if Slurm refuses it, or another process has submitted in the meantime.
    """
    folder = sweep / FOLDER / f"{number:04}"
    try:
        # Making a folder is exclusive, also where files cannot be locked
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise UserError(f"--workdir {sweep}: another process submits this sweep") from error
    name = f"{job_name(sweep, cluster)}-{secrets.token_hex(4)}"
    write_text(folder / sbatch.TASKS, sbatch.tasks(tasks, cluster))
    places = {"sweep": sweep, "folder": folder, "here": pathlib.Path.cwd()}
    text = sbatch.script(cluster, name=name, count=len(tasks), **places)
    write_text(folder / SCRIPT, text)
    words = ["sbatch", "--parsable", str(folder / SCRIPT)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(folder)
        raise UserError(f"--engine slurm: {_refusal(done.stderr)}")
    job = int(done.stdout.strip().partition(";")[0])
    return keep(Submission(folder, job, name, [task.id for task in tasks]))


def keep(one: Submission) -> Submission:
    """Writes down the number of a job."""
    write_text(one.folder / JOB, json.dumps({"job": one.job, "points": list(one.points)}) + "\n")
    return one


def job_name(sweep: pathlib.Path, cluster: Cluster) -> str:
    """A name by which a person knows the jobs of a sweep."""
    return f"{cluster.name}-{re.sub(r'[^A-Za-z0-9._-]', '_', sweep.name)}"


def _refusal(text: str) -> str:
    """Why sbatch refuses, in a line."""
    lines = [line for line in text.splitlines() if "error:" in line] or text.splitlines()
    told = [line.partition("error: ")[2] or line for line in lines]
    # The first line names the fault, the last one repeats it in general
    return f"sbatch: {told[0] if told else 'refused'}"
