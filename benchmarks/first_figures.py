"""What the demos and the recipes for two cores reach, over seeds and settings of XLA.

A figure of one training says nothing of another processor, which rounds otherwise. Each recipe is
trained under three seeds and two settings of XLA: as it comes, and with fast mathematics on one
thread. A row a training goes into a CSV file; run again, what is there is not trained again.

    python benchmarks/first_figures.py --data_dir DATA            trains what is missing
    python benchmarks/first_figures.py --table                    prints the ranges

`processor time` is that of all threads: on two idle cores the wall clock shows about half of it.
"""

import argparse
import csv
import datetime
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "first_figures.csv"
SEEDS = (0, 1, 2)
# By name: the flags of XLA, and whether the training has one core only.
SETTINGS = {
    "as it comes": ("", False),
    "fast math, one thread": (
        "--xla_cpu_enable_fast_math=true --xla_cpu_multi_thread_eigen=false",
        True,
    ),
}
# The experiment, and the figures of its validation that are kept.
RECIPES = {
    "fovea/demo.py": ("r_aed",),
    "fovea/idrid.py:cpu": ("r_aed",),
    "segmentation/demo.py": ("dice",),
    "segmentation/demo.py:target=vessels": ("dice",),
    "segmentation/demo.py:target=lesions": ("dice",),
    "segmentation/drive.py:steps=200": ("dice",),
    "regionwise/demo.py:rrw": ("dice", "dice/RV", "dice/M", "dice/LV"),
    "regionwise/acdc.py:rrw,cpu": ("dice", "dice/RV", "dice/M", "dice/LV"),
}
COLUMNS = (
    "recipe",
    "setting",
    "seed",
    "metric",
    "value",
    "processor_seconds",
    "date",
    "commit",
    "processor",
    "jax",
)


def rows() -> list[dict[str, str]]:
    """What has been trained so far."""
    if not RESULTS.exists():
        return []
    with RESULTS.open(newline="") as file:
        return list(csv.DictReader(file))


def train(recipe: str, setting: str, seed: int, data_dir: str) -> None:
    """Trains one recipe and appends its rows."""
    flags, alone = SETTINGS[setting]
    own = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    own |= {"XLA_FLAGS": flags} if flags else {}
    with tempfile.TemporaryDirectory() as work:
        words = [sys.executable, "-m", "segjax.cli", "train"]
        words += ["--config", str(ROOT / "experiments" / recipe), "--workdir", f"{work}/run"]
        words += [f"--config.seed={seed}", f"--config.data.data_dir={data_dir}"]
        words += ["--config.log.tensorboard=false", f"--config.data.cache_dir={work}/caches"]
        core = {min(os.sched_getaffinity(0))} if alone else os.sched_getaffinity(0)
        began = _processor_seconds()
        subprocess.run(
            words, env=own, check=True, cwd=ROOT, preexec_fn=lambda: os.sched_setaffinity(0, core)
        )
        seconds = _processor_seconds() - began
        values = json.loads(pathlib.Path(work, "run", "metrics_validation.json").read_text())
        environment = json.loads(pathlib.Path(work, "run", "env.json").read_text())
    found = {
        "recipe": recipe,
        "setting": setting,
        "seed": seed,
        "processor_seconds": round(seconds),
        "date": datetime.date.today().isoformat(),
        "commit": environment["commit"],
        "processor": processor(),
        "jax": environment["libraries"]["jax"],
    }
    new = not RESULTS.exists()
    with RESULTS.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        for metric in RECIPES[recipe]:
            value = f"{values['metrics'][metric]:.4f}"
            writer.writerow(found | {"metric": metric, "value": value})


def _processor_seconds() -> float:
    """Of all trainings so far: what else the machine does meanwhile does not count."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def processor() -> str:
    """The model of the processor and how many cores there are."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor()
    return f"{model}, {len(os.sched_getaffinity(0))} cores"


def table(*, main: bool = False) -> str:
    """The ranges as Markdown: a line a recipe and metric, or its main metric only."""
    found: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows():
        found.setdefault((row["recipe"], row["metric"]), []).append(row)
    lines = ["| recipe | metric | lowest to highest | trainings | processor time |"]
    lines.append("|---|---|---|---|---|")
    for recipe, metrics in RECIPES.items():
        for metric in metrics[:1] if main else metrics:
            given = found.get((recipe, metric), [])
            if not given:
                continue
            values = [float(row["value"]) for row in given]
            minutes = [int(row["processor_seconds"]) / 60 for row in given]
            lines.append(
                f"| `{recipe}` | {metric} | {min(values):.3f} to {max(values):.3f} | "
                f"{len(given)} | {min(minutes):.1f} to {max(minutes):.1f} min |"
            )
    return "\n".join(lines)


def main() -> None:
    """Trains what is missing, or prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data_dir", default="data", help="prepared sets; default: data")
    parser.add_argument("--only", nargs="*", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--table", action="store_true", help="print the ranges, train nothing")
    args = parser.parse_args()
    if not args.table:
        there = {(row["recipe"], row["setting"], int(row["seed"])) for row in rows()}
        for recipe in args.only:
            for setting in SETTINGS:
                for seed in SEEDS:
                    if (recipe, setting, seed) not in there:
                        train(recipe, setting, seed, str(pathlib.Path(args.data_dir).resolve()))
    print(table())


if __name__ == "__main__":
    main()
