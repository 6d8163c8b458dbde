"""Options that are numbers, and integers that a cast would wrap round."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops import checks, classes


@pytest.mark.parametrize(
    "value", [0.5, np.float32(0.5), np.float64(0.5), np.array(0.5), jnp.ones(()) / 2]
)
def test_a_number_becomes_pythons_own(value):
    number = checks.check_number("x", value, above=0, below=1)
    assert number == 0.5 and type(number) is float


@pytest.mark.parametrize(
    "value", [np.nan, np.inf, -np.inf, 1, -1, "0.5", None, (0.5,), [], {}, 1j, np.True_]
)
def test_what_is_no_finite_number_within_the_bounds_is_refused(value):
    with pytest.raises(ValueError, match="`x` takes a number above 0 and below 1, got"):
        checks.check_number("x", value, above=0, below=1)
    with pytest.raises(ValueError, match="`x`"):
        checks.check_numbers("x", (0.5, value), 2, above=0, below=1)


def test_numbers_are_counted_and_a_traced_one_passes():
    assert checks.check_numbers("x", np.float32([1, 2]), 2, least=0) == (1.0, 2.0)
    for wrong in ((1.0,), 1.0, (1.0, 2.0, 3.0)):
        with pytest.raises(ValueError, match="`x` takes 2 numbers"):
            checks.check_numbers("x", wrong, 2)
    assert jax.jit(lambda x: checks.check_number("x", x, least=0))(-1.0) == -1


def test_integers():
    for value in (3, np.int64(3), np.uint8(3), np.array(3)):
        number = checks.check_integer("n", value, least=1)
        assert number == 3 and type(number) is int
    for wrong in (0, 3.0, np.float32(3), True, np.True_, "3", None, np.nan):
        with pytest.raises(ValueError, match="`n` takes a whole number of at least 1"):
            checks.check_integer("n", wrong, least=1)


ENDS = [-(2**63), -(2**32), -(2**31), -1, 0, 1, 255, 2**31 - 1, 2**31, 2**32, 2**32 + 1, 2**63]


@pytest.mark.parametrize("dtype", "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64".split())
def test_integers_beyond_int32_stay_beyond_every_class(dtype):
    kind = np.dtype(dtype)
    low, high = (0, 1) if dtype == "bool" else (np.iinfo(kind).min, np.iinfo(kind).max)
    values = [value for value in ENDS if low <= value <= high]
    wanted = np.clip(np.array(values, object), -(2**31), 2**31 - 1).astype(np.int32)
    got = classes.as_int32(np.array(values, kind))
    assert got.dtype == jnp.int32
    np.testing.assert_array_equal(got, wanted)
    with jax.enable_x64(True):
        there = jnp.array(np.array(values, kind))
        np.testing.assert_array_equal(classes.as_int32(there), wanted)
        np.testing.assert_array_equal(jax.jit(classes.as_int32)(there), wanted)
