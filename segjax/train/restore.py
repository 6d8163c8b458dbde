"""The state of a run: begun from its seed, or restored from its checkpoints."""

import pathlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
from ml_collections import ConfigDict

from segjax.data import store
from segjax.errors import UserError
from segjax.train import checkpoint, datasets, parallel, preflight, workdir
from segjax.train import state as states
from segjax.train.checkpoint import Checkpoints
from segjax.train.loop_state import LoopState
from segjax.train.preflight import Plan


@dataclass(frozen=True)
class Trained:
    """A trained work folder, ready to use."""

    plan: Plan
    devices: parallel.Sharding | parallel.Pmap
    state: states.State


def begin(plan: Plan) -> states.State:
    """The state at step 0."""
    config, model = plan.config, preflight.make_model(plan.config)
    return states.initial(
        model, plan.transformation, plan.image_shape, config.seed, plan.weights.initial()
    )


def restore_or_begin(
    plan: Plan, devices, checkpoints: Checkpoints
) -> tuple[states.State, LoopState]:
    """The newest readable checkpoint, or step 0; placed on the devices."""
    restored = checkpoints.restore("latest", template(plan, devices))
    if restored is None:
        return devices.replicate(jax.device_get(jax.jit(lambda: begin(plan))())), LoopState()
    state, memory = restored
    return devices.replicate(jax.device_get(state)), memory


def restore_common(
    template: states.State, checkpoints: Sequence[Checkpoints]
) -> list[tuple[states.State, LoopState]] | None:
    """The states of several runs at the newest step that all have; None if there is no such step.

    Checkpoints beyond that step are deleted: the runs come by there again.
    """
    damaged = False
    while True:
        shared = set.intersection(*(set(kept.steps("latest")) for kept in checkpoints))
        step = max(shared, default=0)
        if step == 0 and damaged:
            raise UserError(
                f"{checkpoints[0].folder.parent}: no checkpoint is left that it shares with the "
                "members trained beside it; the same command now starts them from step 0"
            )
        restored = [kept.restore_step("latest", step, template) for kept in checkpoints if step]
        if any(one is None for one in restored):
            damaged = True
            continue
        for kept in checkpoints:
            kept.forget_after("latest", step)
        return restored or None


def shapes_of(plan: Plan) -> states.State:
    """Shapes and types of a state, computed without a device."""
    return jax.eval_shape(lambda: begin(plan))


def template(plan: Plan, devices) -> states.State:
    """Shapes, types and placement of a state."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=devices.whole),
        shapes_of(plan),
    )


def load_trained(
    folder: pathlib.Path,
    kind: str = "best",
    devices: parallel.Sharding | parallel.Pmap | None = None,
    places: Mapping[str, str] | None = None,
) -> Trained:
    """The trained state of a work folder; the latest one where no best was kept.

    Changes nothing on disk (`checkpoint.load`).

    Args:
        folder: the work folder.
        kind: 'best' or 'latest'.
        devices: where the state goes; by default one device, whatever number it was trained on.
        places: where the data are on this machine, as `workdir.open_existing` takes them.
    """
    config = workdir.open_existing(folder, places)
    # One device takes any batch: that of training need not fit the devices that are here.
    plan = preflight.build(config, examples_of(folder, config), devices=1)
    devices = devices or parallel.make(config.parallel, jax.local_devices()[:1])
    if kind == "best" and not checkpoint.has_any(folder, "best"):
        print(f"segjax: {folder}: no best checkpoint was kept, the latest is used", file=sys.stderr)
        kind = "latest"
    checkpoint.require(folder, kind)
    state = checkpoint.load(folder, kind, template(plan, devices))
    return Trained(plan, devices, devices.replicate(jax.device_get(state)))


def load_own(folder: pathlib.Path, plan: Plan) -> Trained:
    """The best state for the run itself, which sets damaged checkpoints aside.

    The latest one where no best was kept, or, with a line on stderr, where it is damaged.
    """
    devices = parallel.make(plan.config.parallel)
    shapes = template(plan, devices)
    with Checkpoints(folder, plan.config.checkpoint.keep) as checkpoints:
        best, latest = (sorted(checkpoints.steps(kind))[::-1] for kind in ("best", "latest"))
        found = [("best", step) for step in best[:1]] + [("latest", step) for step in latest]
        for kind, step in found:
            if (restored := checkpoints.restore_step(kind, step, shapes)) is not None:
                break
        else:
            raise UserError(
                f"{folder}: no checkpoint is left that can be read; "
                f"without its {workdir.DONE} the same command starts from step 0"
            )
    if kind == "latest" and found[0][0] == "best":
        print(f"segjax: {folder}: evaluated is the latest checkpoint, {step}", file=sys.stderr)
    return Trained(plan, devices, devices.replicate(jax.device_get(restored[0])))


def examples_of(folder: pathlib.Path, config: ConfigDict) -> int:
    """The number of training examples of a run, by which its epochs are counted.

    It is saved with the run. Runs of older versions have none: it is counted in the prepared data
    set then. Where that is missing too, nobody can evaluate the loss, and an epoch is one step.
    """
    if (recorded := workdir.examples(folder)) is not None:
        return recorded
    made = store.builder(config.data.name, config.data.data_dir, path="config.data.name")
    if store.is_prepared(made):
        return datasets.count(config, "train")
    print(
        f"segjax: {folder}: env.json has no number of training examples and {config.data.name} is "
        "not prepared; weights that follow epochs are not those of the training",
        file=sys.stderr,
    )
    return config.data.batch_size
