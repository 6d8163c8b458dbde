"""Everything that knows about devices: one step function, run as jit over a mesh or as pmap.

`sharding` compiles the step once for the global batch: state replicated, batch split along its
first axis, and XLA inserts the sums over devices. `pmap` runs the step on every device's share,
with the sums written out (`axis_name`). The state has the same shape in both, so checkpoints are
interchangeable.
"""

import sys
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

from segjax import checks
from segjax.config.validation import PARALLEL
from segjax.errors import UserError

AXIS = "data"


class Sharding:
    """jit over a one-dimensional mesh of devices: all of all processes, unless some are named."""

    axis_name = None

    def __init__(self, devices: Sequence[jax.Device] | None = None):
        self.mesh = jax.sharding.Mesh(np.array(devices or jax.devices()), (AXIS,))
        self.whole = NamedSharding(self.mesh, PartitionSpec())
        self.split = NamedSharding(self.mesh, PartitionSpec(AXIS))

    def replicate(self, tree):
        """Places a tree on every device, whole."""
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(self.whole, np.asarray(x)), tree
        )

    def place(self, batch: Mapping[str, np.ndarray]) -> dict:
        """Splits this process's rows of a batch over its devices."""
        return {
            # Each process gives its own rows; together they are the global batch
            name: jax.make_array_from_process_local_data(self.split, rows)
            for name, rows in batch.items()
        }

    def compile_train(self, step: Callable) -> Callable:
        """`step(state, arrays, batch) -> (state, sums)`, the state donated."""
        # Donated, so that state and next state share their memory. Where outputs lie is said, for
        # XLA may split them otherwise, and the state has to come back as it went in.
        return jax.jit(step, donate_argnums=0, out_shardings=(self.whole, self.whole))

    def compile_evaluate(self, step: Callable) -> Callable:
        """`step(state, arrays, batch) -> (sums, per-image predictions)`."""
        return jax.jit(step, out_shardings=(self.whole, self.split))

    def local(self, batch_size: int, path: str) -> "Sharding":
        """This process's devices alone, as many as divide a batch."""
        here = jax.process_index()
        own = [device for device in self.mesh.devices.flat if device.process_index == here]
        return Sharding(dividing(batch_size, path, own))

    @staticmethod
    def local_rows(array: jax.Array) -> np.ndarray:
        """This process's rows of a split array."""
        # By the first row of each shard, for their order is that of the devices; `start` is None
        # where one shard has all rows.
        shards = {shard.index[0].start or 0: shard.data for shard in array.addressable_shards}
        return np.concatenate([np.asarray(shards[start]) for start in sorted(shards)])


class Pmap:
    """One step per device with collectives, for users who think in pmap."""

    axis_name = AXIS

    def __init__(self, devices: Sequence[jax.Device] | None = None):
        if jax.process_count() > 1:
            raise UserError(
                "config.parallel='pmap': runs in one process; several processes take 'sharding'"
            )
        self.devices = list(devices or jax.local_devices())
        # Where states are restored to: pmap broadcasts them from one device (`in_axes=None`)
        self.whole = SingleDeviceSharding(self.devices[0])

    def replicate(self, tree):
        """Places a tree once; pmap broadcasts it (`in_axes=None`)."""
        return jax.tree.map(jax.numpy.asarray, tree)

    def place(self, batch: Mapping[str, np.ndarray]) -> dict:
        """Splits this process's rows: `[b, …]` becomes `[devices, b / devices, …]`."""
        return {k: v.reshape(len(self.devices), -1, *v.shape[1:]) for k, v in batch.items()}

    def compile_train(self, step: Callable) -> Callable:
        """`step(state, arrays, batch) -> (state, sums)`, the state donated."""
        return jax.pmap(
            step,
            axis_name=AXIS,
            in_axes=(None, None, 0),
            out_axes=(None, None),
            donate_argnums=(0,),
            devices=self.devices,
        )

    def compile_evaluate(self, step: Callable) -> Callable:
        """`step(state, arrays, batch) -> (sums, per-image predictions)`."""
        return jax.pmap(
            step,
            axis_name=AXIS,
            in_axes=(None, None, 0),
            out_axes=(None, 0),
            devices=self.devices,
        )

    def local(self, batch_size: int, path: str) -> Sharding:
        """As many of the devices as divide a batch, as a mesh."""
        # A mesh in this case, too: it takes any number of devices, and needs no name of an axis
        return Sharding(dividing(batch_size, path, self.devices))

    @staticmethod
    def local_rows(array: jax.Array) -> np.ndarray:
        """This process's rows of a split array."""
        rows = np.concatenate([np.asarray(shard.data) for shard in array.addressable_shards])
        return rows.reshape(-1, *rows.shape[2:])


def make(kind: str, devices: Sequence[jax.Device] | None = None) -> Sharding | Pmap:
    """The way of running that `config.parallel` names, on all devices unless some are named."""
    checks.require("config.parallel", kind, checks.choice(PARALLEL))
    return Sharding(devices) if kind == "sharding" else Pmap(devices)


def dividing(
    batch_size: int, path: str, devices: Sequence[jax.Device] | None = None
) -> list[jax.Device]:
    """As many of this process's devices as divide a batch evenly; says so when some stay idle.

    For a trained folder, which may be opened on other machines than it was trained on.
    """
    devices = list(devices or jax.local_devices())
    count = max(n for n in range(1, len(devices) + 1) if batch_size % n == 0)
    if count < len(devices):
        print(
            f"segjax: {path}={batch_size}: runs on {count} of the {len(devices)} devices",
            file=sys.stderr,
        )
    return devices[:count]


def check_batch(batch_size: int, path: str, devices: int) -> None:
    """UserError unless the batch splits evenly over the devices."""
    if batch_size % devices:
        raise UserError(
            f"{path}={batch_size}: not divisible by the {devices} devices; "
            f"take a multiple of {devices}"
        )
