"""What preparations leave where no set was made, or beside one: refused, killed, or run dry."""

import os
import pathlib

from segjax.config import lookup
from segjax.data import outputs, staging
from segjax.data.folders import builder, preparing, scan

BESIDE = (preparing.SHEET, preparing.DRY_SHEET, scan.NAME)


def beside(home: pathlib.Path) -> list[pathlib.Path]:
    """The files that lie beside an own set, also half-written ones of killed processes.

    A picture of a sheet's name that segjax did not draw is none.
    """
    whole = [path for name in BESIDE if os.path.lexists(path := home / name) and _is_own(path)]
    half = [path for name in BESIDE for path in home.glob(f".{name}.*")]
    return whole + sorted(path for path in half if path.suffix[1:].isdigit())


def labels(data_dir: str) -> list[str]:
    """`set` or `set/config` of each folder where a preparation left something, or nothing.

    Whether a set lies there, too, is not asked. An empty folder counts where sets lie.
    """
    known = lookup.names("datasets")
    root = pathlib.Path(data_dir)
    found = []
    for home in sorted(path for pattern in ("*", "*/*") for path in root.glob(pattern)):
        first, *config = inside = home.relative_to(root).parts
        hidden = any(part.startswith(".") for part in inside)
        if hidden or first in builder.RESERVED or not home.is_dir():
            continue
        if staging.is_made_in(home) or not config and beside(home):
            found.append("/".join(inside))
        elif (not config or first in known) and not any(home.iterdir()):
            found.append("/".join(inside))
    return found


def _is_own(path: pathlib.Path) -> bool:
    return path.name == scan.NAME or path.is_symlink() or outputs.is_own(path)
