"""The string behind the colon: `--config idrid.py:cpu,loss=softmax,seed=3`."""

import ast

from segjax.config.lookup import nearest
from segjax.errors import UserError


def parse_arg(arg: str | None, **defaults: object) -> dict[str, object]:
    """Reads `key=value` pairs separated by commas, each typed as its default.

    A bare `key` switches a boolean on. UserError for an unknown key or a value of another type.

    Example:
        >>> parse_arg("cpu,seed=3", cpu=False, seed=0)
        {'cpu': True, 'seed': 3}
    """
    values = dict(defaults)
    for part in filter(None, (piece.strip() for piece in (arg or "").split(","))):
        key, equals, text = part.partition("=")
        if key not in defaults:
            raise UserError(
                f"config argument {part!r}: no such key{nearest(key, defaults)} "
                f"It takes: {', '.join(defaults)}"
            )
        values[key] = _typed(part, text if equals else None, defaults[key])
    return values


def _typed(part: str, text: str | None, default: object) -> object:
    if isinstance(default, bool):
        if text is None or text.lower() in ("true", "1"):
            return True
        if text.lower() in ("false", "0"):
            return False
        raise UserError(f"config argument {part!r}: takes true or false")
    if text is None:
        raise UserError(f"config argument {part!r}: needs a value, as in {part}={default!r}")
    if isinstance(default, str):
        return text
    if default is None:
        return literal(text)
    try:
        return type(default)(text)
    except ValueError as error:
        raise UserError(f"config argument {part!r}: takes {type(default).__name__}") from error


def literal(text: str) -> object:
    """A Python literal if the text is one, else the text itself; true, false and none any case."""
    named = {"true": True, "false": False, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
