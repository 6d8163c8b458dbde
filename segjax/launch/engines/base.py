"""What an engine of sweeps is. A new one is a file beside this, or `package.module:Class`."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ml_collections import ConfigDict

from segjax.launch.flags import Flag
from segjax.launch.sweep import Sweep


class Engine(Protocol):
    """Runs the points of a sweep, submits them, or writes down what would.

    It is made with the values of its flags, by name; those that were not given are None.

    One that submits, to machines that train later, may have a method `busy(workdir)` as well, which
    gives the ids of the points that it has submitted and that have not ended; it comes to `run` as
    `sweep.busy`.

    Attributes:
        flags: of the command `segjax sweep`, beside those that all engines have.
    """

    flags: Mapping[str, Flag]

    def check(self, configs: Sequence[ConfigDict]) -> None:
        """UserError for what it does not do; called before the sweep's folder is touched."""
        ...

    def run(self, sweep: Sweep) -> bool:
        """Sees to every point that is not done (`sweep.progress.missing`).

        Returns: whether the points have ended: the sweep's report follows. An engine that only
            submits, or writes text, says False, and `segjax sweep --status` tells of the rest.
        Raises: Interrupted after a signal.
        """
        ...
