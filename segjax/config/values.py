"""Values of a config: read from text by the type that they replace, and made plain Python."""

import ast
import os

from segjax.errors import UserError

# Asked only where a boolean is replaced: elsewhere 1 is a number and `on` a text
WORDS = {"true": True, "yes": True, "on": True, "1": True}
WORDS |= {"false": False, "no": False, "off": False, "0": False}
PLAIN = (bool, int, float, type(None))


def literal(text: str) -> object:
    """A Python literal if the text is one, else the text itself; true, false and none any case."""
    named = {"true": True, "false": False, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    try:
        return ast.literal_eval(text)
    # All that literal_eval raises for text that is none, however long or deeply nested
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return text


def from_text(text: str, default: object) -> object:
    """What a text means where `default` stands: a string stays as it is, though it be a number.

    A text that means nothing of the default's type comes back as what it is, for the caller to
    refuse. `none` in any case is None; a string may be quoted.
    """
    if isinstance(default, bool) and text.lower() in WORDS:
        return WORDS[text.lower()]
    value = literal(text)
    if isinstance(default, str):
        # The text itself where it reads as a number: a data set named 256 keeps its name
        return value if value is None else from_home(value if isinstance(value, str) else text)
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(value)
    if isinstance(default, tuple) and isinstance(value, str):
        return _words(value) if all(isinstance(item, str) for item in default) else value
    return value


def _words(text: str) -> object:
    """`disc, cup`, with brackets or without, as a tuple of words; another text as it is."""
    words = [word.strip().strip("'\"") for word in text.strip("()[]").split(",")]
    if len(words) > 1 and not words[-1]:  # as in (disc,)
        words.pop()
    return tuple(words) if all(words) else text


def from_home(text: str) -> str:
    """The text; a path that begins in the home folder, `~/data`, is written out."""
    return os.path.expanduser(text) if text.startswith("~/") else text


def plain(value: object, where: str) -> object:
    """The value without NumPy's or JAX's types, which JSON does not hold.

    Arrays and lists become tuples, as a saved config comes back, and paths strings. UserError with
    `where` at its head for what no config holds.
    """
    # NumPy's and JAX's arrays and numbers, without importing either
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    # A ConfigDict is no dict
    if hasattr(value, "items"):
        return {_key(key, where): plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(plain(item, where) for item in value)
    if isinstance(value, str):
        return from_home(str(value))
    # bool stands before int, of which it is a kind
    for kind in PLAIN:
        if isinstance(value, kind):
            # Kinds of int and float, such as an IntEnum, become what JSON brings back
            return value if type(value) is kind else kind(value)
    raise UserError(
        f"{where}={value!r}: takes numbers, strings, booleans, None and tuples of them, "
        f"got {type(value).__name__}"
    )


def _key(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise UserError(f"{where}: its keys are strings, got {key!r}")
    return key
