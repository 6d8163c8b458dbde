"""Where the points of a sweep run: a `[cluster]` section of the user's own TOML file, and flags.

One description serves Slurm and all that is rendered (JobSet, Cluster Toolkit, SkyPilot, TPU VMs).
"""

import dataclasses
import pathlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ml_collections import ConfigDict

from segjax import checks
from segjax.checks import nearest
from segjax.errors import UserError
from segjax.launch.flags import WATCHDOG, Flag
from segjax.train import limits

SECTION = "cluster"
NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")  # as Kubernetes takes it, with room for ids
# Minutes, M:SS, H:MM:SS, D-HH:MM:SS
TIME = re.compile(r"(\d+-)?\d+(:[0-5]\d){0,2}", re.ASCII)
MEMORY = re.compile(r"\d+[KMGT]?", re.ASCII)


def _set(default: Any, words: str, **options: Any) -> Any:
    """A field with what its help says; `flag`: whether the command line has one for it."""
    return field(default=default, metadata={"help": words} | options)


@dataclass(frozen=True)
class Cluster:
    """What a point of a sweep gets, and where; empty strings and zeros leave it to the cluster.

    The help of each field says what it is.
    """

    name: str = _set("segjax", "name of the jobs, of small letters, digits and hyphens")
    nodes: int = _set(1, "machines of a point", flag=True, least=1)
    tasks_per_node: int = _set(1, "processes of a point on each machine", flag=True, least=1)
    cpus_per_task: int = _set(
        0, "processor cores of a process; 0: as the cluster has it", flag=True, least=0
    )
    memory: str = _set("", "memory of a machine, as 64G", flag=True)
    accelerators: int = _set(0, "GPUs or TPU chips of a machine; 0: none", flag=True, least=0)
    accelerator: str = _set("", "their kind, as h100 or tpu-v5-lite-podslice", flag=True)
    topology: str = _set("", "shape of a TPU slice, as 16x16", flag=True)
    time: str = _set("", "limit of a point: minutes, H:MM:SS or D-HH:MM:SS", flag=True)
    partition: str = _set("", "Slurm's partition", flag=True)
    account: str = _set("", "whom Slurm charges", flag=True)
    qos: str = _set("", "Slurm's quality of service", flag=True)
    constraint: str = _set("", "features of machines that Slurm is to choose", flag=True)
    array_limit: int = _set(
        0,
        "how many points run at the same time; 0: as many as there is room for",
        flag=True,
        least=0,
    )
    requeue: bool = _set(
        True, "queue again what was preempted or came to its time limit", flag=True
    )
    watchdog: int = _set(WATCHDOG.default, WATCHDOG.help, flag=True, least=0)
    start_timeout: int = _set(
        limits.START,
        "seconds in which the processes of a point find each other",
        flag=True,
        least=1,
    )
    setup: tuple[str, ...] = _set((), "lines of shell before the command, as `module load cuda`")
    options: tuple[str, ...] = _set((), "further options of sbatch, as --exclusive")
    image: str = _set("", "container image that has segjax and the experiment files")
    project: str = _set("", "project of Google Cloud")
    zone: str = _set("", "its zone")
    namespace: str = _set("default", "namespace of Kubernetes")
    queue: str = _set("", "local queue of Kueue")
    volume: str = _set("", "claim of the volume that all machines share")
    mount: str = _set("/work", "where it is mounted")

    @property
    def processes(self) -> int:
        """Of a point."""
        return self.nodes * self.tasks_per_node

    @property
    def devices(self) -> int:
        """Of a point; without accelerators each process has one."""
        return self.nodes * self.accelerators or self.processes

    @property
    def accelerators_per_task(self) -> int:
        """GPUs or chips that each process drives."""
        return self.accelerators // self.tasks_per_node


FIELDS = {one.name: one for one in dataclasses.fields(Cluster)}
FLAGS: Mapping[str, Flag] = {
    "cluster": Flag("", "TOML file with a [cluster] section, for what follows", metavar="FILE")
} | {
    name: Flag(one.default, one.metadata["help"], one.metadata.get("least"))
    for name, one in FIELDS.items()
    if one.metadata.get("flag")
}


def made(values: Mapping[str, Any]) -> Cluster:
    """The section of the file that `cluster` names, with the flags that were given in its place.

    Args:
        values: of FLAGS, by name; None where a flag was not given.

    Raises: UserError for a file that cannot be read, an unknown field, or a value out of range.
    """
    given = {name: value for name, value in values.items() if value is not None}
    file = given.pop("cluster", "")
    section = read(pathlib.Path(file)) if file else {}
    for name, value in given.items():
        _check_value(f"--{name}", name, value)
    cluster = Cluster(**(section | given))
    if cluster.accelerators % cluster.tasks_per_node:
        raise UserError(
            f"cluster: {cluster.accelerators} accelerators of a machine do not share out over "
            f"tasks_per_node={cluster.tasks_per_node} processes"
        )
    return cluster


def check_points(cluster: Cluster, configs: Sequence[ConfigDict]) -> None:
    """UserError for points that would refuse to train on what they get."""
    for config in configs:
        if config.parallel == "pmap" and cluster.processes > 1:
            raise UserError("config.parallel='pmap': runs in one process; several take 'sharding'")
        if config.data.batch_size % cluster.devices:
            raise UserError(
                f"config.data.batch_size={config.data.batch_size}: not divisible by the "
                f"{cluster.devices} devices of a point"
            )


def read(file: pathlib.Path) -> dict[str, Any]:
    """The checked section of a TOML file."""
    try:
        content = tomllib.loads(file.expanduser().read_text())
    except OSError as error:
        raise UserError(f"--cluster {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"--cluster {file}: no TOML: {error}") from error
    section = content.get(SECTION)
    if not isinstance(section, dict):
        raise UserError(f"--cluster {file}: has no [{SECTION}] section")
    for name, value in section.items():
        if name not in FIELDS:
            raise UserError(
                f"--cluster {file}: {SECTION}.{name}: no such field{nearest(name, FIELDS)} It has: "
                f"{', '.join(FIELDS)}"
            )
        _check_value(f"--cluster {file}: {SECTION}.{name}", name, value)
    # Lines without the blanks around them, which YAML would take for its own
    return {
        k: tuple(line.strip() for line in v) if isinstance(v, list) else v
        for k, v in section.items()
    }


def _check_value(where: str, name: str, value: Any) -> None:
    """UserError unless a value is of its field's type and in range."""
    one = FIELDS[name]
    if isinstance(one.default, tuple):
        lines = isinstance(value, Sequence) and not isinstance(value, str)
        if not lines or not all(isinstance(x, str) and _is_line(x) for x in value):
            raise UserError(f"{where}={value!r}: takes a list of lines of text")
        return
    if type(value) is not type(one.default):
        raise UserError(f"{where}={value!r}: takes {_words(one.default)}")
    if isinstance(value, int) and not isinstance(value, bool):
        checks.require_flag(where, value, checks.whole(least=one.metadata["least"]))
    # It is written into files, a line each
    if isinstance(value, str) and not _is_line(value):
        raise UserError(f"{where}={value!r}: takes one line of text")
    if name == "name" and not NAME.fullmatch(value):
        raise UserError(f"{where}={value!r}: takes up to 40 small letters, digits and hyphens")
    if name == "time" and value and not TIME.fullmatch(value):
        raise UserError(f"{where}={value!r}: takes minutes, H:MM:SS or D-HH:MM:SS")
    if name == "memory" and value and not MEMORY.fullmatch(value):
        raise UserError(f"{where}={value!r}: takes a whole number with K, M, G or T, as 64G")


def _is_line(text: str) -> bool:
    return text.isprintable()


def _words(default: Any) -> str:
    names = {bool: "true or false", int: "a whole number", str: "text"}
    return names[type(default)]
