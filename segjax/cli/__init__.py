"""The `segjax` command.

Exit status: 0 done; 2 the input was wrong, and one line says what; 1 anything else.
"""

import os
from collections.abc import Sequence

from segjax.cli.ending import status_of
from segjax.cli.parser import Parser, build_parser
from segjax.errors import UserError


def split_overrides(parser: Parser, unknown: Sequence[str], allowed: bool) -> dict[str, str]:
    """`--config.path=value` words as path -> text; UserError for any other leftover."""
    overrides: dict[str, str] = {}
    for word in unknown:
        path, equals, value = word.partition("=")
        if path.startswith("--config.") and allowed:
            if not equals:
                raise UserError(f"{word}: takes a value, as in {path}=1")
            overrides[path.removeprefix("--config.")] = value
        elif path.startswith("--config.") and not allowed:
            raise UserError(f"{word}: `{parser.prog}` takes the config of the work folder as it is")
        else:
            parser.check_flag(path if path.startswith("-") else word)
    return overrides


def use_compilation_cache() -> None:
    """Keeps compiled programs between runs, unless the user has said where or whether."""
    os.environ.setdefault(
        "JAX_COMPILATION_CACHE_DIR",
        os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "segjax"),
    )
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    use_compilation_cache()
    return status_of(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int | None:
    args, unknown = build_parser().parse_known_args(arguments)
    allowed = getattr(args, "takes_overrides", False)
    args.overrides = split_overrides(args.parser, unknown, allowed)
    return args.run(args)
