import math
from fractions import Fraction

import pytest
from ml_collections import ConfigDict

from segjax.config.durations import UNITS, Clock, blank, siblings, steps
from segjax.errors import UserError

CLOCK = Clock(examples=413, batch_size=8, total_steps=1234)


def section(prefix="", **chosen):
    return ConfigDict(blank(prefix, **chosen))


def test_a_blank_holds_every_spelling():
    assert blank("every", epochs=2) == {
        "every_steps": None,
        "every_epochs": 2,
        "every_examples": None,
        "every_percent": None,
    }
    assert list(blank("", steps=5)) == list(UNITS)


def test_siblings():
    assert siblings("steps") == ["epochs", "examples", "percent"]
    assert siblings("every_epochs") == ["every_steps", "every_examples", "every_percent"]
    assert siblings("profile_steps") == ["profile_epochs", "profile_examples", "profile_percent"]
    assert siblings("seed") == []
    assert siblings("warmup") == []


@pytest.mark.parametrize("value", [1, 2, 3, 7, 0.5, 10, 100, 1000])
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("prefix", ["", "every"])
def test_each_unit_is_rounded_up_to_whole_steps(prefix, unit, value):
    exact = {
        "steps": Fraction(value),
        "epochs": Fraction(value) * 413 / 8,
        "examples": Fraction(value) / 8,
        "percent": Fraction(value) * 1234 / 100,
    }[unit]
    found = steps(section(prefix, **{unit: value}), "config.a", prefix, CLOCK)
    assert found == max(1, math.ceil(exact))
    assert type(found) is int


def test_unset_is_none():
    assert steps(section("every"), "config.a", "every", CLOCK) is None
    assert steps(ConfigDict({}), "config.a", "every", CLOCK) is None


def test_two_at_once_are_named():
    both = section("every", steps=10, percent=5)
    with pytest.raises(UserError, match=r"config\.log\.every_steps and config\.log\.every_percent"):
        steps(both, "config.log", "every", CLOCK)


@pytest.mark.parametrize("value", [0, -1, -0.5, "ten", True, False, float("nan"), (1,)])
def test_what_is_no_duration_is_named(value):
    with pytest.raises(
        UserError, match=r"config\.train\.epochs=.*takes a (finite )?number above 0"
    ):
        steps(section(epochs=value), "config.train", "", CLOCK)


def test_an_endless_duration_is_refused():
    with pytest.raises(UserError, match=r"config\.train\.steps=inf"):
        steps(section(steps=float("inf")), "config.train", "", CLOCK)


def test_the_length_of_the_training_is_no_percentage():
    with pytest.raises(UserError, match=r"config\.train\.percent=5.*cannot be a percentage"):
        steps(section(percent=5), "config.train", "", Clock(100, 8))
