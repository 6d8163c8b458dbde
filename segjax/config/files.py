"""Reads experiment files, applies overrides, and keeps a config as JSON."""

import inspect
import json
import os
import pathlib
from collections.abc import Callable, Mapping

from ml_collections import ConfigDict

from segjax.checks import nearest
from segjax.config import components, modules, values
from segjax.config.defaults import completed
from segjax.config.durations import siblings
from segjax.errors import UserError


def split_name(text: str) -> tuple[pathlib.Path, str | None]:
    """`file.py:arg` -> (path, arg)."""
    path, colon, arg = text.partition(":")
    return pathlib.Path(os.path.expanduser(path)), arg if colon else None


def load(text: str, overrides: Mapping[str, str] | None = None) -> ConfigDict:
    """The locked config of `file.py[:arg]` with `path -> text` overrides applied."""
    path, arg = split_name(text)
    module = modules.load(path)
    if not hasattr(module, "get_config"):
        hint = "; one with get_pipeline() is trained by `segjax pipeline train`"
        raise UserError(
            f"--config {path}: the file has no get_config(arg)"
            f"{hint if hasattr(module, 'get_pipeline') else ''}"
        )
    # Through `call`: whatever the user's code raises becomes one line
    config = modules.call(text, path, with_words, module.get_config, arg)
    if not isinstance(config, ConfigDict):
        raise UserError(
            f"--config {text}: get_config returns a ConfigDict, this one {type(config).__name__}"
        )
    # Only now: words that nobody reads would be dropped in silence
    if arg and not takes_words(module.get_config):
        raise UserError(f"--config {text}: get_config() takes no argument after the colon")
    # A config made plain is the one that JSON brings back: a run and its resumption compare equal
    content = modules.call(text, path, values.plain, config, "config")
    config = ConfigDict(content, type_safe=False)
    # Names first: one brings the options that others may set
    for key in sorted(overrides or {}, key=lambda key: (not key.endswith(".name"), key.count("."))):
        override(config, key, overrides[key])
    return config.lock()


def with_words(function: Callable, arg: str | None) -> object:
    """What get_config or sweep gives; either may go without the argument after the colon."""
    return function(arg) if takes_words(function) else function()


def takes_words(function: Callable) -> bool:
    """Whether a function of an experiment file has a parameter."""
    return bool(inspect.signature(function).parameters)


def override(config: ConfigDict, path: str, value: object) -> None:
    """Sets one existing field, keeping its type; a duration's other spellings are cleared.

    Text is read by the type of what it replaces. The name of another model, optimiser, schedule,
    loss, map or weight brings its own options, at their defaults.
    """
    section, walked = config, "config"
    *parents, leaf = path.split(".")
    for part in parents:
        if not isinstance(section, ConfigDict) or part not in section:
            raise UserError(_unknown(walked, part, section))
        section, walked = section[part], f"{walked}.{part}"
    if not isinstance(section, ConfigDict) or leaf not in section:
        raise UserError(_unknown(walked, leaf, section))
    old = section[leaf]
    if isinstance(value, str):
        value = values.from_text(value, old)
    value = values.plain(value, f"--{walked}.{leaf}")
    value = _checked(f"{walked}.{leaf}", value, old)
    if leaf == "name" and components.family_of(walked) and value != old:
        made = components.swapped(section, value, walked)
        for key in [key for key in section if key not in made]:
            del section[key]
        section.update(made)
        return
    section[leaf] = value
    for other in siblings(leaf):
        # Clearing one spelling must not clear the one that is set
        if other in section and value is not None:
            section[other] = None


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
    # type, not isinstance: true is no learning rate
    if isinstance(old, float) and type(value) is int:
        return float(value)
    if isinstance(old, tuple) and isinstance(value, list):
        value = tuple(value)
    if isinstance(old, str) and not isinstance(value, str):
        return str(value)
    if type(value) is not type(old):
        wanted = type(old).__name__
        # Quoted as a shell wants it, which reads brackets itself
        example = f", as in '--{path}={old!r}'" if isinstance(old, tuple) else ""
        raise UserError(f"--{path}={value!r}: takes {wanted}, got {type(value).__name__}{example}")
    return value


def to_json(config: ConfigDict) -> str:
    """The config as indented JSON, keys in their order; one text for one config."""
    return json.dumps(config.to_dict(), indent=2) + "\n"


def from_json(path: pathlib.Path) -> ConfigDict:
    """Reads a saved config; UserError naming the file if it is damaged.

    Fields and options that did not exist yet when it was saved have their defaults.
    """
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
            raise ValueError("not a segjax config")
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: damaged config: {error}") from error
    # JSON has no tuples, and a config holds no lists
    return ConfigDict(completed(tuples(content))).lock()


def tuples(value: object) -> object:
    """Lists of JSON as the tuples that a config holds."""
    if isinstance(value, dict):
        return {key: tuples(item) for key, item in value.items()}
    return tuple(tuples(item) for item in value) if isinstance(value, list) else value


def first_difference(
    old: Mapping,
    new: Mapping,
    path: str = "config",
    places: tuple[str, str] = ("there", "here"),
) -> str | None:
    """`config.a.b: 1 there, 2 here` for the first field in which two configs differ."""
    # In the order of the files, so that the first difference is the one that a reader meets first
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
