"""`segjax sweep --status`: what a sweep's folder says was started, and where each point is.

It is read off the folder, so that it needs neither the experiment file nor the overrides of before.
"""

import json
import pathlib
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence

from segjax.config import files, sweeps
from segjax.errors import UserError
from segjax.launch import slurm, submissions
from segjax.launch.sweep import describe, identity, last_line, load_points
from segjax.train import workdir as workdirs
from segjax.train.logs import parse_rows
from segjax.train.sweepdir import MANIFEST, failure_of, folder_of, read_manifest
from segjax.train.workdir import is_fresh

STATES = ("done", "running", "queued", "failed", "begun", "missing")


def told(workdir: pathlib.Path, text: str | None, extra: Mapping[str, str]) -> str:
    """What was started, and the state of each point.

    Args:
        workdir: the folder of a sweep; with an experiment file it may not have begun yet.
        text: the experiment file, where it was named.
        extra: overrides, where some were named.

    Raises: UserError where the folder holds no sweep, or another one than is named.
    """
    if not (workdir / MANIFEST).exists():
        fresh = not workdir.exists() or (workdir.is_dir() and is_fresh(workdir, MANIFEST))
        if text is None or not fresh:
            raise UserError(f"--workdir {workdir}: holds no sweep ({MANIFEST})")
        return of_points(workdir, load_points(text))
    manifest = _read(workdir)
    _check_named(workdir, manifest, text, extra)
    points = list(manifest["points"].values())
    flags = [f"--config.{path}={value}" for path, value in manifest["overrides"].items()]
    lines = [f"{workdir}: {manifest['config']}" + (f" with {shlex.join(flags)}" if flags else "")]
    # Through JSON, as the saved ones have been: a tuple is a list there
    if text is not None and (now := json.loads(json.dumps(load_points(text)))) != points:
        lines.append(f"{text}: its sweep() gives other points now, {len(now)} of them")
    return "\n".join([*lines, of_points(workdir, points)])


def _read(workdir: pathlib.Path) -> dict:
    """The manifest of a folder; UserError unless it is one."""
    manifest = read_manifest(workdir)
    try:
        kinds = [(manifest["config"], str), (manifest["overrides"], dict)]
        kinds += [(point, dict) for point in manifest["points"].values()]
        if all(isinstance(value, kind) for value, kind in kinds):
            return manifest
    except (AttributeError, KeyError, TypeError):
        pass
    raise UserError(f"{workdir / MANIFEST}: damaged: not the manifest of a sweep")


def _check_named(
    workdir: pathlib.Path, manifest: dict, text: str | None, extra: Mapping[str, str]
) -> None:
    """UserError unless the sweep of a folder is the one that a command names, as far as it does."""
    there = identity(manifest)
    here = identity({"config": text or manifest["config"], "overrides": extra})
    of_those = {k: v for k, v in there["overrides"].items() if k in here["overrides"]}
    named = {"config": there["config"], "overrides": of_those}
    if difference := files.first_difference(named, here, "sweep"):
        raise UserError(f"--workdir {workdir}: holds another sweep ({difference})")


def of_points(workdir: pathlib.Path, points: Sequence[sweeps.Point]) -> str:
    """The state of each point, a line each, and a line of totals."""
    lines, totals = [], Counter()
    queue, remark = _queue(workdir)
    for point in points:
        name = sweeps.point_id(point)
        kind, shown = _with_queue(*state_of(folder_of(workdir, point)), queue.get(name))
        totals[kind] += 1
        lines.append(f"{name}  {describe(point)}: {shown}")
    counts = ", ".join(f"{totals[kind]} {kind}" for kind in STATES if totals[kind])
    return "\n".join([*lines, f"{len(points)} points: {counts}", *remark])


def _queue(workdir: pathlib.Path) -> tuple[dict[str, slurm.State], list[str]]:
    """What Slurm says of points that were submitted to it, or a line why it says nothing."""
    made = submissions.read(workdir)
    if not made:
        return {}, []
    try:
        return slurm.states(made), []
    except slurm.Unavailable as error:
        return {}, [f"Slurm could not be asked ({error}): this is what the folder says"]


def _with_queue(kind: str, shown: str, state: slurm.State | None) -> tuple[str, str]:
    """A point's state by its folder, and that by Slurm, where it adds something."""
    if state is None or kind == "done":
        return kind, shown
    place, told = state.shown()
    if state.is_live:
        # What it failed with before is over
        return place, told if kind != "begun" else f"{told}, {shown}"
    return kind, shown if kind == "failed" else f"{shown} ({told})"


def state_of(folder: pathlib.Path) -> tuple[str, str]:
    """One of STATES, and what is shown for it."""
    if workdirs.is_done(folder):
        return "done", "done"
    if failure_of(folder).exists():
        return "failed", f"failed: {last_line(failure_of(folder))}"
    if not (folder / "env.json").exists():
        return "missing", "missing"
    step, faults = _last_step(folder / "metrics.jsonl")
    damaged = " (metrics.jsonl: damaged lines near its end)" if faults else ""
    return "begun", f"at step {step} of {_total_steps(folder / 'env.json')}{damaged}"


def _total_steps(path: pathlib.Path) -> int | str:
    """The length of a run by its env.json."""
    try:
        return json.loads(path.read_bytes())["total_steps"]
    except (ValueError, KeyError, TypeError):
        return "? (env.json is damaged)"


def _last_step(path: pathlib.Path) -> tuple[int, int]:
    """The step of the last whole row of a metrics.jsonl, and how many lines near it are damaged.

    Only the end of the file is read.
    """
    if not path.exists():
        return 0, 0
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 10_000))
        content = file.read()
    if len(content) == 10_000:
        content = content.partition(b"\n")[2]  # it begins within a line
    rows, faults = parse_rows(content)
    return max((row["step"] for row in rows), default=0), len(faults)
