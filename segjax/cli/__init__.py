"""The `segjax` command.

Exit status: 0 done; 2 the input was wrong, and one line says what; 1 anything else.
"""

import os
import re
import sys
from collections.abc import Sequence

from segjax.cli.ending import status_of
from segjax.cli.flags import Parser
from segjax.cli.parser import build_parser
from segjax.config import modules
from segjax.errors import UserError

# XLA works for a device with five threads at most, the one that launches and four helpers: with six
# each, one is always free.
THREADS_A_DEVICE = 6


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
    # By default JAX leaves out what compiles in less than a second
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")


def allow_simulated_devices() -> None:
    """Gives XLA threads enough for several simulated CPU devices, unless the user has set NPROC.

    XLA's pool has a thread for each core or device, whichever are more. Devices that wait for the
    others in a sum over all of them keep their threads; where none is left for the work of the
    last device, XLA ends the process after 40 seconds. The variable NPROC sets the size of the
    pool. It is read when JAX first looks for devices, so this comes before.
    """
    devices = simulated_devices()
    if devices > 1:
        threads = max(os.cpu_count() or 1, THREADS_A_DEVICE * devices)
        os.environ.setdefault("NPROC", str(threads))


def simulated_devices() -> int:
    """How many CPU devices JAX was asked for, by a variable or in its config; 1 if by none."""
    flag = re.search(r"xla_force_host_platform_device_count=(\d+)", os.environ.get("XLA_FLAGS", ""))
    asked = [flag[1] if flag else "1", os.environ.get("JAX_NUM_CPU_DEVICES", "1")]
    # Not imported for this: only a program that has JAX already can have set its config
    if jax := sys.modules.get("jax"):
        asked.append(str(jax.config.jax_num_cpu_devices))
    return max(int(number) for number in asked if number.lstrip("-").isdigit())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    use_compilation_cache()
    allow_simulated_devices()
    modules.enter(None)
    return status_of(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int | None:
    words = sys.argv[1:] if arguments is None else list(arguments)
    # Fields of the config are no flags of the parser: what it does not know is read after it
    args, unknown = build_parser(words).parse_known_args(words)
    allowed = getattr(args, "takes_overrides", False)
    args.overrides = split_overrides(args.parser, unknown, allowed)
    return args.run(args)
