"""Training and evaluating a work folder, from a config to files on disk."""

import json
import pathlib
import signal

import jax
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from segjax.config import files
from segjax.data import store
from segjax.data.pipeline import read_all
from segjax.errors import UserError
from segjax.train import checkpoint, datasets, parallel, predictions, preflight, report, workdir
from segjax.train import state as states
from segjax.train import step as steps
from segjax.train.checkpoint import Checkpoints
from segjax.train.evaluate import Evaluator, Result
from segjax.train.logs import Log, environment
from segjax.train.loop import Book, Loop, Stop
from segjax.train.preflight import Plan

DONE = "done.json"
TRIVIAL = "trivial.json"


def check(config: ConfigDict, folder: pathlib.Path) -> Plan:
    """Everything that can be wrong is found here, within seconds, before the folder is touched."""
    preflight.check_fields(config)
    workdir.check_new(folder, config)
    store.builder(config.data.name, config.data.data_dir, path="config.data.name")
    preflight.build(config, examples=1000, devices=jax.device_count())
    plan = preflight.build(config, datasets.count(config, "train"), jax.device_count())
    if "validation" in config.data.splits:
        datasets.count(config, "validation")
    return plan


def train(config: ConfigDict, folder: pathlib.Path) -> dict[str, float]:
    """Trains to the end (or goes on from the latest checkpoint), evaluates the best, writes the report."""
    stop = Stop()
    try:
        plan = check(config, folder)
        first = jax.process_index() == 0
        if first:
            _describe(config, folder, plan)
        if not (folder / DONE).exists():
            book = _train(plan, folder, stop)
            if first:
                files.write_atomic(folder / DONE, json.dumps(vars(book)) + "\n")
        means = evaluate(folder, "validation", plan=plan)
        wait_for_others("evaluated")
        report.write(folder)
        return means
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def wait_for_others(name: str) -> None:
    """A barrier: what process 0 wrote is there for all."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def _describe(config: ConfigDict, folder: pathlib.Path, plan: Plan) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / workdir.CONFIG).exists():
        files.write_atomic(folder / workdir.CONFIG, files.to_json(config))
    described = environment() | {"parameters": plan.parameters, "total_steps": plan.total_steps}
    files.write_atomic(folder / "env.json", json.dumps(described, indent=2) + "\n")


def _train(plan: Plan, folder: pathlib.Path, stop: Stop) -> Book:
    config, devices = plan.config, parallel.make(plan.config.parallel)
    split = datasets.open_split(config, plan.task, "train")
    if split.arrays and jax.process_index() == 0:
        answer = plan.task.trivial_answer(split.arrays)
        files.write_atomic(folder / TRIVIAL, json.dumps(answer) + "\n")
    train_step = devices.compile_train(
        steps.make_train_step(
            plan.model,
            plan.task,
            plan.terms,
            plan.transformation,
            seed=config.seed,
            augment=preflight.active_augment(config),
            axis_name=devices.axis_name,
        )
    )
    with Checkpoints(folder, config.checkpoint.keep) as checkpoints:
        state, book = restore_or_begin(plan, devices, checkpoints)
        log = Log(
            folder,
            int(state.step),
            tensorboard=config.log.tensorboard,
            active=jax.process_index() == 0,
        )
        evaluator = _evaluator(plan, devices, "validation")
        loop = Loop(plan, devices, train_step, split, evaluator, checkpoints, log, folder)
        try:
            _, book = loop.run(state, book, stop)
        finally:
            log.close()
    return book


def initial_state(plan: Plan, devices: parallel.Sharding | parallel.Pmap) -> states.State:
    """The state at step 0, placed."""
    begin = jax.jit(
        lambda: states.initial(
            preflight.make_model(plan.config),
            plan.transformation,
            plan.image_shape,
            plan.config.seed,
        )
    )
    return devices.replicate(jax.device_get(begin()))


def restore_or_begin(plan: Plan, devices, checkpoints: Checkpoints) -> tuple[states.State, Book]:
    """The newest readable checkpoint, or step 0."""
    state = initial_state(plan, devices)
    restored = checkpoints.restore("latest", state)
    if restored is None:
        return state, Book()
    return devices.replicate(jax.device_get(restored[0])), Book(**restored[1])


def _evaluator(plan: Plan, devices, name: str) -> Evaluator:
    step = steps.make_evaluation_step(
        plan.model, plan.task, plan.terms, axis_name=devices.axis_name
    )
    split = datasets.open_split(plan.config, plan.task, name)
    return Evaluator(split, plan.task, step, devices, plan.config.evaluate.batch_size)


def load_trained(
    folder: pathlib.Path, kind: str = "best", plan: Plan | None = None
) -> tuple[Plan, parallel.Sharding | parallel.Pmap, states.State]:
    """The plan and the trained state of a work folder; the latest state where no best was kept."""
    if plan is None:
        config = workdir.open_existing(folder)
        plan = preflight.build(config, examples=1000, devices=jax.device_count())
    if kind == "best" and not checkpoint.has_any(folder, "best"):
        kind = "latest"
    checkpoint.require(folder, kind)
    devices = parallel.make(plan.config.parallel)
    with Checkpoints(folder, plan.config.checkpoint.keep) as checkpoints:
        restored = checkpoints.restore(kind, initial_state(plan, devices))
    if restored is None:
        raise UserError(f"{folder}: no readable checkpoint under checkpoints/{kind}")
    return plan, devices, restored[0]


def evaluate(
    folder: pathlib.Path, split: str, *, kind: str = "best", plan: Plan | None = None
) -> dict[str, float]:
    """Evaluates a trained folder on a split; writes metrics_<split>.json and predictions_<split>.csv."""
    config = plan.config if plan else workdir.open_existing(folder)
    if split not in config.data.splits:
        datasets.split_expression(config, split)
    datasets.count(config, split)
    plan, devices, state = load_trained(folder, kind, plan)
    evaluator = _evaluator(plan, devices, split)
    result = evaluator.run(state.variables)
    if jax.process_index() == 0:
        _write_result(folder, plan, evaluator, result, split, int(state.step))
    return result.means


def _write_result(
    folder: pathlib.Path, plan: Plan, evaluator: Evaluator, result: Result, split: str, step: int
) -> None:
    fields = evaluator.split.arrays or read_all(
        datasets.open_records(plan.config, plan.task, split), label=split
    )
    answer = json.loads((folder / TRIVIAL).read_text()) if (folder / TRIVIAL).exists() else None
    content = {
        "split": split,
        "step": step,
        "count": result.count,
        "metrics": result.means,
        "trivial": plan.task.trivial_scores(answer, fields) if answer else None,
    }
    files.write_atomic(folder / f"metrics_{split}.json", json.dumps(content, indent=2) + "\n")
    names = datasets.image_names(plan.config, split)
    rows = plan.task.rows(result.predictions, fields)
    predictions.write_table(folder / f"predictions_{split}.csv", plan.task.columns(), names, rows)
