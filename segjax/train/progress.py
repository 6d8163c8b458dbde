"""What a person sees of a training: a bar on a terminal, lines in a file or a job's log."""

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence

import jax
from tqdm import tqdm

from segjax.tasks.base import question
from segjax.train.runs import Run


class Progress:
    """Shows how far a training is. A context manager: the bar is closed behind it.

    Several runs write their lines into a file of each, whatever the terminal.

    Args:
        runs: that train together.
        total: the step at which they end.
        done: the step at which they begin.
    """

    def __init__(self, runs: Sequence[Run], total: int, done: int):
        self._runs, self._total = runs, total
        quiet = not sys.stderr.isatty() or jax.process_index() != 0
        self._lines = quiet or len(runs) > 1
        self._bar = tqdm(total=total, initial=done, desc="training", unit="step", disable=quiet)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *unused) -> None:
        self._bar.close()

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Around the first step, which compiles the program; says how long it took."""
        self._say("compiling the training step")
        self._bar.set_description("compiling")
        began = time.perf_counter()
        yield
        self._say(f"compiled the training step in {time.perf_counter() - began:.1f} s")
        self._bar.set_description("training")
        # Its clock starts here: compiling is no sign of how long a step takes
        self._bar.unpause()

    def stepped(self) -> None:
        """One step more."""
        self._bar.update()

    @contextlib.contextmanager
    def speaking(self) -> Iterator[None]:
        """Around lines that others write, which would stand in the middle of the bar."""
        with self._bar.external_write_mode(file=sys.stderr):
            yield

    def logged(self, run: Run, done: int, loss: float, rate: float) -> None:
        """The means of a run since the last log; `rate` in images a second, nan if not known."""
        speed = "" if rate != rate else f", {rate:.1f} images/s, {self._left(done, rate)} left"
        # A save or an evaluation between two logs has its means written, but no line
        if self._lines and (done % run.experiment.log_every == 0 or done >= self._total):
            run.say(f"step {done} of {self._total}: loss {loss:.4g}{speed}")
        several = {"runs": sum(run.live for run in self._runs)} if len(self._runs) > 1 else {}
        shown = several or {"loss": f"{loss:.4g}"}
        self._bar.set_postfix(**shown, images_per_second=f"{rate:.1f}")

    def _left(self, done: int, rate: float) -> str:
        """How long the steps that are left take, evaluations not counted."""
        batch = self._runs[0].experiment.config.data.batch_size
        return tqdm.format_interval((self._total - done) * batch / rate)

    def _say(self, line: str) -> None:
        if self._lines:
            for run in self._runs:
                run.say(line)


def describe(runs: Sequence[Run], done: int) -> None:
    """Says in one line what is trained: task, data, network, length, devices."""
    for run in runs:
        made = run.experiment
        config, data = made.config, made.data
        devices = jax.devices()
        together = f", {len(runs)} runs in one program" if len(runs) > 1 else ""
        begun = f", from step {done}" if done else ""
        asked = f" ({question(made.task)})" if question(made.task) else ""
        run.say(
            f"{config.task}{asked}, {config.data.name} ({data.count('train')} to train on, "
            f"{data.count('validation')} to validate): {config.model.name} with "
            f"{made.parameters:,} parameters, {made.total_steps} steps of {config.data.batch_size} "
            f"at {' x '.join(map(str, config.data.image_size))} pixels"
            f"{begun}, {config.dtype}, {len(devices)} x {devices[0].device_kind}{together}"
        )
