"""The parser of flags, which says what is wrong in one line."""

import argparse
import os
import pathlib

from segjax import checks
from segjax.checks import nearest
from segjax.errors import UserError
from segjax.train import limits


def a_path(text: str) -> pathlib.Path:
    """A path; `~` is the home folder, also where no shell has replaced it, as in --flag=~/x."""
    return pathlib.Path(os.path.expanduser(text))


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the nearest flag."""

    def __init__(self, *args, **kwargs):
        super().__init__(
            *args,
            # Or --work would do for --workdir, until a second flag begins like it
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **kwargs,
        )

    def error(self, message: str):
        raise UserError(f"{message} (see `{self.prog} --help`)")

    def parse_known_args(self, args=None, namespace=None):
        """Names an unknown flag before argparse complains of what its misspelling left out."""
        # Only of a subcommand: the whole command does not know the flags after it
        if self.get_default("run"):
            for word in args or ():
                flag = word.partition("=")[0]
                if flag.startswith("--") and not flag.startswith("--config."):
                    self.check_flag(flag)
        return super().parse_known_args(args, namespace)

    def check_flag(self, flag: str) -> None:
        """UserError with the nearest flag unless this parser takes `flag`."""
        flags = [option for action in self._actions for option in action.option_strings]
        if flag not in flags:
            hint = nearest(flag, flags)
            if hint == "." and self.get_default("takes_overrides"):
                hint = (
                    "; fields of the config are set by --config.PATH, such as --config.train.steps"
                )
            raise UserError(f"{flag}: `{self.prog}` has no such flag{hint}")

    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:
            name = "/".join(action.option_strings) or action.metavar or action.dest
            raise UserError(
                f"{name} {value!r}: `{self.prog}` has no such choice"
                f"{nearest(value, action.choices)} "
                f"It has: {', '.join(map(str, action.choices))}"
            )


def add_watchdog(parser: argparse.ArgumentParser) -> None:
    """The flag of what ends a training that hangs."""
    parser.add_argument(
        "--watchdog",
        type=float,
        default=limits.WATCHDOG,
        metavar="SECONDS",
        help="end with status 1 when no step, evaluation or save ends for so long, compiling "
        "included; 0: never; "
        f"default: {limits.WATCHDOG}",
    )


def check_watchdog(args: argparse.Namespace) -> None:
    """UserError unless its value makes sense."""
    checks.require_flag("--watchdog", args.watchdog, checks.number(least=0))
