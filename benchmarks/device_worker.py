"""The JAX side of benchmarks/device.py: runs the sections that it is asked for.

First it prints a line of versions and devices; then, for each line `SECTION SECONDS` on standard
input, the lines of `device_report.Reporter`, the last of them an end.
"""

import argparse
import contextlib
import dataclasses
import functools
import importlib
import importlib.metadata
import json
import os
import pathlib
import platform
import sys
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np
from device_operations import KINDS
from device_report import Reporter
from device_sizes import FULL, SMALL, Sizes
from losses import jax_calls
from turns import Worker

SECTIONS = {
    "losses": "device_operations",
    "distance": "device_operations",
    "persistence": "device_operations",
    "training": "device_training",
    "population": "device_training",
    "augmentation": "device_training",
    "agreement": "device_agreement",
}
LIBRARIES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "torch", "gudhi", "monai")
# Rows stop where this share of a section's time is spent: the last one begun can still end.
SOFT = 0.85


@dataclasses.dataclass
class Run:
    """What sections share.

    Attributes:
        folder: inputs of the losses, written already.
        small: whether the sizes are small.
        torch_python: interpreter with PyTorch.
        compile: whether the peers of training steps try torch.compile.
        losses: names of those that are wanted; empty is all.
    """

    folder: pathlib.Path
    small: bool
    torch_python: str = sys.executable
    compile: bool = False
    losses: tuple[str, ...] = ()
    script = str(pathlib.Path(__file__).resolve())

    @property
    def sizes(self) -> Sizes:
        """The sizes of all sections."""
        return SMALL if self.small else FULL

    @functools.cached_property
    def _calls(self) -> dict[str, Callable]:
        calls = jax_calls(self.folder)
        operations = {n: c for n, c in calls.items() if n.split()[0] in KINDS}
        losses = {n: c for n, c in calls.items() if n not in operations}
        if unknown := [name for name in self.losses if name not in losses]:
            raise ValueError(f"no loss `{unknown[0]}`; takes {', '.join(losses)}")
        return {name: losses[name] for name in self.losses or losses} | operations

    def calls(self) -> dict[str, Callable]:
        """name -> closure of losses, transforms, persistence: compiled once for all sections."""
        return self._calls

    def shape_of(self, name: str) -> str:
        """The shape of what an operation takes, as text."""
        operation, _, stem = name.partition(" ")
        path = self.folder / (f"{stem}.npy" if operation == "edt" else "labels.npy")
        return "x".join(map(str, np.load(path, mmap_mode="r").shape))

    @contextlib.contextmanager
    def torch(self, part: str, report: Reporter) -> Iterator[Worker | None]:
        """The PyTorch side on the same kind of device, or None and a note that says why."""
        worker, device = None, {"cpu": "cpu", "gpu": "cuda"}.get(jax.default_backend())
        if missing := missing_torch(self.torch_python, device):
            report.note(f"no PyTorch peer: {missing}")
        else:
            command = [self.torch_python, "-W", "ignore", self._beside("device_torch.py"), part]
            command += ["--folder", str(self.folder), "--device", device]
            command += ["--seconds", str(self.sizes.seconds)]
            command += ["--small"] * self.small + ["--compile"] * self.compile
            try:
                worker = Worker(command)
            except RuntimeError as error:
                report.fail(f"no PyTorch peer: {error}")
        try:
            yield worker
        finally:
            if worker:
                worker.close()

    def _beside(self, name: str) -> str:
        return str(pathlib.Path(self.script).with_name(name))

    @staticmethod
    def one_line(error: BaseException) -> str:
        """The kind of an error and the first line of its text."""
        text = str(error).strip().splitlines()
        return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__


@functools.cache
def missing_torch(python: str, device: str | None) -> str | None:
    """Why PyTorch cannot run on that device, or None."""
    import subprocess

    if device is None:
        return f"it is not compared on {jax.default_backend()}"
    asked = "torch.cuda.is_available()" if device == "cuda" else "True"
    program = f"import torch; print('yes' if {asked} else 'PyTorch sees no GPU')"
    done = subprocess.run([python, "-W", "ignore", "-c", program], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it cannot be started"])[-1]
        return f"{pathlib.Path(python).name}: {last}"
    said = done.stdout.strip().splitlines()[-1]
    return None if said == "yes" else said


def described() -> dict:
    """Versions and devices."""
    versions = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    devices = jax.devices()
    return {
        "device": f"{len(devices)} x {devices[0].device_kind} ({jax.default_backend()})",
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": versions,
    }


def run_section(name: str, seconds: float, run: Run) -> None:
    """One section; what it raises is one line."""
    report = Reporter(name, time.monotonic() + SOFT * seconds)
    try:
        section = getattr(importlib.import_module(SECTIONS[name]), name)
        section(report, run)
    except Exception as error:
        if os.environ.get("DEVICE_TRACEBACK"):
            raise
        report.fail(run.one_line(error))
    report.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--losses", nargs="*", default=[])
    parser.add_argument("--cpu-values", type=pathlib.Path, help="write values for `agreement`")
    args = parser.parse_args()
    run = Run(args.folder, args.small, args.torch_python, args.compile, tuple(args.losses))
    if args.cpu_values:
        from device_agreement import save, values

        save(args.cpu_values, values(run))
        return
    print(json.dumps(described()), flush=True)
    for line in sys.stdin:
        name, seconds = line.split()
        run_section(name, float(seconds), run)


if __name__ == "__main__":
    main()
