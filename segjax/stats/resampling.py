"""Statistics of finished runs, on the host: a paired test, an interval, a correction."""

import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from segjax import checks

# Resamples are made in blocks of about this many numbers, whatever the number of cases.
BLOCK = 2**22


def paired_permutation_test(
    a: ArrayLike,
    b: ArrayLike,
    *,
    resamples: int = 10000,
    seed: int = 0,
    clusters: ArrayLike | None = None,
) -> float:
    """Two-sided p-value of the mean difference of paired values, under random signs.

    p = share of sign assignments whose |mean difference| reaches the observed one. All 2^n are
    counted when 2^n <= resamples (exact); otherwise `resamples` random ones are, and
    p = (k + 1) / (resamples + 1), which counts the observed one and is never 0.

    Source: Fisher's randomisation test; the + 1 after Phipson and Smyth (2010).
    Departures: none.

    Args:
        a: one value per case.
        b: the values of the same cases under the other condition.
        resamples: number of random sign assignments, and the limit of the exact test.
        seed: of the random signs.
        clusters: what each case belongs to, as a patient; the cases of one change sign together,
            and n is the number of clusters. None: each case is its own.

    Returns: p in (0, 1]. With n pairs it cannot fall below 2 / 2^n.
    Empty cases: all differences 0 gives 1.
    Raises: ValueError without pairs, on unequal lengths, on values that are not finite, or on
        resamples below 1.
    Cost: O(n min(2^n, resamples)) time; memory is bounded.
    """
    a, b = _values("a", a), _values("b", b)
    if a.shape != b.shape:
        raise ValueError(f"`a` and `b` take as many values each, got {a.size} and {b.size}")
    _check_resamples(resamples)
    difference = _sums(a - b, _places(clusters, a.size))
    # Sums in another order differ in the last bits: such ties count as reached.
    reached = abs(difference.sum()) - 1e-9 * np.abs(difference).sum()
    # Assignments of signs are numbered by the bits of an int64.
    exact = difference.size < 63 and 2**difference.size <= resamples
    generator, places = np.random.default_rng(seed), np.arange(difference.size)
    total, hits = 2**difference.size if exact else resamples, 0
    for start, rows in _blocks(total, difference.size):
        # Bit k of an assignment's number is the sign of case k.
        if exact:
            bits = np.arange(start, start + rows)[:, None] >> places[None, :] & 1
        else:
            bits = generator.integers(0, 2, (rows, difference.size), np.int8)
        hits += np.count_nonzero(np.abs((1.0 - 2.0 * bits) @ difference) >= reached)
    return float(hits / total if exact else (hits + 1) / (total + 1))


def bootstrap_interval(
    values: ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 10000,
    seed: int = 0,
    statistic: Callable[..., np.ndarray] = np.mean,
    clusters: ArrayLike | None = None,
) -> tuple[float, float]:
    """Bootstrap confidence interval of a statistic: bias-corrected and accelerated (BCa).

    Source: Efron (1987), as in `scipy.stats.bootstrap`.
    Departures: where BCa is not defined (no resample falls below the statistic, or leaving any one
    value out changes nothing) the percentile interval is returned.

    Args:
        values: one value per case or seed.
        confidence: level, between 0 and 1.
        resamples: number of bootstrap samples.
        seed: of the samples.
        statistic: takes an array and `axis`, like `np.mean` and `np.median`.
        clusters: what each value belongs to, as a patient; whole clusters are drawn, and the
            statistic is the mean over all values drawn. None: each value is its own.

    Returns: (low, high).
    Empty cases: one value or cluster, or values all equal, give the degenerate interval (v, v) at
        the statistic: it says that nothing is known of the spread, not that there is none.
    Raises: ValueError without values, on values that are not finite, on an option out of range, or
        on clusters with another statistic than the mean.
    Cost: O(n resamples) time; memory is bounded.
    """
    values = _values("values", values)
    _check_resamples(resamples)
    checks.check("confidence", confidence, checks.number(above=0, below=1))
    places = _places(clusters, values.size)
    if places is not None and statistic is not np.mean:
        raise ValueError("`clusters` takes the mean as `statistic`")
    if np.all(values == values[0]) or (places is not None and not places.any()):
        value = float(statistic(values, axis=-1))
        return value, value
    data, taken = (values,), statistic
    if places is not None:
        data, taken = (_sums(values, places), np.bincount(places).astype(np.float64)), _ratio
    # Imported here: scipy.stats alone takes longer to import than the rest of the package.
    from scipy import stats

    for method in ("BCa", "percentile"):
        with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            # The generator is made anew, so that either method sees the same resamples.
            interval = stats.bootstrap(
                data,
                taken,
                paired=len(data) > 1,
                n_resamples=resamples,
                batch=max(1, BLOCK // values.size),
                vectorized=True,
                confidence_level=confidence,
                method=method,
                rng=np.random.default_rng(seed),
            ).confidence_interval
        if np.isfinite(interval.low) and np.isfinite(interval.high):
            break
    return float(interval.low), float(interval.high)


def _ratio(sums: np.ndarray, counts: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.sum(sums, axis=axis) / np.sum(counts, axis=axis)


def _mean(column: np.ndarray) -> np.ndarray:
    return np.mean(column, axis=-1)


def crossed_bootstrap_interval(
    *columns: ArrayLike,
    statistic: Callable[..., np.ndarray] = _mean,
    confidence: float = 0.95,
    resamples: int = 10000,
    seed: int = 0,
    unknown: bool = False,
    clusters: ArrayLike | None = None,
) -> tuple[float, float]:
    """Percentile bootstrap interval over two crossed sources of chance: seeds and cases.

    Each resample draws seeds and cases with replacement, takes the statistic of each drawn seed
    over the drawn cases, and averages it over the drawn seeds.

    Source: Owen (2007), the pigeonhole bootstrap; conservative for crossed data. Departures: none.

    Args:
        columns: what the statistic takes, `[seeds, cases]` each, the same cases under every seed.
        statistic: from columns `[..., cases]` to `[...]`, as in `metrics/statistics.py`; the mean.
        confidence: level, between 0 and 1.
        resamples: number of bootstrap samples.
        seed: of the samples.
        unknown: whether values may be infinite or nan, which the statistic sees to.
        clusters: what each case belongs to, as a patient; whole clusters are drawn, as many as
            there are. None: each case is its own.

    Returns: (low, high).
    Empty cases: one seed gives an interval over cases only; equal values the degenerate interval.
        Resamples on which the statistic is not defined (nan) are left out.
    Raises: ValueError on another rank, columns of different shapes, no values, or values that are
        not finite without `unknown`.
    Cost: O(seeds cases resamples) times that of the statistic; memory is bounded.
    """
    tables = _tables(columns, unknown)
    _check_resamples(resamples)
    seeds, cases = tables[0].shape
    generator = np.random.default_rng(seed)
    places = _places(clusters, cases)
    values = np.empty((resamples, seeds))
    for start, rows in _blocks(resamples, cases):
        for some, drawn in _resamples(generator, rows, cases, places):
            each = [statistic(*(table[k][drawn] for table in tables)) for k in range(seeds)]
            values[start + some] = np.stack(each, axis=-1)
    # Seeds are drawn apart from cases: each drawn seed sees the same drawn cases.
    drawn_seeds = generator.multinomial(seeds, np.full(seeds, 1 / seeds), resamples)
    results = np.sum(drawn_seeds * values, axis=1) / seeds
    low, high = np.nanquantile(results, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _resamples(
    generator: np.random.Generator, rows: int, cases: int, places: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Numbers of resamples below `rows`, and the cases that each draws, [resamples, cases].

    Without clusters all together; with clusters those together that draw equally many cases.
    """
    units = cases if places is None else int(places.max()) + 1
    counts = generator.multinomial(units, np.full(units, 1 / units), rows)
    # Every row of counts adds up to the number of units, so the repeated ones fill a rectangle
    drawn = np.repeat(np.tile(np.arange(units), rows), counts.ravel()).reshape(rows, units)
    if places is None:
        yield np.arange(rows), drawn
        return
    sizes = np.bincount(places)
    order = np.argsort(places, kind="stable")
    members = np.full((units, sizes.max()), -1)
    members[np.sort(places), np.concatenate([np.arange(size) for size in sizes])] = order
    lengths = sizes[drawn].sum(axis=1)
    for length in np.unique(lengths):
        some = np.flatnonzero(lengths == length)
        padded = members[drawn[some]].reshape(len(some), -1)
        yield some, padded[padded >= 0].reshape(len(some), length)


def paired_statistic_test(
    a: Sequence[ArrayLike],
    b: Sequence[ArrayLike],
    statistic: Callable[..., np.ndarray],
    *,
    resamples: int = 10000,
    seed: int = 0,
    unknown: bool = False,
    clusters: ArrayLike | None = None,
) -> float:
    """Two-sided p-value of the difference of a statistic, under random exchanges of cases.

    A case's values under the two conditions are exchanged, in all columns and under every seed at
    once, with probability one half; p is the share of exchanges whose |difference| reaches the
    observed one, as in `paired_permutation_test`, with which it agrees for means.

    Source: Fisher's randomisation test; the + 1 after Phipson and Smyth (2010).
    Departures: none.

    Args:
        a: columns `[seeds, cases]` of one condition.
        b: those of the other, of the same cases and as many seeds.
        statistic: from columns `[..., cases]` to `[...]`; averaged over the seeds.
        resamples: number of random exchanges, and the limit of the exact test.
        seed: of the exchanges.
        unknown: whether values may be infinite or nan, which the statistic sees to.
        clusters: what each case belongs to, as a patient; the cases of one are exchanged together.
            None: each case is its own.

    Returns: p in (0, 1].
    Empty cases: an exchange under which the statistic is not defined counts as reaching.
    Raises: as `paired_permutation_test`, and ValueError where the observed difference is nan.
    Cost: O(seeds cases resamples) times that of the statistic; memory is bounded.
    """
    left, right = _tables(a, unknown), _tables(b, unknown)
    if [x.shape for x in left] != [x.shape for x in right]:
        raise ValueError("`a` and `b` take columns of the same shapes")
    _check_resamples(resamples)
    seeds, cases = left[0].shape

    def difference(exchanged: np.ndarray) -> np.ndarray:
        total = 0.0
        for k in range(seeds):
            pairs = [(x[k], y[k]) for x, y in zip(left, right, strict=True)]
            first = [np.where(exchanged, y, x) for x, y in pairs]
            second = [np.where(exchanged, x, y) for x, y in pairs]
            total = total + statistic(*first) - statistic(*second)
        return total / seeds

    observed = float(difference(np.zeros((1, cases), bool))[0])
    if not np.isfinite(observed):
        raise ValueError("`statistic` is not defined on the cases given")
    # Ties in the last digits count as reached here too; the 1e-15 is for a difference of 0.
    reached = abs(observed) * (1 - 1e-9) - 1e-15
    cluster = _places(clusters, cases)
    units = cases if cluster is None else int(cluster.max()) + 1
    exact, total, hits = units < 63 and 2**units <= resamples, resamples, 0
    if exact:
        total = 2**units
    generator, places = np.random.default_rng(seed), np.arange(units)
    for start, rows in _blocks(total, cases):
        if exact:
            bits = np.arange(start, start + rows)[:, None] >> places[None, :] & 1
        else:
            bits = generator.integers(0, 2, (rows, units), np.int8)
        exchanged = bits.astype(bool) if cluster is None else bits.astype(bool)[:, cluster]
        # Not `>=`, which a nan fails: where the statistic is not defined, the exchange counts.
        hits += np.count_nonzero(~(np.abs(difference(exchanged)) < reached))
    return float(hits / total if exact else (hits + 1) / (total + 1))


def holm(p_values: ArrayLike) -> np.ndarray:
    """P-values adjusted for several tests by Holm's step-down method.

    With p_(1) <= ... <= p_(m): adjusted p_(i) = min(1, max_(j <= i) (m - j + 1) p_(j)).

    Source: Holm (1979). Departures: none.

    Args:
        p_values: one per test, in [0, 1].

    Returns: the adjusted p-values in the order given.
    Empty cases: no tests give an empty array.
    Raises: ValueError on a value outside [0, 1] or an array that is not one-dimensional.
    Cost: O(m log m).
    """
    p_values = np.asarray(p_values, np.float64)
    if p_values.ndim != 1:
        raise ValueError(f"`p_values` takes one axis, got shape {p_values.shape}")
    if not np.all((p_values >= 0) & (p_values <= 1)):
        raise ValueError(f"`p_values` takes numbers in [0, 1], got {p_values}")
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(p_values.size, 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(factors * p_values[order]))
    return adjusted


def _tables(columns: Sequence[ArrayLike], unknown: bool) -> list[np.ndarray]:
    tables = [np.asarray(column, np.float64) for column in columns]
    shape = tables[0].shape if tables else ()
    for table in tables:
        if (
            table.ndim != 2
            or table.shape != shape
            or not table.size
            or not (unknown or np.isfinite(table).all())
        ):
            raise ValueError(f"columns take finite numbers [seeds, cases], got shape {table.shape}")
    if not tables:
        raise ValueError("a statistic takes at least one column, got none")
    return tables


def _values(name: str, values: ArrayLike) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"`{name}` takes one value per case, got shape {values.shape}")
    if not np.all(np.isfinite(values)):
        raise ValueError(f"`{name}` takes finite values, got {values[~np.isfinite(values)][0]}")
    return values


def _places(clusters: ArrayLike | None, count: int) -> np.ndarray | None:
    """The number of the cluster of each value, in the order of first appearance."""
    if clusters is None:
        return None
    given = np.asarray(clusters)
    if given.shape != (count,):
        raise ValueError(f"`clusters` takes one entry per case, {count}, got shape {given.shape}")
    _, first, places = np.unique(given, return_index=True, return_inverse=True)
    # Numbered as they come, so that clusters of one case each are no other resamples than none
    return np.argsort(np.argsort(first))[places]


def _sums(values: np.ndarray, places: np.ndarray | None) -> np.ndarray:
    """The sum of each cluster; the values themselves without any."""
    return values if places is None else np.bincount(places, weights=values)


def _blocks(total: int, width: int) -> Iterator[tuple[int, int]]:
    """(first row, rows) of the parts of `total` rows of `width` numbers, about BLOCK in each."""
    size = max(1, BLOCK // width)
    for start in range(0, total, size):
        yield start, min(size, total - start)


def _check_resamples(resamples: int) -> None:
    checks.check("resamples", resamples, checks.whole(least=1))
