import json

import pytest
from ml_collections import ConfigDict

from segjax.config import files
from segjax.config.defaults import base
from segjax.errors import UserError

EXPERIMENT = """
from segjax.config.arguments import parse_arg
from segjax.config.defaults import base
def get_config(arg=None):
    config = base()
    config.seed = parse_arg(arg, seed=7)["seed"]
    config.model = {"name": "CellposeUNet", "features": (4, 8)}
    return config
"""


@pytest.fixture
def experiment(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(EXPERIMENT)
    return path


def test_split_name():
    assert [str(files.split_name("a/b.py")[0]), files.split_name("a/b.py")[1]] == ["a/b.py", None]
    assert files.split_name("b.py:cpu,seed=1")[1] == "cpu,seed=1"
    assert files.split_name("b.py:")[1] == ""


def test_load_gives_a_locked_config_with_argument_and_overrides(experiment):
    config = files.load(f"{experiment}:seed=3", {"data.batch_size": "16", "dtype": "bfloat16"})
    assert (config.seed, config.data.batch_size, config.dtype) == (3, 16, "bfloat16")
    assert config.is_locked and config.data.is_locked
    assert files.load(str(experiment)).seed == 7


def test_every_load_is_fresh(experiment):
    files.load(str(experiment), {"seed": "99"})
    assert files.load(str(experiment)).seed == 7


def test_neighbours_are_reached_from_anywhere(tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere" / "experiments" / "unit_test_question"
    folder.mkdir(parents=True)
    (folder / "alone.py").write_text(EXPERIMENT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    assert files.load("elsewhere/experiments/unit_test_question/alone.py").seed == 7


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("def get_config(:\n", "SyntaxError"),
        ("import no_such_library\n", "no_such_library"),
        ("x = undefined_name\n", "undefined_name"),
        ("import math\nmath.no_such_function()\n", "no_such_function"),
        ("int('abc')\n", "abc"),
        ("x = 1\n", "no get_config"),
        ("def get_config(arg=None):\n    return None\n", "ConfigDict"),
        ("def get_config(arg=None):\n    return {}['lost']\n", "lost"),
        ("def get_config(arg=None):\n    return 1 / 0\n", "ZeroDivisionError"),
        ("def get_config():\n    return 1\n", "get_config"),
    ],
)
def test_a_broken_file_is_named(tmp_path, text, wanted):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        files.load(str(path))
    assert str(path) in str(caught.value)
    assert wanted in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_one_that_is_no_python_are_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        files.load(str(tmp_path / "absent.py"))
    with pytest.raises(UserError, match="no such file"):
        files.load(str(tmp_path))
    text = tmp_path / "config.json"
    text.write_text("{}")
    with pytest.raises(UserError, match=r"\*\.py"):
        files.load(str(text))


def config():
    return ConfigDict({**base().to_dict(), "model": {"name": "M", "features": (4, 8)}})


@pytest.mark.parametrize(
    "path, value, wanted",
    [
        ("seed", 3, 3),
        ("optimizer", None, "section"),
        ("data.batch_size", 16, 16),
        ("model.features", [1, 2], (1, 2)),
        ("train.clip_norm", 1, 1),
        ("dtype", 16, "16"),
        ("log.tensorboard", False, False),
    ],
)
def test_override_keeps_types(path, value, wanted):
    made = config()
    if wanted == "section":
        with pytest.raises(UserError, match=f"config.{path}: is a section"):
            files.override(made, path, value)
        return
    files.override(made, path, value)
    section = made
    for part in path.split("."):
        section = section[part]
    assert section == wanted and type(section) is type(wanted)


def test_override_turns_a_whole_number_into_a_float():
    made = ConfigDict({"rate": 0.5})
    files.override(made, "rate", 2)
    assert made.rate == 2.0 and type(made.rate) is float


@pytest.mark.parametrize(
    "path, value",
    [
        ("seed", "abc"),
        ("seed", 1.5),
        ("seed", True),
        ("data.batch_size", 8.0),
        ("data.image_size", 128),
        ("data.image_size", "abc"),
        ("log.tensorboard", 1),
        ("log.tensorboard", "maybe"),
    ],
)
def test_override_refuses_another_type(path, value):
    with pytest.raises(UserError) as caught:
        files.override(config(), path, value)
    assert f"--config.{path}={value!r}: takes " in str(caught.value)


def test_override_names_unknown_keys_with_the_nearest_and_the_options():
    for path, wanted in {
        "sed": ["--config.sed:", "did you mean 'seed'?"],
        "dat.name": ["--config.dat:", "did you mean 'data'?"],
        "data.batchsize": ["--config.data.batchsize:", "did you mean 'batch_size'?", "image_size"],
        "seed.deeper": ["--config.seed.deeper:", "nothing below it"],
        "": ["--config.:"],
    }.items():
        with pytest.raises(UserError) as caught:
            files.override(config(), path, 1)
        for part in wanted:
            assert part in str(caught.value), path


def test_override_of_a_duration_clears_its_other_spellings():
    made = config()
    assert made.train.steps == 1000
    files.override(made, "train.epochs", 3)
    assert (made.train.steps, made.train.epochs) == (None, 3)
    files.override(made, "checkpoint.every_steps", 3)
    assert (made.checkpoint.every_percent, made.checkpoint.every_steps) == (None, 3)
    assert made.evaluate.every_epochs == 1


def test_clearing_a_duration_leaves_its_other_spellings():
    made = config()
    files.override(made, "evaluate.every_steps", None)
    assert made.evaluate.every_epochs == 1
    files.override(made, "train.steps", None)
    assert made.train.steps is None


def test_a_json_round_trip_changes_nothing(tmp_path):
    made = config()
    made.data.augment = {"noise": 0.1, "nested": {"pairs": ((1, 2), (3, 4))}}
    made.train.clip_norm = 1e-7
    path = tmp_path / "config.json"
    path.write_text(files.to_json(made))
    back = files.from_json(path)
    assert back.to_dict() == made.to_dict()
    assert back.data.image_size == (128, 128) and isinstance(back.data.image_size, tuple)
    assert back.data.augment.nested.pairs == ((1, 2), (3, 4))
    assert back.is_locked
    assert files.to_json(back) == path.read_text()
    assert list(json.loads(path.read_text())) == list(base().keys())


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", '{"seed": 0}', "not json", '{"model": 1}', "\0\1"]
)
def test_a_damaged_config_is_named(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(UserError, match="damaged config") as caught:
        files.from_json(path)
    assert str(path) in str(caught.value)


def test_a_config_of_other_bytes_is_damaged(tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(UserError, match="damaged config"):
        files.from_json(path)


def test_fields_that_a_saved_config_lacks_have_their_defaults(tmp_path):
    saved = config().to_dict()
    del saved["data"]["cache_dir"], saved["log"], saved["train"]["steps"]
    saved["data"]["splits"] = {"train": "train[:9]", "validation": "train[9:]"}
    saved["train"]["epochs"], saved["task_options"] = 3, {}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(saved))
    back = files.from_json(path)
    assert back.data.cache_dir == "" and back.log.to_dict() == base().log.to_dict()
    assert back.data.splits.to_dict() == saved["data"]["splits"]  # chosen as a whole
    assert (back.train.steps, back.train.epochs) == (None, 3)  # one duration in one spelling
    assert back.task_options.to_dict() == {} and back.data.name == saved["data"]["name"]


def test_first_difference():
    old, new = config().to_dict(), config().to_dict()
    assert files.first_difference(old, new) is None
    new["seed"] = 5
    assert files.first_difference(old, new) == "config.seed: 0 there, 5 here"
    new["data"]["batch_size"] = 16
    assert files.first_difference(old, new) == "config.data.batch_size: 8 there, 16 here"


def test_first_difference_of_keys_and_kinds():
    assert files.first_difference({"a": 1}, {}) == "config.a: only there"
    assert files.first_difference({}, {"a": 1}) == "config.a: only here"
    assert files.first_difference({"a": {"b": 1}}, {"a": 1}).startswith("config.a: ")
    assert files.first_difference({"a": {"b": {"c": 1}}}, {"a": {"b": {}}}) == (
        "config.a.b.c: only there"
    )
