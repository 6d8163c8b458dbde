"""A point of a sweep as a job: its id and its command."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from segjax.launch.cluster import Cluster


def quoted(word: str) -> str:
    """A word as bash reads it; one line of printable letters, whatever is in it."""
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(f"\\x{byte:02x}" for byte in os.fsencode(word)) + "'"


@dataclass(frozen=True)
class Task:
    """One point.

    Attributes:
        id: of the point, which is the name of its folder.
        words: of its `segjax train`, without what concerns several processes.
    """

    id: str
    words: Sequence[str]

    def command(self, cluster: Cluster, *more: str) -> str:
        """As a line of shell, with the limits of a cluster and further words."""
        limits = f"--watchdog={cluster.watchdog}", f"--start_timeout={cluster.start_timeout}"
        return " ".join(map(quoted, [*self.words, *limits, *more]))
