"""Agreement of raters beyond chance, and of the sets of regions that they mark."""

import math
from collections import Counter
from collections.abc import Collection, Hashable, Iterable

import numpy as np
from numpy.typing import ArrayLike


def cohen_kappa(a: Iterable[Hashable], b: Iterable[Hashable]) -> float:
    """Agreement of two raters on the category of each item, beyond chance; 1 is perfect, 0 chance.

    kappa = (p_o - p_e) / (1 - p_e), p_o the share of items on which they agree and
    p_e = sum_k p_a(k) p_b(k), the shares of category k among the ratings of each.

    Source: Cohen (1960). Departures: none.

    Args:
        a: the category of each item by one rater: numbers, names or anything hashable.
        b: the categories of the same items by the other.

    Returns: kappa in [-1, 1]; below 0 they agree less than by chance.
    Empty cases: nan where chance alone agrees always (p_e = 1): both put every item into one
        and the same category, which tells nothing of how they would rate another.
    Raises: ValueError without items, on unequal lengths, or on categories that are nan or not
        hashable.
    Cost: O(items).
    """
    a, b = _categories("a", a), _categories("b", b)
    if len(a) != len(b):
        raise ValueError(f"`a` and `b` take as many categories each, got {len(a)} and {len(b)}")
    items, of_a, of_b = len(a), Counter(a), Counter(b)
    # Whole numbers: p_e = 1 is then exact
    agreed = items * sum(x == y for x, y in zip(a, b, strict=True))
    chance = sum(count * of_b[category] for category, count in of_a.items())
    return _beyond_chance(agreed, chance, items**2)


def fleiss_kappa(counts: ArrayLike) -> float:
    """Agreement of several raters on the category of each item, beyond chance; 1 is perfect.

    kappa = (P - P_e) / (1 - P_e), with n_ij the raters who put item i into category j, N items and
    n raters: P = (1/N) sum_i (sum_j n_ij^2 - n) / (n (n - 1)), P_e = sum_j (sum_i n_ij / (N n))^2.

    With two raters it is Scott's pi, not Cohen's kappa: raters are not told apart, and may be
    others for each item.

    Source: Fleiss (1971). Departures: none.

    Args:
        counts: whole numbers [items, categories], how many raters put the item into the category;
            as many raters for every item.

    Returns: kappa in [-1 / (n - 1), 1].
    Empty cases: nan where every rater puts every item into one category (P_e = 1), as
        `cohen_kappa`.
    Raises: ValueError on another rank, no items, counts that are no whole numbers of at least 0,
        items with different numbers of raters, or fewer than two raters.
    Cost: O(items categories).
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or not counts.size:
        raise ValueError(f"`counts` takes [items, categories], got shape {counts.shape}")
    real = np.issubdtype(counts.dtype, np.number) and np.isrealobj(counts)
    if not real or not np.all(np.isfinite(counts) & (counts >= 0) & (counts == np.floor(counts))):
        raise ValueError("`counts` takes whole numbers of at least 0")
    counts = counts.astype(np.int64)
    raters = counts.sum(axis=1)
    if np.any(raters != raters[0]):
        item = int(np.flatnonzero(raters != raters[0])[0])
        raise ValueError(
            f"`counts` takes as many raters for every item, got {raters[0]} for item 0 and "
            f"{raters[item]} for item {item}"
        )
    items, n = len(counts), int(raters[0])
    if n < 2:
        raise ValueError(f"`counts` takes at least two raters for every item, got {n}")
    pairs = int(np.sum(counts**2)) - items * n
    chance = sum(int(total) ** 2 for total in counts.sum(axis=0))
    # Both over the denominator (N n)^2 (n - 1): whole numbers, so that P_e = 1 is exact
    return _beyond_chance(pairs * items * n, chance * (n - 1), (items * n) ** 2 * (n - 1))


def set_jaccard(a: Collection[Hashable], b: Collection[Hashable]) -> float:
    """Jaccard index of two sets, such as the regions that two annotators marked; 1 is the same.

    J = |A and B| / |A or B|

    Source: Jaccard (1912). Departures: none.

    Args:
        a: a collection of names or anything hashable; repetitions and order do not matter.
        b: the other.

    Returns: J in [0, 1].
    Empty cases: both empty gives 1: they agree that there is nothing.
    Raises: ValueError on a text, whose members are its letters.
    Cost: O(members).
    """
    for name, given in (("a", a), ("b", b)):
        if isinstance(given, str):
            raise ValueError(f"`{name}` takes a collection of names, got the text {given!r}")
    a, b = set(a), set(b)
    return len(a & b) / len(a | b) if a or b else 1.0


def _beyond_chance(agreed: int, chance: int, total: int) -> float:
    return (agreed - chance) / (total - chance) if chance < total else math.nan


def _categories(name: str, ratings: Iterable[Hashable]) -> list[Hashable]:
    ratings = ratings.tolist() if isinstance(ratings, np.ndarray) else list(ratings)
    if not ratings:
        raise ValueError(f"`{name}` takes one category per item, got none")
    for rating in ratings:
        # nan is no category: it is not equal to itself
        if not _hashable(rating) or rating != rating:
            raise ValueError(f"`{name}` takes one hashable category per item, got {rating!r}")
    return ratings


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
