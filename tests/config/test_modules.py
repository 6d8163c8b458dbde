"""Experiment files and the user's own modules: found the same way everywhere, nothing left."""

import dataclasses
import json
import pickle
import sys
import typing

import pytest

from segjax.config import files, lookup, modules
from segjax.errors import UserError

HEAD = "from segjax.config.defaults import base\n"


@pytest.fixture(autouse=True)
def bytecode_as_on_a_fresh_machine(monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    yield
    modules.enter(None)


def experiment(folder, name="mine.py", *, head="", body="    return config\n", arg="arg=None"):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"{head}{HEAD}def get_config({arg}):\n    config = base()\n{body}")
    return path


def seeded(folder, seed):
    """An experiment whose seed stands in a sibling, as `sibling`, and in one of a package."""
    (folder / "inner").mkdir(parents=True)
    (folder / "sibling.py").write_text(f"SEED = {seed}\n")
    (folder / "inner" / "__init__.py").write_text("from inner.deep import SEED\n")
    (folder / "inner" / "deep.py").write_text(f"SEED = {seed}\n")
    body = "    import inner\n    config.seed = sibling.SEED + inner.SEED\n    return config\n"
    return experiment(folder, head="import sibling\n", body=body)


def test_loading_leaves_nothing_beside_the_file_nor_beside_its_siblings(tmp_path):
    path = seeded(tmp_path, 1)
    before = sorted(tmp_path.rglob("*"))
    assert files.load(str(path)).seed == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_siblings_of_one_name_in_two_folders_do_not_see_each_other(tmp_path):
    first, second = seeded(tmp_path / "a", 1), seeded(tmp_path / "b", 10)
    assert [files.load(str(path)).seed for path in (first, second, first)] == [2, 20, 2]


def test_siblings_do_not_see_each_other_where_their_folders_are_in_the_path_anyway(
    tmp_path, monkeypatch
):
    first, second = seeded(tmp_path / "a", 1), seeded(tmp_path / "b", 10)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "a"), str(tmp_path / "b")])
    assert [files.load(str(path)).seed for path in (first, second, first)] == [2, 20, 2]


def test_siblings_in_the_current_folder_do_not_stand_in_for_those_of_another(tmp_path, monkeypatch):
    first, second = seeded(tmp_path / "a", 1), seeded(tmp_path / "b", 10)
    monkeypatch.chdir(tmp_path / "a")
    assert [files.load(str(path)).seed for path in (first, second, first)] == [2, 20, 2]


def test_siblings_of_a_file_above_do_not_stand_in(tmp_path):
    above, below = seeded(tmp_path, 1), seeded(tmp_path / "below", 10)
    assert [files.load(str(path)).seed for path in (below, above, below)] == [20, 2, 20]


def test_neighbours_below_experiments_of_two_places_do_not_see_each_other(tmp_path):
    seeds = []
    for seed in (1, 2):
        folder = tmp_path / str(seed) / "experiments" / "unit_test_folder"
        head = "from experiments.unit_test_folder import common\n"
        path = experiment(folder, head=head, body="    config.seed = common.S\n    return config\n")
        (folder / "common.py").write_text(f"S = {seed}\n")
        seeds.append(files.load(str(path)).seed)
    assert seeds == [1, 2]


def test_a_dataclass_with_postponed_annotations(tmp_path):
    head = "from __future__ import annotations\nimport dataclasses\nfrom typing import ClassVar\n"
    head += "@dataclasses.dataclass\nclass Size:\n    side: int = 3\n    kept: ClassVar[int] = 4\n"
    path = experiment(
        tmp_path, head=head, body="    config.seed = Size().side\n    return config\n"
    )
    assert files.load(str(path)).seed == 3
    size = modules.load(path).Size
    assert [field.name for field in dataclasses.fields(size)] == ["side"]
    files.load(str(experiment(tmp_path / "another")))
    assert typing.get_type_hints(size)["side"] is int


def test_get_config_without_an_argument(tmp_path):
    path = experiment(tmp_path, arg="", body="    config.seed = 5\n    return config\n")
    assert files.load(str(path)).seed == 5
    with pytest.raises(UserError, match="mine.py:cpu: get_config.. takes no argument"):
        files.load(f"{path}:cpu")


@pytest.mark.parametrize("place", ["head", "body"])
def test_sys_exit_in_an_experiment_file_is_one_line(tmp_path, place):
    path = experiment(tmp_path, **{place: "    " * (place == "body") + "exit('no data here')\n"})
    line = {"head": 1, "body": 4}[place]
    with pytest.raises(UserError) as caught:
        files.load(str(path))
    assert str(caught.value) == (
        f"--config {path}: ends the program: sys.exit(no data here) (line {line})"
    )


def test_a_module_that_a_config_names_is_found_beside_the_experiment_file(tmp_path, monkeypatch):
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")
    path = experiment(tmp_path / "study")
    (tmp_path / "study" / "mynetwork.py").write_text("class MyModel:\n    place = 'study'\n")
    (tmp_path / "away" / "mylosses.py").write_text("def loss(): pass\n")
    files.load(str(path))
    assert lookup.find("models", "mynetwork:MyModel").place == "study"
    assert lookup.find("losses", "mylosses:loss").__name__ == "loss"
    modules.enter(None)
    with pytest.raises(UserError) as caught:
        lookup.find("models", "mynetwork:MyModel", "config.model.name")
    message = str(caught.value)
    assert message.startswith("config.model.name='mynetwork:MyModel': cannot import it")
    assert f"looked in {tmp_path / 'away'} and among installed packages" in message
    assert not list(tmp_path.rglob("__pycache__"))


def test_the_folder_of_the_experiment_comes_before_the_current_one(tmp_path, monkeypatch):
    monkeypatch.chdir(seeded(tmp_path / "here", 1).parent)
    assert files.load(str(seeded(tmp_path / "there", 10))).seed == 20


def test_an_experiments_folder_that_is_gone_is_named(tmp_path):
    modules.enter(tmp_path / "gone" / "mine.py")
    with pytest.raises(UserError, match=f"experiment's folder {tmp_path / 'gone'} is gone"):
        lookup.find("models", "mynetwork:MyModel")


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("x = undefined\n", "NameError"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
        ("def (\n", "SyntaxError"),
    ],
)
def test_a_broken_module_that_a_config_names_is_one_line(tmp_path, monkeypatch, text, wanted):
    monkeypatch.chdir(tmp_path)
    modules.enter(None)
    (tmp_path / "mybroken.py").write_text(text)
    with pytest.raises(UserError, match=f"'mybroken:f': cannot import it: {wanted}"):
        lookup.find("losses", "mybroken:f")


def test_a_file_named_as_a_module_of_python_does_not_hide_it(tmp_path):
    (tmp_path / "colorsys.py").write_text("")
    sys.modules.pop("colorsys", None)
    body = "    import colorsys\n    colorsys.rgb_to_hsv\n    return config\n"
    assert files.load(str(experiment(tmp_path, body=body))).seed == 0


def test_libraries_below_the_current_folder_keep_their_bytecode(monkeypatch):
    monkeypatch.chdir(modules.pathlib.Path(modules.__file__).parents[2])
    modules.enter(None)
    package = modules.pathlib.Path(modules.__file__).parents[1]
    with pytest.raises(ImportError):
        modules._search.hook(str(package / "losses"))
    assert modules._search.hook(".")


def test_numpy_values_of_a_config_are_plain(tmp_path):
    body = "    config.seed = np.int64(3)\n    config.model = {'features': np.array([4, 8]),"
    body += " 'rate': np.float32(0.5), 'on': np.bool_(True), 'path': pathlib.Path('a/b')}\n"
    head = "import pathlib\nimport numpy as np\n"
    config = files.load(str(experiment(tmp_path, head=head, body=body + "    return config\n")))
    assert type(config.seed) is int and config.model.features == (4, 8)
    model = {"features": [4, 8], "rate": 0.5, "on": True, "path": "a/b"}
    assert json.loads(files.to_json(config))["model"] == model


def test_a_placeholder_without_a_value_is_one_line(tmp_path):
    head = "from ml_collections import config_dict\n"
    body = "    config.seed = config_dict.required_placeholder(int)\n    return config\n"
    path = experiment(tmp_path, head=head, body=body)
    with pytest.raises(UserError, match=f"--config {path}: RequiredValueError"):
        files.load(str(path))


def test_a_value_that_no_config_holds_is_named(tmp_path):
    body = "    config.model = {'activation': print}\n    return config\n"
    with pytest.raises(UserError, match="config.model.activation=<.*takes numbers, strings"):
        files.load(str(experiment(tmp_path, body=body)))


def test_a_misspelt_field_is_told_without_quotes_and_escapes(tmp_path):
    path = experiment(tmp_path, body="    config.modle = 3\n    return config.modle.name\n")
    path.write_text(path.read_text().replace("config.modle = 3", "config.lock()"))
    with pytest.raises(UserError) as caught:
        files.load(str(path))
    message = str(caught.value)
    assert "\n" not in message and "\\" not in message and "modle" in message


def test_a_path_that_someone_puts_back_brings_no_earlier_experiment_with_it(tmp_path, monkeypatch):
    """As pytest's `syspath_prepend` does: its copy holds the folders of the experiment before."""
    first, second = seeded(tmp_path / "a", 1), seeded(tmp_path / "b", 10)
    assert files.load(str(first)).seed == 2
    kept = list(sys.path)
    assert files.load(str(second)).seed == 20
    sys.path[:] = kept
    assert files.load(str(first)).seed == 2
    assert files.load(str(second)).seed == 20
    sys.path[:] = kept
    (tmp_path / "plain").mkdir()
    monkeypatch.chdir(tmp_path / "plain")
    modules.enter(None)
    with pytest.raises(UserError, match="No module named 'sibling'"):
        lookup.find("losses", "sibling:SEED")
    assert str(tmp_path / "a") not in sys.path
    # And where the folder in use is lost, it is looked in all the same
    sys.path[:] = [place for place in sys.path if place != str(tmp_path / "plain")]
    (tmp_path / "plain" / "mine.py").write_text("def loss(): pass\n")
    modules.enter(None)
    assert lookup.find("losses", "mine:loss").__name__ == "loss"
    # Another process gets plain text, for it may not have segjax when it reads them
    assert {type(place) for place in pickle.loads(pickle.dumps(sys.path))} == {str}
