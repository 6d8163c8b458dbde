"""Static checks: they look at shapes and dtypes only, so they also fire while tracing."""

import jax.numpy as jnp

from segjax.types import Array


def check_rank(name: str, array: Array, *ranks: int) -> None:
    """Raises ValueError unless `array` has one of `ranks` axes."""
    if array.ndim not in ranks:
        wanted = " or ".join(str(rank) for rank in ranks)
        raise ValueError(f"`{name}` takes {wanted} axes, got shape {tuple(array.shape)}")


def check_shape(name: str, array: Array, shape: tuple[int | None, ...]) -> None:
    """Raises ValueError unless `array` has `shape`; None stands for any length."""
    got = tuple(array.shape)
    if len(got) != len(shape) or any(w not in (None, g) for g, w in zip(got, shape, strict=True)):
        wanted = "[" + ", ".join("any" if w is None else str(w) for w in shape) + "]"
        raise ValueError(f"`{name}` takes shape {wanted}, got {got}")


def check_floating(name: str, array: Array) -> None:
    """Raises TypeError unless `array` is floating point."""
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"`{name}` takes floating-point values, got {array.dtype}")


def check_option(name: str, value: object, options: tuple) -> None:
    """Raises ValueError unless `value` is one of `options`."""
    if value not in options:
        raise ValueError(f"`{name}` takes one of {list(options)}, got {value!r}")
