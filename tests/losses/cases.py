"""What the tests of every loss need to know of one loss."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """A loss with options, and on what it is tried.

    The first case of a loss goes through all tests of tests/losses/test_every_loss.py; further
    ones (other options) are held to the oracle only.

    Args:
        loss: the public name.
        options: keyword options.
        shapes: `(*s, c)` for each shape that the oracle is compared on.
        tolerance: relative, of value against oracle in float32.
        half: stated bound of the relative change when the logits are bfloat16.
        ordered: a perfect prediction costs less than a slightly wrong one, that less than all
            wrong. Losses of logits only.
    """

    loss: str
    options: Mapping = field(default_factory=dict)
    shapes: tuple[tuple[int, ...], ...] = ((8, 8, 3),)
    tolerance: float = 2e-5
    half: float = 0.02
    ordered: bool = True

    def __str__(self):
        options = ",".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.loss}({options})"
