"""Nothing outside `segjax/tasks/` asks which task it has, read off the source."""

import ast
import pathlib
import re

import pytest

import segjax
from segjax.config import lookup

ROOT = pathlib.Path(segjax.__file__).parent
# Recipes name tasks in configs, the picture of a paper is that of its task's toy example.
EXCEPT = re.compile(r"tasks/.*|recipes/.*|explore/position\.py")
FILES = sorted(
    name
    for name in (path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
    if not EXCEPT.fullmatch(name)
)
KINDS = lookup.names("tasks")
CLASSES = {lookup.find("tasks", name).__name__ for name in KINDS}
ASKING = ("hasattr", "getattr", "isinstance", "issubclass", "type")


def is_task(node):
    """Whether an expression is a task by its name: `task`, `self._task`, `made.task`."""
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name.strip("_") == "task"


def faults(text):
    """What a file knows of kinds of task: lines, with what they ask."""
    for node in ast.walk(ast.parse(text)):
        where = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            modules = []
        for module in modules:
            if module.startswith("segjax.tasks.") and module.split(".")[2] in KINDS:
                yield where, f"imports {module}"
        if isinstance(node, (ast.Name, ast.Attribute)):
            name = node.id if isinstance(node, ast.Name) else node.attr
            if name in CLASSES or name == "on_volumes":
                yield where, f"names {name}"
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ASKING:
            if node.args and is_task(node.args[0]):
                yield where, f"asks {ast.unparse(node)}"
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            strings = {n.value for side in sides for n in ast.walk(side) if is_string(n)}
            if any(map(is_task, sides)) and strings & {*KINDS}:
                yield where, f"compares {ast.unparse(node)}"


def is_string(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_there_are_kinds_to_look_for():
    assert {"localization", "segmentation", "volume_segmentation"} <= {*KINDS}
    assert "VolumeSegmentation" in CLASSES and len(FILES) > 100


@pytest.mark.parametrize("name", FILES)
def test_no_file_asks_for_the_kind_of_task(name):
    assert not list(faults((ROOT / name).read_text()))


@pytest.mark.parametrize(
    "text",
    [
        "from segjax.tasks.localization import toy",
        "from segjax.tasks import segmentation",
        "import segjax.tasks.volume_segmentation.task",
        "if task.on_volumes: pass",
        "if isinstance(made.task, VolumeSegmentation): pass",
        "isinstance(self._task, other.Kind)",
        "getattr(task, 'decode', None)",
        "hasattr(parts.task, 'decode')",
        "if config.task == 'localization': pass",
        "if config.task in ('localization', 'x'): pass",
        "type(task) is Kind",
    ],
)
def test_what_the_test_above_finds(text):
    assert list(faults(text))


@pytest.mark.parametrize(
    "text", ["from segjax.tasks.base import Task", "task.kind('localization')", "len(task.metrics)"]
)
def test_what_it_leaves_alone(text):
    assert not list(faults(text))
