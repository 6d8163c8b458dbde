"""TPU VMs: one pod that exists, on which the points run one after the other, by gcloud and ssh.

Flags: docs.cloud.google.com/sdk/gcloud/reference/compute/tpus/tpu-vm/ssh.
"""

from collections.abc import Sequence

from segjax.launch.cluster import Cluster
from segjax.launch.rendering import accelerators, shell
from segjax.launch.rendering.task import Task

RELATIVE = "that folder"
FILE = "tpu_vm.sh"

SCRIPT = """\
#!/bin/bash
{notes}
failed=()
run() {{  # ID, with the command on standard input, for all machines of the pod
    local command
    command=$(cat)
    echo "point $1"
    gcloud compute tpus tpu-vm ssh {pod} \\
        --project={project} \\
        --zone={zone} \\
        --worker=all \\
        --command="$command" </dev/null || failed+=("$1")
}}

{points}
if [ ${{#failed[@]}} -gt 0 ]; then
    echo "failed: ${{failed[*]}}" >&2
    exit 1
fi
"""


def needs(cluster: Cluster) -> tuple[str, ...]:
    """The fields that must say something."""
    return "project", "zone"


def unfit(cluster: Cluster) -> str:
    """Why the points do not fit; empty where they do."""
    if accelerators.is_tpu(cluster):
        return ""
    return f"cluster.accelerator={cluster.accelerator!r}: a TPU VM has TPUs"


def files(cluster: Cluster, tasks: Sequence[Task], notes: str) -> dict[str, str]:
    """One script."""
    text = SCRIPT.format(
        notes=notes,
        pod=shell.quoted(cluster.name),
        project=shell.quoted(cluster.project),
        zone=shell.quoted(cluster.zone),
        points="\n".join(_point(cluster, task) for task in tasks),
    )
    return {FILE: text}


def following(folder: str) -> dict[str, str]:
    """By file, what a person runs next."""
    return {FILE: f"bash {folder}/{FILE}"}


def _point(cluster: Cluster, task: Task) -> str:
    # Without an image there is a Python of the machine's, or of an environment that `setup` enters
    train = shell.command(shell.words(task, cluster, "python3"))
    script = shell.script(cluster, train, rank="", first="")
    script = f"cd {shell.quoted(cluster.mount)} || exit\n{script}"
    return f"run {shell.quoted(task.id)} <<'COMMAND'\n{script}\nCOMMAND\n"
