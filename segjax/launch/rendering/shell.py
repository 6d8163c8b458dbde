"""What each machine of a point runs, as lines of bash."""

from collections.abc import Sequence

from segjax.launch.cluster import Cluster
from segjax.launch.rendering import accelerators
from segjax.launch.rendering.task import Task, quoted

PORT = 8476  # on which process 0 is found by the others
WRONG = 2  # the status of wrong input, which running again does not cure
GRACE = 120  # seconds that a point has to save when it is stopped

SEVERAL = """\
pids=() stopped=
trap 'stopped=yes; kill -TERM "${{pids[@]}}"' TERM
for i in {{0..{last}}}; do
    {devices}{command} \\
        {process} &
    pids+=($!)
done
status=0
for pid in "${{pids[@]}}"; do
    wait "$pid"; code=$?
    # A signal ends the first wait before the process has ended
    if [ -n "$stopped" ]; then wait "$pid"; code=$?; fi
    if [ $code -ne 0 ] && [ $status -ne {wrong} ]; then status=$code; fi
done
exit $status"""


def command(words: Sequence[str]) -> str:
    """A command with a flag a line."""
    lines: list[list[str]] = [[]]
    for word in words:
        if word.startswith("--"):
            lines.append([])
        lines[-1].append(quoted(word))
    return " \\\n    ".join(" ".join(line) for line in lines)


def words(task: Task, cluster: Cluster, python: str = "python") -> list[str]:
    """The command of a task, with the machines' own Python and the limits of the cluster."""
    limits = [f"--watchdog={cluster.watchdog}", f"--start_timeout={cluster.start_timeout}"]
    return [python, *task.words[1:], *limits]


def script(cluster: Cluster, train: str, *, rank: str, first: str) -> str:
    """What a machine runs to do its part of a point.

    Args:
        cluster: what a point gets.
        train: the command of the point.
        rank: the number of the machine, as bash finds it.
        first: the host of process 0, as bash finds it.
    """
    return "\n".join([*cluster.setup, _processes(cluster, train, rank, first)])


def _processes(cluster: Cluster, train: str, rank: str, first: str) -> str:
    if cluster.processes == 1:
        return f"exec {train}"
    if accelerators.is_tpu(cluster):
        # JAX finds the others by itself
        return f"exec {train} \\\n    --distributed"
    train = f"{train} \\\n    --coordinator={first}:{PORT} --processes={cluster.processes}"
    each = cluster.tasks_per_node
    if each == 1:
        return f'exec {train} \\\n    --process="{rank}"'
    return SEVERAL.format(
        last=each - 1,
        devices=_devices(cluster),
        command=train.replace("\n", "\n    "),
        process=f"--process=$(({rank} * {each} + i))",
        wrong=WRONG,
    )


def _devices(cluster: Cluster) -> str:
    """What tells JAX the GPUs of a process, of those of its machine."""
    own = cluster.accelerators_per_task
    if not own:
        return ""
    each = "$i" if own == 1 else f"$(seq -s, $((i * {own})) $((i * {own} + {own - 1})))"
    return f"JAX_LOCAL_DEVICE_IDS={each} \\\n    "
