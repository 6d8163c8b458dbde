"""Which photographs are healthy: by a field of the data set and one of its values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from segjax.checks import nearest
from segjax.errors import UserError


@dataclass(frozen=True)
class HealthyRule:
    """`FIELD=VALUE`, such as grade=0 or diagnosis=none.

    Attributes:
        text: as it was written.
        field: of the data set.
        value: that healthy ones have there: a number, or the name of a class.
    """

    text: str
    field: str
    value: str

    def number(self, features: Mapping[str, Any]) -> float:
        """What healthy examples hold in the field.

        The value is one of the names of classes, where the field has such: a grade that is called
        1 may be stored as 0. It is the index of a class where no name is a number.

        Raises: UserError for a field that does not hold one number, and a value that it never has.
        """
        told = features[self.field]
        if told.shape or not np.issubdtype(told.np_dtype, np.number):
            raise UserError(f"{self._where}: {self.field!r} does not hold one number")
        names = list(getattr(told, "names", None) or ())
        if self.value in names:
            return float(names.index(self.value))
        number = _number(self.value)
        if number is None or any(_number(name) is not None for name in names):
            known = f"It has: {', '.join(names)}" if names else "It holds numbers"
            raise UserError(
                f"{self._where}: {self.field!r} has no value {self.value!r}"
                f"{nearest(self.value, names)} {known}"
            )
        return number

    @property
    def _where(self) -> str:
        return f"config.task_options.healthy={self.text!r}"


def read_rule(text: str) -> HealthyRule | None:
    """The rule that a config names; None for an empty text; UserError for what is none."""
    if not text:
        return None
    field, _, value = (part.strip() for part in text.partition("="))
    if not (field and value):
        raise UserError(f"config.task_options.healthy={text!r}: takes FIELD=VALUE, such as grade=0")
    return HealthyRule(text, field, value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
