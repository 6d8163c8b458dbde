"""Values in YAML that is written as text, for a file that people read keeps its comments."""

import json
import re

# What no reader of YAML takes for a number, a truth or the start of something else
PLAIN = re.compile(r"[A-Za-z/][\w./@-]*(:[\w./@-]+)*", re.ASCII)
WORDS = {"true", "false", "yes", "no", "on", "off", "y", "n", "null", "none"}


def scalar(value: str) -> str:
    """Text on one line, in quotes where it needs them."""
    if PLAIN.fullmatch(value) and value.lower() not in WORDS:
        return value
    return json.dumps(value, ensure_ascii=not value.isprintable())


def indented(text: str, width: int) -> str:
    """Every line moved to the right, but the first."""
    return text.replace("\n", "\n" + " " * width)
