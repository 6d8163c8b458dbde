"""The record of a run: metrics.jsonl, TensorBoard events, env.json."""

import json
import math
import os
import pathlib
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata

import jax

from segjax.config.files import write_atomic

LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "grain")


class Log:
    """Writes one object a line: step, split, name, value, count. Not `active`: writes nothing."""

    def __init__(self, workdir: pathlib.Path, step: int, *, tensorboard: bool, active: bool):
        self.path = workdir / "metrics.jsonl"
        self._events = None
        self._file = None
        if not active:
            return
        forget_after(self.path, step)
        self._file = self.path.open("a")
        if tensorboard:
            self._events = Events(workdir / "tensorboard", step + 1)

    def write(self, step: int, split: str, values: Mapping[str, tuple[float, float]]) -> None:
        """Appends the mean and count of each value, and pushes them to the disk."""
        if self._file is None:
            return
        for name, (value, count) in values.items():
            shown = value if math.isfinite(value) else None
            row = {"step": step, "split": split, "name": name, "value": shown, "count": count}
            self._file.write(json.dumps(row) + "\n")
            if self._events is not None and shown is not None:
                self._events.add_scalar(f"{split}/{name}", value, step)
        self._file.flush()

    def close(self) -> None:
        """Closes the files."""
        try:
            if self._file is not None:
                self._file.close()
        finally:
            if self._events is not None:
                self._events.close()


class Events:
    """Scalars for TensorBoard, written by the caller's thread.

    tensorboardX's SummaryWriter hands them to a thread of its own: a full disk ends that thread,
    and the run would wait for it for ever.
    """

    def __init__(self, folder: pathlib.Path, step: int):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog

        folder.mkdir(parents=True, exist_ok=True)
        self._file = EventsWriter(str(folder / "events"))
        # What an earlier run wrote from this step on is hidden.
        self._write(step, session_log=SessionLog(status=SessionLog.START))

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """One point of a curve."""
        from tensorboardX.summary import scalar

        self._write(step, summary=scalar(name, value))

    def close(self) -> None:
        """Writes what is left to the disk."""
        self._file.close()

    def _write(self, step: int, **content) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._file.write_event(Event(step=step, wall_time=time.time(), **content))


def forget_after(path: pathlib.Path, step: int) -> None:
    """Drops rows beyond `step` (a resumed run writes them again) and a last line cut short."""
    if not path.exists():
        return
    kept = [json.dumps(row) + "\n" for row in read_rows(path) if row["step"] <= step]
    write_atomic(path, "".join(kept))


def read_rows(path: pathlib.Path) -> list[dict]:
    """The rows of a metrics.jsonl; a last line cut short by a kill is left out."""
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def environment() -> dict[str, object]:
    """Versions, devices and commit: what a figure needs beside it."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "devices": [str(device) for device in jax.devices()],
        "device_kind": jax.devices()[0].device_kind,
        "processes": jax.process_count(),
        "commit": _commit(),
        "command": " ".join(sys.argv),
    }


def _commit() -> str | None:
    """The commit of the checkout that segjax runs from, `+` behind it when files have changed."""
    folder = pathlib.Path(__file__).parent
    try:
        run = {"cwd": folder, "capture_output": True, "text": True, "check": True, "timeout": 10}
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], **run).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "-uno"], **run).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changed else "")
