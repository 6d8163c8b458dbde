"""The engines of sweeps that a command line may name."""

import pathlib
from collections.abc import Mapping, Sequence

from segjax.config import files, lookup, modules
from segjax.errors import UserError
from segjax.launch.flags import Flag

# What the parser keeps beside the flags
TAKEN = ("command", "overrides", "parser", "run")


def sweep_engines(arguments: Sequence[str]) -> dict[str, type]:
    """The engines by name: segjax's, and one of the user's that the command line names."""
    names, words = lookup.names("engines"), list(arguments)
    # Read by hand, before there is a parser: its flags are those of the engines
    own = [name for name in _values("--engine", words) if ":" in name]
    if own and (file := _experiment(words)):
        modules.enter(file)
    found = {name: lookup.find("engines", name, "--engine") for name in [*names, *own]}
    for name in own:
        _check(name, found[name])
    return found


def _experiment(words: Sequence[str]) -> pathlib.Path | None:
    """The experiment file that the command line names, beside which an engine may lie."""
    given = _values("--config", words)
    file = files.split_name(given[-1])[0] if given else None
    return file.resolve() if file is not None and file.is_file() else None


def _values(flag: str, words: Sequence[str]) -> list[str]:
    """All that a flag is given, before there is a parser."""
    joined = [word.removeprefix(f"{flag}=") for word in words if word.startswith(f"{flag}=")]
    apart = [after for word, after in zip(words, words[1:], strict=False) if word == flag]
    return joined + apart


def _check(name: str, engine: object) -> None:
    """UserError unless a user's engine has what `launch/engines/base.py` says."""
    lacking = [part for part in ("flags", "check", "run") if not hasattr(engine, part)]
    if not isinstance(engine, type) or lacking:
        what = f"has no {lacking[0]}" if lacking else "is no class"
        raise UserError(f"--engine {name}: {what}; launch/engines/base.py says what an engine is")
    described = isinstance(engine.flags, Mapping)
    if not described or not all(isinstance(about, Flag) for about in engine.flags.values()):
        raise UserError(
            f"--engine {name}: its flags are no mapping of names to Flag (launch/flags.py)"
        )
    for flag, about in engine.flags.items():
        if not flag.isidentifier() or flag in TAKEN or about.default is None:
            raise UserError(
                f"--engine {name}: its flag {flag!r} takes a name of letters and underscores, "
                f"none of {', '.join(TAKEN)}, and a default that is not None"
            )
