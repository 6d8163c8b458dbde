"""A training from its config to files on disk: checked, trained, evaluated, reported.

`train` runs one; engines run several at once through `train_together`.
"""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import jax
from ml_collections import ConfigDict

from segjax import files
from segjax.config import files as configs
from segjax.data import digest
from segjax.data.dataset import Dataset
from segjax.errors import Interrupted, UserError
from segjax.inference import evaluate
from segjax.inference.open import Trained
from segjax.report import run as report
from segjax.tasks.base import Evaluator
from segjax.train import (
    checkpoint,
    fit,
    holder,
    hyperparameters,
    model_init,
    parallel,
    processes,
    restore,
    workdir,
)
from segjax.train import experiment as experiments
from segjax.train.experiment import Experiment
from segjax.train.logs import add_pictures, environment
from segjax.train.loop import Stop
from segjax.train.loop_state import from_saved
from segjax.train.runs import Run
from segjax.train.watchdog import Watchdog


def check(config: ConfigDict, folder: pathlib.Path) -> Experiment:
    """Everything that can be wrong is found here, within seconds, before the folder is touched."""
    goes_on = (folder / workdir.CONFIG).exists()
    # A set that is gone is named below, when it is known that this is the run that had it
    parts = experiments.name_parts(config, trained=goes_on)
    workdir.check_new(folder, config)
    if not parts.data.is_known:
        raise _gone(parts.data, folder)
    # A generated set is drawn only once the config is known to be good.
    made = experiments.build(config, devices=jax.device_count(), parts=parts)
    if not checkpoint.has_any(folder, "latest"):  # a run that goes on needs it no more
        model_init.check(config.model_init, made.shapes())
    parts.data.count("validation")
    processes.first_then_others(parts.data.prepare)
    check_data(config, folder, parts.data.digest)
    made.task.check_place(made)
    checkpoint.check_fit(folder, made.shapes())
    return made


def _gone(data: Dataset, folder: pathlib.Path) -> UserError:
    """What to say of a run that is to go on without its set."""
    why = data.obstacle()  # of a damaged set, which is there, it raises what is wrong
    if ":" in data.name:
        return UserError(why)
    return UserError(
        f"--workdir {folder}: was trained on the set {data.name!r}, which is not in {data.folder}; "
        "make it again from the same files: `segjax data prepare folder --images DIR … --name "
        f"{data.name} --data_dir {data.folder}` (volumes: `prepare nnunet --manual_dir DIR …`), or "
        "say where it is by --config.data.data_dir"
    )


def check_data(config: ConfigDict, folder: pathlib.Path, found: str) -> None:
    """UserError if a run, or the plan that it follows, is of other data than those `found`."""
    name, place, short = config.data.name, config.data.data_dir, digest.short
    if (saved := workdir.data_digest(folder)) not in (None, found):
        raise UserError(
            f"--workdir {folder}: was trained on data of digest {short(saved)}, but {name} in "
            f"{place} has {short(found)}; take another folder, or the data of before"
        )
    if (planned := config.data.plan_digest) not in ("", found):
        raise UserError(
            f"config.data.plan_digest={short(planned)!r}: the plan was measured on other data than "
            f"{name} in {place} ({short(found)}); run `segjax plan {name} --data_dir {place}` again"
        )


@dataclass(frozen=True)
class Job:
    """One training of several: its config, its work folder, what takes messages for the user."""

    config: ConfigDict
    folder: pathlib.Path
    say: Callable[[str], None]


def train(
    config: ConfigDict, folder: pathlib.Path, watchdog: Watchdog | None = None
) -> dict[str, float]:
    """Trains to the end (or goes on from the latest checkpoint), evaluates the best, reports."""
    watchdog = watchdog or Watchdog()
    same = "start all processes of a job with the same config"
    processes.agree("config", config.to_dict(), same)
    made = check(config, folder)
    content = {"data": made.data.digest, "model_init": _begins_with(made, folder)}
    # When all agree, all have seen the folder as it was.
    processes.agree("content", content, "all processes of a job need the same files")
    run = Run(made, folder)
    with holder.hold(folder, first=processes.is_first(), told=processes.of_first):
        workdir.check_new(folder, config)  # another run may have begun here since
        if processes.is_first():
            describe(run)
        with workdir.in_use(folder):
            devices = parallel.make(config.parallel)
            _fit(made, [run], devices, watchdog)
            return finish(run, devices, watchdog)


def train_together(
    jobs: Sequence[Job],
    paths: Sequence[str],
    stop: Stop,
    finished: Callable[[Job, str | None], None] = lambda job, error: None,
    watchdog: Watchdog | None = None,
) -> None:
    """Trains several in one program, to their ends, or on from the newest step that all have.

    One whose loss stops being finite fails; the rest go on.

    Args:
        jobs: of one shape; configs that differ in nothing but `paths`.
        paths: config paths of the hyperparameters in which they differ.
        stop: asked at every step; a stop saves and raises Interrupted.
        finished: called with each when it is done, or with the line with which it has failed.
        watchdog: of them all.
    """
    _check_stop(stop)
    watchdog = watchdog or Watchdog()
    made = check(jobs[0].config, jobs[0].folder)
    shapes = made.shapes()
    with ExitStack() as stack:
        for job in jobs:
            workdir.check_new(job.folder, job.config)
            check_data(job.config, job.folder, made.data.digest)
            checkpoint.check_fit(job.folder, shapes)
            # All folders are held before a run writes into one of them
            stack.enter_context(holder.hold(job.folder))
        runs = []
        for job in jobs:
            workdir.check_new(job.folder, job.config)  # another run may have begun here since
            own = made.with_hyperparameters(hyperparameters.read(job.config, paths))
            # The job's own config, locked and typed, for the files; the other is a copy that takes
            # arrays.
            own = dataclasses.replace(own, config=job.config)
            runs.append(Run(own, job.folder, job.say))
            describe(runs[-1])
        by_folder = {job.folder: job for job in jobs}
        devices = parallel.make(made.config.parallel)
        # One for all: it holds the split on the devices, and takes hyperparameters from the state
        evaluator = made.task.evaluator(made, "validation", devices)

        def failed(run: Run) -> None:
            finished(by_folder[run.folder], run.error)

        together = {"paths": paths, "evaluator": evaluator, "stop": stop, "failed": failed}
        _fit(made, runs, devices, watchdog, **together)
        for run in runs:
            if run.error is None:
                _check_stop(stop)
                values = finish(run, devices, watchdog, paths, evaluator)
                shown = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
                run.say(f"{run.folder}: validation {shown}")
                finished(by_folder[run.folder], None)


def _check_stop(stop: Stop) -> None:
    if stop.now():
        raise Interrupted("stopped by a signal, all is saved; the same command goes on")


def _fit(
    made: Experiment, runs: Sequence[Run], devices: Any, watchdog: Watchdog, **options: Any
) -> None:
    """Trains those runs that have not come to their end yet."""
    for run in runs:
        if (ended := workdir.read_done(run.folder)) is not None:
            run.memory = from_saved(ended)
    # A run that ended but lacks its table or report is finished without a step
    training = [run for run in runs if workdir.read_done(run.folder) is None]
    for run in runs:
        if run not in training:
            run.say(f"{run.folder}: trained to its end already; evaluates and reports again")
    if training:
        with watchdog:
            fit.fit(made, training, devices, watchdog=watchdog, **options)
    rest = [run.folder for run in runs if run not in training]
    fit.write_baselines(made, rest, lambda: made.task.source(made))


def finish(
    run: Run,
    devices: Any,
    watchdog: Watchdog,
    paths: Sequence[str] = (),
    evaluator: Evaluator | None = None,
) -> dict[str, float]:
    """Evaluates the best state and reports: the end of a run."""
    state = restore.best_of_run(run.folder, run.experiment, devices)
    # Checkpoints hold no hyperparameters, which the evaluator of several runs takes from the state
    if paths:
        own = hyperparameters.arrays(run.experiment.config, paths)
        state = state.replace(hyperparameters=devices.replicate(own))
    trained = Trained(run.folder, run.experiment, devices, state)
    step = int(state.step)
    with watchdog:
        values = evaluate.evaluate(
            trained,
            "validation",
            evaluator,
            each_part=lambda: watchdog.passed(step, "part of the evaluation at step"),
        )
        watchdog.passed(step, "evaluation at step")
        processes.wait()  # what process 0 wrote is there for all
        report.write(run.folder, trained, ended=True)
        if processes.is_first():
            if run.experiment.config.log.tensorboard:
                add_pictures(run.folder, step)
            # The last file of a run: where it is, all others are
            workdir.write_done(run.folder, run.memory.ended(), step)
    return values


def _begins_with(made: Experiment, folder: pathlib.Path) -> str | None:
    """A digest of the parameters that a run begins with; None for random ones."""
    # A run that goes on has begun with what it says, whatever lies there now.
    if checkpoint.has_any(folder, "latest"):
        return workdir.model_init_digest(folder)
    return model_init.digest(made.config.model_init)


def _moving_loss(config: ConfigDict) -> str | None:
    """What to say where checkpoints are chosen by a loss that changes its meaning."""
    moving = [name for name, term in config.loss.items() if isinstance(term.weight, ConfigDict)]
    if config.evaluate.best != "loss" or not moving:
        return None
    return (
        f"segjax: config.evaluate.best='loss' compares losses whose weights change meanwhile "
        f"({', '.join(moving)}); a metric, or 'loss/{moving[0]}', does not change"
    )


def describe(run: Run) -> None:
    """Writes config.json and env.json of a work folder."""
    made, folder = run.experiment, run.folder
    folder.mkdir(parents=True, exist_ok=True)
    # Written once: a run keeps the config that it began with
    if not (folder / workdir.CONFIG).exists():
        if line := _moving_loss(made.config):
            run.say(line)
        files.write_text(folder / workdir.CONFIG, configs.to_json(made.config))
    counted = {"examples": made.clock.examples, "total_steps": made.total_steps}
    described = environment() | {"parameters": made.parameters} | counted
    # Of a run begun before digests were saved it is not known what it was trained on.
    begun = (folder / workdir.ENVIRONMENT).exists() and workdir.data_digest(folder) is None
    if begun and not workdir.is_object(folder / workdir.ENVIRONMENT):
        print(
            f"segjax: {folder / workdir.ENVIRONMENT}: damaged, made again; on which data the run "
            "was trained is not known any more",
            file=sys.stderr,
        )
    described["model_init"] = _begins_with(made, folder)
    data = made.data
    cases = {split: data.count(split) for split in data.splits if data.has(split)}
    described["data"] = {"digest": None if begun else data.digest, "cases": cases}
    files.write_text(folder / workdir.ENVIRONMENT, json.dumps(described, indent=2) + "\n")
