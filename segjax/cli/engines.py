"""The engines of sweeps that a command line may name."""

from collections.abc import Sequence

from segjax.config import lookup


def sweep_engines(arguments: Sequence[str]) -> dict[str, type]:
    """The engines by name: segjax's, and one of the user's that the command line names."""
    names, words = lookup.names("engines"), list(arguments)
    # Read by hand, before there is a parser: its flags are those of the engines
    given = [word.removeprefix("--engine=") for word in words if word.startswith("--engine=")]
    given += words[words.index("--engine") + 1 :][:1] if "--engine" in words else []
    names += [name for name in given if ":" in name]
    return {name: lookup.find("engines", name, "--engine") for name in names}
