"""What Slurm is asked: where points are, whether it would take a job, and to take one."""

import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segjax.errors import UserError
from segjax.files import write_text
from segjax.launch import submissions
from segjax.launch.cluster import Cluster
from segjax.launch.rendering import sbatch
from segjax.launch.rendering.task import Task
from segjax.launch.submissions import Submission

SCRIPT = "submit.sh"
LONGEST = 60  # seconds in which Slurm answers
# States of tasks that are yet to end, as squeue names them
WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"}
RUNNING = {"RUNNING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"}
ENDING = {"COMPLETING"}
# Job, place in the array, state, reason, nodes, time, name
SQUEUE = ("%F", "%K", "%T", "%r", "%N", "%M", "%j")
# What sbatch says where it does not know whether the job was taken
UNCLEAR = re.compile(r"timed? ?out|contact|communicat|connect|socket|zero bytes", re.I)


class Unavailable(Exception):
    """Slurm cannot be asked; the text says why."""


@dataclass(frozen=True)
class State:
    """Where Slurm sees a point.

    Attributes:
        name: of the state.
        job: the number of the job.
        place: in the array.
        reason, nodes, time: as Slurm has them.
        printed: the file that takes what Slurm prints of the task, below the sweep's folder.
    """

    name: str
    job: int
    place: int
    reason: str
    nodes: str
    time: str
    printed: str

    @property
    def is_live(self) -> bool:
        """Whether the point is in the queue, runs, or is just ending."""
        return self.name in WAITING | RUNNING | ENDING

    def shown(self) -> tuple[str, str]:
        """`queued` or `running`, and in words; of one that has ended what came of it."""
        job = f"job {self.job}_{self.place}"
        if self.name in WAITING:
            reason = f" ({self.reason})" if self.reason not in ("", "None") else ""
            return "queued", f"queued as {job}{reason}"
        if self.name in RUNNING:
            word = "running" if self.name == "RUNNING" else self.name.lower()
            return "running", f"{word} as {job} on {self.nodes} for {self.time}"
        if self.name in ENDING:
            return "running", f"ending, {job} on {self.nodes}"
        return "begun", f"{job}: {self.name}, see {self.printed}"


def states(made: Sequence[Submission]) -> dict[str, State]:
    """By id of a point, where Slurm sees it last; points that Slurm has forgotten are not there.

    Raises: Unavailable where Slurm cannot be asked.
    """
    by_name = {one.name: one for one in made}
    if not by_name:
        return {}
    found: dict[str, State] = {}
    for one, state in sorted(_asked(by_name), key=lambda row: row[1].job):
        # A later job of the same point has the last word, unless an earlier one is there still
        if state.place < len(one.points):
            point = one.points[state.place]
            if state.is_live or not (point in found and found[point].is_live):
                found[point] = state
    return found


def check_idle(sweep: Path) -> set[str]:
    """UserError where points of a sweep are in Slurm's queue, or run there; gives no point."""
    made = submissions.read(sweep)
    try:
        live = {name: state for name, state in states(made).items() if state.is_live}
    except Unavailable as error:
        print(
            f"segjax: {sweep}: was submitted to Slurm, which cannot be asked: {error}",
            file=sys.stderr,
        )
        return set()
    if live:
        jobs = ", ".join(str(job) for job in sorted({state.job for state in live.values()}))
        raise UserError(
            f"--workdir {sweep}: {len(live)} points are in Slurm's queue, or run (job {jobs}): "
            "--engine slurm goes on with them, scancel ends them"
        )
    return set()


def _asked(by_name: Mapping[str, Submission]) -> Iterator[tuple[Submission, State]]:
    """The submission and state of all tasks that squeue knows."""
    # By name: numbers begin again where Slurm was set up anew, and one may not have been kept. Of
    # whoever submitted it. One that has ended is known for some minutes; more is only in an
    # accounting data base
    words = ["squeue", "--noheader", "--array", "--states=all", f"--format={'|'.join(SQUEUE)}"]
    for line in ask([*words, f"--name={','.join(by_name)}"]).splitlines():
        job, place, state, reason, nodes, time, name = line.split("|", len(SQUEUE) - 1)
        if job.isdigit() and place.isdigit() and name in by_name:
            one = by_name[name]
            printed = f"{submissions.FOLDER}/{one.folder.name}/{place}.txt"
            yield one, State(state, int(job), int(place), reason, nodes, time, printed)


def ask(words: Sequence[str]) -> str:
    """What a command of Slurm's prints; Unavailable if there is none, or it fails."""
    if shutil.which(words[0]) is None:
        raise Unavailable(f"no {words[0]} on this machine")
    # A person's own filters and formats
    own = {name: value for name, value in os.environ.items() if not name.startswith("SQUEUE_")}
    try:
        done = subprocess.run(words, env=own, capture_output=True, text=True, timeout=LONGEST)
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


def check(cluster: Cluster, folder: Path) -> None:
    """UserError unless sbatch would take a job like this; submits nothing."""
    places = {"sweep": folder, "folder": folder, "here": Path.cwd()}
    script = sbatch.script(cluster, name=cluster.name, count=1, **places)
    # Of an array job Slurm would test each task
    script = re.sub(r"^#SBATCH --array=.*\n", "", script, flags=re.M)
    if shutil.which("sbatch") is None:
        raise UserError(
            "--engine slurm: no sbatch on this machine; run it where Slurm's commands are, or let "
            "--engine render write the script"
        )
    words = ["sbatch", *_given(script), "--test-only"]
    done = subprocess.run(words, input=script, capture_output=True, text=True, timeout=LONGEST)
    if done.returncode:
        raise UserError(f"--engine slurm: {_refusal(done.stderr)}")


def submit(
    sweep: Path, number: int, tasks: Sequence[Task], cluster: Cluster, after: Sequence[int]
) -> Submission:
    """Submits one array job.

    Args:
        sweep: its folder.
        number: of the submission, by those that there were when Slurm was asked.
        tasks: the points.
        cluster: what each point gets.
        after: numbers of jobs that have to end before.

    Raises: UserError if Slurm refuses it, if it is not known whether Slurm has taken it, or if
        another process has submitted in the meantime.
    """
    folder = sweep / submissions.FOLDER / f"{number:04}"
    try:
        # Making a folder is exclusive, also where files cannot be locked
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise UserError(f"--workdir {sweep}: another process submits this sweep") from error
    try:
        name = f"{job_name(sweep, cluster)}-{secrets.token_hex(4)}"
        write_text(folder / sbatch.TASKS, sbatch.tasks(tasks, cluster))
        places = {"sweep": sweep, "folder": folder, "here": Path.cwd()}
        text = sbatch.script(cluster, name=name, count=len(tasks), **places)
        write_text(folder / SCRIPT, text)
        # Before Slurm gets it, for whoever submits may be killed
        made = Submission(folder, name, [task.id for task in tasks]).keep()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    words = ["sbatch", *_given(text), f"--job-name={name}", "--parsable"]
    if after:
        words.append(f"--dependency=afterany:{':'.join(map(str, after))}")
    done = subprocess.run([*words, str(folder / SCRIPT)], capture_output=True, text=True)
    job = done.stdout.strip().partition(";")[0]
    if done.returncode == 0 and job.isdigit():
        return made.keep(int(job))
    if UNCLEAR.search(done.stderr):
        raise UserError(
            f"--engine slurm: {_refusal(done.stderr)}; it is not known whether Slurm has taken the "
            "job: the same command looks for it"
        )
    shutil.rmtree(folder)
    raise UserError(f"--engine slurm: {_refusal(done.stderr or 'it gives no number of a job')}")


def _given(script: str) -> list[str]:
    """The options of a script as words, which count for more than sbatch's variables do."""
    lines = re.findall(r"^#SBATCH (.*)$", script, re.M)
    return [word for line in lines for word in shlex.split(line)]


def job_name(sweep: Path, cluster: Cluster) -> str:
    """A name by which a person knows the jobs of a sweep."""
    return f"{cluster.name}-{re.sub(r'[^A-Za-z0-9._-]', '_', sweep.name)}"


def _refusal(text: str) -> str:
    """Why sbatch refuses, in a line."""
    lines = [line for line in text.splitlines() if "error:" in line] or text.splitlines()
    told = [line.partition("error: ")[2] or line for line in lines]
    # The first line names the fault, the last one repeats it in general
    return f"sbatch: {told[0] if told else 'refused'}"
