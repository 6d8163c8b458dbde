"""Losses at every resolution of a decoder: the fields of each, with their weights."""

from collections.abc import Mapping, Sequence

from segjax.models.plain_unet import deep_supervision_weights
from segjax.types import Array

Scales = tuple[tuple[float, Mapping[str, Array]], ...]


def scales(named: Mapping[str, Array], deep_logits: Sequence[Array]) -> Scales:
    """(weight, fields) of the full resolution and of each deeper head, for `combine_scales`.

    Every field but the logits, `[b, *s]` or `[b, *s, c]`, is brought to a head's resolution by
    taking the pixel at the middle of each block (index f // 2 of f), so that labels stay labels and
    maps stay the maps of those labels. Weights halve from head to head; the lowest head has none.

    Source: nnU-Net (Isensee et al. 2021): weights 1 / 2^i, targets by nearest neighbour.
    Departures: none.

    Args:
        named: `logits` [b, *s, c] and the other fields at their resolution.
        deep_logits: logits of the lower resolutions, finest first.

    Raises: ValueError when a head's size is not a whole fraction of the full one.
    """
    weights = deep_supervision_weights(1 + len(deep_logits))
    size = named["logits"].shape[1:-1]
    found = [(weights[0], named)]
    for weight, logits in zip(weights[1:], deep_logits, strict=True):
        factors = _factors(size, logits.shape[1:-1])
        rest = {key: value for key, value in named.items() if key != "logits"}
        found.append((weight, {"logits": logits} | _taken(rest, factors)))
    return tuple(found)


def _factors(size: Sequence[int], smaller: Sequence[int]) -> tuple[int, ...]:
    if any(whole % part for whole, part in zip(size, smaller, strict=True)):
        raise ValueError(
            f"deep supervision takes an image size {tuple(size)} that the strides divide, "
            f"got a head of {tuple(smaller)}"
        )
    return tuple(whole // part for whole, part in zip(size, smaller, strict=True))


def _taken(fields: Mapping[str, Array], factors: Sequence[int]) -> dict[str, Array]:
    index = (slice(None), *(slice(f // 2, None, f) for f in factors))
    return {name: array[index] for name, array in fields.items()}
