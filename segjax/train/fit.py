"""Training of a list of runs: from their checkpoints, or from step 0, to the end."""

import pathlib
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import jax

from segjax import files
from segjax.data.pipeline import is_stateless
from segjax.errors import UserError
from segjax.tasks.base import Evaluator, Source
from segjax.train import (
    hyperparameters,
    model_init,
    processes,
    programs,
    progress,
    restore,
    workdir,
)
from segjax.train.checkpoint import Checkpoints
from segjax.train.experiment import Experiment
from segjax.train.logs import Log
from segjax.train.loop import Loop, Stop
from segjax.train.runs import Run
from segjax.train.state import State
from segjax.train.watchdog import Watchdog


def fit(
    experiment: Experiment,
    runs: Sequence[Run],
    devices: Any,
    *,
    paths: Sequence[str] = (),
    evaluator: Evaluator | None = None,
    stop: Stop | None = None,
    failed: Callable[[Run], None] | None = None,
    watchdog: Watchdog | None = None,
) -> None:
    """Trains runs to their ends, or on from the newest step that all have.

    Args:
        experiment: what the runs have in common.
        runs: whose experiments differ in nothing but `paths`; their memories are those of the end.
        devices: that they train on.
        paths: config paths of the hyperparameters in which runs differ.
        evaluator: of the validation split, where there is one already.
        stop: asked at every step.
        failed: called with a run whose loss is not finite any more; None raises FloatingPointError.
        watchdog: told of all that ends.
    """
    source = experiment.task.source(experiment)
    write_baselines(experiment, [run.folder for run in runs], lambda: source)
    processes.wait()  # the data of all are ready
    with ExitStack() as stack:
        stack.enter_context(files.naming(runs[0].folder))
        # Several are saved together. Two at least: killed while it saves, each still has the round
        # before.
        least = 2 if len(runs) > 1 else 1
        for run in runs:
            keep = max(least, run.experiment.config.checkpoint.keep)
            run.checkpoints = stack.enter_context(Checkpoints(run.folder, keep))
        states = _restore_or_begin(experiment, runs, paths, devices)
        _give_sources(runs, source)
        done = int(states[0].step)
        progress.describe(runs, done)
        for run in runs:
            run.log = Log(
                run.folder,
                done,
                evaluated=run.memory.evaluated,
                tensorboard=run.experiment.config.log.tensorboard,
                active=jax.process_index() == 0,
            )
            stack.callback(run.log.close)
        evaluator = evaluator or experiment.task.evaluator(experiment, "validation", devices)
        program = programs.make(runs, devices)
        # Once for all runs, whatever the order in which each draws from them
        arrays = devices.replicate(source.arrays)
        loop = Loop(runs, program, evaluator, arrays, failed, watchdog or Watchdog())
        loop.pending = programs.joined([run.memory.pending for run in runs])
        # Again: opening the splits takes each process its own time, and a collective that the
        # others reach 30 s later fails.
        processes.wait()
        # Not before this: until there is something to save, a signal ends the process at once
        stop = stack.enter_context(Stop()) if stop is None else stop
        loop.train(program.start(states), done, stop)


def _give_sources(runs: Sequence[Run], source: Source) -> None:
    """Gives each run the source of its batches, with what its sampler remembered.

    One that remembers nothing serves all. Any other belongs to one run alone: its sampler sees the
    states of that run. The fields on the devices are those of the first for all runs.
    """
    for place, run in enumerate(runs):
        shared = place == 0 or is_stateless(source)
        # By the run's own experiment: a sampler may draw by its seed
        run.source = source if shared else run.experiment.task.source(run.experiment)
        if run.memory.sampler is not None:
            run.source.remember(run.memory.sampler)


def write_baselines(
    experiment: Experiment, folders: Sequence[pathlib.Path], source: Callable[[], Source]
) -> None:
    """Puts what the baseline learns from the training split into the folders that lack it.

    A streamed split may have to be read through for that: a run that goes on keeps what it has.
    """
    lacking = [folder for folder in folders if not has_baseline(folder)]
    if lacking and jax.process_index() == 0:
        # `source` is a function: a task without a baseline does not have the split opened
        answer = experiment.task.baseline(source)
        for folder in lacking if answer is not None else ():
            workdir.write_baseline(folder, answer)


def has_baseline(folder: pathlib.Path) -> bool:
    """Whether what the baseline learned is there; a damaged file is not, and a line says so."""
    try:
        return workdir.read_baseline(folder) is not None
    except UserError as error:
        print(f"segjax: {str(error).partition(': ')[0]}: damaged, made again", file=sys.stderr)
        return False


def _restore_or_begin(
    experiment: Experiment, runs: Sequence[Run], paths: Sequence[str], devices: Any
) -> list[State]:
    """The runs' states on the host, with their hyperparameters; their memories are set."""
    # Also of a run that is left alone: the evaluator of all takes them from the state.
    values = [hyperparameters.arrays(run.experiment.config, paths) for run in runs]
    template = restore.template(experiment, devices)
    restored = restore.newest_common(template, [run.checkpoints for run in runs])
    if restored is None:
        # With the hyperparameters as arguments: one compilation gives all seeds their parameters
        begin = jax.jit(lambda own: runs[0].experiment.with_hyperparameters(own).initial_state())
        states = [
            model_init.applied(run.experiment.config.model_init, jax.device_get(begin(own)))
            for run, own in zip(runs, values, strict=True)
        ]
    else:
        states = [state for state, _ in restored]
        for run, (_, memory) in zip(runs, restored, strict=True):
            run.memory = memory
    return [
        # Checkpoints hold no hyperparameters: the config of each run has them
        jax.device_get(state).replace(hyperparameters=own)
        for state, own in zip(states, values, strict=True)
    ]
