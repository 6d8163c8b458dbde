"""Training and evaluating a work folder, from a config to files on disk."""

import json
import pathlib
import sys
from collections.abc import Mapping

import jax
from ml_collections import ConfigDict

from segjax import files
from segjax.config import files as configs
from segjax.data import digest, store
from segjax.data.pipeline import Resident, Streamed
from segjax.errors import UserError
from segjax.train import (
    checkpoint,
    datasets,
    holder,
    parallel,
    preflight,
    processes,
    report,
    volumes,
    workdir,
)
from segjax.train.checkpoint import Checkpoints
from segjax.train.evaluate import Evaluator, Result
from segjax.train.logs import Log, environment
from segjax.train.loop import Loop, Stop
from segjax.train.loop_state import LoopState
from segjax.train.preflight import Plan
from segjax.train.restore import Trained, load_own, load_trained, restore_or_begin, shapes_of
from segjax.train.volumes import VolumeEvaluator

TRIVIAL = "trivial.json"


def check(config: ConfigDict, folder: pathlib.Path) -> Plan:
    """Everything that can be wrong is found here, within seconds, before the folder is touched."""
    preflight.check_fields(config)
    workdir.check_new(folder, config)
    made = store.builder(config.data.name, config.data.data_dir, path="config.data.name")
    if not store.is_prepared(made) and not store.needs_download(made):
        # A generated set is drawn only once the config is known to be good.
        preflight.build(config, preflight.ASSUMED_EXAMPLES, jax.device_count())
    examples = processes.first_then_others(lambda: datasets.count(config, "train"))
    plan = preflight.build(config, examples, jax.device_count())
    datasets.count(config, "validation")
    found = datasets.data_digest(config)
    check_data(config, folder, found)
    if plan.task.on_volumes:
        volumes.check_cache(config, found)
    checkpoint.check_fit(folder, shapes_of(plan))
    return plan


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


def train(config: ConfigDict, folder: pathlib.Path) -> dict[str, float]:
    """Trains to the end (or goes on from the latest checkpoint), evaluates the best, reports."""
    processes.agree(config)
    plan = check(config, folder)
    processes.wait()  # all have seen the folder as it was
    with holder.hold(folder, first=processes.is_first(), told=processes.of_first):
        workdir.check_new(folder, config)  # another run may have begun here since
        if processes.is_first():
            describe(config, folder, plan)
        with workdir.in_use(folder):
            return _train_and_report(plan, folder)


def _train_and_report(plan: Plan, folder: pathlib.Path) -> dict[str, float]:
    """`train` in a folder that is held; a run that was trained to its end is only evaluated."""
    memory = workdir.read_done(folder)
    if memory is None:
        memory = _train(plan, folder).ended()
    elif not (plan.task.on_volumes or _has_answer(folder)):
        open_training(plan, folder)
    trained = load_own(folder, plan)
    means = evaluate(folder, "validation", trained)
    processes.wait()  # what process 0 wrote is there for all
    report.write(folder, trained)
    if processes.is_first():
        workdir.write_done(folder, memory, int(trained.state.step))
    return means


def describe(config: ConfigDict, folder: pathlib.Path, plan: Plan) -> None:
    """Writes config.json and env.json of a work folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / workdir.CONFIG).exists():
        files.write_text(folder / workdir.CONFIG, configs.to_json(config))
    counted = {"examples": plan.clock.examples, "total_steps": plan.total_steps}
    described = environment() | {"parameters": plan.parameters} | counted
    # Of a run begun before digests were saved it is not known what it was trained on.
    begun = (folder / workdir.ENVIRONMENT).exists() and workdir.data_digest(folder) is None
    if begun and not workdir.is_object(folder / workdir.ENVIRONMENT):
        print(
            f"segjax: {folder / workdir.ENVIRONMENT}: damaged, made again; on which data the run "
            "was trained is not known any more",
            file=sys.stderr,
        )
    described["data"] = {"digest": None if begun else datasets.data_digest(config)}
    files.write_text(folder / workdir.ENVIRONMENT, json.dumps(described, indent=2) + "\n")


def open_training(plan: Plan, *folders: pathlib.Path) -> Resident | Streamed:
    """The training split; what the trivial predictor learns from it goes into every folder.

    A streamed split may have to be read through for that: a run that goes on keeps what it has.
    """
    split = datasets.open_split(plan.config, plan.task, "train")
    lacking = [folder for folder in folders if not _has_answer(folder)]
    if lacking and not plan.task.on_volumes and jax.process_index() == 0:
        answer = plan.task.trivial_answer(split.parts())
        for folder in lacking:
            files.write_text(folder / TRIVIAL, json.dumps(answer) + "\n")
    return split


def _has_answer(folder: pathlib.Path) -> bool:
    """Whether the trivial predictor's answer is there; a damaged file is not, and it is said."""
    try:
        return report.read_answer(folder / TRIVIAL) is not None
    except UserError:
        print(f"segjax: {folder / TRIVIAL}: damaged, made again", file=sys.stderr)
        return False


def _train(plan: Plan, folder: pathlib.Path, stop: Stop | None = None) -> LoopState:
    config, devices = plan.config, parallel.make(plan.config.parallel)
    split = open_training(plan, folder)
    train_step = devices.compile_train(plan.train_step(devices.axis_name))
    processes.wait()  # the data of all are ready
    with files.naming(folder), Checkpoints(folder, config.checkpoint.keep) as checkpoints:
        state, memory = restore_or_begin(plan, devices, checkpoints)
        log = Log(
            folder,
            int(state.step),
            evaluated=memory.evaluated,
            tensorboard=config.log.tensorboard,
            active=jax.process_index() == 0,
        )
        evaluator = evaluator_of(plan, devices, "validation")
        loop = Loop(plan, devices, train_step, split, evaluator, checkpoints, log, folder)
        processes.wait()
        try:
            with stop or Stop() as stop:
                _, memory = loop.run(state, memory, stop)
        finally:
            log.close()
    return memory


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
    answer = report.read_answer(folder / TRIVIAL)
    evaluator = evaluator or evaluator_of(trained.plan, trained.devices, split)
    result = evaluator.table(trained.state, answer)
    if jax.process_index() == 0:
        _write_result(folder, trained, result, split)
    return result.means


def evaluate_folder(
    folder: pathlib.Path, split: str, kind: str, places: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Evaluates a trained folder; every mistake shows before the model is loaded."""
    config = workdir.open_existing(folder, places)
    preflight.check_fields(config)
    checkpoint.require(folder, "latest")
    workdir.check_writable(folder, "--workdir")
    datasets.count(config, split)
    devices = None
    if not preflight.make_task(config).on_volumes:  # volumes choose their devices themselves
        spread = parallel.dividing(config.evaluate.batch_size, "config.evaluate.batch_size")
        devices = parallel.make(config.parallel, spread)
    return evaluate(folder, split, load_trained(folder, kind, devices=devices, places=places))


def _write_result(folder: pathlib.Path, trained: Trained, result: Result, split: str) -> None:
    plan = trained.plan
    found, saved = datasets.data_digest(plan.config), workdir.data_digest(folder)
    changed = saved not in (None, found)
    content = {
        "split": split,
        "step": int(trained.state.step),
        "count": result.count,
        "metrics": result.means,
        "trivial": result.trivial,
        "data_digest": found,
        "data_changed": changed,
    }
    if changed:
        print(f"segjax: {folder}: {split}: {datasets.changed_data(found, saved)}", file=sys.stderr)
    names = datasets.image_names(plan.config, split)
    path, columns = folder / f"predictions_{split}.csv", plan.task.columns()
    # It names the table: killed here, or beside another evaluation, no mixture is taken for one.
    content[workdir.PREDICTIONS] = files.write_table(path, columns, names, result.rows)
    files.write_text(folder / f"metrics_{split}.json", json.dumps(content, indent=2) + "\n")
