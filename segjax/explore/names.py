"""Losses by their names, and what to say where people write them in another way."""

import pathlib
import re

from segjax.config import lookup
from segjax.errors import UserError

OWN = "one of your own is written package.module:loss"


def find_loss(name: str, path: str = "") -> object:
    """`lookup.find` of a loss; its UserError says how the name is written, where that is plain."""
    try:
        return lookup.find("losses", name, path)
    except UserError as error:
        where = f"{path}={name!r}" if path else f"{name!r}"
        known = lookup.names("losses")
        if hint := as_module(name) or _hint(name, known):
            raise UserError(f"{where}: {hint}") from error
        # One of segjax's own, misspelt, needs no more
        if ":" in name or "did you mean" in str(error):
            raise
        raise UserError(f"{error}; {OWN}") from error


def check_alone(name: str) -> None:
    """UserError for options beside the name of a loss that is checked, and for `all`."""
    if name == "all":
        raise UserError("'all': without a name all losses are checked")
    before, equals, value = name.partition("=")
    if not equals:
        return
    # dice:squared=True, dice,squared=True, mine:loss:power=2, mine:loss(power=2)
    *parts, option = re.split(r"[:,(]", before)
    loss = ":".join(parts)
    if not loss and value in lookup.names("losses"):
        raise UserError(f"{name!r}: a loss is named alone, {value!r}")
    alone = f"a loss is named alone, {loss!r}, and checked with its default options"
    raise UserError(
        f"{name!r}: {alone if loss else 'is no name of a loss'}; put `{option}` beside the arrays "
        "in the dict that --example MODULE:FUNCTION gives"
    )


def as_module(name: str) -> str:
    """What to say where a file is named in place of a module: `a/mine.py:loss`; '' else."""
    file, colon, attribute = name.partition(":")
    path = pathlib.PurePath(file)
    if path.suffix != ".py" and "/" not in file:
        return ""
    # Of a folder below the current one the path is that of a package
    below = not path.is_absolute() and ".." not in path.parts
    module = ".".join(path.with_suffix("").parts if below else [path.stem])
    place = "" if below else ", from the folder that holds it"
    return f"takes a module in place of a file: '{module}:{attribute or 'loss'}'{place}"


def _hint(name: str, known: list[str]) -> str:
    """How what was meant is written; '' where nobody can tell."""
    first, colon, rest = name.partition(":")
    several = re.split(r"[,+]", name)
    if len(several) > 1 and all(one in known or ":" in one for one in several):
        return f"names stand apart: {' '.join(several)}"
    if colon and first in known:
        return f"a loss is named alone, {first!r}"
    if name.endswith(":") or name.startswith(":") or ":" in rest:
        return OWN
    module, dot, last = name.rpartition(".")
    if not dot or colon:
        return ""
    return f"did you mean {last!r}?" if last in known else f"{OWN}, as in '{module}:{last}'"
