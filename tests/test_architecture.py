"""The conventions that can be read off the source: floors, sizes, and what an import touches."""

import ast
import builtins
import dis
import importlib
import os
import pathlib
import pkgutil
import re
import resource
import subprocess
import sys
import types

import pytest

import segjax

ROOT = pathlib.Path(segjax.__file__).parent
# A package may import what stands on a lower line. Packages of one line never import each other.
FLOORS = [
    {"types", "errors"},
    {"checks", "files"},
    {"config", "stats"},
    {"ops"},
    {"maps"},
    {"losses", "metrics", "models", "data", "optim"},
    {"recipes"},
    {"tasks"},
    {"train", "explore"},
    {"inference"},
    {"report"},
    {"launch"},
    {"pipelines", "annotate"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, floor in enumerate(FLOORS) for name in floor}
# What config and stats may import: the ground floor.
BESIDE_TYPES = {"types", "errors", "checks", "files"}
# Libraries kept in one place, and the places (as path patterns below segjax/).
CONFINED = {
    "tensorflow_datasets": r"data/.*",
    "orbax": r"train/checkpoint\.py",
    "matplotlib": r"(explore|report)/.*|tasks/\w+/(pictures|toy)\.py",
}
BANNED = {"tensorflow", "torch", "keras"}
TORCH_READERS = {"models/cellpose.py"}  # reads published weights; the extra `torch`

FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


def tree_of(name):
    return ast.parse((ROOT / name).read_text())


def package_of(name):
    """`losses/a.py` -> losses, `cli.py` -> cli, `__init__.py` -> ''."""
    return name.split("/")[0].removesuffix(".py").replace("__init__", "")


def imports_of(name, tree):
    """Every module that a file imports anywhere, as full dotted names."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}:{node.lineno}: a relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def packages_in(name, tree):
    """The packages of segjax that a file imports, its own left out."""
    parts = [module.split(".") for module in imports_of(name, tree)]
    return {part[1] for part in parts if part[0] == "segjax" and len(part) > 1} - {package_of(name)}


def floor_faults(name, tree):
    """What a file imports against the order of the floors."""
    own, used = package_of(name), packages_in(name, tree)
    if own == "":
        return used
    if own in ("config", "stats"):
        return used - BESIDE_TYPES
    return {other for other in used if LEVEL.get(other, 99) >= LEVEL[own]}


def library_faults(name, tree):
    """The confined or banned libraries that a file should not import."""
    used = {module.split(".")[0] for module in imports_of(name, tree)}
    astray = {lib for lib, places in CONFINED.items() if not re.fullmatch(places, name)} & used
    allowed = {"torch"} if name in TORCH_READERS else set()
    return astray | ((BANNED & used) - allowed)


@pytest.mark.parametrize("name", FILES)
def test_every_file_stands_on_a_floor_and_imports_from_below(name):
    if package_of(name):
        assert package_of(name) in LEVEL, f"segjax/{name} is on no floor"
    assert not floor_faults(name, tree_of(name))


@pytest.mark.parametrize("name", FILES)
def test_libraries_stay_where_they_belong(name):
    assert not library_faults(name, tree_of(name))


@pytest.mark.parametrize(
    "name, text",
    [
        ("ops/a.py", "from segjax import losses"),
        ("ops/a.py", "from segjax.losses import dice"),
        ("losses/a.py", "import segjax.metrics"),
        ("losses/a.py", "def f():\n    from segjax.models import cellpose"),
        ("config/a.py", "from segjax.ops import checks"),
        ("stats.py", "from segjax.config import files"),
        ("recipes/a.py", "from segjax.tasks import binding"),
        ("data/a.py", "from segjax.recipes import nnunet"),
        ("train/a.py", "from segjax.explore import toy"),
        ("train/a.py", "from segjax import cli"),
        ("__init__.py", "from segjax import losses"),
    ],
)
def test_the_floor_test_can_fail(name, text):
    assert floor_faults(name, ast.parse(text))


@pytest.mark.parametrize(
    "name, text",
    [
        ("train/experiment.py", "import tensorflow_datasets as tfds"),
        ("train/state.py", "from orbax import checkpoint"),
        ("train/loop.py", "import matplotlib.pyplot as plt"),
        ("tasks/localization/task.py", "def f():\n    from matplotlib.figure import Figure"),
        ("data/a.py", "import tensorflow as tf"),
        ("losses/a.py", "import torch"),
    ],
)
def test_the_library_test_can_fail(name, text):
    assert library_faults(name, ast.parse(text))


@pytest.mark.parametrize("name", FILES)
def test_files_and_functions_stay_short(name):
    text = (ROOT / name).read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert length_of(node) <= 60, f"{node.name} is too long"


def length_of(function):
    """Lines of a function, without its docstring and its decorators."""
    length = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        length -= first.end_lineno - first.lineno + 1
    return length


def test_a_docstring_does_not_count():
    (function,) = ast.parse('def f():\n    """One.\n\n    More.\n    """\n    return 1\n').body
    assert length_of(function) == 2


def module_name(name):
    """`losses/a.py` -> segjax.losses.a, `losses/__init__.py` -> segjax.losses."""
    return ".".join(
        ["segjax", *name.removesuffix(".py").removesuffix("__init__").split("/")]
    ).strip(".")


def imported_files(trees):
    """By module, the modules of segjax that it imports, wherever in the file."""
    known = {module_name(name): name for name in trees}
    graph = {}
    for name, tree in trees.items():
        own, used = module_name(name), set()
        for full in imports_of(name, tree):
            # `from package import name`: the name is a module, or something of the package.
            module = full if full in known else full.rpartition(".")[0]
            if module in known and module != own:
                used.add(module)
        graph[own] = used
    return graph


def circles(graph):
    """Modules that import each other, however indirectly, in groups."""
    found = []
    for start in graph:
        reached, waiting = set(), [start]
        while waiting:
            for other in graph[waiting.pop()] - reached:
                reached.add(other)
                waiting.append(other)
        if start in reached:
            found.append(start)
    return found


def test_no_files_import_each_other():
    assert not circles(imported_files({name: tree_of(name) for name in FILES}))


def test_a_circle_is_found():
    trees = {
        "losses/a.py": ast.parse("def f():\n    from segjax.losses import b"),
        "losses/b.py": ast.parse("from segjax.losses.c import x"),
        "losses/c.py": ast.parse("import segjax.losses.a"),
        "losses/d.py": ast.parse("from segjax.losses import a"),
    }
    assert circles(imported_files(trees)) == [
        "segjax.losses.a",
        "segjax.losses.b",
        "segjax.losses.c",
    ]


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_left_to_do(name):
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", (ROOT / name).read_text())
    assert pathlib.PurePath(name).stem not in ("utils", "util", "helpers", "misc")


@pytest.mark.parametrize("name", FILES)
def test_every_file_says_what_it_is(name):
    assert ast.get_docstring(tree_of(name))


def modules():
    return [info.name for info in pkgutil.walk_packages([str(ROOT)], "segjax.")]


def run_child(program, **environment):
    """Runs a program in a process of its own; its output and its user and system seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT.parent), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_importing_touches_no_device():
    program = f"""
import importlib
for name in {modules()!r}:
    importlib.import_module(name)
from jax._src import xla_bridge
assert not xla_bridge._backends, list(xla_bridge._backends)
import sys
import types
banned = [name for name in {sorted(BANNED)!r} if name in sys.modules]
assert not banned, banned
"""
    run_child(program, JAX_PLATFORMS="nobackend")


def test_families_are_loaded_when_they_are_asked_for():
    program = """
import sys
import segjax
assert 'jax' not in sys.modules
assert segjax.losses.dice and segjax.stats.holm and 'losses' in dir(segjax)
assert not hasattr(segjax, 'lossses')
"""
    run_child(program)


def test_importing_the_families_is_quick():
    _, seconds = run_child("from segjax import losses, metrics, models, ops, stats")
    assert seconds < 4.0  # 2 s on an idle machine; a busy one counts its waiting here too


def test_the_command_starts_without_heavy_libraries():
    program = """
import sys
import types
from segjax import cli
cli.build_parser()
heavy = 'jax', 'numpy', 'tensorflow_datasets', 'matplotlib'
print(*(name for name in heavy if name in sys.modules))
"""
    output, _ = run_child(program)
    assert not output.strip()


def unknown_names(code, known):
    """The global names that functions within a code object use and nothing defines."""
    used = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    inner = [const for const in code.co_consts if isinstance(const, types.CodeType)]
    return (used - known).union(*(unknown_names(one, known) for one in inner))


@pytest.mark.parametrize("name", FILES)
def test_every_name_is_known(name):
    """Ruff's rule (F821) is off: it takes the axes in jaxtyping's annotations for names."""
    if name.endswith("__main__.py"):
        return  # importing it runs the command
    module = "/".join(["segjax", name]).removesuffix(".py").removesuffix("/__init__")
    known = vars(importlib.import_module(module.replace("/", "."))).keys() | vars(builtins).keys()
    assert not unknown_names(compile((ROOT / name).read_text(), name, "exec"), known)
