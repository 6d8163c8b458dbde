"""SkyPilot: one task for all points, and a script that launches a managed job of each.

Its guide for many jobs: one YAML with an environment variable, docs/source/running-jobs/
many-jobs.rst, commit 013d436a. Fields: skypilot-org/skypilot, sky/utils/schemas.py, commit
00052dfe; slices of Cloud TPUs, whose machines all run the task: docs/source/reference/tpu.rst,
commit 01e8777a; volumes: docs.skypilot.co/en/latest/reference/volumes.html.
"""

from collections.abc import Sequence

from segjax.launch.cluster import Cluster
from segjax.launch.rendering import accelerators, amounts, shell
from segjax.launch.rendering.task import Task
from segjax.launch.rendering.yaml_text import indented, scalar

RELATIVE = "the folder in which `sky` is called"
TASK = "skypilot.yaml"
LAUNCH = "skypilot.sh"
BUCKETS = ("gs://", "s3://")

YAML = """\
{notes}name: {name}

# The experiment's folder: `sky` copies the one in which it is called
workdir: .

num_nodes: {nodes}

resources:
{resources}

{shared}

# Which point: --env POINT=ID
envs:
  POINT: null

run: |
  case "$POINT" in
  {cases}
  *) echo "no such point: $POINT" >&2; exit {wrong} ;;
  esac
  {script}
"""
SCRIPT = """\
#!/bin/bash
{notes}
failed=()
for point in \\
    {points}
do
    sky jobs launch -n {name}-"$point" -y -d --env POINT="$point" \\
        {task} </dev/null || failed+=("$point")
done
if [ ${{#failed[@]}} -gt 0 ]; then
    echo "not launched: ${{failed[*]}}" >&2
    exit 1
fi
"""


def needs(cluster: Cluster) -> tuple[str, ...]:
    """The fields that must say something."""
    if accelerators.is_tpu(cluster):
        return "volume", "zone"
    return "image", "volume", *(("accelerator",) if cluster.accelerators else ())


def unfit(cluster: Cluster) -> str:
    """Why the points do not fit; empty where they do."""
    if not accelerators.is_tpu(cluster):
        return ""
    if cluster.accelerator not in accelerators.CLOUD_TPUS:
        return f"cluster.accelerator={cluster.accelerator!r}: SkyPilot has no such Cloud TPU"
    if cluster.volume and not cluster.volume.startswith(BUCKETS):
        return (
            f"cluster.volume={cluster.volume!r}: Cloud TPUs of SkyPilot share a bucket, as "
            "gs://NAME, for its volumes are those of Kubernetes"
        )
    return ""


def files(cluster: Cluster, tasks: Sequence[Task], notes: str) -> dict[str, str]:
    """The task, and the script that launches it for every point."""
    cases = "\n".join(_case(cluster, task) for task in tasks)
    script = shell.script(
        cluster,
        '"${train[@]}"',
        rank="$SKYPILOT_NODE_RANK",
        first='"$(head -n 1 <<<"$SKYPILOT_NODE_IPS")"',
    )
    text = YAML.format(
        notes=notes,
        name=scalar(cluster.name),
        # A slice is one node, whose machines all run the task
        nodes=1 if accelerators.is_tpu(cluster) else cluster.nodes,
        resources=_resources(cluster),
        shared=_shared(cluster),
        cases=indented(cases, 2),
        wrong=shell.WRONG,
        script=indented(script, 2),
    )
    launch = SCRIPT.format(
        notes=notes,
        points=" \\\n    ".join(shell.quoted(task.id) for task in tasks),
        name=shell.quoted(cluster.name),
        task='"$(dirname "$0")"/' + TASK,
    )
    return {TASK: text, LAUNCH: launch}


def following(folder: str) -> dict[str, str]:
    """By file, what a person runs next."""
    return {
        TASK: f"sky launch --dryrun --env POINT=ID {folder}/{TASK}",
        LAUNCH: f"bash {folder}/{LAUNCH}",
    }


def _case(cluster: Cluster, task: Task) -> str:
    train = shell.command(shell.words(task, cluster)).replace("\n", "\n    ")
    return f"{shell.quoted(task.id)})\n    train=({train})\n    ;;"


def _resources(cluster: Cluster) -> str:
    tpu = accelerators.is_tpu(cluster)
    cores = cluster.cpus_per_task * cluster.tasks_per_node
    memory = amounts.gigabytes(cluster.memory)
    given = {
        "infra": _infra(cluster),
        "accelerators": accelerators.skypilot(cluster) if cluster.accelerators else "",
        # Cloud TPUs are machines without one; `setup` enters an environment
        "image_id": "" if tpu else f"docker:{cluster.image}",
        "cpus": f"{cores}+" if cores and not tpu else "",
        "memory": f"{memory}+" if memory and not tpu else "",
    }
    return "\n".join(f"  {name}: {scalar(value)}" for name, value in given.items() if value)


def _infra(cluster: Cluster) -> str:
    """Kubernetes, whose volumes it mounts; with a bucket Google Cloud, or what SkyPilot finds."""
    if not cluster.volume.startswith(BUCKETS):
        return "k8s"
    return f"gcp/{cluster.zone.rpartition('-')[0]}/{cluster.zone}" if cluster.zone else ""


def _shared(cluster: Cluster) -> str:
    """The folder that all machines see: a bucket, or a volume of Kubernetes."""
    mount, volume = scalar(cluster.mount), scalar(cluster.volume)
    if cluster.volume.startswith(BUCKETS):
        return f"file_mounts:\n  {mount}:\n    source: {volume}\n    mode: MOUNT"
    return f"volumes:\n  {mount}: {volume}"
