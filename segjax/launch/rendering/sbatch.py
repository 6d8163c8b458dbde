"""Slurm: one array job, of which each task is a point of the sweep."""

import pathlib
import shlex
from collections.abc import Sequence

from segjax.launch.cluster import Cluster
from segjax.launch.rendering import accelerators, amounts
from segjax.launch.rendering.task import Task

TASKS = "points.txt"
WARNING = 120  # seconds before the time limit, in which a point saves

BODY = """
{setup}
set +eu

# Line SLURM_ARRAY_TASK_ID + 1 of {tasks} has the id of a point and its command.
tasks={tasks} points={points}
IFS=$'\\t' read -r id command < <(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" "$tasks")
printed=$points/$id.txt
mkdir -p "$points" && touch "$printed" && rm -f "$points/$id.failed"
before=$(stat -c %s "$printed")

# scancel ends this shell, too: it lives on to see how the point ends.
cancelled=
trap 'cancelled=yes' TERM
srun --kill-on-bad-exit=1 --open-mode=append --output="${{printed//%/%%}}" \\
    bash -c "{devices}exec $command" &
step=$!
wait $step; status=$?
if [ -n "$cancelled" ]; then wait $step; status=$?; fi
if [ $status -eq 0 ]; then exit 0; fi

new() {{ tail -c "+$((before + 1))" "$printed"; }}
# The processes get SIGTERM before a preemption and before the time limit. A point that saved, or of
# which all processes were interrupted, has not failed. One that fails ends the others by SIGTERM.
stopped() {{
    new | grep -q '^segjax: stopped by a signal' && return
    local interrupted others
    interrupted=$(new | grep -c '^segjax: interrupted')
    others=$(new | grep '^segjax: \\|^Traceback' | grep -vc '^segjax: interrupted')
    [ "$interrupted" -eq {processes} ] && return
    [ "$others" -eq 0 ] && {{ [ "$interrupted" -gt 0 ] || [ $status -eq 143 ]; }}
}}
# What the others say of it is no cause.
consequences='^segjax: (ended by SIGTERM|interrupted|(process [0-9, ]+|another process) of the job)'

if stopped; then
    # Its task is queued again, unless the job was cancelled.
    {requeue}
elif [ -z "$cancelled" ]; then
    cause=$(new | grep -vE "$consequences" | tail -n 1)
    if [ $status -gt 128 ] && [[ $cause != "segjax: "* ]]; then
        cause="ended by signal $((status - 128)) (out of memory?); it printed $printed"
    fi
    echo "${{cause:-$(tail -n 1 "$printed")}}" >"$points/$id.failed"
fi
exit $status
"""
LEAST = 300  # seconds of a time limit: the warning comes up to a minute earlier, and a point saves


def unfit(cluster: Cluster) -> str:
    """Why the points do not fit; empty where they do."""
    if accelerators.is_tpu(cluster):
        return f"cluster.accelerator={cluster.accelerator!r}: not Slurm's"
    if 0 < amounts.seconds(cluster.time) < LEAST:
        return (
            f"cluster.time={cluster.time!r}: takes at least {LEAST // 60} minutes, for a point is "
            f"told {WARNING} s before its end, or somewhat more, so that it saves"
        )
    return ""


def script(
    cluster: Cluster,
    *,
    name: str,
    count: int,
    sweep: pathlib.Path,
    folder: pathlib.Path,
    here: pathlib.Path,
) -> str:
    """The batch script.

    Args:
        cluster: what each point gets.
        name: of the job.
        count: of the points in the file of tasks.
        sweep: the sweep's folder.
        folder: that of this submission, which has the file of tasks, and takes what Slurm prints.
        here: the folder in which the commands run.
    """
    body = BODY.format(
        tasks=shlex.quote(str(folder / TASKS)),
        points=shlex.quote(str(sweep / "points")),
        setup="\n".join(cluster.setup),
        devices=_devices(cluster),
        processes=cluster.processes,
        requeue=_requeue(cluster),
    )
    return "\n".join(["#!/bin/bash", *_options(cluster, name, count, folder, here)]) + "\n" + body


def tasks(points: Sequence[Task], cluster: Cluster) -> str:
    """The file of tasks, a line a point."""
    more = ["--distributed"] if cluster.processes > 1 else []
    return "".join(f"{point.id}\t{point.command(cluster, *more)}\n" for point in points)


def _options(
    cluster: Cluster, name: str, count: int, folder: pathlib.Path, here: pathlib.Path
) -> list[str]:
    """The lines for sbatch."""
    at_once = f"%{cluster.array_limit}" if cluster.array_limit else ""
    gpus = f"{cluster.accelerator}:" if cluster.accelerator else ""
    options = {
        "job-name": name,
        "array": f"0-{count - 1}{at_once}",
        "chdir": str(here),
        # %% would be a percent sign to sbatch; %a is the number in the array
        "output": str(folder).replace("%", "%%") + "/%a.txt",
        "open-mode": "append",
        "nodes": cluster.nodes,
        "ntasks-per-node": cluster.tasks_per_node,
        "cpus-per-task": cluster.cpus_per_task,
        "mem": cluster.memory,
        # All processes of a machine see all its GPUs, of which JAX gives each its own
        "gres": f"gpu:{gpus}{cluster.accelerators}" if cluster.accelerators else "",
        "time": cluster.time,
        "partition": cluster.partition,
        "account": cluster.account,
        "qos": cluster.qos,
        "constraint": cluster.constraint,
        "signal": f"TERM@{WARNING}",
    }
    lines = [f"#SBATCH --{key}={_value(value)}" for key, value in options.items() if value]
    lines.append("#SBATCH --requeue" if cluster.requeue else "#SBATCH --no-requeue")
    return [*lines, *(f"#SBATCH {line}" for line in cluster.options)]


def _value(value: object) -> str:
    """In quotes where it has blanks, as sbatch reads its lines."""
    text = str(value)
    return shlex.quote(text) if any(letter in text for letter in " \t'\"\\#") else text


def _devices(cluster: Cluster) -> str:
    """What tells JAX the GPUs of a process; it takes one a process by itself."""
    own = cluster.accelerators_per_task
    if own < 2:
        return ""
    # Escaped: each process has its own SLURM_LOCALID
    first = f"\\$((SLURM_LOCALID * {own}))"
    last = f"\\$((SLURM_LOCALID * {own} + {own - 1}))"
    return f"export JAX_LOCAL_DEVICE_IDS=\\$(seq -s, {first} {last}); "


def _requeue(cluster: Cluster) -> str:
    if not cluster.requeue:
        return "exit $status"
    return 'if [ -z "$cancelled" ]; then scontrol requeue "$SLURM_JOB_ID" && sleep 60; fi'
