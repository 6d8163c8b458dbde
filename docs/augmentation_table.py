"""Writes the table in docs/augmentation.md: `python docs/augmentation_table.py`."""

import math
import pathlib

from segjax.data.augment.vocabulary import OPTIONS, Option

PAGE = pathlib.Path(__file__).with_name("augmentation.md")
BEGIN, END = "<!-- begin: made by docs/augmentation_table.py -->", "<!-- end -->"
COLUMNS = ("effect", "of", "option", "unit", "range", "default", "meaning")


def span(option: Option) -> str:
    """The range in words; an end may be another option."""
    low, high = (
        f"`{end}`" if isinstance(end, str) else f"{end:g}" for end in (option.low, option.high)
    )
    return f"from {low}" if option.high == math.inf else f"{low} to {high}"


def row(option: Option) -> str:
    """An option as a row."""
    name, default = f"`{option.name}`", f"{option.default:g}"
    cells = option.effect, option.kind, name, option.unit, span(option), default, option.meaning
    return f"| {' | '.join(cells)} |"


def table() -> str:
    """Every option, by effect."""
    effects = list(dict.fromkeys(option.effect for option in OPTIONS))
    ordered = sorted(OPTIONS, key=lambda option: effects.index(option.effect))
    head = f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"
    return "\n".join([*head, *(row(option) for option in ordered)])


def updated(page: str) -> str:
    """The page with its table made anew."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text()))
    print(f"wrote {PAGE}")
