"""A config as lines to read, and to take words of the command line from."""

from collections.abc import Iterator, Mapping

from ml_collections import ConfigDict


def lines(config: ConfigDict) -> Iterator[str]:
    """`config.path = value` for each field, values as Python writes them.

    `--config.path=value` sets the field to the same value. Empty sections, in which nothing can be
    set, have no line.
    """
    # In the order of config.json, which `items()` of a ConfigDict does not keep.
    return _lines(config.to_dict(), "config")


def _lines(section: Mapping, path: str) -> Iterator[str]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _lines(value, f"{path}.{key}")
        else:
            yield f"{path}.{key} = {value!r}"
