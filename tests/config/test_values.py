import numpy as np
import pytest

from segjax.config import files, sweeps
from segjax.config.arguments import parse_arg
from segjax.config.defaults import base
from segjax.config.values import from_text, plain
from segjax.errors import UserError


@pytest.mark.parametrize("text", ["2024_11", "0123", "1e3", "12", "true", "(1)", "no"])
def test_strings_that_look_like_something_else_stay_strings(text):
    assert from_text(text, "data") == text
    config = base()
    files.override(config, "data.data_dir", text)
    assert config.data.data_dir == text
    assert parse_arg(f"loss={text}", loss="a")["loss"] == text


def test_a_quoted_string_and_none():
    assert from_text("'2024_11'", "data") == "2024_11"
    assert from_text("None", "data") is None and from_text("none", "data") is None
    assert parse_arg("loss=none", loss="a") == {"loss": "none"}
    assert from_text("'7'", None) == "7"
    assert from_text("7", None) == 7


@pytest.mark.parametrize("word", ["yes", "on", "true", "1", "YES", "On"])
@pytest.mark.parametrize("opposite", [["no", "off", "false", "0", "NO", "Off"]])
def test_words_of_booleans(word, opposite):
    pairs = [(word, True), *((other, False) for other in opposite)]
    for text, value in pairs:
        assert parse_arg(f"cpu={text}", cpu=not value) == {"cpu": value}
        config = base()
        config.log.tensorboard = not value
        files.override(config, "log.tensorboard", text)
        assert config.log.tensorboard is value


def test_words_of_booleans_are_no_numbers():
    assert from_text("1", 0) == 1 and type(from_text("1", 0)) is int
    assert from_text("yes", None) == "yes"


def test_a_path_in_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert from_text("~/data", "data") == "/home/somebody/data"
    assert plain({"data_dir": "~/data"}, "config") == {"data_dir": "/home/somebody/data"}
    assert parse_arg("plan=~/a.json", plan="") == {"plan": "/home/somebody/a.json"}
    assert from_text("~data", "data") == "~data"
    assert str(files.split_name("~/mine.py:cpu")[0]) == "/home/somebody/mine.py"


def test_numpy_values_in_a_sweep_are_plain_and_its_ids_stable():
    numpy = {"seed": np.int64(3), "a": np.float64(0.1), "b": np.float32(0.5), "c": np.bool_(True)}
    numpy |= {"d": np.array([1.0, 2.0]), "e": [np.int32(1)], "f": np.str_("x"), "g": {"h": np.e}}
    python = {"seed": 3, "a": 0.1, "b": 0.5, "c": True}
    python |= {"d": (1.0, 2.0), "e": (1,), "f": "x", "g": {"h": float(np.e)}}
    made = plain(numpy, "sweep()")
    assert made == python and [type(v) for v in made.values()] == [type(v) for v in python.values()]
    assert sweeps.point_id(made) == sweeps.point_id(python)


@pytest.mark.parametrize("text", ["{1, 2}", "b'x'", "1j", "{1: 2}"])
def test_text_that_json_does_not_hold_is_named(text):
    with pytest.raises(UserError, match="--config.train.clip_norm"):
        files.override(base(), "train.clip_norm", text)


def test_text_that_is_no_value_stays_text():
    assert from_text("{[]: 1}", None) == "{[]: 1}"
    assert from_text("(" * 500, None) == "(" * 500


def test_a_tuple_for_an_argument_is_a_tuple():
    assert parse_arg("size=[3]", size=(1, 2)) == {"size": (3,)}


@pytest.mark.parametrize("value", [print, {1, 2}, 1j, b"x"])
def test_what_json_does_not_hold_is_named(value):
    with pytest.raises(UserError, match="sweep..\\.seed=.*takes numbers, strings"):
        plain({"seed": value}, "sweep()")
    with pytest.raises(UserError, match="keys are strings, got 1"):
        plain({1: 2}, "sweep()")


@pytest.mark.parametrize("text", ["disc, cup", "(disc,cup)", "('disc', 'cup')", "[disc, 'cup']"])
def test_tuples_of_words(text):
    config = base()
    config.task_options = {"target": ("vessels",)}
    files.override(config, "task_options.target", text)
    assert config.task_options.target == ("disc", "cup")
    files.override(config, "task_options.target", "disc")
    assert config.task_options.target == ("disc",)


def test_a_tuple_of_numbers_takes_no_words_and_its_message_shows_the_quotes():
    config = base()
    with pytest.raises(UserError, match=r"as in '--config.data.image_size=\(128, 128\)'$"):
        files.override(config, "data.image_size", "wide")
