"""Training and evaluating a work folder, from a config to files on disk."""

import json
import pathlib

import jax
from ml_collections import ConfigDict

from segjax.config import files
from segjax.data import store
from segjax.data.pipeline import Resident, Streamed
from segjax.train import (
    checkpoint,
    datasets,
    parallel,
    predictions,
    preflight,
    processes,
    report,
    volumes,
    workdir,
)
from segjax.train.checkpoint import Checkpoints
from segjax.train.evaluate import Evaluator, Result
from segjax.train.logs import Log, environment
from segjax.train.loop import Book, Loop, Stop
from segjax.train.preflight import Plan
from segjax.train.restore import Trained, load_trained, restore_or_begin
from segjax.train.volumes import VolumeEvaluator

DONE = "done.json"
TRIVIAL = "trivial.json"


def check(config: ConfigDict, folder: pathlib.Path) -> Plan:
    """Everything that can be wrong is found here, within seconds, before the folder is touched."""
    preflight.check_fields(config)
    workdir.check_new(folder, config)
    made = store.builder(config.data.name, config.data.data_dir, path="config.data.name")
    if not store.is_prepared(made) and not store.needs_download(made):
        # A generated set is drawn only once the config is known to be good.
        preflight.build(config, examples=1000, devices=jax.device_count())
    examples = processes.first_then_others(lambda: datasets.count(config, "train"))
    plan = preflight.build(config, examples, jax.device_count())
    datasets.count(config, "validation")
    return plan


def train(config: ConfigDict, folder: pathlib.Path) -> dict[str, float]:
    """Trains to the end (or goes on from the latest checkpoint), evaluates the best, reports."""
    processes.agree(config)
    plan = check(config, folder)
    processes.wait()  # all have seen the folder as it was
    first = processes.is_first()
    if first:
        describe(config, folder, plan)
    if not (folder / DONE).exists():
        book = _train(plan, folder)
        if first:
            files.write_atomic(folder / DONE, json.dumps(vars(book)) + "\n")
    trained = load_trained(folder, "best", plan)
    means = evaluate(folder, "validation", trained)
    processes.wait()  # what process 0 wrote is there for all
    report.write(folder, trained)
    return means


def describe(config: ConfigDict, folder: pathlib.Path, plan: Plan) -> None:
    """Writes config.json and env.json of a work folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / workdir.CONFIG).exists():
        files.write_atomic(folder / workdir.CONFIG, files.to_json(config))
    described = environment() | {"parameters": plan.parameters, "total_steps": plan.total_steps}
    files.write_atomic(folder / "env.json", json.dumps(described, indent=2) + "\n")


def open_training(plan: Plan, *folders: pathlib.Path) -> Resident | Streamed:
    """The training split; what the trivial predictor learns from it goes into every folder."""
    split = datasets.open_split(plan.config, plan.task, "train")
    if split.arrays and not plan.task.on_volumes and jax.process_index() == 0:
        answer = plan.task.trivial_answer(split.arrays)
        for folder in folders:
            files.write_atomic(folder / TRIVIAL, json.dumps(answer) + "\n")
    return split


def _train(plan: Plan, folder: pathlib.Path) -> Book:
    config, devices = plan.config, parallel.make(plan.config.parallel)
    split = open_training(plan, folder)
    train_step = devices.compile_train(plan.train_step(devices.axis_name))
    processes.wait()  # the data of all are ready
    with files.naming(folder), Checkpoints(folder, config.checkpoint.keep) as checkpoints:
        state, book = restore_or_begin(plan, devices, checkpoints)
        log = Log(
            folder,
            int(state.step),
            tensorboard=config.log.tensorboard,
            active=jax.process_index() == 0,
        )
        evaluator = evaluator_of(plan, devices, "validation")
        loop = Loop(plan, devices, train_step, split, evaluator, checkpoints, log, folder)
        processes.wait()
        try:
            with Stop() as stop:
                _, book = loop.run(state, book, stop)
        finally:
            log.close()
    return book


def evaluator_of(plan: Plan, devices, name: str) -> Evaluator | VolumeEvaluator:
    """What evaluates a state on a split, the data read once."""
    if plan.task.on_volumes:
        return volumes.evaluator(plan, datasets.split_expression(plan.config, name))
    step = plan.evaluation_step(devices.axis_name)
    split = datasets.open_split(plan.config, plan.task, name)
    return Evaluator(split, plan.task, step, devices, plan.config.evaluate.batch_size)


def evaluate(
    folder: pathlib.Path, split: str, trained: Trained, evaluator: Evaluator | None = None
) -> dict[str, float]:
    """Evaluates on a split; writes metrics_<split>.json and predictions_<split>.csv.

    `evaluator` is the split's where there is one already.
    """
    answer = json.loads((folder / TRIVIAL).read_text()) if (folder / TRIVIAL).exists() else None
    evaluator = evaluator or evaluator_of(trained.plan, trained.devices, split)
    result = evaluator.table(trained.state, answer)
    if jax.process_index() == 0:
        _write_result(folder, trained, result, split)
    return result.means


def evaluate_folder(folder: pathlib.Path, split: str, kind: str) -> dict[str, float]:
    """Evaluates a trained folder; every mistake shows before the model is loaded."""
    config = workdir.open_existing(folder)
    checkpoint.require(folder, "latest")
    datasets.count(config, split)
    return evaluate(folder, split, load_trained(folder, kind))


def _write_result(folder: pathlib.Path, trained: Trained, result: Result, split: str) -> None:
    plan = trained.plan
    content = {
        "split": split,
        "step": int(trained.state.step),
        "count": result.count,
        "metrics": result.means,
        "trivial": result.trivial,
    }
    names = datasets.image_names(plan.config, split)
    path, columns = folder / f"predictions_{split}.csv", plan.task.columns()
    predictions.write_table(path, columns, names, result.rows)
    # Last: where the metrics stand, the table stands too.
    files.write_atomic(folder / f"metrics_{split}.json", json.dumps(content, indent=2) + "\n")
