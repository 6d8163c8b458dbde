"""One run of a training: its experiment, its work folder, and what it writes there.

A training is a list of runs (`train/loop.py`): one, or the members of a population.
"""

import math
import pathlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import jax

from segjax.tasks.base import Evaluation, Source
from segjax.tasks.sums import reading
from segjax.train.checkpoint import Checkpoints
from segjax.train.experiment import Experiment
from segjax.train.logs import Log
from segjax.train.loop_state import LoopState
from segjax.train.state import State


def say_on_stderr(line: str) -> None:
    """Prints a line for the user, once of several processes."""
    if jax.process_index() == 0:
        print(line, file=sys.stderr)


@dataclass
class Run:
    """One run.

    Attributes:
        experiment: what it trains.
        folder: its work folder.
        say: takes messages for the user, a line at a time.
        memory: what the loop remembers of it.
        error: why it failed, in one line.
        source: of its batches, while it trains.
        checkpoints, log: what it writes, while it trains.
    """

    experiment: Experiment
    folder: pathlib.Path
    say: Callable[[str], None] = say_on_stderr
    memory: LoopState = field(default_factory=LoopState)
    error: str | None = None
    source: Source | None = None
    checkpoints: Checkpoints | None = None
    log: Log | None = None

    @property
    def live(self) -> bool:
        """Whether it trains still."""
        return self.error is None and not self.memory.stopped_early

    def due(self, done: int, final: bool) -> bool:
        """Whether it is to be evaluated at a step."""
        every = self.experiment.evaluate_every
        return self.memory.evaluated < done and (final or (done > 0 and done % every == 0))

    def save(self, done: int, state: State, pending: Mapping[str, list]) -> None:
        """Begins to save, with the sums since the last log."""
        self.memory.pending = dict(pending)
        self.checkpoints.save("latest", done, state, self.memory)

    def validated(self, done: int, state: State, evaluation: Evaluation) -> None:
        """Logs a validation, keeps the best state, decides on an early stop."""
        values = evaluation.values(self.experiment.task)
        # Before the best state is saved, whose loop state has to know of this evaluation
        self.memory.evaluated = done
        count = float(evaluation.count)
        self.log.write(done, "validation", {name: (v, count) for name, v in values.items()})
        settings, memory = self.experiment.config.evaluate, self.memory
        value, patience = values[settings.best], self.experiment.patience
        sign = 1.0 if settings.best_mode == "min" else -1.0
        better = memory.best_value is None or sign * value < sign * memory.best_value
        # A value that is not finite is never the best, and counts towards patience
        if math.isfinite(value) and better:
            memory.best_value, memory.best_step = value, done
            self.checkpoints.save("best", done, state, memory)
        # `best_step` is -1 until there is a finite value: patience counts from step 0 then
        elif patience and done - max(memory.best_step, 0) >= patience:
            memory.stopped_early = True
        shown = " ".join(f"{name} {mean:.4g}" for name, mean in values.items())
        self.say(f"step {done}: validation {shown}")

    def trained(self, done: int, means: Mapping[str, float], count: float, rate: float) -> None:
        """Logs means over the steps since the last log, with learning rate and images a second."""
        extra = {
            # That of the last update: schedules count the updates that came before
            "learning_rate": float(self.experiment.schedule(done - 1)),
            "images_per_second": rate,
        }
        self.log.write(done, "train", {k: (v, count) for k, v in {**means, **extra}.items()})

    def halt(self, done: int, state: State, pending: Mapping[str, list]) -> None:
        """Saves the last good state, which a halted one is; FloatingPointError says so."""
        good = int(reading(state.step))
        # `good` < `done`: sums of the steps beyond it, which are made again, drop off the end
        kept = {name: pairs[: good - done] for name, pairs in pending.items()}
        # Saved as not halted: the same command tries the step once more
        self.save(good, state.replace(halted=jax.numpy.zeros_like(state.halted)), kept)
        self.checkpoints.wait()
        raise FloatingPointError(
            f"loss or gradient is not finite at step {good + 1}; "
            f"the last good state is saved at step {good} in {self.folder}"
        )
