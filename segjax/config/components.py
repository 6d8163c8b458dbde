"""The sections of a config that name a thing and hold its options: task, model, losses and so on.

A thing may have gained options since a config was saved; these are added at their defaults, which
is what it ran with. Where another thing is named, its options take the place of the old one's.
"""

import contextlib
import inspect
from collections.abc import Mapping

from segjax.config import lookup, values
from segjax.config.durations import siblings
from segjax.errors import UserError

# Sections that name one thing each, and where it is looked for.
SECTIONS = {"model": "models", "optimizer": "optimizers", "schedule": "schedules"}
# What a term of the loss may hold as a section of its own, and where it is looked for.
IN_TERMS = {"weight": "weights", "maps": "maps"}
# What models call the channels of their logits, which the data decide.
CHANNELS = ("outputs", "classes")


def completed(config: Mapping) -> dict:
    """A config with every option of the things that it names.

    Left as they are: sections that name nothing which can be found, as a user's module that is
    gone (who uses them says so), and options without default, or with one that no config holds.
    """
    made = dict(config)
    if "task_options" in config:
        made["task_options"] = _with_options("tasks", config.get("task"), config["task_options"])
    if "data" in config:
        made["data"] = _with_augmentations(config.get("task"), config["data"])
    made |= {key: _named(family, made[key]) for key, family in SECTIONS.items() if key in made}
    if isinstance(config.get("loss"), Mapping):
        made["loss"] = {name: _term(term) for name, term in config["loss"].items()}
    return made


def family_of(path: str) -> str | None:
    """Where the name in a section is looked up, `config.loss.dice.weight` among the weights."""
    _, *parts = path.split(".")
    if len(parts) == 1:
        return SECTIONS.get(parts[0])
    if parts[0] != "loss" or len(parts) > 3:
        return None
    return IN_TERMS.get(parts[2]) if len(parts) == 3 else "losses"


def swapped(section: Mapping, name: str, path: str) -> dict:
    """A section that names another thing, with that one's own options at their defaults.

    Kept are options without a default, the channels of a model's logits, and the weight of a term.
    Where a loss takes maps and the old one took none, `maps` is None, which is still to be set.
    """
    family = family_of(path)
    target = lookup.find(family, name, f"{path}.name")
    channels = next((section[key] for key in CHANNELS if key in section), None)
    made = {"name": name}
    for key, default in lookup.options_of(target).items():
        if family == "models" and key in CHANNELS and channels is not None:
            made[key] = channels
        elif default is not inspect.Parameter.empty:
            made[key] = values.plain(default, f"{path}.{key}")
        elif key in section:
            made[key] = section[key]
    if family == "losses":
        made["weight"] = section["weight"]
        if "maps" in lookup.array_parameters(target):
            made["maps"] = section.get("maps")
    return made


def filled(section: Mapping, defaults: Mapping) -> dict:
    """A section with the options that it lacks, at their defaults.

    A duration that is set in one spelling keeps its others None, as in `lookup.spec`. One that is
    set in none has its default, for that is what a function takes that is not given it.
    """
    made = dict(section)
    for key, default in defaults.items():
        if key not in section:
            # Else a config with `over_epochs` would gain a default `over_percent`: two lengths at
            # once
            spelt = any(section.get(other) is not None for other in siblings(key))
            made[key] = None if spelt else default
    return made


def _term(term: object) -> object:
    if not isinstance(term, Mapping):
        return term
    made = _named("losses", term)
    return made | {
        key: _named(family, made[key]) for key, family in IN_TERMS.items() if key in made
    }


def _named(family: str, section: object) -> object:
    """A section completed by the name it holds."""
    name = section.get("name") if isinstance(section, Mapping) else None
    return _with_options(family, name, section)


def _with_augmentations(name: object, data: object) -> object:
    """The section of the data; where it names augmentations, with the others of the task."""
    given = data.get("augment") if isinstance(data, Mapping) else None
    if not isinstance(given, Mapping) or not given or not isinstance(name, str):
        return data
    try:
        known = lookup.find("tasks", name).augmentations()
    except (UserError, AttributeError):  # not found, or a user's that has none
        return data
    return dict(data) | {"augment": filled(given, known)}


def _with_options(family: str, name: object, section: object) -> object:
    if not isinstance(section, Mapping) or not isinstance(name, str):
        return section
    try:
        known = lookup.options_of(lookup.find(family, name))
    except (UserError, TypeError, ValueError):  # not found, or nothing that is called
        return section
    defaults = {}
    for key, value in known.items():
        # No default, or a function and the like, which no config could have held.
        with contextlib.suppress(UserError, TypeError, ValueError):
            defaults[key] = values.plain(value, key)
    return filled(section, defaults)
