"""The argument after the colon: `--config idrid.py:cpu,loss=softmax,seed=3`."""

from segjax.checks import nearest
from segjax.config.values import from_home, from_text
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
        # bool before all others: for Python true is also an int
        value = True if text is None else from_text(text, default)
        if isinstance(value, bool):
            return value
        raise UserError(f"config argument {part!r}: takes true or false, yes or no, on or off")
    if text is None:
        raise UserError(f"config argument {part!r}: needs a value, as in {part}={default!r}")
    value = from_home(text) if isinstance(default, str) else from_text(text, default)
    # None has no type to keep: where it is the default, anything may stand
    if default is not None and type(value) is not type(default):
        raise UserError(f"config argument {part!r}: takes {type(default).__name__}")
    return value
