"""Opens a trained work folder: its experiment, and a state on devices. Changes nothing on disk."""

import pathlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax

from segjax.train import checkpoint, parallel, restore, workdir
from segjax.train import experiment as experiments
from segjax.train.experiment import Experiment, Parts
from segjax.train.state import State


@dataclass(frozen=True)
class Trained:
    """A trained work folder, ready to use."""

    folder: pathlib.Path
    experiment: Experiment
    devices: Any
    state: State


def open_parts(
    folder: pathlib.Path, places: Mapping[str, str] | None = None, *, needs_data: bool = True
) -> Parts:
    """What a trained folder's config names, before a checkpoint is read.

    Args:
        folder: the work folder.
        places: where the data are on this machine, as `workdir.open_existing` takes them.
        needs_data: whether the data set has to be known here: config and checkpoint are enough to
            predict, and a set of the user's own is known only where it is prepared.

    Raises: UserError where there is no such folder, no checkpoint, or its config is damaged.
    """
    config = workdir.open_existing(folder, places)
    checkpoint.require(folder, "latest")
    parts = experiments.name_parts(config, trained=True)
    if needs_data:
        parts.data.check_known()
    return parts


def load_trained(
    folder: pathlib.Path,
    kind: str = "best",
    *,
    parts: Parts | None = None,
    places: Mapping[str, str] | None = None,
    spread: bool = False,
) -> Trained:
    """The trained state of a work folder; the latest one where no best was kept.

    Args:
        folder: the work folder.
        kind: 'best' or 'latest'.
        parts: what `open_parts` gave, where it was called already; without, the data set need not
            be known here.
        places: where the data are, otherwise.
        spread: whether batches of evaluation are shared out, over as many of this process's devices
            as divide them; else one device takes them, whatever number it was trained on.
    """
    parts = parts or open_parts(folder, places, needs_data=False)
    config = parts.config
    # One device takes any batch: that of training need not fit the devices that are here.
    experiment = experiments.build(
        config, devices=1, examples=_examples(folder, parts), parts=parts
    )
    if spread:
        chosen = parallel.dividing(config.evaluate.batch_size, "config.evaluate.batch_size")
    else:
        chosen = jax.local_devices()[:1]
    devices = parallel.make(config.parallel, chosen)
    if checkpoint_used(folder, kind) != kind:
        print(f"segjax: {folder}: no best checkpoint was kept, the latest is used", file=sys.stderr)
        kind = "latest"
    checkpoint.require(folder, kind)
    state = checkpoint.load(folder, kind, restore.template(experiment, devices))
    # Through the host, for pmap broadcasts from one device and a mesh wants a copy on each
    return Trained(folder, experiment, devices, devices.replicate(jax.device_get(state)))


def checkpoint_used(folder: pathlib.Path, kind: str) -> str:
    """Which checkpoint `load_trained` reads: 'latest' where it is asked for a best one in vain."""
    return kind if kind != "best" or checkpoint.has_any(folder, "best") else "latest"


def _examples(folder: pathlib.Path, parts: Parts) -> int:
    """The number of training examples of a run, by which its epochs are counted.

    It is saved with the run. Runs of older versions have none: it is counted in the prepared data
    set then. Where that is missing too, nobody can evaluate the loss, and an epoch is one step.
    """
    if (recorded := workdir.examples(folder)) is not None:
        return recorded
    if parts.data.is_prepared:
        return experiments.epoch_examples(parts)
    print(
        f"segjax: {folder}: env.json has no number of training examples and {parts.data.name} is "
        "not prepared; weights that follow epochs are not those of the training",
        file=sys.stderr,
    )
    return parts.config.data.batch_size
