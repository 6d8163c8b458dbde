"""The state of a run: begun from its seed, or restored from its checkpoints."""

import pathlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import jax

from segjax.errors import UserError
from segjax.train import checkpoint, parallel, preflight, workdir
from segjax.train import state as states
from segjax.train.checkpoint import Checkpoints
from segjax.train.loop import Book
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


def restore_or_begin(plan: Plan, devices, checkpoints: Checkpoints) -> tuple[states.State, Book]:
    """The newest readable checkpoint, or step 0; placed on the devices."""
    restored = checkpoints.restore("latest", template(plan, devices))
    if restored is None:
        return devices.replicate(jax.device_get(jax.jit(lambda: begin(plan))())), Book()
    return devices.replicate(jax.device_get(restored[0])), Book(**restored[1])


def restore_common(
    template: states.State, checkpoints: Sequence[Checkpoints]
) -> list[tuple[states.State, Book]] | None:
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
        return [(state, Book(**book)) for state, book in restored] or None


def shapes_of(plan: Plan) -> states.State:
    """Shapes and types of a state, computed without a device."""
    return jax.eval_shape(lambda: begin(plan))


def template(plan: Plan, devices) -> states.State:
    """Shapes, types and placement of a state."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=devices.whole),
        shapes_of(plan),
    )


def load_trained(folder: pathlib.Path, kind: str = "best", plan: Plan | None = None) -> Trained:
    """The trained state of a work folder; the latest one where no best was kept.

    Changes nothing on disk (`checkpoint.load`).
    """
    if plan is None:
        plan = preflight.build(workdir.open_existing(folder), 1000, jax.device_count())
    if kind == "best" and not checkpoint.has_any(folder, "best"):
        print(f"segjax: {folder}: no best checkpoint was kept, the latest is used", file=sys.stderr)
        kind = "latest"
    checkpoint.require(folder, kind)
    devices = parallel.make(plan.config.parallel)
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
