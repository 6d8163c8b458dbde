"""A schedule that hangs on the host at a step, in one process of a job."""

import os
import time

import jax
import optax

HANGS = "SEGJAX_TEST_HANGS"  # the process that hangs


def stuck(learning_rate: float, total_steps: int):
    """A constant rate; when it is logged for step 20, the process that hangs sleeps for ever."""
    rate = optax.constant_schedule(learning_rate)

    def schedule(step):
        hangs = os.environ.get(HANGS) == str(jax.process_index())
        if hangs and not isinstance(step, jax.core.Tracer) and step >= 20:
            time.sleep(3600)
        return rate(step)

    return schedule
