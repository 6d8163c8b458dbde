"""Options that the sections of a saved config lack: of its task, model, losses and so on.

A section names a thing and holds its options (`config/lookup.py`). A thing may have gained options
since the config was saved; these are added at their defaults, which is what it ran with.
"""

import contextlib
from collections.abc import Mapping

from segjax.config import lookup, values
from segjax.config.durations import siblings
from segjax.errors import UserError

# Sections that name one thing each, and where it is looked for.
SECTIONS = {"model": "models", "optimizer": "optimizers", "schedule": "schedules"}
# What a term of the loss may hold as a section of its own, and where it is looked for.
IN_TERMS = {"weight": "weights", "maps": "maps"}


def completed(config: Mapping) -> dict:
    """A config with every option of the things that it names.

    Left as they are: sections that name nothing which can be found, as a user's module that is
    gone (who uses them says so), and options without default, or with one that no config holds.
    """
    made = dict(config)
    if "task_options" in config:
        made["task_options"] = _with_options("tasks", config.get("task"), config["task_options"])
    made |= {key: _named(family, made[key]) for key, family in SECTIONS.items() if key in made}
    if isinstance(config.get("loss"), Mapping):
        made["loss"] = {name: _term(term) for name, term in config["loss"].items()}
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
