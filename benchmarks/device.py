"""segjax on whatever device is found, in under eight minutes: speed against peers, and values.

    python benchmarks/device.py --output device.md       # an accelerator: the full sizes
    python benchmarks/device.py --small                  # a trial on a CPU, a minute or two
    python benchmarks/device.py --only training losses

Sections:
  distance      exact distance transforms, 2-D and 3-D, against SciPy and edt on the host
  persistence   components and holes by both routes; the host route needs GUDHI
  agreement     losses, gradients, distances and one training step against the CPU's values
  losses        value and gradient of each loss against PyTorch on the same device
  augmentation  its share in a training step, for photographs and for slices
  population    eight networks in one program against eight one after the other
  training      steps of CellposeUNet and PlainUNet against the same networks in PyTorch

It needs jax, flax, optax, jaxtyping, numpy and scipy. PyTorch, MONAI, kornia, edt and GUDHI are
peers where they are installed. Each time is the best of several calls that were waited for, the
first one left out; the two sides take turns, in processes of their own. A section that fails or
finds no time says so in one line, the others go on, and the exit status is 1; so it is where a
value is FAR from the CPU's.
"""

import argparse
import datetime
import json
import os
import pathlib
import queue
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time

from device_report import Section
from device_sizes import FULL, SMALL
from losses import write_inputs

HERE = pathlib.Path(__file__).resolve().parent
# name -> (title, share of the whole time). What a section leaves goes to those after it.
SECTIONS = {
    "distance": ("Distance transforms", 0.06),
    "persistence": ("Persistence", 0.06),
    "agreement": ("Agreement with the CPU", 0.14),
    "losses": ("Losses, value and gradient", 0.20),
    "augmentation": ("Augmentation in a training step", 0.13),
    "population": ("A population against single runs", 0.09),
    "training": ("Training steps", 0.32),
}
# Unoptimised code compiles in half the time, and that is what a trial does.
OPTIMISATION = "--xla_backend_optimization_level"
STARTING = 90.0  # seconds for a process to import JAX and find its devices


class Child:
    """The JAX side in a process group of its own, so that it ends with all that it started."""

    def __init__(self, command: list[str], environment: dict[str, str]):
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def ask(self, name: str, seconds: float) -> None:
        """Asks for a section."""
        try:
            self.process.stdin.write(f"{name} {seconds}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # `answer` finds the end of the process

    def answer(self, ends: float) -> dict:
        """The next object; TimeoutError after `ends`, RuntimeError where the process has ended."""
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, ends - time.monotonic()))
            except queue.Empty:
                raise TimeoutError from None
            if line is None:
                raise RuntimeError(f"its process ended with status {self.process.wait()}")
            try:
                found = json.loads(line)
            except ValueError:
                found = None
            if isinstance(found, dict):
                return found
            print(line, end="", file=sys.stderr)  # a library speaks on standard output

    def close(self) -> None:
        """Ends the group."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


class Script:
    """Sections one after the other, each with its time, in one process as long as it lives."""

    def __init__(self, args: argparse.Namespace, folder: pathlib.Path):
        self._args, self._folder = args, folder
        self._child: Child | None = None
        self._last = 0.0
        self.found: dict = {}
        self.sections: list[Section] = []

    def run(self) -> None:
        """All sections; prints as they go, and writes the tables after each."""
        began, spare = time.monotonic(), 0.0
        self._last = began + self._args.total_seconds
        shares = {name: SECTIONS[name][1] for name in self._args.only}
        for name in shares:
            allowed = self._args.total_seconds * shares[name] / sum(shares.values()) + spare
            section = Section(name, SECTIONS[name][0])
            self.sections.append(section)
            start = time.monotonic()
            try:
                self._section(section, start + allowed)
            except (TimeoutError, RuntimeError) as error:
                why = str(error) or f"stopped, it took more than its {max(0.0, allowed):.0f} s"
                section.failures.append(why)
                section.notes.append(f"FAILED: {why}")
                print(f"{section.title}: FAILED: {why}", flush=True)
                self.close()
            section.seconds = time.monotonic() - start
            spare = allowed - section.seconds
            self._write()
        print(f"\n{time.monotonic() - began:.0f} s", flush=True)

    def _section(self, section: Section, ends: float) -> None:
        if self._child is None:
            self._child = Child(self._command(), environment(self._args.small))
            # A section with little time does not pay for a slow start; those after it do.
            ends = min(ends + STARTING, self._last)
            found = self._child.answer(ends)
            if not self.found:
                print("\n".join(head(found, self._args)), flush=True)
            self.found = found
        print(f"\n{section.title}", flush=True)
        self._child.ask(section.name, max(1.0, ends - time.monotonic()))
        while True:
            content = self._child.answer(ends)
            text = section.take(content)
            if text is not None:
                print(text, flush=True)
            if content.get("end"):
                return

    def _write(self) -> None:
        if self._args.output:
            lines = "\n".join(f"- {line}" for line in head(self.found, self._args))
            parts = ["# segjax on one device", f"{lines}\n"]
            self._args.output.parent.mkdir(parents=True, exist_ok=True)
            self._args.output.write_text(
                "\n".join(parts + [section.markdown() for section in self.sections])
            )

    def _command(self) -> list[str]:
        args = self._args
        compiled = args.compile == "yes" or (args.compile == "auto" and not args.small)
        command = [sys.executable, str(HERE / "device_worker.py"), "--folder", str(self._folder)]
        command += ["--torch-python", args.torch_python]
        command += ["--small"] * args.small + ["--compile"] * compiled
        return [*command, "--losses", *args.losses]

    def close(self) -> None:
        """Ends the process; the next section starts another one."""
        if self._child is not None:
            self._child.close()
            self._child = None


def environment(small: bool) -> dict[str, str]:
    """What the children see: the package, room for PyTorch on the GPU, a cache of programs."""
    path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    defaults = {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.45", "TF_CPP_MIN_LOG_LEVEL": "2"}
    # What one process compiles, however small, the next one need not.
    always = {"PYTHONPATH": path, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    flags = os.environ.get("XLA_FLAGS", "")
    if small and OPTIMISATION not in flags:
        flags = f"{flags} {OPTIMISATION}=0"
    return defaults | os.environ | always | {"XLA_FLAGS": flags.strip()}


def commit() -> str:
    """The commit of this checkout, marked where files differ from it."""
    try:
        git = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--exclude=*"]
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown, no repository"


def head(found: dict, args: argparse.Namespace) -> list[str]:
    """When, where, with what: a line each."""
    versions = ", ".join(f"{name} {v}" for name, v in found.get("versions", {}).items())
    return [
        f"date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        f"device: {found.get('device', 'none')}, {found.get('cores', '?')} cores",
        f"versions: Python {found.get('python', '?')}, {versions}",
        f"commit: {commit()}",
        f"command: {shlex.join(['python', 'benchmarks/device.py', *sys.argv[1:]])}",
        f"sizes: {'small' if args.small else 'full'}",
    ]


def arguments() -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--small", action="store_true", help="tiny sizes, PyTorch not compiled: a trial, no result"
    )
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="SECTION",
        help="some of the sections, in this order",
    )  # fmt: skip
    parser.add_argument(
        "--losses", nargs="+", default=[], metavar="NAME",
        help="some of the losses, in the sections `losses` and `agreement`",
    )  # fmt: skip
    parser.add_argument("--output", type=pathlib.Path, metavar="FILE.md", help="tables in Markdown")
    parser.add_argument(
        "--total-seconds", type=float, default=450.0,
        help="for all sections together, 450 by default; what they do not reach is left out",
    )  # fmt: skip
    parser.add_argument(
        "--compile", choices=["auto", "yes", "no"], default="auto",
        help="torch.compile for the training steps of the peer; auto: at the full sizes",
    )  # fmt: skip
    parser.add_argument(
        "--torch-python", default=sys.executable, metavar="PATH",
        help="interpreter with PyTorch, where it is another one",
    )  # fmt: skip
    return parser.parse_args()


def main() -> int:
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the children end too
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder / "cache"))
        sizes = SMALL if args.small else FULL
        write_inputs(folder, *sizes.losses, sizes.masks)
        script = Script(args, folder)
        try:
            script.run()
        finally:
            script.close()
    failed = [s.name for s in script.sections if s.failures]
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
