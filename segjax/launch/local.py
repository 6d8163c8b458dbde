"""Runs the points of a sweep on this machine, one subprocess after the other.

    DIR/sweep.json            the points, with their ids
    DIR/points/ID/            each point's work folder, and ID.txt, what it printed

A point is done when its metrics_validation.json is there, written at its very end; running the
sweep again runs what is missing, and a point that was interrupted goes on from its checkpoint.
"""

import json
import pathlib
import subprocess
import sys
from collections.abc import Mapping

from tqdm import tqdm

from segjax.config import files, sweeps
from segjax.errors import Interrupted, UserError

MANIFEST = "sweep.json"
DONE = "metrics_validation.json"


def load_points(text: str) -> list[sweeps.Point]:
    """The points of an experiment file's sweep(); UserError if it has none, or two are the same."""
    path, arg = files.split_name(text)
    module = files.load_module(path)
    if not hasattr(module, "sweep"):
        raise UserError(f"--config {path}: the file has no sweep()")
    try:
        points = module.sweep()
    except UserError:
        raise
    except Exception as error:
        raise files.failed(text, path, error) from error
    if not isinstance(points, list) or not all(isinstance(point, dict) for point in points):
        raise UserError(f"--config {path}: sweep() gives a list of dicts of config paths")
    if arg:
        points = [sweeps.product([{"arg": arg}], [point])[0] for point in points]
    if not points:
        raise UserError(f"--config {text}: sweep() gives no point")
    if len({sweeps.point_id(point) for point in points}) < len(points):
        raise UserError(f"--config {text}: sweep() gives the same point twice")
    return points


def command_of(text: str, point: sweeps.Point, extra: Mapping[str, str], workdir) -> list[str]:
    """The `segjax train` command of one point."""
    path, _ = files.split_name(text)
    config = f"{path}:{point['arg']}" if "arg" in point else str(path)
    settings = {key: value for key, value in point.items() if key != "arg"} | dict(extra)
    flags = [f"--config.{key}={value}" for key, value in settings.items()]
    head = [sys.executable, "-m", "segjax.cli", "train"]
    return [*head, "--config", config, "--workdir", str(workdir), *flags]


def check_points(text: str, points: list[sweeps.Point], extra: Mapping[str, str]) -> None:
    """Checks every point's config and data, so that a mistake shows before the first one trains."""
    from segjax.data import store
    from segjax.train import preflight

    path, _ = files.split_name(text)
    for point in points:
        config = f"{path}:{point['arg']}" if "arg" in point else str(path)
        settings = {k: str(v) for k, v in point.items() if k != "arg"}
        loaded = files.load(config, settings | dict(extra))
        preflight.check_parts(loaded)
        store.require(loaded.data.name, loaded.data.data_dir)


def open_folder(text: str, points: list[sweeps.Point], extra: Mapping, workdir: pathlib.Path):
    """Writes the manifest, or checks that the folder holds this very sweep."""
    manifest = {
        "config": text,
        "overrides": dict(extra),
        "points": {sweeps.point_id(point): point for point in points},
    }
    path = workdir / MANIFEST
    if path.exists():
        if read_manifest(workdir) != json.loads(json.dumps(manifest)):
            raise UserError(f"--workdir {workdir}: holds another sweep; take another folder")
        return
    if workdir.exists() and (not workdir.is_dir() or any(workdir.iterdir())):
        raise UserError(f"--workdir {workdir}: occupied by other files; take another folder")
    try:
        files.write_atomic(path, json.dumps(manifest, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"--workdir {workdir}: cannot write there: {error}") from error


def read_manifest(workdir: pathlib.Path) -> dict:
    """The manifest of a sweep's folder; UserError if it is damaged."""
    try:
        return json.loads((workdir / MANIFEST).read_text())
    except ValueError as error:
        raise UserError(f"{workdir / MANIFEST}: damaged: {error}") from error


def run_sweep(
    text: str, extra: Mapping[str, str], workdir: pathlib.Path, *, only_status: bool = False
) -> None:
    """Runs every point that is not done; a failed point does not stop the rest."""
    points = load_points(text)
    if only_status:
        _print_status(points, workdir)
        return
    check_points(text, points, extra)
    open_folder(text, points, extra, workdir)
    missing = [p for p in points if not (folder_of(workdir, p) / DONE).exists()]
    print(f"{len(points)} points, {len(points) - len(missing)} done, {len(missing)} to run")
    failed = []
    for point in tqdm(missing, desc="sweep", unit="point", disable=not sys.stderr.isatty()):
        folder = folder_of(workdir, point)
        code = _run_point(command_of(text, point, extra, folder), folder)
        name = f"{sweeps.point_id(point)} ({describe(point)})"
        tqdm.write(f"{'done' if code == 0 else 'FAILED'}: {name}")
        if code:
            failed.append(f"{sweeps.point_id(point)}: {_last_line(folder)}")
    if failed:
        raise Interrupted(
            f"{len(failed)} of {len(points)} points failed ({'; '.join(failed)}); "
            "the same command runs them again"
        )
    from segjax.launch import table

    print(f"wrote {table.write(workdir)}")


def folder_of(workdir: pathlib.Path, point: sweeps.Point) -> pathlib.Path:
    """A point's work folder."""
    return workdir / "points" / sweeps.point_id(point)


def describe(point: sweeps.Point) -> str:
    """A point in words."""
    seed = f", seed {point['seed']}" if "seed" in point else ""
    return sweeps.row_label(point) + seed


def _output_of(folder: pathlib.Path) -> pathlib.Path:
    return folder.with_name(f"{folder.name}.txt")


def _run_point(command: list[str], folder: pathlib.Path) -> int:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _output_of(folder).open("a") as output:
        return subprocess.run(command, stdout=output, stderr=subprocess.STDOUT).returncode


def _last_line(folder: pathlib.Path) -> str:
    lines = _output_of(folder).read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no output"


def _print_status(points: list[sweeps.Point], workdir: pathlib.Path) -> None:
    for point in points:
        folder = folder_of(workdir, point)
        state = "done" if (folder / DONE).exists() else "begun" if folder.exists() else "missing"
        print(f"{sweeps.point_id(point)}  {state:8} {describe(point)}")
