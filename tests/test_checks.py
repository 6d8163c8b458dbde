"""Requirements on values: what they take, in words and in deed."""

import numpy as np
import pytest

from segjax import checks
from segjax.errors import UserError

NUMBERS = [
    (checks.number(), "a number", [0, -1.5, np.float32(2)], ["1", None, True, np.nan, np.inf, [1]]),
    (checks.number(least=0), "a number of at least 0", [0, 1e9], [-1e-9, np.array([1.0])]),
    (checks.number(above=0), "a number above 0", [1e-9], [0, -1]),
    (checks.number(least=0, most=1), "a number from 0 to 1", [0, 1, 0.5], [-0.1, 1.1]),
    (checks.number(above=0, most=1), "a number above 0 and at most 1", [1, 0.1], [0, 2]),
    (checks.number(above=0, below=1), "a number above 0 and below 1", [0.5], [0, 1]),
    (checks.number(most=2), "a number of at most 2", [2, -9], [2.1]),
    (checks.number(below=2), "a number below 2", [1.9], [2]),
    (checks.whole(least=1), "a whole number of at least 1", [1, np.int64(3)], [0, 1.0, True, "1"]),
    (checks.whole(), "a whole number", [-3], [0.5, np.True_]),
    (checks.switch(), "True or False", [True, False], [0, 1, None, "yes"]),
    (checks.choice(("a", "b")), "one of a, b", ["a"], ["c", None, 0, ["a"], np.array(["a"])]),
    (checks.choice((0, 1)), "one of 0, 1", [0, 1], [True, False, 2, "0"]),
    (
        checks.none_or(checks.whole(least=1)),
        "a whole number of at least 1, or none",
        [None, 1],
        [0],
    ),
    (
        checks.sequence(checks.whole(least=1), 2, words="(height, width) in pixels"),
        "(height, width) in pixels",
        [(1, 2), [3, 4]],
        [(1,), (0, 1), "ab", 3, (1, 2, 3)],
    ),
    (checks.sequence(checks.number()), "several, each a number", [(), (1, 2)], [("a",), {1, 2}]),
]


@pytest.mark.parametrize("wanted, words, good, bad", NUMBERS)
def test_what_is_taken(wanted, words, good, bad):
    assert wanted.words == words
    for value in good:
        assert wanted.holds(value), value
        checks.require("config.x", value, wanted)
    for value in bad:
        assert not wanted.holds(value), value
        with pytest.raises(UserError) as caught:
            checks.require("config.x", value, wanted)
        said = str(caught.value).replace("a finite number", "a number")
        assert said.startswith(f"config.x={value!r}: takes {words}")


def test_the_three_forms_of_a_refusal():
    wanted = checks.whole(least=1)
    with pytest.raises(UserError, match=r"^config\.a=0: takes a whole number of at least 1$"):
        checks.require("config.a", 0, wanted)
    with pytest.raises(UserError, match=r"^--jobs 0: takes a whole number of at least 1$"):
        checks.require_flag("--jobs", 0, wanted)
    with pytest.raises(ValueError, match=r"^`a` takes a whole number of at least 1, got 0$"):
        checks.check("a", 0, wanted)


def test_the_nearest_name_is_proposed():
    with pytest.raises(UserError, match="takes one of train, test, did you mean 'train'"):
        checks.require("--split", "tarin", checks.choice(("train", "test")))
    assert checks.nearest("xyz", ["train"]) == "."
