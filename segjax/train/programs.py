"""The compiled training of a list of runs: of one as it is, of several stacked side by side.

Stacked, the runs' states and batches have a leading axis, each batch in the order of its run's own
seed; the data lie on the devices once. On accelerators the step is mapped by vmap; on CPU, where
that turns convolutions into slow grouped ones, by a loop inside the program. The hyperparameters
in which runs differ are part of the state (`train/hyperparameters.py`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from segjax.data.pipeline import share_of
from segjax.tasks.sums import reading
from segjax.train import parallel
from segjax.train.experiment import Experiment
from segjax.train.runs import Run
from segjax.train.state import State

Pending = Mapping[str, list]  # by name, a (sum, count) of every step since the last log


class Program(Protocol):
    """What the loop asks of a compiled training."""

    step: Callable

    def start(self, states: Sequence[State]) -> State:
        """The states on the host, placed on the devices."""
        ...

    def batches(self, done: int) -> Iterator[dict]:
        """Batches from step `done` on, placed on the devices."""
        ...

    def state_of(self, state: State, place: int) -> State:
        """The state of one run."""
        ...

    def pending_of(self, pending: Pending, place: int) -> Pending:
        """The sums of one run."""
        ...

    def halted(self, state: State) -> Sequence[bool]:
        """Which runs have met a step that is not finite."""
        ...


def host_batches(run: Run, done: int) -> Iterator[dict]:
    """A run's batches from step `done` on: this process's rows, on the host."""
    config = run.experiment.config
    rows = share_of(config.data.batch_size, jax.process_index(), jax.process_count())
    return run.source.train_batches(config.seed, done, config.data.batch_size, rows)


class Single:
    """The training of one run."""

    def __init__(self, run: Run, devices: Any):
        self._run, self._devices = run, devices
        step = run.experiment.train_step(devices.axis_name)
        self.step = devices.compile_train(step)

    def start(self, states: Sequence[State]) -> State:
        """The state on the devices."""
        return self._devices.replicate(states[0])

    def batches(self, done: int) -> Iterator[dict]:
        """The run's batches."""
        return map(self._devices.place, host_batches(self._run, done))

    @staticmethod
    def state_of(state: State, place: int) -> State:
        """The state itself."""
        return state

    @staticmethod
    def pending_of(pending: Pending, place: int) -> Pending:
        """The sums themselves."""
        return pending

    @staticmethod
    def halted(state: State) -> Sequence[bool]:
        """Whether the run has halted."""
        return [bool(reading(state.halted))]


class Stacked:
    """The training of several runs in one program, for one process on a mesh of its devices."""

    def __init__(self, runs: Sequence[Run], devices: parallel.Sharding):
        self._runs, self._devices = runs, devices
        step = stacked_step(runs[0].experiment, devices.axis_name)
        self.step = devices.compile_train(step)
        # The place is an argument, not a constant: one program serves all runs
        self._take = jax.jit(_one, out_shardings=devices.whole)

    def start(self, states: Sequence[State]) -> State:
        """The states on the devices, stacked."""
        # Stacked on the host, so that the devices never hold the states twice
        return self._devices.replicate(jax.tree.map(lambda *leaves: np.stack(leaves), *states))

    def batches(self, done: int) -> Iterator[dict]:
        """The runs' batches, stacked."""
        # [runs, batch, …]: the devices share out each run's batch, not the runs
        split = NamedSharding(self._devices.mesh, PartitionSpec(None, parallel.AXIS))
        each = [host_batches(run, done) for run in self._runs]
        for batches in zip(*each, strict=True):
            yield {
                name: jax.make_array_from_process_local_data(
                    split, np.stack([batch[name] for batch in batches])
                )
                for name in batches[0]
            }

    def state_of(self, state: State, place: int) -> State:
        """One run's state, unstacked."""
        return self._take(state, place)

    @staticmethod
    def pending_of(pending: Pending, place: int) -> Pending:
        """One run's sums, on the host."""
        return {
            name: [[float(np.asarray(array)[place]) for array in pair] for pair in pairs]
            for name, pairs in pending.items()
        }

    @staticmethod
    def halted(state: State) -> Sequence[bool]:
        """Which runs have halted."""
        return [bool(halted) for halted in jax.device_get(state.halted)]


def make(runs: Sequence[Run], devices: Any) -> Program:
    """The program of a list of runs, whose experiments differ in hyperparameters alone."""
    return Single(runs[0], devices) if len(runs) == 1 else Stacked(runs, devices)


def joined(each: Sequence[Pending]) -> dict[str, list]:
    """The sums of all runs as their program has them, from those of each."""
    if len(each) == 1:
        return dict(each[0])
    # Runs that go on together were saved at one step, so their lists are equally long
    return jax.tree.map(lambda *sums: np.array(sums), *each)


def stacked_step(experiment: Experiment, axis_name: str | None) -> Callable:
    """`step(states, arrays, batches) -> (states, sums)`, everything but `arrays` stacked."""
    one = experiment.train_step(axis_name)

    def step(states: State, arrays: Mapping, batches: Mapping):
        # Under vmap each member has kernels of its own, which makes grouped convolutions: on CPU a
        # third of the speed of single runs, where a loop costs nothing (`ops/convolution.py`).
        if jax.default_backend() == "cpu":
            return jax.lax.map(lambda pair: one(pair[0], arrays, pair[1]), (states, batches))
        return jax.vmap(one, (0, None, 0))(states, arrays, batches)

    return step


def _one(state: State, place) -> State:
    return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, place, 0, False), state)
