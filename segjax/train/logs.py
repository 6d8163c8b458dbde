"""The record of a run: metrics.jsonl, TensorBoard events, env.json."""

import json
import math
import os
import pathlib
import platform
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata

import segjax
from segjax.config import modules
from segjax.files import write_text

LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "grain")
# What a row holds; a value that is not finite is None.
FIELDS = {
    "step": {int},
    "split": {str},
    "name": {str},
    "value": {int, float, type(None)},
    "count": {int, float},
}


class Log:
    """Writes one object a line: step, split, name, value, count. Not `active`: writes nothing.

    `step` and `evaluated` are those of the state and of the last evaluation that the loop
    knows of: rows beyond are written again.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        step: int,
        *,
        evaluated: int,
        tensorboard: bool,
        active: bool,
    ):
        self.path = workdir / "metrics.jsonl"
        self._events = None
        self._file = None
        if not active:
            return
        # Before the file is opened to append: this replaces it
        forget_after(self.path, step, evaluated)
        self._file = self.path.open("a")
        if tensorboard:
            # From the step after the restored one: TensorBoard hides this step and all later ones
            self._events = Events(workdir / "tensorboard", step + 1)

    def write(self, step: int, split: str, values: Mapping[str, tuple[float, float]]) -> None:
        """Appends the mean and count of each value, and pushes them to the disk."""
        if self._file is None:
            return
        for name, (value, count) in values.items():
            # JSON has neither nan nor infinity
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

    def __init__(self, folder: pathlib.Path, step: int | None = None):
        # Here: a run without TensorBoard does not load it
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog

        folder.mkdir(parents=True, exist_ok=True)
        self._file = EventsWriter(str(folder / "events"))
        # What an earlier run wrote from this step on is hidden.
        if step is not None:
            self._write(step, session_log=SessionLog(status=SessionLog.START))

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """One point of a curve."""
        from tensorboardX.summary import scalar

        self._write(step, summary=scalar(name, value))

    def add_picture(self, name: str, path: pathlib.Path, step: int) -> None:
        """A PNG file as it is."""
        from tensorboardX.proto.summary_pb2 import Summary

        content = path.read_bytes()
        # The header of a PNG has width and height behind its signature and the name of the chunk
        width, height = struct.unpack(">II", content[16:24])
        image = Summary.Image(height=height, width=width, encoded_image_string=content)
        self._write(step, summary=Summary(value=[Summary.Value(tag=name, image=image)]))

    def close(self) -> None:
        """Writes what is left to the disk."""
        self._file.close()

    def _write(self, step: int, **content) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._file.write_event(Event(step=step, wall_time=time.time(), **content))


def add_pictures(workdir: pathlib.Path, step: int) -> None:
    """Shows the figures of a work folder in TensorBoard, as those of a step."""
    # Without a step to start at: what the training wrote is all valid
    events = Events(workdir / "tensorboard")
    try:
        for path in sorted((workdir / "figures").glob("*.png")):
            events.add_picture(path.stem, path, step)
    finally:
        events.close()


def forget_after(path: pathlib.Path, step: int, evaluated: int) -> None:
    """Drops rows that a resumed run writes again, and lines that are damaged (and says so).

    A run stopped within an evaluation is saved at that step without it, so rows of validation
    count up to `evaluated`, all others up to `step`.
    """
    if not path.exists():
        return
    last = {"validation": evaluated}
    kept = [row for row in read_rows(path) if row["step"] <= last.get(row["split"], step)]
    write_text(path, "".join(json.dumps(row) + "\n" for row in kept))


def read_rows(path: pathlib.Path) -> list[dict]:
    """The rows of a metrics.jsonl; of damaged lines, which are left out, a line on stderr tells."""
    rows, faults = parse_rows(path.read_bytes())
    if faults:
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        print(f"segjax: {path}: damaged: {faults[0]}{more}; left out", file=sys.stderr)
    return rows


def parse_rows(content: bytes) -> tuple[list[dict], list[str]]:
    """The rows of a metrics.jsonl, and what is wrong with each line that is none, with its number.

    A last line without its line break was cut short by a kill, which is no fault.
    """
    rows, faults = [], []
    *lines, last = content.split(b"\n")
    for number, line in enumerate([*lines, last], start=1):
        try:
            rows.append(_row(line))
        except ValueError as error:
            if number <= len(lines):
                faults.append(f"line {number} {error}")
    return rows, faults


def _row(line: bytes) -> dict:
    """One line as a row; ValueError says what is wrong with it."""
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None
    if not isinstance(row, dict):
        raise ValueError("is not an object")
    for key, kinds in FIELDS.items():
        # By the very type: bool is a kind of int, and `true` would pass for a step
        if key not in row or type(row[key]) not in kinds:
            raise ValueError(f"has no {key}" if key not in row else f"has a wrong {key}")
    return row


def environment() -> dict[str, object]:
    """Versions, devices and commit: what a figure needs beside it; and the experiment file."""
    # Here, so that readers of rows (`sweep --status`) do without JAX
    import jax

    experiment = modules.file_in_use()
    return {
        "segjax": segjax.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "devices": [str(device) for device in jax.devices()],
        "device_kind": jax.devices()[0].device_kind,
        "processes": jax.process_count(),
        "commit": _commit(),
        "command": " ".join(sys.argv),
        "experiment": str(experiment) if experiment else None,
    }


def _commit() -> str | None:
    """The commit of the checkout that segjax runs from, `+` after it when files have changed.

    None where it is installed: a repository around the environment is another project's.
    """
    package = pathlib.Path(segjax.__file__).resolve().parent

    def git(*words: str) -> str:
        run = {"cwd": package, "capture_output": True, "text": True, "check": True, "timeout": 10}
        return subprocess.run(["git", *words], **run).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")
        if pathlib.Path(git("rev-parse", "--show-toplevel")).resolve() != package.parent:
            return None
        commit, changed = git("rev-parse", "--short", "HEAD"), git("status", "--porcelain", "-uno")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changed else "")
