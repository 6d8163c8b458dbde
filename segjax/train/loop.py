"""The one training loop. Its order is fixed: evaluate, save, next batch, step, log.

A state at step s has seen the batches 0 … s-1, and everything the loop remembers besides the state
(`LoopState`) is saved with it: a run killed anywhere goes on as if nothing had happened.
"""

import math
import os
import pathlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
from jax.experimental import multihost_utils
from tqdm import tqdm

from segjax.data.pipeline import Resident, Streamed, share_of
from segjax.errors import Interrupted
from segjax.train.checkpoint import Checkpoints
from segjax.train.evaluate import Evaluator, merged_means
from segjax.train.logs import Log
from segjax.train.loop_state import LoopState
from segjax.train.parallel import Pmap, Sharding, reading
from segjax.train.preflight import Plan
from segjax.train.profiling import Profile
from segjax.train.state import State


class Stop:
    """Asked by SIGTERM or Ctrl-C to stop before the next step, saved; a second one ends at once.

    A context manager: outside it signals have their ordinary effect. Several processes agree on
    the answer, so that all stop at one step; there JAX itself looks after SIGTERM.
    """

    def __init__(self):
        self._asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():
            alone = jax.process_count() == 1
            for number in (signal.SIGINT, signal.SIGTERM) if alone else (signal.SIGINT,):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *unused) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _ask(self, *unused) -> None:
        self.__exit__()
        self._asked = jax.process_count() == 1
        if not self._asked:
            os.kill(os.getpid(), signal.SIGTERM)

    def now(self) -> bool:
        """Whether this process was asked to stop."""
        return self._asked

    def at(self, step: int) -> bool:
        """Whether the job should stop before `step`."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._asked


@dataclass
class Loop:
    """Training of one plan. `run` returns the last state and the loop's."""

    plan: Plan
    devices: Sharding | Pmap
    step: Callable
    split: Resident | Streamed
    evaluator: Evaluator
    checkpoints: Checkpoints
    log: Log
    workdir: pathlib.Path

    def run(self, state: State, memory: LoopState, stop: Stop) -> tuple[State, LoopState]:
        """Trains from `state` to the end, to an early stop, or to SIGTERM (raises Interrupted)."""
        plan, done = self.plan, int(reading(state.step))
        arrays = self.devices.replicate(self.split.arrays)
        batches = self._batches(done)
        bar = tqdm(
            total=plan.total_steps, initial=done, desc="training", unit="step", disable=_quiet()
        )
        began, logged = time.perf_counter(), done
        with bar, self._profile(done) as profile:
            while True:
                if stop.at(done):
                    self._save(done, state, memory)
                    self._wait()
                    raise Interrupted(
                        f"stopped by a signal at step {done}, saved; the same command goes on"
                    )
                final = done >= plan.total_steps or memory.stopped_early
                if memory.evaluated < done and (final or done and done % plan.evaluate_every == 0):
                    began += self._evaluate(done, state, memory, bar, stop)
                    final = final or memory.stopped_early
                if stop.now():
                    continue
                if final or (done and done % plan.checkpoint_every == 0):
                    self._save(done, state, memory)
                if final:
                    return state, memory
                batch = next(batches)
                profile.before_step()
                with jax.profiler.StepTraceAnnotation("train", step_num=done):
                    state, sums = self.step(state, arrays, batch)
                done += 1
                bar.update()
                for name, pair in sums.items():
                    memory.pending.setdefault(name, []).append(pair)
                if done % plan.log_every == 0 or done >= plan.total_steps or self._rests(done):
                    self._log(done, logged, state, memory, began, bar)
                    memory.pending, began, logged = {}, time.perf_counter(), done

    def batches(self, done: int) -> Iterator[dict]:
        """This run's batches from step `done` on, still on the host."""
        size = self.plan.config.data.batch_size
        rows = share_of(size, jax.process_index(), jax.process_count())
        return self.split.train_batches(self.plan.config.seed, done, size, rows)

    def _batches(self, done: int) -> Iterator[dict]:
        return map(self.devices.place, self.batches(done))

    def _wait(self) -> None:
        self.checkpoints.wait()

    def _rests(self, done: int) -> bool:
        """Whether an evaluation or a save follows: sums are logged first, so none are lost."""
        return done % self.plan.evaluate_every == 0 or done % self.plan.checkpoint_every == 0

    def _save(self, done: int, state: State, memory: LoopState) -> None:
        self.checkpoints.save("latest", done, state, memory)

    def _evaluate(self, done: int, state: State, memory: LoopState, bar: tqdm, stop: Stop) -> float:
        """Evaluates, keeps the best, decides on an early stop; returns the seconds it took."""
        began = time.perf_counter()
        result = self.evaluator.run(state, stop=stop.now)
        if result is None:
            return 0.0
        memory.evaluated = done
        self.log.write(
            done, "validation", {name: (v, result.count) for name, v in result.means.items()}
        )
        settings = self.plan.config.evaluate
        value = result.means[settings.best]
        sign = 1.0 if settings.best_mode == "min" else -1.0
        better = memory.best_value is None or sign * value < sign * memory.best_value
        if math.isfinite(value) and better:
            memory.best_value, memory.best_step = value, done
            self.checkpoints.save("best", done, state, memory)
        elif self.plan.patience and done - max(memory.best_step, 0) >= self.plan.patience:
            memory.stopped_early = True
        shown = " ".join(f"{name} {mean:.4g}" for name, mean in result.means.items())
        if jax.process_index() == 0:
            bar.write(f"step {done}: validation {shown}", file=sys.stderr)
        return time.perf_counter() - began

    def _log(self, done, logged, state: State, memory: LoopState, began: float, bar: tqdm):
        """Writes the means since the last log; stops if a step since then was not finite."""
        means, count = merged_means(memory.pending)
        if bool(reading(state.halted)):
            self.halt(done, state, memory)
        self.record(done, logged, means, count, began, bar)

    def halt(self, done: int, state: State, memory: LoopState) -> None:
        """Saves the last good state, which a halted one is, and says so."""
        good = int(reading(state.step))
        memory.pending = {name: pairs[: good - done] for name, pairs in memory.pending.items()}
        self._save(good, state.replace(halted=jax.numpy.zeros_like(state.halted)), memory)
        self.checkpoints.wait()
        raise FloatingPointError(
            f"loss or gradient is not finite at step {good + 1}; "
            f"the last good state is saved at step {good} in {self.workdir}"
        )

    def record(self, done: int, logged: int, means: dict, count: float, began: float, bar) -> None:
        """Writes means, with the learning rate, and the speed over the steps since `logged`."""
        rate = (done - logged) * self.plan.config.data.batch_size
        rate /= max(time.perf_counter() - began, 1e-9)
        extra = {
            "learning_rate": float(self.plan.schedule(done - 1)),
            "images_per_second": rate,
        }
        self.log.write(done, "train", {name: (v, count) for name, v in (means | extra).items()})
        bar.set_postfix(loss=f"{means['loss']:.4g}", images_per_second=f"{rate:.1f}")

    def _profile(self, done: int) -> Profile:
        """Traces `log.profile_steps` of the steps that are left into the folder `profile`."""
        length = self.plan.config.log.profile_steps if jax.process_index() == 0 else 0
        return Profile(self.workdir / "profile", length, self.plan.total_steps - done)


def _quiet() -> bool:
    return not sys.stderr.isatty() or jax.process_index() != 0
