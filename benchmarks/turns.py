"""Two sides that take turns: each in a process of its own, the best call of each counts.

Thread pools of two libraries do not meet in one process, nor do their claims on a GPU's memory.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable


def best_seconds(call: Callable[[], object], seconds: float, *, least: int = 3) -> float:
    """The fastest call within a time budget, after one that compiles and warms up.

    Args:
        call: does the work and waits for it.
        seconds: budget, the first call left out; at most 200 calls.
        least: calls that are made even if the budget is spent.

    Returns: seconds.
    """
    call()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < least or (time.perf_counter() - began < seconds and len(times) < 200):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def serve(names: Iterable[str], answer: Callable[[str], dict]) -> None:
    """Prints the names, then one JSON object for each name on standard input, until it closes."""
    print(json.dumps(sorted(names)), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(line.strip())), flush=True)


class Worker:
    """A process that calls `serve`.

    Attributes:
        names: what it can be asked for.
    """

    def __init__(self, command: list[str]):
        environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.names = json.loads(self._line("the start"))

    def ask(self, name: str) -> dict:
        """The answer to a name; RuntimeError where the process has ended."""
        try:
            self._process.stdin.write(name + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # reading finds the end of the process
        return json.loads(self._line(name))

    def _line(self, asked: str) -> str:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{asked}: the other side ended, its message is above")
        return line

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
