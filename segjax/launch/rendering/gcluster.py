"""Google's Cluster Toolkit: a `gcluster job submit` a point, which makes a JobSet of it.

Flags: docs.cloud.google.com/cluster-toolkit/docs/reference/gcluster-job-submit, and
GoogleCloudPlatform/cluster-toolkit, cmd/job/submit.go, commit 00774fd4, with cmd/job/job.go, commit
e5a9afd6. What it makes of them: pkg/orchestrator/gke/templates/jobset.tmpl, commit 0080951e.
"""

from collections.abc import Sequence

from segjax.launch.cluster import Cluster
from segjax.launch.rendering import accelerators, jobset, shell
from segjax.launch.rendering.task import Task

RELATIVE = jobset.RELATIVE
FILE = "gcluster.sh"
HOSTS = "main-job"  # the replicated job of the template
# What is worth a restart: an error of the moment, SIGABRT, SIGKILL and SIGTERM; not wrong input
AGAIN = "1,134,137,139,143"

SCRIPT = """\
#!/bin/bash
{notes}#
# The GKE cluster: GKE_CLUSTER=NAME bash {file}
: "${{GKE_CLUSTER:?is the name of the GKE cluster}}"

failed=()
submit() {{  # NAME, with the command on standard input
    local command
    command=$(cat)
    gcluster job submit \\
        --cluster="$GKE_CLUSTER" \\
        {flags} \\
        --name="$1" \\
        --command="$command" </dev/null || failed+=("$1")
}}

{points}
if [ ${{#failed[@]}} -gt 0 ]; then
    echo "not submitted: ${{failed[*]}}" >&2
    exit 1
fi
"""


def needs(cluster: Cluster) -> tuple[str, ...]:
    """The fields that must say something; a queue is found by the tool."""
    return "image", "project", "zone", "volume", "accelerator"


def unfit(cluster: Cluster) -> str:
    """Why the points do not fit; empty where they do."""
    return jobset.too_long(cluster, HOSTS)


def files(cluster: Cluster, tasks: Sequence[Task], notes: str) -> dict[str, str]:
    """One script."""
    points = "\n".join(_point(cluster, task) for task in tasks)
    flags = " \\\n        ".join(_flags(cluster))
    return {FILE: SCRIPT.format(notes=notes, file=FILE, flags=flags, points=points)}


def following(folder: str) -> dict[str, str]:
    """By file, what a person runs next."""
    return {FILE: f"GKE_CLUSTER=NAME bash {folder}/{FILE}"}


def _flags(cluster: Cluster) -> list[str]:
    """Those of every point."""
    tpu = accelerators.is_tpu(cluster)
    given = {
        "project": cluster.project,
        "location": cluster.zone,
        "gke-namespace": cluster.namespace,
        "queue": cluster.queue,
        "image": cluster.image,
        "compute-type": accelerators.machine_type(cluster),
        "topology": cluster.topology,
        # It counts the machines of a slice itself, and refuses to be told
        "num-nodes": "" if tpu else str(cluster.nodes),
        "mount": f"{cluster.volume}:{cluster.mount}:rw",
        "restarts": str(jobset.RESTARTS if cluster.requeue else 0),
        "restart-on-exit-codes": AGAIN,
        "grace-period": f"{shell.GRACE}s",
    }
    return [f"--{name}={shell.quoted(value)}" for name, value in given.items() if value]


def _point(cluster: Cluster, task: Task) -> str:
    name = f"{cluster.name}-{task.id}"
    script = shell.script(
        cluster,
        shell.command(shell.words(task, cluster)),
        rank="$JOB_COMPLETION_INDEX",
        first=f"{name}-{HOSTS}-0-0.{name}",
    )
    return f"submit {shell.quoted(name)} <<'COMMAND'\n{jobset.escaped(script)}\nCOMMAND\n"
