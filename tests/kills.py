"""Twenty kills at random moments, and jobs of two processes that lose one: `make test-kills`.

Kills: training, evaluation, preparation and export of photographs and of volumes are ended by
SIGKILL, SIGTERM and SIGINT, run again to their ends, and compared byte by byte with undisturbed
runs: parameters, rows of metrics.jsonl, tables, reports, figures, exported files, records.
Processes: a job of two loses its first or its second, gets two configs, or a wrong flag in one of
them; what each printed, and after how many seconds.

    python -m tests.kills [--seed N] [kills] [processes]

Ends with status 1 on any difference. It takes five minutes on two quiet cores.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np

from tests.train import runs
from tests.train.test_volumes import words as volume_words

HEAD = [sys.executable, "-m", "segjax.cli"]
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
VOLUMES = "synthetic_cardiac/48px_3_2_1"
UNLIKE = "images_per_second"  # the one quantity of metrics.jsonl that is a measurement of time
LONG = {"train__steps": 300, "evaluate__every_steps": 20, "checkpoint__every_steps": 15}
LONG_VOLUMES = {"train__steps": 60, "evaluate__every_steps": 10, "checkpoint__every_steps": 7}
# One process and two take sums in another order; slow learning keeps the difference small.
JOB = LONG | {"optimizer__learning_rate": 1e-4}
TOLERANCE = 1e-3  # relative


@dataclasses.dataclass
class Work:
    """Something that is killed: how it is begun in a folder, and what it must leave there."""

    name: str
    kills: int
    command: Callable[[pathlib.Path], list[str]]
    results: Callable[[pathlib.Path], dict[str, object]]
    begin: Callable[[pathlib.Path], None] = lambda folder: None


def main() -> int:
    """Runs the chosen parts; 1 when anything was not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", default=["kills", "processes"])
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    # A job in the background of a shell ignores Ctrl-C, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="segjax-kills-") as name:
        root = pathlib.Path(name)
        if "kills" in args.parts:
            faults += kill_all(root, random.Random(args.seed))
        if "processes" in args.parts:
            faults += lose_processes(root)
    print("\n".join(f"FAULT {fault}" for fault in faults) or "all as it should be")
    return 1 if faults else 0


# --- kills ----------------------------------------------------------------------------------------


def kill_all(root: pathlib.Path, chance: random.Random) -> list[str]:
    """Kills every work as often as it says; the faults found."""
    faults, count, began = [], 0, time.monotonic()
    for work in works(root):
        undisturbed = root / f"{work.name}-undisturbed"
        work.begin(undisturbed)
        took = run_to_end(work.command(undisturbed))
        wanted = work.results(undisturbed)
        print(f"{work.name}: {took:.1f} s undisturbed, {len(wanted)} results", flush=True)
        folder = root / work.name.replace(" ", "-")
        work.begin(folder)
        kills = 0
        while kills < work.kills:
            number = SIGNALS[count % len(SIGNALS)]
            moment = chance.uniform(0.3, took)
            ended, line = kill_once(work.command(folder), number, moment)
            if ended:  # it was faster than the signal: compared, and begun anew
                faults += differences(work, folder, wanted)
                shutil.rmtree(folder)
                work.begin(folder)
                continue
            kills, count = kills + 1, count + 1
            print(f"{count:2} {number.name} {work.name} after {moment:.2f} s: {line}", flush=True)
            if "Traceback" in line and f"status -{number.value}" not in line:  # not Python's start
                faults.append(f"{work.name}: {number.name} after {moment:.2f} s: {line}")
        run_to_end(work.command(folder))
        faults += differences(work, folder, wanted)
    print(f"{count} kills in {time.monotonic() - began:.0f} s, {len(faults)} faults")
    return faults


def kill_once(words: list[str], number: signal.Signals, moment: float) -> tuple[bool, str]:
    """Whether the command had ended by itself; otherwise how it took the signal."""
    process = subprocess.Popen(
        words, env=runs.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    asked = time.monotonic()
    _, errors = process.communicate(timeout=120)
    if process.returncode == 0:
        return True, ""
    lines = [line for line in errors.splitlines() if line.startswith(("segjax: ", "Traceback"))]
    said = " / ".join(lines) or "nothing said"
    return False, f"status {process.returncode}, {time.monotonic() - asked:.1f} s later: {said}"


def run_to_end(words: list[str]) -> float:
    """Runs a command, which must end well; its seconds."""
    began = time.monotonic()
    done = subprocess.run(words, env=runs.environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return time.monotonic() - began


def differences(work: Work, folder: pathlib.Path, wanted: dict[str, object]) -> list[str]:
    """What differs from the undisturbed run, by name."""
    found = work.results(folder)
    names = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    return [f"{work.name}: {name} differs from the undisturbed run" for name in names]


def works(root: pathlib.Path) -> Iterator[Work]:
    """The things to kill, in an order in which each finds what it needs."""
    data, trained = root / "data", root / "training-undisturbed"
    heart = root / "volumes-undisturbed"
    run_to_end([*HEAD, "data", "prepare", runs.DATA, "--data_dir", str(data)])
    run_to_end([*HEAD, "data", "prepare", VOLUMES, "--data_dir", str(data)])
    yield Work("training", 6, lambda f: runs.command(f, data, **LONG), trained_results)
    yield Work(
        "volumes", 5, lambda f: HEAD + volume_words(f, data, **LONG_VOLUMES), trained_results
    )
    for name, source, split, kills in (
        ("", trained, "test", 2),
        (" of volumes", heart, "validation", 1),
    ):
        yield Work(
            f"evaluation{name}",
            kills,
            lambda f, s=split: [*HEAD, "evaluate", "--workdir", str(f), "--split", s],
            trained_results,
            lambda f, source=source: shutil.copytree(source, f),
        )
        yield Work(
            f"export{name}",
            kills,
            lambda f, w=source: [*HEAD, "export", "--workdir", str(w), "--output", str(f)],
            files_in,
        )
    for name, kills in (("synthetic_fundus/64px_60_20_20", 2), ("synthetic_cardiac/48px_6_2_1", 1)):
        yield Work(
            f"preparation of {name.split('/')[0]}",
            kills,
            lambda f, n=name: [*HEAD, "data", "prepare", n, "--data_dir", str(f)],
            lambda f, n=name: examples_in(f, n),
        )


def trained_results(folder: pathlib.Path) -> dict[str, object]:
    """Parameters, rows and files of a work folder, but what measures time or names the command."""
    from segjax.inference.open import load_trained
    from segjax.train.checkpoint import parameters_digest

    found = {
        name: content
        for name, content in files_in(folder).items()
        if not name.startswith("checkpoints/") and name not in ("metrics.jsonl", "env.json")
    }
    for kind in ("latest", "best"):
        found[f"parameters, {kind}"] = parameters_digest(load_trained(folder, kind).state)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        if row["name"] == UNLIKE:
            row["value"] = None
        place = f"row {row['step']} {row['split']} {row['name']}"
        found[place if place not in found else f"{place}, again"] = row
    return found


def examples_in(folder: pathlib.Path, name: str) -> dict[str, str]:
    """The digest of every example of a prepared set; its files hold the fields of an example in an
    order that is another one in every process."""
    from segjax.data import store

    made, found = store.builder(name, str(folder)), {}
    for split in made.info.splits:
        for place, example in enumerate(store.open_split(made, split)):
            digest = hashlib.sha256()
            for field in sorted(example):
                digest.update(np.asarray(example[field]).tobytes())
            found[f"{split} {place}"] = digest.hexdigest()
    return found


def files_in(folder: pathlib.Path) -> dict[str, str]:
    """The digest of every file below a folder; files of which the name begins with a dot are
    what a kill left behind."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


# --- processes ------------------------------------------------------------------------------------


def lose_processes(root: pathlib.Path) -> list[str]:
    """The cases of a job of two processes; the faults found."""
    data, faults = root / "processes-data", []
    print("a fresh data folder")
    faults += ended_as(start(root / "fresh", data, {}, {"train__steps": 20}), [0, 0], 120)
    sets = [path for path in data.rglob("dataset_info.json")]
    if len(sets) != 1 or list(data.rglob("incomplete.*")):
        faults.append("a fresh data folder: not prepared once")
    for name, other, status in (
        ("two configs", {"optimizer__learning_rate": 0.5}, [2, 2]),
        ("a wrong value in process 1", {"train__steps": "many"}, [1, 2]),
    ):
        print(name)
        faults += ended_as(start(root / "refused", data, other), status, 60)
        if (root / "refused").exists():
            faults.append(f"{name}: a work folder was begun")
    alone = root / "alone"
    run_to_end(runs.command(alone, data, **JOB))
    for lost, name in ((0, "leader"), (1, "follower")):
        print(f"{name} killed")
        folder = root / name
        jobs = start(folder, data, {})
        wait_for_rows(folder, jobs)
        jobs[lost].kill()
        faults += ended_as(jobs, [-9, 1] if lost == 0 else [1, -9], 30)
        shutil.copytree(folder, both := root / f"{name}, two")
        faults += ended_as(start(both, data, {}), [0, 0], 120)
        run_to_end(runs.command(folder, data, **JOB))
        for path, way in ((both, "two processes"), (folder, "one process")):
            faults += [f"{name} killed: {line}" for line in far_from(alone, path, way)]
    return faults


def far_from(alone: pathlib.Path, folder: pathlib.Path, way: str) -> list[str]:
    """Prints how far the losses of a run are from those of one that nobody killed; faults."""
    faults = []
    for split in ("train", "validation"):
        one, two = (runs.logged(path, split, "loss") for path in (alone, folder))
        far = max(abs(two.get(step, np.inf) / one[step] - 1) for step in one)
        print(f"  in {way} to the end: {split} loss within {far:.1e}", flush=True)
        if one.keys() != two.keys() or far > TOLERANCE:
            faults.append(f"{split} loss differs after going on in {way}")
    return faults


def start(folder, data, other: dict, both: dict | None = None) -> list[subprocess.Popen]:
    """A job of two processes, the second with settings of its own."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    jobs = []
    for process, own in enumerate(({}, other)):
        flags = f"--coordinator=localhost:{port}", "--processes=2", f"--process={process}"
        words = runs.command(folder, data, *flags, **(JOB | (both or {}) | own))
        jobs.append(
            subprocess.Popen(
                words,
                env=runs.environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return jobs


def wait_for_rows(folder: pathlib.Path, jobs: list[subprocess.Popen]) -> None:
    """Returns when a job has trained beyond its first checkpoints."""
    path, wanted = folder / "metrics.jsonl", f'"step": {2 * LONG["evaluate__every_steps"]},'
    while all(job.poll() is None for job in jobs):
        if path.exists() and wanted in path.read_text():
            return
        time.sleep(0.05)
    raise RuntimeError("the job did not begin to train: " + jobs[0].communicate()[1][-2000:])


def ended_as(jobs: list[subprocess.Popen], wanted: list[int], limit: float) -> list[str]:
    """Prints how each process ended, and after how many seconds; what was not as wanted."""
    began, faults, ended = time.monotonic(), [], {}
    while len(ended) < len(jobs):
        for place, job in enumerate(jobs):
            if place not in ended and job.poll() is not None:
                ended[place] = time.monotonic() - began
        if time.monotonic() - began > limit + 60:
            for job in jobs:
                job.kill()
        time.sleep(0.02)
    for place, (job, status) in enumerate(zip(jobs, wanted, strict=True)):
        lines = [line for line in job.stderr.read().splitlines() if not line.startswith("[Gloo]")]
        said = [line for line in lines if not line.startswith("step ")]
        print(f"  process {place}: status {job.returncode} after {ended[place]:.1f} s: {said}")
        count = 1 if status > 0 else 0
        if job.returncode != status or len(said) != count or ended[place] > limit:
            faults.append(f"process {place}: wanted status {status} and {count} line(s)")
    sys.stdout.flush()
    return faults


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    sys.exit(main())
