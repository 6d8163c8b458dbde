"""The states of runs from their checkpoints."""

import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import jax

from segjax.errors import UserError
from segjax.train import workdir
from segjax.train.checkpoint import Checkpoints
from segjax.train.experiment import Experiment
from segjax.train.loop_state import LoopState
from segjax.train.state import State


def template(experiment: Experiment, devices: Any) -> State:
    """Shapes, types and placement of a state."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=devices.whole),
        experiment.shapes(),
    )


def newest_common(
    template: State, checkpoints: Sequence[Checkpoints]
) -> list[tuple[State, LoopState]] | None:
    """The states of runs at the newest step that all have; None if there is no such step.

    Checkpoints of several runs beyond that step are deleted: the runs come by there again.
    """
    if len(checkpoints) == 1:
        restored = checkpoints[0].restore("latest", template)
        return None if restored is None else [restored]
    damaged = False
    while True:
        shared = set.intersection(*(set(kept.steps("latest")) for kept in checkpoints))
        # 0 stands for none: what a signal saved before the first step is the beginning itself
        step = max(shared, default=0)
        if step == 0 and damaged:
            raise UserError(
                f"{checkpoints[0].folder.parent}: no checkpoint is left that it shares with the "
                "members trained beside it; the same command now starts them from step 0"
            )
        # This sets damaged ones aside, so the next round finds an older step
        restored = [kept.restore_step("latest", step, template) for kept in checkpoints if step]
        if any(one is None for one in restored):
            damaged = True
            continue
        for kept in checkpoints:
            kept.forget_after("latest", step)
        return restored or None


def best_of_run(folder: pathlib.Path, experiment: Experiment, devices: Any) -> State:
    """The best state for the run itself, which sets damaged checkpoints aside.

    The latest one where no best was kept, or, with a line on stderr, where it is damaged.
    """
    shapes = template(experiment, devices)
    with Checkpoints(folder, experiment.config.checkpoint.keep) as checkpoints:
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
    if kind == "latest":
        why = "" if found[0][0] == "best" else "no best checkpoint was kept; "
        print(f"segjax: {folder}: {why}evaluated is the latest checkpoint, {step}", file=sys.stderr)
    return devices.replicate(jax.device_get(restored[0]))
