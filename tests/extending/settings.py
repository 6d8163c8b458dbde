"""What the fixtures of a module run a command under, as a user has it, but without pictures."""

import contextlib

import jax
import pytest

from segjax import files


@contextlib.contextmanager
def as_command():
    """JAX's own promotion rules; figures, which take most of a report's time, are left out."""
    with (
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(files, "write_figure", lambda path, figure: None)
        yield
