"""Several processes of one job: they join, agree, wait for each other, and end together.

Collectives are no means to wait: on CPU one that others reach 30 s later fails. What the processes
tell each other goes through the coordination service of JAX, which process 0 runs.
"""

import contextlib
import hashlib
import itertools
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax

from segjax.config import files
from segjax.errors import UserError
from segjax.train.limits import FAREWELL, HEARTBEAT, LONGEST_WAIT

_Made = TypeVar("_Made")
_calls = itertools.count()  # every process comes by the same waits in the same order


def join(coordinator: str | None, processes: int | None, process: int | None, timeout: int) -> None:
    """Joins the other processes of the job, before anything else touches a device.

    Args:
        coordinator, processes, process: HOST:PORT of the first process, how many there are and
            which one this is; all None where JAX detects a job.
        timeout: seconds that all have to join.
    """
    limits = {"heartbeat_timeout_seconds": HEARTBEAT, "initialization_timeout": timeout}
    if coordinator or processes:
        _check_tasks(processes)
        _resolve(coordinator, timeout)
        jax.distributed.initialize(coordinator, processes, process, **limits)
        return
    try:
        jax.distributed.initialize(**limits)
    except (KeyError, ValueError) as error:  # what JAX raises where it detects no job
        raise UserError(
            "--distributed: this process belongs to no job that JAX detects (Slurm, Open MPI, "
            "TPU pods); name the processes by --coordinator, --processes and --process"
        ) from error


def _check_tasks(processes: int) -> None:
    """UserError for more processes than srun has started, which would wait for each other."""
    tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", 0))
    # A step of one task may be a shell, in which a person starts them
    if 1 < tasks < processes:
        raise UserError(
            f"--processes {processes}: this step of Slurm has {tasks} tasks; "
            f"srun --ntasks={processes} starts as many"
        )


def _resolve(coordinator: str, timeout: int) -> None:
    """Waits until the name of the first process's host is known, as that of a new pod may not be.

    UserError when the time is over: JAX would say that the others are late.
    """
    host, began, told = coordinator.rpartition(":")[0].strip("[]"), time.monotonic(), False
    while True:
        try:
            socket.getaddrinfo(host, None)
            return
        except OSError as error:
            if time.monotonic() - began > timeout:
                raise UserError(
                    f"--coordinator {coordinator}: the name {host!r} has not resolved for "
                    f"{timeout} s ({error.strerror or error})"
                ) from error
        if not told and time.monotonic() - began > 3:
            print(f"segjax: waits for the name {host!r} to resolve", file=sys.stderr)
            told = True
        time.sleep(1)


def is_first() -> bool:
    """Whether this is the process that prints and writes."""
    return jax.process_index() == 0


def several() -> bool:
    """Whether this process is one of several of a job."""
    return jax.process_count() > 1


def own() -> int:
    """The number of this process."""
    return jax.process_index()


def publish(told: Mapping[str, Any]) -> None:
    """Tells the others something of this process, in place of what it told before."""
    if several():
        # Errors are those of a process 0 that has gone, of which others take care
        with contextlib.suppress(Exception):
            key = f"segjax/told/{jax.process_index()}"
            _service().key_value_set(key, json.dumps(told), allow_overwrite=True)


def published() -> dict[int, dict]:
    """What each process told last, by process; waits for as long as process 0 takes to answer."""
    told = dict(_service().key_value_dir_get("segjax/told/"))
    return {int(key.rpartition("/")[2]): json.loads(text) for key, text in told.items()}


def wait() -> None:
    """A barrier: what the others did before it is done. Every process calls it as often."""
    if jax.process_count() > 1:
        # A name of its own for each wait; the limit is in milliseconds
        _service().wait_at_barrier(f"segjax/{next(_calls)}", LONGEST_WAIT * 1000)


def first_then_others(work: Callable[[], _Made]) -> _Made:
    """`work()` of process 0, and that of the others when it is done."""
    if not is_first():
        wait()
    made = work()
    if is_first():
        wait()
    return made


def of_first(answer: bool) -> bool:
    """The first process's answer, for all."""
    if jax.process_count() == 1:
        return answer
    key = f"segjax/answer/{next(_calls)}"
    if is_first():
        _service().key_value_set(key, str(answer))
    return _service().blocking_key_value_get(key, LONGEST_WAIT * 1000) == str(True)


def agree(name: str, values: Mapping[str, Any], advice: str) -> None:
    """UserError in every process, naming the first difference, unless all have the same values.

    Args:
        name: of what is compared, as messages have it; every process calls it once.
        values: plain ones, of which JSON can be made.
        advice: what to do, for the message.
    """
    if jax.process_count() == 1:
        return
    service, text = _service(), json.dumps(values)
    # All compare digests, and read the whole texts only of two that differ
    digest = hashlib.sha256(text.encode()).hexdigest()
    service.key_value_set(f"segjax/{name}/{jax.process_index()}", text)
    service.key_value_set(f"segjax/{name}_digest/{jax.process_index()}", digest)
    wait()
    digests = dict(service.key_value_dir_get(f"segjax/{name}_digest/"))
    found = {int(key.rpartition("/")[2]): digest for key, digest in digests.items()}
    # Against process 0, so that all find the same difference and fail alike
    others = [process for process in sorted(found) if found[process] != found[0]]
    if not others:
        return
    first, other = (
        json.loads(service.blocking_key_value_get(f"segjax/{name}/{process}", 10_000))
        for process in (0, others[0])
    )
    places = "in process 0", f"in process {others[0]}"
    raise UserError(f"{files.first_difference(first, other, name, places)}; {advice}")


def before_leaving(error: BaseException | None) -> None:
    """Called by a process that failed, before it ends without a word to JAX.

    Args:
        error: an unforeseen one. A failed collective, which has many types, is the first sign that
            another process died: JAX gets the time to notice, and then ends this one. Without it
            the process has said why it ends, and others that fail as well get the time to do so.
    """
    if error is not None:
        # Longer than JAX takes to find that a process is dead
        time.sleep(HEARTBEAT + 5)
    elif (service := _service()) is not None:
        with contextlib.suppress(Exception):  # whatever is wrong with the others, this one ends
            service.wait_at_barrier("segjax/failed", FAREWELL * 1000)


def _service() -> Any:
    """The client of the coordination service, for which JAX has no public name."""
    from jax._src import distributed

    return distributed.global_state.client
