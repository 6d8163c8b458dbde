"""What the engines of sweeps share: points, the sweep's folder, who is done, and the end.

    DIR/sweep.json            the points, with their ids
    DIR/points/ID/            each point's work folder
    DIR/points/ID.txt         what it printed
    DIR/points/ID.failed      the line it failed with; gone when it runs again

A point is done when its run came to its very end (`train/workdir.py`); running the sweep again runs
what is missing, and a point that was interrupted goes on from its checkpoint. One process at a time
runs a sweep, and none while a point of it is being trained by another.
"""

import contextlib
import json
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from ml_collections import ConfigDict
from tqdm import tqdm

from segjax.config import durations, files, modules, sweeps, values
from segjax.config.defaults import PLACES
from segjax.errors import Interrupted, UserError
from segjax.files import write_text
from segjax.launch import point_configs, slurm
from segjax.train import holder
from segjax.train import workdir as workdirs
from segjax.train.sweepdir import MANIFEST, failure_of, folder_of, is_done, read_manifest
from segjax.train.workdir import check_writable, is_fresh


def load_points(text: str) -> list[sweeps.Point]:
    """The points of an experiment file's sweep(), which may take the argument after the colon.

    UserError if it has none, or two are the same.
    """
    path, arg = files.split_name(text)
    module = modules.load(path)
    if not hasattr(module, "sweep"):
        raise UserError(f"--config {path}: the file has no sweep()")
    points = modules.call(text, path, files.with_words, module.sweep, arg)
    if not isinstance(points, list) or not all(isinstance(point, dict) for point in points):
        raise UserError(f"--config {path}: sweep() gives a list of dicts of config paths")
    points = [values.plain(point, f"--config {path}: sweep()") for point in points]
    if arg:
        points = [sweeps.product([{"arg": arg}], [point])[0] for point in points]
    if not points:
        raise UserError(f"--config {text}: sweep() gives no point")
    if len({sweeps.point_id(point) for point in points}) < len(points):
        raise UserError(f"--config {text}: sweep() gives the same point twice")
    return points


def _check_words(text: str, points: list[sweeps.Point]) -> None:
    """UserError where a point sets what the argument after the colon sets to something else."""
    arg = files.split_name(text)[1] or ""
    given = sweeps.words(arg)
    for point in points:
        # The argument stands at the head of every point's own (`load_points`)
        for name, value in sweeps.words(str(point.get("arg", "")).removeprefix(arg)).items():
            if given.get(name, value) != value:
                raise UserError(
                    f"--config {text}: {name}={given[name]} is lost, for sweep() varies {name}; "
                    "change it there, or `segjax train` a single point"
                )


def check_points(
    text: str, points: list[sweeps.Point], extra: Mapping[str, str]
) -> list[ConfigDict]:
    """Every point's config, checked with its data, so that a mistake shows before one trains."""
    from segjax.train import experiment

    path, _ = files.split_name(text)
    _check_words(text, points)
    varied = {name for point in points for name in point}
    varied |= {other for name in varied for other in _other_units(name)}
    if twice := sorted(varied & {*extra}):
        raise UserError(
            f"--config.{twice[0]}: is what sweep() of {path} varies; change it there, or `segjax "
            "train` a single point"
        )
    configs = []
    for point in points:
        config = f"{path}:{point['arg']}" if "arg" in point else str(path)
        # As text, which is how a flag of the command line gives them
        settings = {k: str(v) for k, v in point.items() if k != "arg"}
        with _naming(text, point, extra):
            loaded = files.load(config, settings | dict(extra))
            parts = experiment.name_parts(loaded)
        # Outside: that a set is not prepared is no fault of the point
        parts.data.require()
        with _naming(text, point, extra):
            experiment.with_durations(parts, experiment.epoch_examples(parts))
        configs.append(loaded)
    _check_different(text, points, configs, extra)
    return configs


def _other_units(path: str) -> list[str]:
    """Where else a duration may be set, which replaces it: `train.steps`, `train.epochs`, …"""
    section, dot, key = path.rpartition(".")
    return [f"{section}{dot}{other}" for other in durations.siblings(key)]


def _check_different(
    text: str, points: list[sweeps.Point], configs: list[ConfigDict], extra: Mapping[str, str]
) -> None:
    """UserError where two points come to one training, which a table would show as two."""
    first: dict[str, sweeps.Point] = {}
    for point, config in zip(points, configs, strict=True):
        other = first.setdefault(files.to_json(config), point)
        if other is not point:
            flags = " ".join(f"--config.{key}={value}" for key, value in extra.items())
            raise UserError(
                f"--config {text}: the points ({describe(other)}) and ({describe(point)}) are one "
                f"and the same training{f' with {flags}' if flags else ''}"
            )


@contextlib.contextmanager
def _naming(text: str, point: sweeps.Point, extra: Mapping[str, str]) -> Iterator[None]:
    """Names the point in what is wrong with it, unless a flag of the command line is."""
    try:
        yield
    except UserError as error:
        line = str(error)
        if line.startswith(tuple(f"--config.{key}" for key in extra)):
            raise
        # A point's values are read as flags are, but are not of the command line.
        line = f"sweep() point ({describe(point)}): {line.removeprefix('--')}"
        raise UserError(f"--config {text}: {line}") from error


def check_data(
    workdir: pathlib.Path, points: list[sweeps.Point], configs: list[ConfigDict]
) -> None:
    """UserError when a point has begun on other data than those that are prepared now."""
    from segjax.data.dataset import Dataset
    from segjax.launch import job

    digests: dict[tuple[str, str], str] = {}  # of each set once
    for point, config in zip(points, configs, strict=True):
        folder, place = folder_of(workdir, point), (config.data.name, config.data.data_dir)
        if workdirs.data_digest(folder) is not None:
            if place not in digests:
                digests[place] = Dataset(config.data).digest
            job.check_data(config, folder, digests[place])


@contextlib.contextmanager
def open_folder(
    text: str,
    points: list[sweeps.Point],
    extra: Mapping,
    workdir: pathlib.Path,
    busy: Callable[[pathlib.Path], set[str]] = lambda workdir: set(),
) -> Iterator[set[str]]:
    """Writes the manifest, or checks that the folder holds this very sweep; holds the folder.

    Gives the ids of the points that are `busy`: another machine may be training them.

    UserError, with nothing changed, if the folder holds something else, or if another process runs
    this sweep, or trains a point of it (as the children of a sweep that was killed do).
    """
    manifest = manifest_of(text, points, extra)

    def check() -> set[str]:
        _check_folder(workdir, manifest)
        at_work = busy(workdir)
        for point in points:
            if sweeps.point_id(point) not in at_work:
                # Children of a sweep that was killed may be saving still
                holder.check_free(folder_of(workdir, point))
        return at_work

    # Before the folder is held, which writes there; and after, for another may have begun since
    check()
    with holder.hold(workdir):
        at_work = check()
        if not (workdir / MANIFEST).exists():
            write_text(workdir / MANIFEST, json.dumps(manifest, indent=2) + "\n")
        yield at_work


def manifest_of(text: str, points: list[sweeps.Point], extra: Mapping[str, str]) -> dict:
    """What a sweep's folder says of the sweep."""
    named = {sweeps.point_id(point): point for point in points}
    return {"config": text, "overrides": dict(extra), "points": named}


def _check_manifest(workdir: pathlib.Path, manifest: dict) -> None:
    """UserError unless the manifest of a folder is this one, but for the places of a machine."""
    # Through JSON, as the saved one has been: a tuple is a list there
    there, here = identity(read_manifest(workdir)), identity(json.loads(json.dumps(manifest)))
    if there != here:
        difference = files.first_difference(there, here, "sweep")
        raise UserError(
            f"--workdir {workdir}: holds another sweep ({difference}); take another folder"
        )


def _check_folder(workdir: pathlib.Path, manifest: dict) -> None:
    """UserError unless the folder holds this sweep, or nothing."""
    if (workdir / MANIFEST).exists():
        _check_manifest(workdir, manifest)
    elif workdir.exists() and not (workdir.is_dir() and is_fresh(workdir, MANIFEST)):
        raise UserError(f"--workdir {workdir}: occupied by other files; take another folder")
    else:
        check_writable(workdir, "--workdir")


def identity(manifest: dict) -> dict:
    """A manifest without the places of this machine: the experiment file by its name alone."""
    path, arg = files.split_name(str(manifest.get("config", "")))
    config = path.name if arg is None else f"{path.name}:{arg}"
    places = {f"data.{name}" for name in PLACES}
    kept = {k: v for k, v in dict(manifest.get("overrides", {})).items() if k not in places}
    return manifest | {"config": config, "overrides": kept}


def describe(point: sweeps.Point) -> str:
    """A point in words."""
    seed = f", seed {point['seed']}" if "seed" in point else ""
    return sweeps.row_label(point) + seed


def last_line(path: pathlib.Path) -> str:
    """The last line of a file; `no output` where there is none."""
    lines = lines_of(path)
    return lines[-1] if lines else "no output"


def lines_of(path: pathlib.Path) -> list[str]:
    """The lines of a file; none where there is none."""
    return path.read_text(errors="replace").strip().splitlines() if path.exists() else []


class Progress:
    """Progress over a whole sweep: a bar on a terminal, and one line for every finished point."""

    def __init__(self, workdir: pathlib.Path, points: list[sweeps.Point]):
        self.workdir, self.points = workdir, points
        self.missing = [point for point in points if not is_done(workdir, point)]
        self._ended = len(points) - len(self.missing)
        self._failed: dict[str, list[str]] = {}  # ids of points by what they failed with
        self._begun: dict[str, float] = {}  # ids of points, when
        self._bar = tqdm(
            total=len(points),
            initial=self._ended,
            desc="sweep",
            unit="point",
            disable=not sys.stderr.isatty(),
        )
        left = len(self.missing)
        tqdm.write(
            f"{len(points)} points, {self._ended} done, {left} to run; what each prints goes to "
            f"{workdir / 'points'}/ID.txt"
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *unused) -> None:
        self._bar.close()

    def begins(self, point: sweeps.Point) -> None:
        """Makes ready for a point; what it failed with before is forgotten."""
        folder = folder_of(self.workdir, point)
        folder.parent.mkdir(parents=True, exist_ok=True)
        failure_of(folder).unlink(missing_ok=True)
        self._begun[sweeps.point_id(point)] = time.monotonic()

    def ended(self, point: sweeps.Point, failure: str | None = None) -> None:
        """Notes that a point is done, or the line with which it failed."""
        name = sweeps.point_id(point)
        self._ended += 1
        if failure is not None:
            # Kept as a file, for another process may ask (`--status`), or run the sweep again
            write_text(failure_of(folder_of(self.workdir, point)), failure + "\n")
            self._failed.setdefault(failure, []).append(name)
        word = "done" if failure is None else "FAILED"
        took = tqdm.format_interval(time.monotonic() - self._begun[name])
        place = f"{self._ended}/{len(self.points)}"
        tqdm.write(f"{word}: {name} ({describe(point)}) in {took} [{place}]")
        self._bar.update()

    def conclude(self) -> None:
        """Writes the sweep's report; raises Interrupted instead when points failed."""
        self._bar.close()
        if self._failed:
            count = sum(map(len, self._failed.values()))
            why = "; ".join(f"{', '.join(ids)}: {line}" for line, ids in self._failed.items())
            raise Interrupted(
                f"{count} of {len(self.points)} points failed ({why}); the same command runs them "
                "again"
            )
        # Imported here, for it loads matplotlib
        from segjax.report import sweep

        made = sweep.write(self.workdir)
        print(f"wrote {made}, with report.csv and report.tex beside it")


@dataclass
class Sweep:
    """A sweep that is being run: what engines get.

    Attributes:
        text: the experiment file, with an argument after the colon.
        extra: overrides of the command line, for every point.
        workdir: its folder, which this process holds.
        configs: of the points, in their order.
        progress: over its points.
        busy: ids of points that are being trained, or wait for it, by an engine that submits.
    """

    text: str
    extra: Mapping[str, str]
    workdir: pathlib.Path
    configs: Sequence[ConfigDict]
    progress: "Progress"
    busy: Set[str] = frozenset()

    @property
    def points(self) -> Sequence[sweeps.Point]:
        """All points, also those that are done."""
        return self.progress.points


def run(text: str, extra: Mapping[str, str], workdir: pathlib.Path, engine: Any) -> None:
    """Runs every point that is not done by an engine, and reports when all have ended.

    Raises: UserError for wrong input, before anything is written; Interrupted after a signal, and
        when points failed.
    """
    points = load_points(text)
    configs = check_points(text, points, extra)
    engine.check(configs)
    check_data(workdir, points, configs)
    # An engine that submits knows its own; whatever else runs must not meet them
    busy = engine.busy if hasattr(engine, "busy") else slurm.check_idle

    def asked(workdir: pathlib.Path) -> set[str]:
        at_work = busy(workdir)
        point_configs.check(text, workdir, points, configs, at_work)
        return at_work

    with (
        open_folder(text, points, extra, workdir, asked) as at_work,
        Progress(workdir, points) as progress,
    ):
        point_configs.keep(workdir, points, configs, at_work)
        if engine.run(Sweep(text, extra, workdir, configs, progress, at_work)):
            progress.conclude()
