"""Writes the reference in docs/losses.md from the docstrings: `python docs/losses_table.py`."""

import inspect
import pathlib
import re

from segjax import losses

PAGE = pathlib.Path(__file__).with_name("losses.md")
BEGIN, END = "<!-- begin: made by docs/losses_table.py -->", "<!-- end -->"
SECTIONS = ("Source", "Departures", "Empty cases", "Cost")
HEADING = re.compile(r"(Source|Departures|Args|Returns|Empty cases|Raises|Cost):(\s|$)")


def sections(text: str) -> dict[str, str]:
    """The named paragraphs of a docstring, each on one line; `about` is what comes before them."""
    found, name = {"about": []}, "about"
    for line in text.splitlines():
        if opened := HEADING.match(line):
            name = opened.group(1)
            found[name] = [line[opened.end() :]]
        else:
            found[name].append(line)
    return {key: " ".join(" ".join(lines).split()) for key, lines in found.items()}


def entry(name: str) -> str:
    """The reference of one loss."""
    function = getattr(losses, name)
    text = inspect.getdoc(function)
    summary, *rest = text.split("\n\n")
    prose = []
    for paragraph in rest:
        if HEADING.match(paragraph):
            break
        is_equation = re.match(r"\S.{0,25} = ", paragraph)
        prose.append(f"```\n{paragraph}\n```" if is_equation else " ".join(paragraph.split()))
    parameters = inspect.signature(function).parameters.values()
    arrays = ", ".join(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
    options = ", ".join(f"{p.name}={p.default!r}" for p in parameters if p.kind is p.KEYWORD_ONLY)
    parts = sections(text)
    lines = [f"### {name}", f"`{name}({arrays}, *, {options})`", " ".join(summary.split()), *prose]
    lines += [f"*{key}:* {parts[key]}" for key in SECTIONS]
    return "\n\n".join(lines)


def reference() -> str:
    """The reference of every public loss, by name."""
    return "\n\n".join(entry(name) for name in sorted(losses.__all__))


def updated(page: str) -> str:
    """The page with its reference made anew."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{reference()}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text()))
    print(f"wrote {PAGE}")
