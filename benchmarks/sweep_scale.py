"""What a sweep of thousands of points costs the commands that look after it.

One small point is trained, or taken from --point, and its folder is laid out N times as segjax
leaves it: points that are done, failed, interrupted and not begun, each with its own config and
values. Then whole commands are timed: the state of all points, with and without Slurm's word, the
report, and `segjax sweep` up to where it would run the first point.

    python benchmarks/sweep_scale.py                        # 10,000 points, a folder that goes
    python benchmarks/sweep_scale.py --points 300 --point work/demo

What no command reads (checkpoints, pictures, events) is linked instead of copied, so that the disk
holds it once; the sizes that are printed are those of whole points.
"""

import argparse
import contextlib
import datetime
import hashlib
import itertools
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segjax.config import sweeps
from segjax.launch import submissions, sweep
from segjax.launch.rendering import sbatch
from segjax.train import logs
from segjax.train.sweepdir import failure_of, folder_of, output_of
from segjax.train.workdir import DONE, PREDICTIONS, TABLE

ROOT = pathlib.Path(__file__).resolve().parents[1]
SEEDS = 5
# Of each hundred points; what is left has not begun
SHARES = {"done": 90, "failed": 4, "begun": 3}
DATA = "synthetic_fundus/48px_24_100_8"  # 100 validation cases
TRAINED = {
    "data.name": DATA,
    "data.image_size": "(32, 32)",
    "model.features": "(4,)",
    "train.steps": "200",
}
EXPERIMENT = '''
"""Many settings of one small training."""

import json
import pathlib

from ml_collections import ConfigDict

from segjax.config import sweeps

CONFIG = json.loads(pathlib.Path({config!r}).read_text())

def get_config():
    return ConfigDict(CONFIG)

def sweep():
    rates = [round(1e-5 * (1 + place), 5) for place in range({settings})]
    return sweeps.product({{"optimizer.learning_rate": rates}}, seed=range({seeds}))[:{points}]

class Looks:
    """Stands where an engine would run the first point."""

    flags = {{}}

    def check(self, configs):
        pass

    def run(self, sweep):
        print(len(sweep.progress.missing), "to run")
        return False
'''
# What Slurm prints of an array: it is asked once, and answers with a line a task
SQUEUE = "#!/bin/sh\nexec cat {answer}\n"


@dataclass(frozen=True)
class Taken:
    """What a command took, with all that it waited for."""

    seconds: float
    processor: float
    mebibytes: float
    output: str


def main() -> None:
    """Lays out the sweep, runs the commands, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--workdir", type=pathlib.Path, help="a new folder, which stays")
    parser.add_argument("--point", type=pathlib.Path, help="a trained folder; else one is trained")
    parser.add_argument("--repeat", type=int, default=3, help="of each command the best counts")
    args = parser.parse_args()
    with _folder(args.workdir) as folder:
        point = args.point.resolve() if args.point else train(folder)
        began = time.monotonic()
        workdir = lay_out(folder, point, args.points)
        print(f"{machine()}: {args.points} points laid out in {time.monotonic() - began:.0f} s\n")
        for line in itertools.chain(sizes(workdir, point), [""]):
            print(line, flush=True)
        for line in timings(workdir, args.points, args.repeat):
            print(line, flush=True)


@contextlib.contextmanager
def _folder(given: pathlib.Path | None) -> Iterator[pathlib.Path]:
    if given is None:
        with tempfile.TemporaryDirectory(prefix="sweep-") as made:
            yield pathlib.Path(made)
    else:
        given.mkdir(parents=True)
        yield given.resolve()


def train(folder: pathlib.Path) -> pathlib.Path:
    """Trains the point that is laid out; seconds."""
    flags = [f"--config.{path}={value}" for path, value in TRAINED.items()]
    words = ["train", "--config", str(ROOT / "experiments" / "fovea" / "demo.py"), *flags]
    run([*words, f"--config.data.data_dir={folder / 'data'}", "--workdir", str(folder / "point")])
    return folder / "point"


# --- The folder of a sweep -----------------------------------------------------------------------


def lay_out(folder: pathlib.Path, point: pathlib.Path, count: int) -> pathlib.Path:
    """Makes the folder of a sweep of `count` points like the one that is given."""
    experiment = folder / "swept.py"
    settings = -(-count // SEEDS)
    text = EXPERIMENT.format(
        config=str(point / "config.json"), settings=settings, seeds=SEEDS, points=count
    )
    experiment.write_text(text.lstrip())
    workdir = folder / "sweep"
    points = sweep.load_points(str(experiment))
    with sweep.open_folder(str(experiment), points, {}, workdir):
        pass
    whole = Whole.read(point)
    for place, one in enumerate(points):
        target = folder_of(workdir, one)
        target.parent.mkdir(exist_ok=True)
        state = state_of(place)
        if state != "missing":
            whole.write(target, one, place, done=state == "done")
            output_of(target).write_text("step 40: validation r_aed 3.4 loss 19.1\n" * 8)
        if state == "failed":
            failure_of(target).write_text("a value of the loss is not finite (step 17)\n")
    return workdir


def state_of(place: int) -> str:
    """In which state a point is laid out."""
    for state, share in zip(SHARES, np.cumsum([*SHARES.values()]), strict=True):
        if place * 37 % 100 < share:  # spread over settings and seeds
            return state
    return "missing"


@dataclass(frozen=True)
class Whole:
    """A trained point, of which others are made.

    Attributes:
        folder: its work folder.
        config: its config.
        linked: files that are the same in all, below it.
        copied: small files that each point has as its own.
        rows: of metrics.jsonl.
        header: of the table of cases.
        cases: names of the cases, and what is true of them.
        values: of the columns that the network gives, `[cases, columns]`.
        result: metrics_validation.json.
    """

    folder: pathlib.Path
    config: Mapping
    linked: Sequence[pathlib.Path]
    copied: Mapping[str, bytes]
    rows: Sequence[Mapping]
    header: str
    cases: Sequence[str]
    values: np.ndarray
    result: Mapping

    @classmethod
    def read(cls, folder: pathlib.Path) -> "Whole":
        """Reads all that is written anew for each point."""
        header, *lines = (folder / "predictions_validation.csv").read_text().splitlines()
        cells = [line.split(",") for line in lines]
        below = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
        top = {path.name for path in below if path.parent == pathlib.Path()}
        own = {"config.json", "metrics.jsonl", "predictions_validation.csv", TABLE, DONE}
        return cls(
            folder,
            json.loads((folder / "config.json").read_text()),
            [path for path in below if path.parent != pathlib.Path()],
            {name: (folder / name).read_bytes() for name in top - own | {DONE}},
            logs.read_rows(folder / "metrics.jsonl"),
            header,
            [line[0] for line in cells],
            np.array([[float(cell or "nan") for cell in line[1:]] for line in cells]),
            json.loads((folder / TABLE).read_text()),
        )

    def write(self, target: pathlib.Path, point: sweeps.Point, place: int, *, done: bool) -> None:
        """Writes a point's folder; one that is not done lacks what comes at the end."""
        target.mkdir(parents=True)
        factor = np.random.default_rng(place).lognormal(0, 0.05)
        config = json.loads(json.dumps(self.config))
        config["seed"] = point["seed"]
        config["optimizer"]["learning_rate"] = point["optimizer.learning_rate"]
        (target / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        last = {"report.md", DONE}
        for name, content in self.copied.items():
            if done or name not in last:
                (target / name).write_bytes(content)
        rows = self.rows if done else self.rows[: len(self.rows) // 2]
        varied = [row | {"value": row["value"] and row["value"] * factor} for row in rows]
        text = "".join(json.dumps(row) + "\n" for row in varied)
        (target / "metrics.jsonl").write_text(text)
        for folder in sorted({path.parent for path in self.linked}):
            (target / folder).mkdir(parents=True, exist_ok=True)
        for path in self.linked:
            if done or path.parts[0] != "figures":
                os.link(self.folder / path, target / path)
        if done:
            self._write_result(target, place, factor)

    def _write_result(self, target: pathlib.Path, place: int, factor: float) -> None:
        noise = np.random.default_rng(place).lognormal(0, 0.1, self.values.shape) * factor
        lines = [
            ",".join([case, *(f"{value:.6g}" for value in row)])
            for case, row in zip(self.cases, self.values * noise, strict=True)
        ]
        content = "\n".join([self.header, *lines, ""]).encode()
        (target / "predictions_validation.csv").write_bytes(content)
        metrics = {name: value * factor for name, value in self.result["metrics"].items()}
        digest = {PREDICTIONS: hashlib.sha256(content).hexdigest()}
        result = dict(self.result) | {"metrics": metrics} | digest
        (target / TABLE).write_text(json.dumps(result, indent=2) + "\n")


def submit(workdir: pathlib.Path, count: int, size: int = 1000) -> pathlib.Path:
    """Lays out array jobs of all points, and a squeue that tells of them; gives its folder."""
    ids = list(json.loads((workdir / "sweep.json").read_text())["points"])
    lines = []
    for number, start in enumerate(range(0, count, size)):
        folder = workdir / submissions.FOLDER / f"{number + 1:04}"
        folder.mkdir(parents=True)
        part = ids[start : start + size]
        (folder / sbatch.TASKS).write_text("".join(f"{name}\ttrue\n" for name in part))
        name = f"swept-{number}"
        submissions.Submission(folder, name, part).keep(100 + number)
        for place in range(len(part)):
            state = "COMPLETED" if state_of(start + place) == "done" else "PENDING"
            lines.append(f"{100 + number}|{place}|{state}|Priority||0:00|{name}")
    programs = workdir.parent / "programs"
    programs.mkdir()
    (programs / "answer.txt").write_text("\n".join(lines) + "\n")
    (programs / "squeue").write_text(SQUEUE.format(answer=programs / "answer.txt"))
    (programs / "squeue").chmod(0o755)
    return programs


def machine() -> str:
    """Date, commit, processor and versions, which a figure needs beside it."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    processor = f"{os.cpu_count()} cores of {names[0] if names else platform.machine()}"
    date = datetime.date.today()
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    return f"{date}, commit {commit}, {processor}, {versions}"


# --- What it costs -------------------------------------------------------------------------------


def run(words: Sequence[str], path: pathlib.Path | None = None) -> Taken:
    """Runs a command of segjax in a process of its own, which must end well."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    if path is not None:
        environment |= {"PATH": f"{path}:{os.environ['PATH']}"}
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        command = [sys.executable, "-P", "-m", "segjax.cli", *words]
        child = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        # Of this child alone, which RUSAGE_CHILDREN is not
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode()
    if child.returncode:
        raise SystemExit(f"segjax {' '.join(words)}: status {child.returncode}\n{text[-2000:]}")
    return Taken(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text)


def timings(workdir: pathlib.Path, count: int, repeat: int) -> Iterator[str]:
    """A line a command."""
    yield f"| command, {count} points | seconds | of a processor | peak memory, MiB | it said |"
    yield "|---|---|---|---|---|"
    status = ["sweep", "--status", "--workdir", str(workdir)]
    yield _line("`segjax sweep --status`", status, repeat)
    experiment = str(workdir.parent / "swept.py")
    start = ["sweep", "--config", experiment, "--engine", "swept:Looks", "--workdir", str(workdir)]
    yield _line("`segjax sweep` until the first point", start, 1)
    yield _line("`segjax report`", ["report", str(workdir)], 1)
    programs = submit(workdir, count)
    yield _line("`segjax sweep --status` with Slurm's word", status, repeat, programs)


def _line(name: str, words: Sequence[str], repeat: int, path: pathlib.Path | None = None) -> str:
    best = min((run(words, path) for _ in range(repeat)), key=lambda taken: taken.seconds)
    said = best.output.strip().splitlines()[-1].replace(str(words[-1]), "DIR")
    took = f"{best.seconds:.2f} | {best.processor:.2f} | {best.mebibytes:.0f}"
    return f"| {name} | {took} | {said} |"


def sizes(workdir: pathlib.Path, point: pathlib.Path) -> Iterator[str]:
    """What a point, the manifest and all records take on the disk."""
    parts = {
        "a point": point,
        "its checkpoints": point / "checkpoints",
        "its pictures and events": None,
    }
    yield "| on the disk | files | folders | bytes |"
    yield "|---|---|---|---|"
    for name, folder in parts.items():
        folders = [point / "figures", point / "tensorboard"] if folder is None else [folder]
        below = [path for one in folders for path in [one, *one.rglob("*")]]
        inside = [path for path in below if path.is_file()]
        size = sum(path.stat().st_size for path in inside)
        yield f"| {name} | {len(inside)} | {len(below) - len(inside)} | {size} |"
    yield f"| sweep.json | 1 | | {(workdir / 'sweep.json').stat().st_size} |"


if __name__ == "__main__":
    main()
