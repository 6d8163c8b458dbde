"""Finds losses, maps, weights, models, data sets, tasks, optimisers, engines … by name.

A section of a config names a thing and writes out every option it takes::

    config.model = lookup.spec("models", "CellposeUNet", features=(8, 16, 32, 64))
    config.model  ->  name: CellposeUNet, features: (8, 16, 32, 64), outputs: 1, ...

A new thing is found because it exists: a public name of the family's module, or, for data sets
and tasks, a file of the family's folder. `package.module:name` reaches code outside segjax.
"""

import dataclasses
import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence

from ml_collections import ConfigDict

from segjax.checks import nearest
from segjax.config import modules
from segjax.config.durations import siblings
from segjax.errors import UserError

FAMILIES = {
    "losses": "segjax.losses",
    "maps": "segjax.maps",
    "weights": "segjax.optim.loss_weights",
    "models": "segjax.models",
    "optimizers": "segjax.optim.optimizers",
    "schedules": "segjax.optim.schedules",
    "datasets": "segjax.data.sets",
    "tasks": "segjax.tasks",
    "engines": "segjax.launch.engines",
}
FOLDERS = ("datasets", "tasks", "engines")  # one class a file
# Arrays and settings that the program supplies itself; a config never lists them as options.
SUPPLIED = {"where", "weights", "spacing", "parent", "name", "dtype", "axis_name", "image_size"}


def names(family: str) -> list[str]:
    """The names that a family offers, sorted."""
    # Imported on demand: this module stands below all families, and the command starts without them
    module = importlib.import_module(FAMILIES[family])
    if family in FOLDERS:
        inside = pkgutil.iter_modules(module.__path__)
        # A task is a folder; what lies beside them belongs to all tasks.
        found = (info.name for info in inside if info.ispkg or family != "tasks")
        return sorted(name for name in found if _class_in(family, name))
    # Families also export their files, such as models.cellpose, which are no things to name
    return sorted(name for name in module.__all__ if not inspect.ismodule(getattr(module, name)))


def _class_in(family: str, name: str) -> type | None:
    """The class that a file of a folder family holds: `synthetic_fundus` holds SyntheticFundus."""
    module = importlib.import_module(f"{FAMILIES[family]}.{name}")
    found = getattr(module, "".join(word.capitalize() for word in name.split("_")), None)
    return found if inspect.isclass(found) else None


def find(family: str, name: str, path: str = "") -> object:
    """The object called `name`; UserError with nearest match and options if there is none."""
    where = f"{path}={name!r}: " if path else f"{name!r}: "
    # str: a config may hold anything where a name is wanted, which the look-up then refuses
    if ":" in str(name):
        return modules.find(name, where)
    if not has(family, name):
        options = names(family)
        raise UserError(
            f"{where}segjax has no such name among its {family}{nearest(name, options)} "
            f"It has: {', '.join(options)}"
        )
    if family in FOLDERS:
        return _class_in(family, name)
    return getattr(importlib.import_module(FAMILIES[family]), name)


def has(family: str, name: object) -> bool:
    """Whether a family offers a name; does not look the others over, as `names` does."""
    module = importlib.import_module(FAMILIES[family])
    if family not in FOLDERS:
        return name in module.__all__ and not inspect.ismodule(getattr(module, name))
    if not isinstance(name, str) or not name.isidentifier():
        return False
    found = importlib.util.find_spec(f"{module.__name__}.{name}")
    # As in `names`: a task is a folder
    is_folder = found is not None and found.submodule_search_locations is not None
    return found is not None and (is_folder or family != "tasks") and bool(_class_in(family, name))


def options_of(target: Callable) -> dict[str, object]:
    """The options a function or a linen module takes, with defaults (`inspect._empty`: none)."""
    if inspect.isclass(target) and dataclasses.is_dataclass(target):
        found = {
            f.name: inspect.Parameter.empty if f.default is dataclasses.MISSING else f.default
            for f in dataclasses.fields(target)
        }
    else:
        parameters = _signature(target).parameters.values()
        # The convention: arrays are positional, options keyword-only
        found = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    return {name: value for name, value in found.items() if name not in SUPPLIED}


def array_parameters(function: Callable) -> tuple[str, ...]:
    """The names of a loss's positional parameters: arrays, by the convention."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(p.name for p in _signature(function).parameters.values() if p.kind in kinds)


def check_positional(function: Callable, where: str, known: Sequence[str] = ()) -> None:
    """UserError for an option of a loss among its positional parameters, which are arrays.

    It shows in its default; one of None may stand for an array, if its name is `known`.
    """
    for name in array_parameters(function):
        default = _signature(function).parameters[name].default
        if default is inspect.Parameter.empty or (default is None and name in known):
            continue
        # An array has axes; a number, a text and a tuple have no shape
        if not getattr(default, "shape", ()):
            raise UserError(
                f"{where}: `{name}` has a default and so is an option, but positional parameters "
                f"are arrays and keyword-only ones options: put `*,` before `{name}`"
            )


def _signature(target: Callable) -> inspect.Signature:
    """The parameters of a function or class; UserError for what is none, or does not tell them."""
    try:
        return inspect.signature(target)
    except (TypeError, ValueError) as error:
        what = "tells no parameters" if callable(target) else "is no function or class"
        shown = getattr(target, "__name__", type(target).__name__)
        raise UserError(f"{shown!r} {what}, and cannot be named in a config") from error


def check_options(target: Callable, given: Mapping[str, object], path: str) -> None:
    """UserError if `given` holds an option that `target` does not take, or lacks one it needs."""
    options = options_of(target)
    label = getattr(target, "__name__", str(target))
    for key in given:
        if key not in options:
            taken = ", ".join(options) or "no options"
            raise UserError(
                f"{path}.{key}: {label} takes no such option{nearest(key, options)} "
                f"It takes: {taken}"
            )
    for key, default in options.items():
        if default is inspect.Parameter.empty and key not in given:
            raise UserError(f"{path}.{key}: {label} needs this option")


def spec(family: str, name: str, **options: object) -> ConfigDict:
    """A config section: the name and every option, defaults written out.

    A duration given clears the default of its other spellings.
    """
    target = find(family, name, family)
    check_options(target, options, name)
    known = options_of(target)
    cleared = {other: None for key in options for other in siblings(key) if other in known}
    # Not type safe: a weight that is a number may become a schedule. Who reads a section checks it.
    return ConfigDict({"name": name} | known | cleared | options, type_safe=False)


def resolve(
    family: str, section: ConfigDict, path: str, *, extra: tuple[str, ...] = ()
) -> tuple[Callable, dict[str, object]]:
    """The object that a section names, and its options; `extra` keys belong to the caller."""
    given = {k: v for k, v in section.items() if k != "name" and k not in extra}
    target = find(family, section.name, f"{path}.name")
    check_options(target, given, path)
    return target, {key: _plain(value) for key, value in given.items()}


def _plain(value: object) -> object:
    """Lists, as JSON brings them back, become tuples again."""
    if isinstance(value, (list, tuple)):
        return tuple(_plain(item) for item in value)
    return value
