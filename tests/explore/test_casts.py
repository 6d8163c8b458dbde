"""A cast to a narrower type is found wherever a loss has it, and only on the way of its arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.explore import casts

F32, BF16 = jnp.float32, jnp.bfloat16


@jax.custom_vjp
def custom(x):
    return x.astype(F32)


custom.defvjp(lambda x: (x.astype(F32), None), lambda _, g: (g.astype(jnp.float64),))


def scanned(x, step, start):
    return jax.lax.scan(step, start, x)[0]


def looped(x, step):
    """Three rounds over (count, what comes out, what goes in)."""
    start = (0, jnp.zeros(3, F32), x[0])
    return jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, *step(*c[1:])), start)[1]


CASTING = {
    "at once": lambda x, y: x.astype(F32),
    "at the end": lambda x, y: jnp.sum(jnp.exp(x) * y).astype(F32),
    "in the middle": lambda x, y: (jnp.exp(x).astype(F32) ** 2) * y,
    "beside the rest": lambda x, y: x**2 + x.astype(F32),
    "of a sum": lambda x, y: jnp.sum(x, dtype=F32),
    "of a product": lambda x, y: jnp.dot(x, y.T, preferred_element_type=F32),
    "in a function": lambda x, y: jax.jit(lambda a, b: a.astype(F32) + b)(x, y),
    "with a gradient of its own": lambda x, y: custom(x),
    "recomputed": lambda x, y: jax.checkpoint(lambda a: jnp.sin(a.astype(F32)))(x),
    "without a gradient": lambda x, y: y * jax.lax.stop_gradient(x).astype(F32),
    "in a branch": lambda x, y: jax.lax.cond(
        y[0, 0] > 0, lambda a, b: b, lambda a, b: a.astype(F32).astype(b.dtype), x, y
    ),
    "of what a scan reads": lambda x, y: scanned(
        x, lambda c, row: (c + row.astype(F32), None), jnp.zeros(3, F32)
    ),
    # The first round has nothing of x yet
    "of what a scan carries": lambda x, y: jax.lax.scan(
        lambda c, row: ((c[1].astype(F32), row), None), (jnp.zeros(3, F32), y[0]), x
    )[0][0],
    "of what a loop carries": lambda x, y: looped(x, lambda out, moved: (moved.astype(F32), moved)),
    "by the host": lambda x, y: jax.pure_callback(
        lambda a: np.asarray(a, np.float32), jax.ShapeDtypeStruct((2, 3), F32), x
    ),
}


def narrowest(loss, by=(0,)):
    arrays = (np.ones((2, 3)), np.ones((2, 3)))
    with jax.enable_x64(True):
        return casts.narrowest(jax.jit(loss).trace(*arrays).jaxpr, by)


@pytest.mark.usefixtures("command_settings")
@pytest.mark.parametrize("name", CASTING)
def test_a_cast_is_found(name):
    assert narrowest(CASTING[name]) == "float32"


@pytest.mark.usefixtures("command_settings")
@pytest.mark.parametrize(
    "loss",
    [
        lambda x, y: x * jnp.exp(y),
        lambda x, y: x * y.astype(F32),
        lambda x, y: jax.jit(lambda a, b: a * b.astype(F32))(x, y),
        lambda x, y: x * (x > 0).astype(F32),
        lambda x, y: x * jnp.zeros(3, F32),
        lambda x, y: scanned(x, lambda c, row: (c + row * 1.0, None), jnp.zeros(3)) * y.astype(F32),
        lambda x, y: jax.lax.scan(
            lambda c, row: (c + row[0] * row[1].astype(F32), None), jnp.zeros(3), (x, y)
        )[0],
        lambda x, y: jax.lax.cond(
            y[0, 0] > 0, lambda a, b: a, lambda a, b: a * b.astype(F32), x, y
        ),
        lambda x, y: looped(x, lambda out, moved: (out + 1, moved)) + x,
    ],
    ids=[
        "none",
        "other array",
        "beside",
        "compared",
        "constant",
        "scan",
        "reads",
        "branch",
        "loop",
    ],
)
def test_what_is_no_cast_of_the_array(loss):
    assert narrowest(loss) == ""


@pytest.mark.usefixtures("command_settings")
def test_the_least_precise_type_is_named_and_only_that_of_the_arrays_asked_for():
    def loss(x, y):
        several = (x.astype(kind).astype(F32) for kind in (jnp.float16, BF16, F32))
        return sum(several) + y.astype(jnp.float16)

    # float16 has more digits than bfloat16
    assert narrowest(loss) == "bfloat16" and narrowest(loss, (1,)) == "float16"
    assert narrowest(loss, ()) == ""
