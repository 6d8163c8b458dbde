"""Writes the points of a sweep as jobs for schedulers, into DIR/render/, and submits none."""

import pathlib
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import ClassVar

from ml_collections import ConfigDict

from segjax.checks import nearest
from segjax.config import files, sweeps
from segjax.errors import UserError
from segjax.files import write_text
from segjax.launch import cluster, slurm
from segjax.launch.engines.local import command_of
from segjax.launch.flags import Flag
from segjax.launch.rendering import (
    accelerators,
    dockerfile,
    gcluster,
    jobset,
    sbatch,
    shell,
    skypilot,
    tpu_vm,
)
from segjax.launch.rendering.task import Task
from segjax.launch.sweep import Sweep
from segjax.train.sweepdir import folder_of

FOLDER = "render"
SLURM = "sbatch"
SCRIPT = "sbatch.sh"
ALL = "all"
# On other machines than this. Each says which fields it needs, why it does not fit, its files, and
# what a person runs next.
ELSEWHERE: Mapping[str, ModuleType] = {
    "jobset": jobset,
    "gcluster": gcluster,
    "skypilot": skypilot,
    "tpu_vm": tpu_vm,
}
FORMATS = (SLURM, *ELSEWHERE)
WITH_IMAGE = {"jobset", "gcluster", "skypilot"}


class Render:
    """Writes every point that is not done as a job, in files to read, to change and to submit."""

    flags: ClassVar[Mapping[str, Flag]] = cluster.FLAGS | {
        "format": Flag(SLURM, f"{', '.join(FORMATS)}, or {ALL} that fit", metavar="NAME")
    }

    def __init__(self, *, format: str | None = None, **values: object):
        self.cluster = cluster.made(values)
        self.format = SLURM if format is None else format
        if self.format not in (*FORMATS, ALL):
            raise UserError(
                f"--format {self.format}: no such format{nearest(self.format, FORMATS)} There are: "
                f"{', '.join(FORMATS)}, {ALL}"
            )

    def check(self, configs: Sequence[ConfigDict]) -> None:
        """UserError for points that cannot be written in this format."""
        cluster.check_points(self.cluster, configs)
        accelerators.check(self.cluster)
        if not pathlib.PurePosixPath(self.cluster.mount).is_absolute():
            raise UserError(f"cluster.mount={self.cluster.mount!r}: takes an absolute path")
        chosen = self._chosen()
        if self.format != ALL and (why := self._unfit(self.format)):
            raise UserError(f"--format {self.format}: {why}")
        lacking = {name: None for one in chosen for name in self._lacking(one)}
        if lacking:
            fields = ", ".join(f"cluster.{name}" for name in lacking)
            raise UserError(
                f"--format {self.format}: needs {fields} (--cluster FILE has a [cluster] section)"
            )

    def busy(self, workdir: pathlib.Path) -> set[str]:
        """None: files are written, and nobody is asked who runs."""
        return set()

    def run(self, sweep: Sweep) -> bool:
        """Writes the files of what is missing; when all are done already, the report follows."""
        missing = sweep.progress.missing
        if not missing:
            return True
        folder = sweep.workdir / FOLDER
        chosen = self._chosen()
        texts, following = {}, {}
        for name in chosen:
            more, after = self._rendered(name, sweep, folder)
            texts |= more
            following |= after
        if WITH_IMAGE & {*chosen} and self.cluster.image:
            place = shell.quoted(str(folder))
            texts[dockerfile.FILE] = dockerfile.text(self.cluster, place)
            image = shell.quoted(self.cluster.image)
            build = f"docker build -t {image} -f {place}/{dockerfile.FILE} ."
            following = {dockerfile.FILE: f"{build} && docker push {image}"} | following
        for name, text in texts.items():
            write_text(folder / name, text)
        print(f"{len(missing)} points written to {folder}; nothing was submitted. What comes next:")
        for name, line in following.items():
            print(f"{name}: {line}")
        for name in [name for name in FORMATS if self.format == ALL and name not in chosen]:
            print(f"{name}: left out: {self._unfit(name)}")
        return False

    def _chosen(self) -> list[str]:
        """The formats that are written."""
        if self.format != ALL:
            return [self.format]
        return [name for name in FORMATS if not self._unfit(name)]

    def _unfit(self, name: str) -> str:
        return (sbatch if name == SLURM else ELSEWHERE[name]).unfit(self.cluster)

    def _lacking(self, name: str) -> list[str]:
        """The fields that a format needs, and that say nothing."""
        needs = ELSEWHERE[name].needs(self.cluster) if name != SLURM else ()
        return [field for field in needs if not getattr(self.cluster, field)]

    def _rendered(
        self, name: str, sweep: Sweep, folder: pathlib.Path
    ) -> tuple[dict[str, str], dict[str, str]]:
        """The files of a format, and what follows."""
        if name == SLURM:
            return self._slurm(sweep, folder.resolve())
        one, workdir = ELSEWHERE[name], seen(sweep.workdir, self.cluster.mount)
        tasks = [_task(sweep, point, workdir) for point in sweep.progress.missing]
        written = one.files(self.cluster, tasks, self._notes(name, sweep, workdir))
        return written, one.following(shell.quoted(str(folder)))

    def _slurm(self, sweep: Sweep, folder: pathlib.Path) -> tuple[dict[str, str], dict[str, str]]:
        workdir = folder.parent
        tasks = [_task(sweep, point, workdir) for point in sweep.progress.missing]
        script = sbatch.script(
            self.cluster,
            name=slurm.job_name(workdir, self.cluster),
            count=len(tasks),
            sweep=workdir,
            folder=folder,
            here=pathlib.Path.cwd(),
        )
        written = {SCRIPT: script, sbatch.TASKS: sbatch.tasks(tasks, self.cluster)}
        return written, {SCRIPT: f"sbatch {shell.quoted(str(folder / SCRIPT))}"}

    def _notes(self, name: str, sweep: Sweep, workdir: pathlib.PurePath) -> str:
        """What must be where, as comments."""
        path, _ = files.split_name(sweep.text)
        data = sorted({str(config.data.data_dir) for config in sweep.configs})
        lines = [
            f"Written by `segjax sweep --engine render --format {name}`; running it again replaces "
            "this.",
            f"{self.cluster.mount} is a folder that all machines share. Results: {workdir}",
            f"Experiment: {path}; data: {', '.join(data)}",
            f"Relative paths are below {ELSEWHERE[name].RELATIVE}.",
        ]
        return "".join(f"# {_on_a_line(line)}\n" for line in lines)


def _task(sweep: Sweep, point: sweeps.Point, workdir: pathlib.PurePath) -> Task:
    words = command_of(sweep.text, point, sweep.extra, folder_of(workdir, point))
    return Task(sweeps.point_id(point), words)


def seen(workdir: pathlib.Path, mount: str) -> pathlib.PurePath:
    """A sweep's folder as the machines see it, which share `mount`."""
    shared, here = pathlib.PurePosixPath(mount), pathlib.Path(mount).resolve()
    if workdir.resolve().is_relative_to(here):
        return shared / workdir.resolve().relative_to(here)
    if not workdir.is_absolute() and ".." not in workdir.parts:
        return shared / workdir
    raise UserError(
        f"--workdir {workdir}: the machines share {mount} (cluster.mount); take a folder below it, "
        "or a relative one"
    )


def _on_a_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
