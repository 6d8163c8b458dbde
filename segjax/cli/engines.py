"""The engines of sweeps that a command line may name."""

from collections.abc import Sequence

from segjax.config import lookup
from segjax.errors import UserError

# What the parser keeps beside the flags
TAKEN = ("command", "overrides", "parser", "run")


def sweep_engines(arguments: Sequence[str]) -> dict[str, type]:
    """The engines by name: segjax's, and one of the user's that the command line names."""
    names, words = lookup.names("engines"), list(arguments)
    # Read by hand, before there is a parser: its flags are those of the engines
    given = [word.removeprefix("--engine=") for word in words if word.startswith("--engine=")]
    given += words[words.index("--engine") + 1 :][:1] if "--engine" in words else []
    own = [name for name in given if ":" in name]
    found = {name: lookup.find("engines", name, "--engine") for name in [*names, *own]}
    for name in own:
        _check(name, found[name])
    return found


def _check(name: str, engine: object) -> None:
    """UserError unless a user's engine has what `launch/engines/base.py` says."""
    lacking = [part for part in ("flags", "check", "run") if not hasattr(engine, part)]
    if not isinstance(engine, type) or lacking:
        what = f"has no {lacking[0]}" if lacking else "is no class"
        raise UserError(f"--engine {name}: {what}; launch/engines/base.py says what an engine is")
    for flag, about in engine.flags.items():
        if not flag.isidentifier() or flag in TAKEN or about.default is None:
            raise UserError(
                f"--engine {name}: its flag {flag!r} takes a name of letters and underscores, "
                f"none of {', '.join(TAKEN)}, and a default that is not None"
            )
