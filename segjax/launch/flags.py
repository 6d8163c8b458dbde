"""Flags of a command as data. Imports nothing heavy."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

from segjax import checks
from segjax.train import limits


@dataclass(frozen=True)
class Flag:
    """A flag: default, help, the least value of a number, and what else argparse wants.

    The value is of the default's type; a default of True or False makes `--name` and `--no-name`.
    """

    default: object
    help: str
    least: float | None = None
    nargs: str | int | None = None
    metavar: str | None = None

    @property
    def described(self) -> str:
        """The help, with the default."""
        written = " ".join(map(str, self.default)) if self.nargs is not None else self.default
        default = f"; default: {written}" if written != "" else ""
        # argparse fills in what follows a percent sign
        return f"{self.help}{default}".replace("%", "%%")

    @property
    def settings(self) -> dict[str, object]:
        """Arguments of `add_argument`."""
        if isinstance(self.default, bool):  # --name and --no-name
            return {
                "default": self.default,
                "action": argparse.BooleanOptionalAction,
                "help": self.described,
            }
        several = self.nargs is not None
        kind = type(self.default[0]) if several else type(self.default)
        return {
            "default": self.default,
            "type": kind,
            "nargs": self.nargs,
            "metavar": self.metavar or kind.__name__.upper(),
            "help": self.described,
        }


# Of every engine that trains: the one of `segjax train`
WATCHDOG = Flag(
    limits.WATCHDOG,
    "end a point in which no step, evaluation or save ends for so many seconds, compiling "
    "included; 0: never",
    0,
    metavar="SECONDS",
)


def _wanted(flag: Flag, value: float) -> checks.Requirement:
    """What a number has to be: whole where the default is."""
    kind = checks.whole if isinstance(value, int) else checks.number
    return kind(least=flag.least)


def values_of(flags: Mapping[str, Flag], args: argparse.Namespace) -> dict[str, object]:
    """The checked values of flags, by name; UserError for a number out of range."""
    values = {}
    for name, flag in flags.items():
        value = getattr(args, name)
        for each in value if flag.nargs and value is not None else [value]:
            # A bool is an int to isinstance, and has no range
            if isinstance(each, (int, float)) and not isinstance(each, bool):
                checks.require_flag(f"--{name}", each, _wanted(flag, each))
        values[name] = value
    return values
