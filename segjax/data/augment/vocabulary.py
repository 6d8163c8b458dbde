"""The options of augmentation: one table, which gives the defaults, range checks and docs.

Photographs and slices spell the same effects differently. Of a photograph every option is a largest
strength, and 0 is off. Of a slice one option is the probability of an effect, and the others are
its range, as in nnU-Net. `python docs/augmentation_table.py` writes the table into
`docs/augmentation.md`.
"""

import dataclasses
import math
from collections.abc import Mapping

from segjax import checks
from segjax.ops.scanline import MAX_ROTATION, MAX_SHEAR

PROBABILITY = "probability"
# The effects that move pixels; the others change values.
SPATIAL = ("flip", "transposition", "rotation", "scaling", "translation", "shear")


@dataclasses.dataclass(frozen=True)
class Option:
    """One field of `config.data.augment`.

    Attributes:
        kind: what takes it: photographs or slices.
        name: the field.
        effect: what it is an option of.
        unit: of the number.
        default: 0 for photographs, nnU-Net's value for slices.
        low, high: the range, ends included; or the name of the option that is the end.
        meaning: what the number does.
    """

    kind: str
    name: str
    effect: str
    unit: str
    default: float
    low: float | str
    high: float | str
    meaning: str


def _strength(name: str, effect: str, unit: str, high: float, meaning: str) -> Option:
    return Option("photographs", name, effect, unit, 0.0, 0, high, meaning)


def _probability(name: str, effect: str, default: float, meaning: str = "for a sample") -> Option:
    return Option("slices", name, effect, PROBABILITY, default, 0, 1, meaning)


def _level(
    name: str,
    effect: str,
    unit: str,
    default: float,
    low: float | str,
    high: float | str,
    text: str,
) -> Option:
    return Option("slices", name, effect, unit, default, low, high, text)


# Probabilities of slices are in the order of their keys: another order would be other draws.
OPTIONS = (
    _strength("flip_horizontal", "flip", PROBABILITY, 1, "x becomes w - x"),
    _strength("flip_vertical", "flip", PROBABILITY, 1, "y becomes h - y"),
    _strength("transpose", "transposition", PROBABILITY, 1, "x and y change places; square only"),
    _strength("rotate", "rotation", "degrees", MAX_ROTATION, "largest angle, either way"),
    _strength("scale", "scaling", "share", 0.9, "s: enlarged by a factor in [1 - s, 1 + s]"),
    _strength("translate", "translation", "share of a side", 1, "largest shift along each axis"),
    _strength("shear", "shear", "degrees", MAX_SHEAR, "largest angle by which columns lean"),
    _strength("brightness", "brightness", "intensity", 1, "largest value added or taken away"),
    _strength("contrast", "contrast", "share", 1, "k: times [1 - k, 1 + k] about the mean"),
    _strength("gamma", "gamma", "share", math.inf, "g: to a power in [1 / (1 + g), 1 + g]"),
    _strength("noise", "noise", "intensity", math.inf, "largest deviation"),
    _probability("rotate", "rotation", 0.2),
    _probability("scale", "scaling", 0.2),
    _probability("noise", "noise", 0.1),
    _probability("blur", "blur", 0.2, "for a sample; then for half of its channels"),
    _probability("brightness", "brightness", 0.15),
    _probability("contrast", "contrast", 0.15),
    _probability("low_resolution", "low resolution", 0.25, "as of blur"),
    _probability("inverted_gamma", "inverted gamma", 0.1),
    _probability("gamma", "gamma", 0.3),
    _probability("mirror", "flip", 0.5, "for each axis of a sample"),
    _level("rotate_degrees", "rotation", "degrees", 180.0, 0, 180, "largest angle, either way"),
    _level("scale_low", "scaling", "factor", 0.7, 0.1, "scale_high", "least; below 1 enlarges"),
    _level("scale_high", "scaling", "factor", 1.4, 0.1, 10, "largest; above 1 shows more"),
    _level("noise_variance", "noise", "deviations", 0.1, 0, math.inf, "largest deviation"),
    _level("blur_low", "blur", "pixels", 0.5, 0.1, "blur_high", "least sigma"),
    _level("blur_high", "blur", "pixels", 1.0, 0.1, 16, "largest sigma"),
    _level("brightness_low", "brightness", "factor", 0.75, 0, "brightness_high", "least"),
    _level("brightness_high", "brightness", "factor", 1.25, 0, math.inf, "largest"),
    _level("contrast_low", "contrast", "factor", 0.75, 0, "contrast_high", "least, about the mean"),
    _level("contrast_high", "contrast", "factor", 1.25, 0, math.inf, "largest, about the mean"),
    _level("zoom_low", "low resolution", "share", 0.5, 0.01, "zoom_high", "least resolution"),
    _level("zoom_high", "low resolution", "share", 1.0, 0.01, 1, "largest resolution"),
    _level("gamma_low", "gamma", "power", 0.7, 0.01, "gamma_high", "least, also of the inverted"),
    _level("gamma_high", "gamma", "power", 1.5, 0.01, math.inf, "largest, also of the inverted"),
)


def options_of(kind: str) -> dict[str, Option]:
    """What photographs or slices take, by name; in the order of `OPTIONS`."""
    return {option.name: option for option in OPTIONS if option.kind == kind}


def defaults(kind: str) -> dict[str, float]:
    """Every option of photographs or slices by name, with its default."""
    return {name: option.default for name, option in options_of(kind).items()}


def probabilities(kind: str) -> tuple[str, ...]:
    """The options that are probabilities, in the order of `OPTIONS`."""
    return tuple(n for n, option in options_of(kind).items() if option.unit == PROBABILITY)


def complete(kind: str, given: Mapping[str, float]) -> dict[str, float]:
    """The given options and the defaults of the others.

    Args:
        kind: photographs or slices.
        given: plain numbers by name.

    Returns: every option of the kind, by name.
    Empty cases: nothing given: `defaults`.
    Raises: TypeError on a name that the kind does not take, ValueError on a number out of range.
    """
    known = options_of(kind)
    for name in given:
        if name not in known:
            raise TypeError(f"`{name}` is no augmentation of {kind}: they take {', '.join(known)}")
    chosen = defaults(kind) | dict(given)
    for name, option in known.items():
        # The end of a range may be another option, as blur_low is at most blur_high; it is compared
        # as chosen, not with its default.
        low, high = (
            chosen[end] if isinstance(end, str) else end for end in (option.low, option.high)
        )
        # Infinity stands for no bound; messages should not name it
        bounds = {"least": low} | ({} if high == math.inf else {"most": high})
        checks.check(name, chosen[name], checks.number(**bounds))
    return chosen
