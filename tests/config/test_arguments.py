import pytest

from segjax.config.arguments import parse_arg
from segjax.config.values import literal
from segjax.errors import UserError

DEFAULTS = {"cpu": False, "seed": 0, "rate": 0.1, "loss": "msce", "limit": None}


@pytest.mark.parametrize("arg", [None, "", " ", ",", " , "])
def test_nothing_gives_the_defaults(arg):
    assert parse_arg(arg, **DEFAULTS) == DEFAULTS


def test_each_value_has_the_type_of_its_default():
    values = parse_arg("cpu, seed=3,rate=2,loss=sce,limit=5", **DEFAULTS)
    assert values == {"cpu": True, "seed": 3, "rate": 2.0, "loss": "sce", "limit": 5}
    assert isinstance(values["rate"], float)
    assert type(values["seed"]) is int


@pytest.mark.parametrize(
    "text, value", [("true", True), ("TRUE", True), ("1", True), ("false", False), ("0", False)]
)
def test_booleans(text, value):
    assert parse_arg(f"cpu={text}", cpu=not value) == {"cpu": value}


def test_text_stays_text_even_when_it_looks_like_a_number():
    assert parse_arg("loss=1", loss="a") == {"loss": "1"}
    assert parse_arg("loss=a=b", loss="a") == {"loss": "a=b"}


def test_defaults_are_left_alone():
    defaults = dict(DEFAULTS)
    parse_arg("seed=4", **defaults)
    assert defaults == DEFAULTS


@pytest.mark.parametrize(
    "arg, wanted",
    [
        ("sed=3", ["'sed=3'", "did you mean 'seed'?", "It takes: cpu, seed, rate, loss, limit"]),
        ("qqq", ["'qqq'", "It takes: cpu"]),
        ("seed=abc", ["'seed=abc'", "takes int"]),
        ("seed=1.5", ["'seed=1.5'", "takes int"]),
        ("rate=fast", ["'rate=fast'", "takes float"]),
        ("cpu=maybe", ["'cpu=maybe'", "true or false"]),
        ("seed", ["'seed'", "needs a value", "seed=0"]),
        ("loss", ["'loss'", "needs a value"]),
    ],
)
def test_a_mistake_is_named(arg, wanted):
    with pytest.raises(UserError) as caught:
        parse_arg(arg, **DEFAULTS)
    for part in wanted:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "text, value",
    [
        ("1", 1),
        ("-2", -2),
        ("1e-3", 1e-3),
        ("(8, 16)", (8, 16)),
        ("[1, 2]", [1, 2]),
        ("'a'", "a"),
        ("None", None),
        ("none", None),
        ("true", True),
        ("False", False),
        ("adamw", "adamw"),
        ("train[:80%]", "train[:80%]"),
        ("a b", "a b"),
        ("", ""),
        ("(1,", "(1,"),
    ],
)
def test_literals(text, value):
    found = literal(text)
    assert found == value
    assert type(found) is type(value)
