"""Reads experiment files, applies overrides, and keeps a config as JSON."""

import contextlib
import importlib.util
import json
import os
import pathlib
import sys
import traceback
from collections.abc import Iterator, Mapping
from types import ModuleType

from ml_collections import ConfigDict

from segjax.config.arguments import literal
from segjax.config.durations import siblings
from segjax.config.lookup import nearest
from segjax.errors import UserError


def split_name(text: str) -> tuple[pathlib.Path, str | None]:
    """`file.py:arg` -> (path, arg)."""
    path, colon, arg = text.partition(":")
    return pathlib.Path(path), arg if colon else None


def load_module(path: pathlib.Path) -> ModuleType:
    """Imports an experiment file; UserError if it is missing, broken or has no get_config."""
    if not path.is_file():
        raise UserError(f"--config {path}: no such file")
    specification = importlib.util.spec_from_file_location(f"experiment_{path.stem}", path)
    if specification is None or specification.loader is None:
        raise UserError(f"--config {path}: an experiment file is a Python file (*.py)")
    module = importlib.util.module_from_spec(specification)
    _reach_neighbours(path)
    try:
        specification.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:
        raise failed(str(path), path, error) from error
    if not hasattr(module, "get_config"):
        raise UserError(f"--config {path}: the file has no get_config(arg)")
    return module


def failed(text: str, path: pathlib.Path, error: Exception) -> UserError:
    """An exception of an experiment file as one line, with the place in that file."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    place = f" (line {lines[-1]})" if lines else ""
    # str() of a KeyError is the repr of its message.
    message = " ".join(str(error.args[0] if isinstance(error, KeyError) else error).split())
    if message[:1] == message[-1:] == '"':
        message = message[1:-1]
    return UserError(f"--config {text}: {type(error).__name__}: {message}{place}")


def _reach_neighbours(path: pathlib.Path) -> None:
    """Lets `experiments/a/b.py` import `experiments.a.common`, wherever the command runs."""
    for parent in path.resolve().parents:
        if parent.name == "experiments" and str(parent.parent) not in sys.path:
            sys.path.insert(0, str(parent.parent))


def load(text: str, overrides: Mapping[str, str] | None = None) -> ConfigDict:
    """The locked config of `file.py[:arg]` with `path -> text` overrides applied."""
    path, arg = split_name(text)
    module = load_module(path)
    try:
        config = module.get_config(arg)
    except UserError:
        raise
    except Exception as error:
        raise failed(text, path, error) from error
    if not isinstance(config, ConfigDict):
        raise UserError(
            f"--config {text}: get_config returns a ConfigDict, this one {type(config).__name__}"
        )
    for key, value in (overrides or {}).items():
        override(config, key, literal(value) if isinstance(value, str) else value)
    return config.lock()


def override(config: ConfigDict, path: str, value: object) -> None:
    """Sets one existing field, keeping its type; a duration's other spellings are cleared."""
    section, walked = config, "config"
    *parents, leaf = path.split(".")
    for part in parents:
        if not isinstance(section, ConfigDict) or part not in section:
            raise UserError(_unknown(walked, part, section))
        section, walked = section[part], f"{walked}.{part}"
    if not isinstance(section, ConfigDict) or leaf not in section:
        raise UserError(_unknown(walked, leaf, section))
    for other in siblings(leaf):
        if other in section and value is not None:
            section[other] = None
    old = section[leaf]
    section[leaf] = _checked(f"{walked}.{leaf}", value, old)


def _unknown(walked: str, part: str, section: object) -> str:
    keys = list(section) if isinstance(section, ConfigDict) else []
    listing = ", ".join(keys) or "nothing below it"
    return f"--{walked}.{part}: no such key{nearest(part, keys)} {walked} has: {listing}"


def _checked(path: str, value: object, old: object) -> object:
    """The value as the old one's type; None is replaced by anything that is not a section."""
    if isinstance(old, ConfigDict):
        raise UserError(f"--{path}: is a section, not a value; it has: {', '.join(old)}")
    if old is None or value is None:
        return value
    if isinstance(old, float) and type(value) is int:
        return float(value)
    if isinstance(old, tuple) and isinstance(value, list):
        value = tuple(value)
    if isinstance(old, str) and not isinstance(value, str):
        return str(value)
    if type(value) is not type(old):
        wanted = type(old).__name__
        raise UserError(f"--{path}={value!r}: takes {wanted}, got {type(value).__name__}")
    return value


def to_json(config: ConfigDict) -> str:
    """The config as indented JSON, keys in their order; one text for one config."""
    return json.dumps(config.to_dict(), indent=2) + "\n"


def from_json(path: pathlib.Path) -> ConfigDict:
    """Reads a saved config; UserError naming the file if it is damaged."""
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
            raise ValueError("not a segjax config")
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: damaged config: {error}") from error
    return ConfigDict(_tuples(content)).lock()


def _tuples(value: object) -> object:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def first_difference(
    old: Mapping,
    new: Mapping,
    path: str = "config",
    places: tuple[str, str] = ("there", "here"),
) -> str | None:
    """`config.a.b: 1 there, 2 here` for the first field in which two configs differ."""
    for key in [*old, *(k for k in new if k not in old)]:
        here = f"{path}.{key}"
        if key not in old or key not in new:
            return f"{here}: only {places[key in new]}"
        if isinstance(old[key], Mapping) and isinstance(new[key], Mapping):
            if found := first_difference(old[key], new[key], here, places):
                return found
        elif old[key] != new[key]:
            return f"{here}: {old[key]!r} {places[0]}, {new[key]!r} {places[1]}"
    return None


def write_atomic(path: pathlib.Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with whole(path) as temporary:
        temporary.write_text(text)


@contextlib.contextmanager
def whole(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A temporary name beside `path`, whose folders are made; the block writes a file there.

    The file takes the place of `path` when the block ends well, and is removed when it does not.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with naming(path):
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: pathlib.Path) -> Iterator[None]:
    """Gives an OSError that names no file, as that of a full disk, the path that it came from."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename = error.filename or str(path)
        raise
