"""Which photographs are healthy, by a field of the data set."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow_datasets as tfds

from segjax.errors import UserError
from segjax.tasks.lesions.healthy import read_rule

FEATURES = {
    "number": SimpleNamespace(shape=(), np_dtype=np.int64),
    "official": tfds.features.ClassLabel(num_classes=5),
    "grade": tfds.features.ClassLabel(names=["1", "2", "10"]),
    "said": tfds.features.ClassLabel(names=["healthy", "ill"]),
    "parts": SimpleNamespace(shape=(4,), np_dtype=np.uint8),
    "name": SimpleNamespace(shape=(), np_dtype=np.object_),
}


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("number=0", 0.0),
        ("number=2.5", 2.5),
        ("official=3", 3.0),
        ("grade=1", 0.0),  # the first class, which is called 1
        ("grade=10", 2.0),
        ("said=healthy", 0.0),
        ("said = ill", 1.0),
        ("said=1", 1.0),  # no name is a number: the index
    ],
)
def test_the_number_that_healthy_ones_hold(text, wanted):
    assert read_rule(text).number(FEATURES) == wanted


@pytest.mark.parametrize(
    "text, message",
    [
        ("grade=0", "'grade' has no value '0'.* It has: 1, 2, 10"),
        ("grade=1.0", "'grade' has no value '1.0'.* It has: 1, 2, 10"),
        ("said=helthy", "'said' has no value 'helthy', did you mean 'healthy'.*: healthy, ill"),
        ("number=none", "'number' has no value 'none'.* It holds numbers"),
        ("parts=0", "'parts' does not hold one number"),
        ("name=0", "'name' does not hold one number"),
    ],
)
def test_what_a_field_never_holds_is_named(text, message):
    with pytest.raises(UserError, match=f"task_options.healthy='{text}': {message}"):
        read_rule(text).number(FEATURES)


def test_without_a_rule_there_is_none():
    assert read_rule("") is None
