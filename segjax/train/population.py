"""Several runs of one shape, trained together in one compiled program.

The members' states are stacked along a leading axis, and so are their batches, each in the order of
its own seed; the data lie on the device once. On accelerators the step is mapped by vmap; on CPU,
where that turns convolutions into slow grouped ones, by a loop inside the program. The
hyperparameters in which members differ are part of the state (`train/hyperparameters.py`).

The loop is that of a single run (`train/loop.py`): what it saves, evaluates and logs, every member
does in its own work folder, as `segjax train` would.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from segjax.errors import Interrupted
from segjax.train import (
    checkpoint,
    datasets,
    holder,
    hyperparameters,
    parallel,
    report,
    restore,
    run,
    workdir,
)
from segjax.train.checkpoint import Checkpoints
from segjax.train.evaluate import merged_means
from segjax.train.logs import Log
from segjax.train.loop import Loop, Stop
from segjax.train.loop_state import LoopState, from_saved
from segjax.train.preflight import Plan
from segjax.train.state import State


@dataclass
class Member:
    """One run of a population.

    Attributes:
        config: its config.
        folder: its work folder.
        output: the file that takes what `segjax train` would print.
        error: why it failed, in one line.
    """

    config: ConfigDict
    folder: pathlib.Path
    output: pathlib.Path
    error: str | None = None
    plan: Plan | None = None
    loop: Loop | None = None
    memory: LoopState = field(default_factory=LoopState)

    def write(self, text: str, **unused) -> None:
        """A line of its output; takes the place of a progress bar's `write`."""
        self.output.parent.mkdir(parents=True, exist_ok=True)
        with self.output.open("a") as file:
            file.write(text + "\n")

    def set_postfix(self, **unused) -> None:
        """What stands beside a progress bar: the population has one bar for all."""


@dataclass
class Population(Loop):
    """Trains its members side by side; what it has in common with a `Loop` is the first one's."""

    members: Sequence[Member] = ()
    failed: Callable[[Member], None] = lambda member: None

    def __post_init__(self):
        self._take = jax.jit(_member, out_shardings=self.devices.whole)

    @property
    def live(self) -> list[tuple[int, Member]]:
        """The members that still train, with their places."""
        return [(i, one) for i, one in enumerate(self.members) if one.error is None]

    def _batches(self, done: int) -> Iterator[dict]:
        split = NamedSharding(self.devices.mesh, PartitionSpec(None, parallel.AXIS))
        each = [member.loop.batches(done) for member in self.members]
        for batches in zip(*each, strict=True):
            yield {
                name: jax.make_array_from_process_local_data(
                    split, np.stack([batch[name] for batch in batches])
                )
                for name in batches[0]
            }

    def _save(self, done: int, state: State, memory: LoopState) -> None:
        # All have finished the round before: killed anywhere, the members share a checkpoint.
        self._wait()
        pending = jax.device_get(memory.pending)
        for place, member in self.live:
            member.memory.pending = _pending(pending, place)
            member.loop._save(done, self._take(state, place), member.memory)

    def _wait(self) -> None:
        for member in self.members:
            member.loop.checkpoints.wait()

    def _evaluate(self, done: int, state: State, memory: LoopState, bar, stop: Stop) -> float:
        took = 0.0
        for place, member in self.live:
            if member.memory.evaluated < done and not stop.now():
                alone = self._take(state, place)
                took += member.loop._evaluate(done, alone, member.memory, member, stop)
        memory.evaluated = min((one.memory.evaluated for _, one in self.live), default=done)
        return took

    def _log(self, done, logged, state: State, memory: LoopState, began: float, bar):
        pending, halted = jax.device_get((memory.pending, state.halted))
        for place, member in self.live:
            pairs = _pending(pending, place)
            means, count = merged_means(pairs)
            if halted[place]:
                member.memory.pending = pairs
                self._fail(done, member, self._take(state, place))
            else:
                member.loop.record(done, logged, means, count, began, member)
        bar.set_postfix(members=len(self.live))
        memory.stopped_early = not self.live

    def _fail(self, done: int, member: Member, state: State) -> None:
        try:
            member.loop.halt(done, state, member.memory)
        except FloatingPointError as error:
            member.error = str(error)
        self.failed(member)


def train(
    members: Sequence[Member],
    paths: Sequence[str],
    stop: Stop,
    finished: Callable[[Member], None] = lambda member: None,
) -> None:
    """Trains the members to their ends, or on from the newest step that all have.

    Members whose loss stops being finite get their `error`; the rest go on.

    Args:
        members: of one shape; configs that differ in nothing but `paths`.
        paths: config paths of the hyperparameters in which members differ.
        stop: asked at every step; a stop saves and raises Interrupted.
        finished: called with every member when it is done or has failed.
    """
    _check(stop)
    plan = run.check(members[0].config, members[0].folder)
    plan = hyperparameters.Shared(**_fields(plan))
    found, shapes = datasets.data_digest(plan.config), restore.shapes_of(plan)
    with ExitStack() as stack:
        for member in members:
            workdir.check_new(member.folder, member.config)
            run.check_data(member.config, member.folder, found)
            checkpoint.check_fit(member.folder, shapes)
            stack.enter_context(holder.hold(member.folder))
        for member in members:
            workdir.check_new(member.folder, member.config)  # as in `run.train`
            own = hyperparameters.with_values(plan, hyperparameters.read(member.config, paths))
            member.plan = Plan(**(_fields(own) | {"config": member.config}))
            run.describe(member.config, member.folder, member.plan)
        _train_and_report(plan, members, paths, stop, finished)


def _train_and_report(
    plan: Plan, members: Sequence[Member], paths: Sequence[str], stop: Stop, finished: Callable
) -> None:
    """`train` in folders that are held; what was trained to its end is only evaluated."""
    devices = parallel.make(plan.config.parallel)
    evaluator = run.evaluator_of(plan, devices, "validation")
    for member in members:
        if (ended := workdir.read_done(member.folder)) is not None:
            member.memory = from_saved(ended)
    if training := [one for one in members if workdir.read_done(one.folder) is None]:
        _train(plan, training, paths, devices, evaluator, stop, finished)
    for member in members:
        if member.error is None:
            _check(stop)
            _finish(member, paths, evaluator)
            finished(member)


def _check(stop: Stop) -> None:
    if stop.now():
        raise Interrupted("stopped by a signal, all is saved; the same command goes on")


def train_step(plan: Plan, axis_name: str | None) -> Callable:
    """`step(states, arrays, batches) -> (states, sums)`, everything but `arrays` stacked."""
    one = plan.train_step(axis_name)

    def step(states: State, arrays, batches):
        if jax.default_backend() == "cpu":
            return jax.lax.map(lambda pair: one(pair[0], arrays, pair[1]), (states, batches))
        return jax.vmap(one, (0, None, 0))(states, arrays, batches)

    return step


def _train(
    plan: Plan, members: list[Member], paths, devices, evaluator, stop: Stop, finished: Callable
) -> None:
    """Trains those members that are not at the end yet."""
    split = run.open_training(plan, *(member.folder for member in members))
    compiled = devices.compile_train(train_step(plan, devices.axis_name))
    with ExitStack() as stack:
        for member in members:
            folder, settings = member.folder, member.config.checkpoint
            # Two at least: killed while it saves, each member still has the round before.
            kept = stack.enter_context(Checkpoints(folder, max(2, settings.keep)))
            parts = member.plan, devices, compiled, split, evaluator, kept, None, folder
            member.loop = Loop(*parts)
        states = _restore_or_begin(plan, members, paths, devices)
        for member, state in zip(members, states, strict=True):
            log = Log(
                member.folder,
                int(state.step),
                evaluated=member.memory.evaluated,
                tensorboard=member.config.log.tensorboard,
                active=True,
            )
            stack.callback(log.close)
            member.loop.log = log
        together = Population(**_fields(members[0].loop), members=members, failed=finished)
        stacked = devices.replicate(jax.tree.map(lambda *leaves: np.stack(leaves), *states))
        together.run(stacked, _common_memory(members), stop)


def _restore_or_begin(plan: Plan, members: Sequence[Member], paths, devices) -> list[State]:
    """The members' states on the host, with their hyperparameters; their memories are set."""
    values = [hyperparameters.arrays(member.config, paths) for member in members]
    template = restore.template(plan, devices)
    restored = restore.restore_common(template, [one.loop.checkpoints for one in members])
    if restored is None:
        begin = jax.jit(lambda values: restore.begin(hyperparameters.with_values(plan, values)))
        states = [begin(one) for one in values]
        memories = [LoopState() for _ in members]
    else:
        states, memories = zip(*restored, strict=True)
    for member, memory in zip(members, memories, strict=True):
        member.memory = memory
    return [
        jax.device_get(state).replace(hyperparameters=one)
        for state, one in zip(states, values, strict=True)
    ]


def _common_memory(members: Sequence[Member]) -> LoopState:
    """What the loop of all remembers: its sums are those of the members, stacked."""
    memories = [member.memory for member in members]
    pending = jax.tree.map(lambda *sums: np.array(sums), *(memory.pending for memory in memories))
    for memory in memories:
        memory.pending = {}
    return LoopState(min(memory.evaluated for memory in memories), pending=pending)


def _pending(stacked: dict[str, list], place: int) -> dict[str, list]:
    """One member's sums since the last log, on the host."""
    return {
        name: [[float(array[place]) for array in pair] for pair in pairs]
        for name, pairs in stacked.items()
    }


def _finish(member: Member, paths: Sequence[str], evaluator) -> None:
    """Evaluates the best state and reports, as a single run does at its end."""
    trained = restore.load_own(member.folder, member.plan)
    own = trained.devices.replicate(hyperparameters.arrays(member.config, paths))
    trained = dataclasses.replace(trained, state=trained.state.replace(hyperparameters=own))
    means = run.evaluate(member.folder, "validation", trained, evaluator)
    report.write(member.folder, trained)
    workdir.write_done(member.folder, member.memory.ended(), int(trained.state.step))
    shown = ", ".join(f"{name} {value:.4f}" for name, value in means.items())
    member.write(f"{member.folder}: validation {shown}")


def _member(state: State, place) -> State:
    """One member's state, unstacked."""
    return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, place, 0, False), state)


def _fields(made) -> dict:
    return {entry.name: getattr(made, entry.name) for entry in dataclasses.fields(made)}
