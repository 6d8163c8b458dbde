"""What the fixtures of a module run a command under, as a user has it."""

import contextlib

import jax


@contextlib.contextmanager
def as_command():
    """JAX's own promotion rules."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
