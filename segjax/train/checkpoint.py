"""Checkpoints: latest ones to go on from, and the best one to evaluate. The only user of Orbax.

    checkpoints/latest/STEP/   the newest `keep` states, with the loop's own
    checkpoints/best/STEP/     the state with the best validation value
    checkpoints/damaged/       checkpoints that could not be read, moved there by `segjax train`

Saves are asynchronous and atomic: a run killed while saving leaves the ones before whole.
`Checkpoints` belongs to the run that trains; `load` is for everyone else, and changes nothing.
"""

import asyncio
import contextlib
import dataclasses
import errno
import hashlib
import json
import logging
import os
import pathlib
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import LatestN
from orbax.checkpoint.options import MultiprocessingOptions

from segjax.errors import DamagedError, Interrupted, UserError
from segjax.train.loop_state import LoopState, from_saved
from segjax.train.state import State

FOLDER = "checkpoints"
LOOP, LOOP_BEFORE = "loop", "book"  # the item that holds the loop's state, now and in older ones
ARRAYS = "arrays_sha256"  # in the loop's state: what the arrays of a checkpoint were
STEP = re.compile("0|[1-9][0-9]*")  # the name of a checkpoint's folder
# Of a file or folder that is gone, or is another kind of thing: damage. Other errors of the system
# (a network disk, too many open files) say nothing of the checkpoint.
ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, None}
# Status words in the text of errors from compiled libraries, which carry no errno
PASSING = re.compile(
    r"\b(RESOURCE_EXHAUSTED|UNAVAILABLE|PERMISSION_DENIED|DEADLINE_EXCEEDED|CANCELLED)\b"
)
KINDS = ("latest", "best")
PATIENCE = 1.0  # seconds that readings get to end when one of them has failed


class Damaged(Exception):
    """A checkpoint that cannot be read: why, in one line."""


class Checkpoints:
    """The checkpoints of a run that trains; a context manager, leaving waits for pending saves."""

    def __init__(self, workdir: pathlib.Path, keep: int):
        # Orbax reports every save there, and its errors, which it raises as well.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        self.folder = workdir.resolve() / FOLDER
        self._managers = {
            kind: ocp.CheckpointManager(
                self.folder / kind,
                options=ocp.CheckpointManagerOptions(
                    preservation_policy=LatestN(n=keep if kind == "latest" else 1),
                    create=True,
                    # The processes meet under these names: two managers save the same step.
                    multiprocessing_options=MultiprocessingOptions(barrier_sync_key_prefix=kind),
                ),
            )
            for kind in KINDS
        }

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *unused) -> None:
        for manager in self._managers.values():
            manager.wait_until_finished()
            manager.close()

    def save(self, kind: str, step: int, state: State, memory: LoopState) -> None:
        """Begins to save; a step that is there already is left as it is (it holds the same)."""
        if not self.folder.is_dir():  # Orbax would make it again, and the run end without a word
            raise Interrupted(f"{self.folder}: deleted while it was in use")
        manager = self._managers[kind]
        # Met by a run that is stopped, or has ended, at the very step that it was restored from
        if step in manager.all_steps():
            return
        fields = _saved(state)
        loop = memory.saved() | {ARRAYS: _digest(fields)}
        items = {"state": ocp.args.StandardSave(fields), LOOP: ocp.args.JsonSave(loop)}
        # Forced: a run that goes on from an older checkpoint comes by steps below the newest one
        # that is kept here, and Orbax would leave those out.
        manager.save(step, args=ocp.args.Composite(**items), force=True)

    def wait(self) -> None:
        """Returns when every save is complete on disk."""
        for manager in self._managers.values():
            manager.wait_until_finished()

    def restore(self, kind: str, template: State) -> tuple[State, LoopState] | None:
        """The newest readable state and the loop's, or None when there is none.

        `template` gives shapes and placement (arrays or ShapeDtypeStructs), so that a run may go on
        with another number of devices. A checkpoint that cannot be read is named and moved aside.
        Raises UserError when there were some and none can be read (nobody starts over unasked),
        and when one is of another model.
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

    def restore_step(self, kind: str, step: int, template: State) -> tuple[State, LoopState] | None:
        """`restore` of one step; None when it cannot be read and was moved aside."""
        path = self.folder / kind / str(step)
        try:
            return _read(path, template)
        except Damaged as error:
            self._set_aside(kind, path, error)
            return None

    def forget_after(self, kind: str, step: int) -> None:
        """Deletes what was saved beyond `step`."""
        for later in self.steps(kind):
            if later > step:
                self._managers[kind].delete(later)

    def _set_aside(self, kind: str, path: pathlib.Path, error: Damaged) -> None:
        print(
            f"segjax: damaged checkpoint {path} ({error}); moved to {FOLDER}/damaged",
            file=sys.stderr,
        )
        # The folder is shared by all processes: one moves, all managers read anew what is there
        if jax.process_index() == 0:
            aside = self.folder / "damaged" / f"{kind}-{path.name}"
            aside.parent.mkdir(exist_ok=True)
            number = sum(p.name.startswith(aside.name) for p in aside.parent.iterdir())
            os.replace(path, aside.with_name(f"{aside.name}-{number}"))
        # The manager keeps the list of steps in memory
        self._managers[kind].reload()


def load(workdir: pathlib.Path, kind: str, template: State) -> State:
    """The state of a work folder, for a reader: nothing on disk changes.

    A latest checkpoint that is damaged is passed over for the one before, and a line on stderr says
    which step is taken; in place of a damaged best one nothing else will do unasked.

    Raises: UserError when no checkpoint can be read, and when one is of another model.
    """
    damaged: dict[int, str] = {}
    # A run that trains beside this may delete the step just found, but has saved a newer one then.
    while left := steps_of(workdir, kind) - set(damaged):
        step = max(left)
        path = workdir / FOLDER / kind / str(step)
        try:
            state, _ = _read(path, template)
        except Damaged as error:
            if kind == "best" and path.exists():
                fault, remedy = f"{path}: damaged ({error})", "takes the latest one instead"
                raise DamagedError(fault, f"--checkpoint latest {remedy}") from error
            damaged[step] = f"{path}: damaged ({error})"
            continue
        if damaged:
            print(f"segjax: {_first(damaged)}; step {step} is used", file=sys.stderr)
        return state
    if not damaged:
        raise UserError(f"{workdir}: no checkpoint under {FOLDER}/{kind}; train first")
    raise UserError(f"{_first(damaged)}; none of {len(damaged)} checkpoints can be read")


def _first(damaged: dict[int, str]) -> str:
    """The newest of some damaged checkpoints, in words."""
    return damaged[max(damaged)]


def check_fit(workdir: pathlib.Path, template: State) -> None:
    """UserError if the newest checkpoint of a kind is of another model; damaged ones pass."""
    for kind in KINDS:
        for step in sorted(steps_of(workdir, kind))[-1:]:
            path = workdir / FOLDER / kind / str(step)
            try:
                _check_fit(path, template)
            except Damaged:
                continue


def _read(path: pathlib.Path, template: State) -> tuple[State, LoopState]:
    """A state and the loop's, of one checkpoint; UserError if it is of another model."""
    _check_fit(path, template)
    target = _saved(jax.tree.map(_abstract, template))
    with _reading(path):
        handler = ocp.StandardCheckpointHandler()
        # By the handler, not a manager: that belongs to the run that writes there
        fields = handler.restore(path.resolve() / "state", args=ocp.args.StandardRestore(target))
        memory = from_saved(_loop_of(path, fields))
    return _restored(template, fields), memory


def _loop_of(path: pathlib.Path, fields: Mapping) -> dict:
    """The loop state beside the arrays of a checkpoint; ValueError where they are other ones."""
    item = path / LOOP if (path / LOOP).exists() else path / LOOP_BEFORE
    loop = json.loads((item / "metadata").read_text())
    if not isinstance(loop, dict):
        raise ValueError("its loop state is no JSON object")
    saved = loop.pop(ARRAYS, None)  # older checkpoints have none
    if saved is not None and saved != _digest(fields):
        raise ValueError("its arrays are not those that were saved")
    return loop


def read_variables(workdir: pathlib.Path, kind: str) -> dict[str, np.ndarray]:
    """Parameters and other collections of the newest checkpoint of a kind, on the host, by name.

    Raises: UserError when there is none, or it cannot be read.
    """
    require(workdir, kind)
    path = workdir / FOLDER / kind / str(max(steps_of(workdir, kind)))
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    try:
        with _reading(path):
            handler = ocp.StandardCheckpointHandler()
            stored = handler.metadata(path.resolve() / "state").tree
            target = jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here), stored
            )
            made = ocp.args.StandardRestore(target)
            fields = handler.restore(path.resolve() / "state", args=made)
            _loop_of(path, fields)
    except Damaged as error:
        raise UserError(f"{path}: damaged ({error})") from error
    # By the names that `model.apply` takes, without what only training needs
    kept = {"params": fields["params"], "batch_stats": fields["batch_stats"]}
    kept |= fields.get("collections", {})
    flat = ocp.tree.to_flat_dict(kept, sep="/")
    return {name: np.asarray(leaf) for name, leaf in flat.items() if hasattr(leaf, "shape")}


def _digest(fields: Mapping) -> str:
    """SHA-256 of names, types, shapes and bits of all arrays; the format that they are stored in
    notices no changed bit of theirs."""
    digest = hashlib.sha256()
    for name, leaf in sorted(ocp.tree.to_flat_dict(fields, sep="/").items()):
        # Every device holds the whole state; of several processes each reads its own copy.
        host = np.asarray(leaf.addressable_data(0) if isinstance(leaf, jax.Array) else leaf)
        digest.update(f"{name} {host.dtype.name}{list(host.shape)}\n".encode())
        # Flat, for NumPy views no array of rank 0 as bytes
        digest.update(np.ascontiguousarray(host).reshape(-1).view(np.uint8))
    return digest.hexdigest()


def _check_fit(path: pathlib.Path, template: State) -> None:
    """UserError unless names, shapes and types in a checkpoint's metadata are the template's.

    Told from the metadata, before an array is read: a change of the model's code is no damage.
    """
    with _reading(path):
        handler = ocp.StandardCheckpointHandler()
        there = _leaves(handler.metadata(path.resolve() / "state").tree)
    here = _leaves(_saved(template))
    # The optimiser's arrays are shaped by the parameters, which come first.
    for name in sorted(here | there, key=lambda name: not name.startswith("params/")):
        if there.get(name) != here.get(name):
            shown = [leaves.get(name, "nothing") for leaves in (here, there)]
            raise UserError(
                f"{path}: model and checkpoint do not fit: {name} is {shown[0]} in the model, "
                f"{shown[1]} in the checkpoint; take the model's code that it was trained with"
            )


def _leaves(tree: Any) -> dict[str, str]:
    """Path of each array -> its type and shape, in words."""
    flat = ocp.tree.to_flat_dict(tree, sep="/")
    return {name: f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}" for name, leaf in flat.items()}


@contextlib.contextmanager
def _reading(path: pathlib.Path) -> Iterator[None]:
    """Turns errors of reading into Damaged, except where the machine is at fault, not the file."""
    logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax reports every reading there
    _check_text(path)
    # Orbax makes its event loops itself; a policy is the way to have them of another kind
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(_Policy())
    try:
        yield
    except (MemoryError, PermissionError, jax.errors.JaxRuntimeError):
        raise  # the last one comes from devices, and from other processes that end
    except Exception as error:
        # TensorStore goes on with the names of its own objects
        reason = str(error).strip().split("\n")[0].partition(" See full TensorStore")[0][:200]
        if isinstance(error, OSError) and error.errno not in ABSENT or PASSING.search(str(error)):
            raise Interrupted(
                f"{path}: cannot be read now ({reason}); nothing was changed"
            ) from error
        raise Damaged(f"{type(error).__name__}: {reason}") from error
    finally:
        asyncio.set_event_loop_policy(before)


def _check_text(path: pathlib.Path) -> None:
    """UserError for a path that the libraries below cannot take."""
    try:
        str(path.resolve()).encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{ascii(str(path))}: no text in the locale of this shell; set PYTHONUTF8=1"
        ) from error


class _Loop(asyncio.SelectorEventLoop):
    """Ends what still runs before it closes, and prints no traceback of what failed beside it.

    Orbax reads all arrays at once, and closes the loop as soon as one of them fails: that error is
    raised, and the others say no more. What a signal has interrupted may never end by itself, so
    nothing is waited for without a limit.
    """

    def __init__(self) -> None:
        super().__init__()
        self.set_exception_handler(lambda loop, context: None)

    def close(self) -> None:
        try:
            if not self.is_closed() and (left := asyncio.all_tasks(self)):
                self.run_until_complete(asyncio.wait(left, timeout=PATIENCE))
                for task in left:
                    task.cancel()
                self.run_until_complete(asyncio.wait(left, timeout=PATIENCE))
        finally:  # a task that waited for an interrupted one is interrupted as well, here
            super().close()


class _Policy(asyncio.DefaultEventLoopPolicy):
    """Makes loops of that kind."""

    _loop_factory = _Loop


def _saved(state: State) -> dict[str, Any]:
    """The fields that a checkpoint holds: loss weights only where they remember something."""
    fields = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    del fields["hyperparameters"]  # the config has them
    if not state.loss_weights:
        del fields["loss_weights"]
    # Batch statistics have their own place, as before there were other collections.
    collections = dict(fields.pop("collections"))
    fields["batch_stats"] = collections.pop("batch_stats", {})
    return fields | ({"collections": collections} if collections else {})


def _restored(template: State, fields: Mapping) -> State:
    """The state that `_saved` made these fields of."""
    fields = dict(fields)
    collections = {"batch_stats": fields.pop("batch_stats"), **fields.pop("collections", {})}
    there = {name: collections[name] for name in template.collections}
    return template.replace(**fields, collections=there)


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=getattr(leaf, "sharding", None))


def steps_of(workdir: pathlib.Path, kind: str) -> set[int]:
    """The steps of a folder's finished checkpoints, without opening any."""
    folder = workdir / FOLDER / kind
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    return {int(name) for name in names if STEP.fullmatch(name)}


def has_any(workdir: pathlib.Path, kind: str) -> bool:
    """Whether the folder holds a finished checkpoint of this kind."""
    return bool(steps_of(workdir, kind))


def require(workdir: pathlib.Path, kind: str) -> None:
    """UserError unless the work folder holds a checkpoint of this kind."""
    if not has_any(workdir, kind):
        raise UserError(f"{workdir}: no checkpoint under {FOLDER}/{kind}; train first")


def parameters_digest(state: State) -> str:
    """A hash of every parameter's bits, to tell whether two runs ended the same."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(state.variables):
        digest.update(np.ascontiguousarray(np.asarray(leaf)).tobytes())
    return digest.hexdigest()
