"""Runs `segjax train` in a process of its own, on a network and pictures that take seconds."""

import json
import os
import pathlib
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence

from tests import compiling, pictures
from tests.train import forked

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = "synthetic_fundus/48px_24_10_8"
SMALL = {
    "data.name": DATA,
    "data.image_size": "(32, 32)",
    # Compiling and tracing is nearly all that a short run does: a network of two layers.
    "model.name": "tests.train.tiny:Normed",
    "model.features": "(4,)",
    "data.batch_size": 8,
    "evaluate.batch_size": 8,
    "log.every_steps": 1,
    "log.tensorboard": False,
}


def words(workdir: pathlib.Path, data_dir: pathlib.Path, **more) -> list[str]:
    """The words of `segjax train` for two steps of the smallest network."""
    chosen = {"train__steps": 2, "model__features": "(4,)"} | more
    return command(workdir, data_dir, **chosen)[3:]


def command(workdir: pathlib.Path, data_dir: pathlib.Path, *more: str, **settings) -> list[str]:
    """The command line; `settings` use `__` for dots and override SMALL."""
    chosen = SMALL | {"data.data_dir": data_dir}
    chosen |= {key.replace("__", "."): value for key, value in settings.items()}
    flags = [f"--config.{key}={value}" for key, value in chosen.items()]
    config = str(ROOT / "experiments" / "fovea" / "demo.py")
    head = [sys.executable, "-m", "segjax.cli", "train", "--config", config]
    return [*head, "--workdir", str(workdir), *flags, *more]


def start(
    words: list[str], devices: int = 1, *, optimised: bool = True, cwd=None, merged: bool = False
) -> forked.Forked:
    """Starts a command, of `command` or like it, in a process of its own."""
    own = environment(devices, optimised=optimised)
    return forked.Forked(words[words.index("segjax.cli") + 1 :], own, cwd, merged=merged)


def start_job(
    workdir: pathlib.Path,
    data_dir: pathlib.Path,
    processes: int = 2,
    devices: int = 2,
    *,
    own: Mapping[str, object] | None = None,
    folders: Sequence[pathlib.Path] = (),
    flags: Sequence[str] = (),
    **settings,
) -> list[forked.Forked]:
    """Starts a job of several processes, each with so many devices.

    Not optimised: what they compute is compared within a tolerance.

    Args:
        own: other settings of all but the first process.
        folders: in which they run, when not in this process's.
        flags: further ones.
        settings: as `command` has them.
    """
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    jobs = []
    for process in range(processes):
        named = (
            f"--coordinator=localhost:{port}",
            f"--processes={processes}",
            f"--process={process}",
        )
        chosen = settings | (own or {} if process else {})
        words = command(workdir, data_dir, *named, *flags, **chosen)
        cwd = folders[process] if folders else None
        jobs.append(start(words, devices, optimised=False, cwd=cwd, merged=True))
    return jobs


def environment(devices: int = 1, *, optimised: bool = True) -> dict[str, str]:
    """The environment of a child with so many simulated devices, as a user has it.

    Threads are of its own choice, and it compiles with optimisation, unlike the tests themselves,
    unless it is told not to.
    """
    own = {name: value for name, value in os.environ.items() if name != "NPROC"}
    own["XLA_FLAGS"] = compiling.flags(own.get("XLA_FLAGS", ""), optimised=optimised)
    own |= {pictures.VARIABLE: pictures.CHILDREN}
    return own | {"JAX_NUM_CPU_DEVICES": str(devices), "JAX_PLATFORMS": "cpu"}


def train(words: list[str], devices: int = 1, *, optimised: bool = True) -> str:
    """Runs a command to its end, which must be a good one; what it wrote as errors."""
    process = start(words, devices, optimised=optimised)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]
    return errors


def logged(workdir: pathlib.Path, split: str, name: str) -> dict[int, float]:
    """step -> value of one quantity in metrics.jsonl; every step comes once."""
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    wanted = [row for row in rows if row["split"] == split and row["name"] == name]
    values = {row["step"]: row["value"] for row in wanted}
    assert len(values) == len(wanted), "a step was logged twice"
    return values


def copied(folder: pathlib.Path, tmp_path: pathlib.Path, **changes) -> pathlib.Path:
    """A copy of a work folder, with other values at config paths (`__` for dots)."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    for path, value in changes.items():
        *parents, leaf = path.split("__")
        section = config
        for parent in parents:
            section = section[parent]
        section[leaf] = value
    (copy / "config.json").write_text(json.dumps(config))
    return copy
