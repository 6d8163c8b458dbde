"""Checkpoints: latest ones to go on from, and the best one to evaluate. The only user of Orbax.

    checkpoints/latest/STEP/   the newest `keep` states, with the loop's bookkeeping
    checkpoints/best/STEP/     the state with the best validation value
    checkpoints/damaged/       checkpoints that could not be read, moved out of the way

Saves are asynchronous and atomic: a run killed while saving leaves the ones before whole.
"""

import dataclasses
import logging
import os
import pathlib
import sys
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.options import MultiprocessingOptions

from segjax.errors import UserError
from segjax.train.state import State

FOLDER = "checkpoints"
KINDS = ("latest", "best")


class Checkpoints:
    """The checkpoints of a work folder; a context manager, leaving waits for pending saves."""

    def __init__(self, workdir: pathlib.Path, keep: int):
        # Orbax reports every save there, and its errors, which it raises as well.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        self.folder = workdir.resolve() / FOLDER
        self._managers = {
            kind: ocp.CheckpointManager(
                self.folder / kind,
                options=ocp.CheckpointManagerOptions(
                    max_to_keep=keep if kind == "latest" else 1,
                    create=True,
                    # The processes meet under these names: two managers save the same step.
                    multiprocessing_options=MultiprocessingOptions(barrier_sync_key_prefix=kind),
                ),
                item_names=("state", "book"),
            )
            for kind in KINDS
        }

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *unused) -> None:
        for manager in self._managers.values():
            manager.wait_until_finished()
            manager.close()

    def save(self, kind: str, step: int, state: State, book: dict) -> None:
        """Begins to save; a step that is there already is left as it is (it holds the same)."""
        manager = self._managers[kind]
        if step in manager.all_steps():
            return
        items = {"state": ocp.args.StandardSave(_saved(state)), "book": ocp.args.JsonSave(book)}
        manager.save(step, args=ocp.args.Composite(**items), force=True)

    def wait(self) -> None:
        """Returns when every save is complete on disk."""
        for manager in self._managers.values():
            manager.wait_until_finished()

    def restore(self, kind: str, template: State) -> tuple[State, dict] | None:
        """The newest readable state and its bookkeeping, or None when there is none.

        `template` gives shapes and placement (arrays or ShapeDtypeStructs), so that a run may go on
        with another number of devices. A checkpoint that cannot be read is named and moved aside.
        Raises UserError when there were some and none can be read: nobody starts over unasked.
        """
        found = sorted(self.steps(kind), reverse=True)
        for step in found:
            if (restored := self.restore_step(kind, step, template)) is not None:
                return restored
        if found:
            raise UserError(
                f"{self.folder / kind}: none of {len(found)} checkpoints can be read; they lie in "
                f"{self.folder / 'damaged'}; the same command now starts from step 0"
            )
        return None

    def steps(self, kind: str) -> list[int]:
        """The steps that were saved whole."""
        return list(self._managers[kind].all_steps())

    def restore_step(self, kind: str, step: int, template: State) -> tuple[State, dict] | None:
        """`restore` of one step; None when it cannot be read and was moved aside."""
        target = _saved(jax.tree.map(_abstract, template))
        items = {"state": ocp.args.StandardRestore(target), "book": ocp.args.JsonRestore()}
        try:
            restored = self._managers[kind].restore(step, args=ocp.args.Composite(**items))
            return template.replace(**restored["state"]), restored["book"]
        except Exception as error:
            self._set_aside(kind, step, error)
            return None

    def forget_after(self, kind: str, step: int) -> None:
        """Deletes what was saved beyond `step`."""
        for later in self.steps(kind):
            if later > step:
                self._managers[kind].delete(later)

    def _set_aside(self, kind: str, step: int, error: Exception) -> None:
        path = self.folder / kind / str(step)
        reason = str(error).strip().split("\n")[0][:200]
        print(
            f"segjax: damaged checkpoint {path} ({type(error).__name__}: {reason}); "
            "moved to checkpoints/damaged, trying the one before",
            file=sys.stderr,
        )
        if jax.process_index() == 0:
            aside = self.folder / "damaged" / f"{kind}-{step}"
            aside.parent.mkdir(exist_ok=True)
            number = sum(p.name.startswith(aside.name) for p in aside.parent.iterdir())
            os.replace(path, aside.with_name(f"{aside.name}-{number}"))
        self._managers[kind].reload()


def _saved(state: State) -> dict[str, Any]:
    """The fields that a checkpoint holds: loss weights only where they remember something."""
    fields = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    del fields["numbers"]  # the config has them
    if not state.loss_weights:
        del fields["loss_weights"]
    return fields


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=getattr(leaf, "sharding", None))


def steps_of(workdir: pathlib.Path, kind: str) -> set[int]:
    """The steps of a folder's finished checkpoints, without opening any."""
    folder = workdir / FOLDER / kind
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    return {int(name) for name in names if name.isdigit()}


def has_any(workdir: pathlib.Path, kind: str) -> bool:
    """Whether the folder holds a finished checkpoint of this kind."""
    return bool(steps_of(workdir, kind))


def require(workdir: pathlib.Path, kind: str) -> None:
    """UserError unless the work folder holds a checkpoint of this kind."""
    if not has_any(workdir, kind):
        raise UserError(f"{workdir}: no checkpoint under {FOLDER}/{kind}; train first")


def parameters_digest(state: State) -> str:
    """A hash of every parameter's bits, to tell whether two runs ended the same."""
    import hashlib

    digest = hashlib.sha256()
    for leaf in jax.tree.leaves((state.params, state.batch_stats)):
        digest.update(np.ascontiguousarray(np.asarray(leaf)).tobytes())
    return digest.hexdigest()
