"""The one training loop. Its order is fixed: evaluate, save, next batch, step, log.

It drives a list of runs: one, or the members of a population, which train in one program
(`train/programs.py`) and are evaluated, saved and logged one after the other. A state at step s has
seen the batches 0 … s-1, and everything the loop remembers besides the state (`LoopState`) is saved
with it: a run killed anywhere goes on as if nothing had happened.
"""

import contextlib
import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
from jax.experimental import multihost_utils

from segjax.data.pipeline import is_stateless
from segjax.errors import Interrupted
from segjax.tasks.base import Evaluator
from segjax.tasks.sums import merged_means
from segjax.train.experiment import Experiment
from segjax.train.profiling import Profile
from segjax.train.programs import Program
from segjax.train.progress import Progress
from segjax.train.runs import Run
from segjax.train.state import State
from segjax.train.watchdog import Watchdog


class Stop:
    """Asked by SIGTERM or Ctrl-C to stop before the next step, saved; a second one ends at once.

    A context manager: outside it signals have their ordinary effect. Several processes agree on
    the answer, so that all stop at one step; there JAX itself looks after SIGTERM.
    """

    def __init__(self):
        self._asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Stop":
        # Python lets only the main thread set handlers of signals
        if threading.current_thread() is threading.main_thread():
            alone = jax.process_count() == 1
            for number in (signal.SIGINT, signal.SIGTERM) if alone else (signal.SIGINT,):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *unused) -> None:
        # Emptied on the way: a signal calls this, and leaving the context does so again
        while self._before:
            signal.signal(*self._before.popitem())

    def _ask(self, *unused) -> None:
        # First the handlers of before, so that a second signal has its ordinary effect
        self.__exit__()
        self._asked = jax.process_count() == 1
        # Of several processes one alone must not stop: SIGTERM is what JAX tells all of them
        if not self._asked:
            os.kill(os.getpid(), signal.SIGTERM)

    def now(self) -> bool:
        """Whether this process was asked to stop; of several, the job alone is (`at`)."""
        return self._asked

    def at(self, step: int) -> bool:
        """Whether the job should stop before `step`."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._asked


@dataclass
class Loop:
    """Training of a list of runs.

    Attributes:
        runs: whose experiments have the same durations, with the sources of their batches.
        program: the compiled step, and how runs lie in its state.
        evaluator: of the validation split.
        arrays: of the sources, on the devices.
        failed: called with a run whose loss is not finite any more; the others go on. None: the
            FloatingPointError ends the loop.
        watchdog: told of all that ends.
    """

    runs: Sequence[Run]
    program: Program
    evaluator: Evaluator
    arrays: Any
    failed: Callable[[Run], None] | None = None
    watchdog: Watchdog = field(default_factory=Watchdog)
    pending: dict[str, list] = field(default_factory=dict)

    @property
    def experiment(self) -> Experiment:
        """That of the first run: what it has in common with the others counts here."""
        return self.runs[0].experiment

    @property
    def live(self) -> list[tuple[int, Run]]:
        """The runs that train still, with their places."""
        return [(place, run) for place, run in enumerate(self.runs) if run.live]

    def train(self, state: State, done: int, stop: Stop) -> State:
        """Trains from step `done` to the end, to an early stop, or to a signal.

        Raises: Interrupted on a signal, when all is saved; FloatingPointError where nobody takes a
            run that failed.
        """
        made, batches = self.experiment, self.program.batches(done)
        began, logged, compiled = time.perf_counter(), done, False
        progress = Progress(self.runs, made.total_steps, done)
        with progress, self._profile(done) as profile:
            while True:
                if stop.at(done):
                    self._save(done, state)
                    self._wait()
                    raise Interrupted(
                        f"stopped by a signal at step {done}, saved; the same command goes on"
                    )
                # Evaluation is no training: its seconds are taken out of the rate of images
                began += self._evaluate(done, state, progress, stop)
                # An evaluation that was broken off left no row and counts as not done: back to the
                # top, which saves the state without it.
                if stop.now():
                    continue
                # Behind the evaluation, which may have ended a run early
                final = self._over(done)
                # Not at step 0: the seed gives that state again
                if final or (done and done % made.checkpoint_every == 0):
                    self._save(done, state)
                if final:
                    return state
                self._before_step(done, state)
                batch = next(batches)
                profile.before_step()
                first = contextlib.nullcontext() if compiled else progress.compiling()
                with first, jax.profiler.StepTraceAnnotation("train", step_num=done):
                    state, sums = self.program.step(state, self.arrays, batch)
                done += 1
                self.watchdog.passed(done)
                progress.stepped()
                # Arrays on the devices still: to read them here would wait for every step
                for name, pair in sums.items():
                    self.pending.setdefault(name, []).append(pair)
                if not compiled:
                    # The rate of images is that of the steps behind the first, which compiles
                    jax.block_until_ready(sums)
                    compiled, began, logged = True, time.perf_counter(), done
                    self.watchdog.passed(done)
                if done % made.log_every == 0 or done >= made.total_steps or self._rests(done):
                    self._log(done, logged, state, began, progress)
                    # The clock starts after the log, which has waited for the devices
                    self.pending, began, logged = {}, time.perf_counter(), done

    def _over(self, done: int) -> bool:
        """Whether no run trains any further."""
        return done >= self.experiment.total_steps or not self.live

    def _rests(self, done: int) -> bool:
        """Whether an evaluation or a save follows: sums are logged first, so none are lost."""
        made = self.experiment
        return done % made.evaluate_every == 0 or done % made.checkpoint_every == 0

    def _before_step(self, done: int, state: State) -> None:
        """Tells samplers; for one that remembers nothing no state is taken out of the others."""
        for place, run in self.live:
            if not is_stateless(run.source):
                run.source.before_step(done, self.program.state_of(state, place))

    def _wait(self) -> None:
        for run in self.runs:
            run.checkpoints.wait()

    def _save(self, done: int, state: State) -> None:
        self.watchdog.require_unbroken()
        if len(self.runs) > 1:
            # All have finished the round before: killed anywhere, the runs share a checkpoint.
            self._wait()
        for place, run in enumerate(self.runs):
            if run.error is None:
                # A copy: it is written while the sampler goes on.
                run.memory.sampler = json.loads(json.dumps(run.source.remembered()))
                pending = self.program.pending_of(self.pending, place)
                run.save(done, self.program.state_of(state, place), pending)
                self.watchdog.passed(done, "save at step")

    def _evaluate(self, done: int, state: State, progress: Progress, stop: Stop) -> float:
        """Evaluates the runs whose turn it is; returns the seconds it took."""
        began = time.perf_counter()
        final = done >= self.experiment.total_steps

        def asked() -> bool:
            self.watchdog.passed(done, "part of the evaluation at step")
            return stop.now()

        for place, run in self.live:
            if not run.due(done, final) or stop.now():
                continue
            alone = self.program.state_of(state, place)
            evaluation = self.evaluator(alone, stop=asked)
            if evaluation is not None:
                self.watchdog.passed(done, "evaluation at step")
                with progress.speaking():
                    run.validated(done, alone, evaluation)
        return time.perf_counter() - began

    def _log(self, done: int, logged: int, state: State, began: float, show: Progress) -> None:
        """Writes the means since the last log; a run of which a step was not finite fails."""
        # Looked at only here, where the host waits for the devices anyway: a halted state stays
        # that of the last good step, however many steps come after.
        halted = self.program.halted(state)
        self.watchdog.require_unbroken()
        images = (done - logged) * self.experiment.config.data.batch_size
        rate = images / max(time.perf_counter() - began, 1e-9) if images else math.nan
        for place, run in self.live:
            pending = self.program.pending_of(self.pending, place)
            if halted[place]:
                self._fail(done, run, self.program.state_of(state, place), pending)
                continue
            means, count = merged_means(pending)
            run.trained(done, means, count, rate)
            show.logged(run, done, means["loss"], rate)

    def _fail(self, done: int, run: Run, state: State, pending: dict) -> None:
        try:
            run.halt(done, state, pending)
        except FloatingPointError as error:
            if self.failed is None:
                raise
            run.error = str(error)
            self.failed(run)

    def _profile(self, done: int) -> Profile:
        """Traces `log.profile_steps` of the steps that are left into the folder `profile`."""
        made = self.experiment
        length = made.config.log.profile_steps if jax.process_index() == 0 else 0
        return Profile(self.runs[0].folder / "profile", length, made.total_steps - done)
