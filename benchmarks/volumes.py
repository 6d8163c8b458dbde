"""Volumes: preparation, training with and without data and augmentation, inference, populations.

    python benchmarks/volumes.py --manual_dir DOWNLOADS/ACDC
    python benchmarks/volumes.py --only training inference --full

Each part runs in a process of its own, one after the other, and prints its lines with the most
memory it held. Training and inference take the experiment `regionwise/acdc.py:rrw`, at its cpu size
unless `--full`; populations take the drawn volumes of `regionwise/demo.py`. A population of N and
the same N runs one after the other are timed as whole processes, compilation cache warm.
"""

import argparse
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
ACDC = str(ROOT / "experiments" / "regionwise" / "acdc.py")
DEMO = str(ROOT / "experiments" / "regionwise" / "demo.py")
PARTS = ("preparation", "training", "inference", "population")


def acdc_config(args: argparse.Namespace, **more: object):
    """The experiment on ACDC, its config unlocked."""
    from segjax.config import files

    settings = {"data.data_dir": args.data_dir} | more
    config = files.load(f"{ACDC}:rrw" + ("" if args.full else ",cpu"), settings)
    return config


def preparation(args: argparse.Namespace) -> None:
    """Reading the official download, planning, preprocessing, whole-volume maps."""
    from segjax.data import store
    from segjax.data.volumes import planning
    from segjax.train import experiment

    if args.manual_dir is None:
        print("preparation: needs --manual_dir, the official download of ACDC")
        return
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        made = store.builder("acdc", folder)
        store.prepare(made, args.manual_dir)
        cases = sum(split.num_examples for split in made.info.splits.values())
        print(f"preparation: {cases} volumes read and stored in {since(began)}")
        began = time.perf_counter()
        planning.write_plan("acdc", folder)
        print(f"preparation: fingerprint and plan in {since(began)}")
        config = acdc_config(args, **{"data.data_dir": folder})
        parts = experiment.name_parts(config)
        for which in ("first time", "from the cache"):
            began = time.perf_counter()
            parts.task.source(parts)
            print(f"preparation: training slices and their maps, {which}, in {since(began)}")


def since(began: float) -> str:
    """Seconds since a moment, in words."""
    return f"{time.perf_counter() - began:.2f} s"


def training(args: argparse.Namespace) -> None:
    """Images per second of the step, of the input, of both; and without augmentation."""
    from segjax.train import bench

    print(bench.measure(acdc_config(args), args.seconds))
    config = acdc_config(args).copy_and_resolve_references()
    with config.unlocked():
        for name in config.data.augment:
            config.data.augment[name] = 0.0
    print(f"without augmentation\n{bench.measure(config.lock(), args.seconds)}")


def inference(args: argparse.Namespace) -> None:
    """Seconds a volume of the validation split: network, resampling, labels."""
    import jax
    import numpy as np

    from segjax.tasks.volume_segmentation.data import open_cases
    from segjax.tasks.volume_segmentation.evaluation import VolumeNetwork
    from segjax.train import experiment, parallel

    config = acdc_config(args)
    made = experiment.build(config, devices=jax.device_count())
    network = VolumeNetwork(made, parallel.make("sharding"))
    network.place(jax.jit(made.initial_state)())
    cases = open_cases(made, "validation")[:8]
    for mirror in (True, False):
        made.task.mirror = mirror
        seconds = []
        for case in cases:
            began = time.perf_counter()
            network.labels(case.image, case.geometry)
            seconds.append(time.perf_counter() - began)
        slices = np.mean([len(case.image) for case in cases])
        which = "with 4 mirror images" if mirror else "without mirroring"
        print(f"inference: {np.mean(seconds[1:]):.2f} s a volume of {slices:.0f} slices, {which}")


def population(args: argparse.Namespace) -> None:
    """N members trained together against N runs one after the other, whole processes."""
    with tempfile.TemporaryDirectory() as folder:
        sweep = pathlib.Path(folder) / "experiments" / "sweep.py"
        sweep.parent.mkdir()
        sweep.write_text(
            f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
            "from experiments.regionwise.demo import get_config\n"
            f"def sweep():\n    return [{{'seed': s}} for s in range({args.members})]\n"
        )
        settings = {
            "data.data_dir": args.data_dir,
            "train.steps": args.steps,
            "evaluate.every_percent": 100,
            "log.tensorboard": False,
        }
        flags = [f"--config.{name}={value}" for name, value in settings.items()]
        head = [sys.executable, "-m", "segjax.cli", "sweep", "--config", str(sweep), *flags]
        seconds = {}
        for words, engine in (("warming up", "population"), ("", "local"), ("", "population")):
            workdir = pathlib.Path(folder) / f"{engine}{len(seconds)}"
            command = [*head, "--workdir", str(workdir), "--engine", engine]
            if words:  # fills the compilation cache of both, and prepares the volumes
                one = [sys.executable, "-m", "segjax.cli", "train", "--config", str(sweep), *flags]
                one += ["--workdir", str(workdir) + "-single"]
                subprocess.run(one, check=True, capture_output=True, cwd=ROOT)
                subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
                continue
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
            seconds[engine] = time.perf_counter() - began
        ratio = seconds["local"] / seconds["population"]
        print(
            f"population: {args.members} members of {args.steps} steps: {seconds['population']:.1f}"
            f" s together, {seconds['local']:.1f} s one after the other: {ratio:.2f} times"
        )


def run(part: str, args: argparse.Namespace) -> None:
    """One part in this process, and the most memory that it or its children held."""
    globals()[part](args)
    most = max(resource.getrusage(who).ru_maxrss for who in (0, resource.RUSAGE_CHILDREN))
    print(f"{part}: {most / 2**20:.2f} GiB of memory at most\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--manual_dir", help="the official download of ACDC")
    parser.add_argument("--data_dir", default="data", help="where ACDC is prepared")
    parser.add_argument("--full", action="store_true", help="the size of the paper")
    parser.add_argument("--seconds", type=float, default=15.0, help="for each timing of a step")
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--steps", type=int, default=60, help="of each member")
    args = parser.parse_args()
    if len(args.only) == 1:
        run(args.only[0], args)
        return
    words = [word for word in sys.argv[1:] if word not in PARTS and word != "--only"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for part in args.only:
        command = [sys.executable, __file__, *words, "--only", part]
        subprocess.run(command, check=True, env=environment)


if __name__ == "__main__":
    main()
