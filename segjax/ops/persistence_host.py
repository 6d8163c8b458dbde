"""Persistence pairs on the host, by GUDHI: fast on CPUs, needs the extra `topology`."""

import functools
import importlib.util

import numpy as np

from segjax.ops import host


def gudhi_is_installed() -> bool:
    """True if the host route can run."""
    return importlib.util.find_spec("gudhi") is not None


def require_gudhi() -> None:
    """Raises ImportError, naming the extra, unless GUDHI is installed."""
    if not gudhi_is_installed():
        raise ImportError("route='host' needs GUDHI: pip install 'segjax[topology]'")


def host_pairs(
    image: np.ndarray, max_pairs: int, dim: int, construction: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Birth pixels, death pixels and validity, each `[b, max_pairs]`, of images `[b, *s]`.

    GUDHI returns values, not pixels. Given the ranks of the pixels as values it returns ranks,
    which are pixels, and has no ties to break.
    """
    image = np.asarray(image)
    one = functools.partial(_pairs, max_pairs=max_pairs, dim=dim, construction=construction)
    birth, death, valid = (np.stack(x) for x in zip(*host.map_rows(one, image), strict=True))
    return birth, death, valid


def _pairs(image: np.ndarray, *, max_pairs: int, dim: int, construction: str) -> tuple:
    flat = image.reshape(-1)
    order = _stable_order(flat)
    ranks = np.empty(flat.size, np.int64)
    ranks[order] = np.arange(flat.size)
    born, dead = _rank_pairs(ranks.reshape(image.shape), dim, construction)
    ordered = flat[order]
    essential = dead < 0
    with np.errstate(invalid="ignore"):  # of two infinities, and of NaN: no pair
        length = np.where(essential, np.inf, ordered[dead] - ordered[born]).astype(image.dtype)
    kept = np.flatnonzero(length > 0)
    # Among equals the same order as the device route: by birth in dimension 0, else by death.
    second = born if dim == 0 else dead
    kept = kept[np.lexsort((second[kept], -length[kept]))][:max_pairs]
    birth, death = np.full((2, max_pairs), -1, np.int32)
    birth[: len(kept)] = order[born[kept]]
    death[: len(kept)] = np.where(essential[kept], -1, order[dead[kept]])
    return birth, death, np.arange(max_pairs) < len(kept)


def _stable_order(flat: np.ndarray) -> np.ndarray:
    """argsort, ties by position, NaN last; float32 by its bits, which order as integers."""
    if flat.dtype != np.float32:
        return np.argsort(flat, kind="stable")
    bits = (flat + np.float32(0)).view(np.uint32)  # + 0 makes -0 the same as 0
    keys = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    keys[np.isnan(flat)] = 0xFFFFFFFF  # of either sign
    return host.sort_with_places(keys)[1]


def _rank_pairs(ranks: np.ndarray, dim: int, construction: str) -> tuple[np.ndarray, np.ndarray]:
    """Births and deaths as ranks; -1 is the death of the component that never ends."""
    fast = _fast_rectangle()
    # GUDHI's routine is right from 3 pixels a side; the frame of the vertices adds 2.
    least = 3 if construction == "top_cells" else 1
    if ranks.ndim != 2 or fast is None or min(ranks.shape) < least:
        return _by_complex(ranks, dim, construction)
    if construction == "top_cells":
        born, dead = fast(ranks.astype(np.float64), 0.0)[dim].T
        return born.astype(np.int64), np.where(np.isinf(dead), -1, dead).astype(np.int64)
    # Vertices, by duality: the other construction on the negative in a frame that enters first.
    last = ranks.size - 1
    framed = np.pad((last - ranks).astype(np.float64), 1, constant_values=-1.0)
    born, dead = fast(framed, 0.0)[1 - dim].T
    inside = np.isfinite(dead)
    born, dead = born[inside].astype(np.int64), dead[inside].astype(np.int64)
    return last - dead, np.where(born < 0, -1, last - born)


def _by_complex(ranks: np.ndarray, dim: int, construction: str) -> tuple[np.ndarray, np.ndarray]:
    import gudhi

    name = "top_dimensional_cells" if construction == "top_cells" else "vertices"
    # GUDHI takes doubles, which hold every rank exactly.
    complex_ = gudhi.CubicalComplex(**{name: ranks.astype(np.float64)})
    complex_.compute_persistence(homology_coeff_field=2, min_persistence=0)
    born, dead = complex_.persistence_intervals_in_dimension(dim).reshape(-1, 2).T
    return born.astype(np.int64), np.where(np.isinf(dead), -1, dead).astype(np.int64)


@functools.cache
def _fast_rectangle():
    """GUDHI's algorithm for 2-D images, which its Python interface keeps to itself; or None."""
    try:
        from gudhi._pers_cub_low_dim_ext import _persistence_on_rectangle_from_top_cells as fast
    except ImportError:
        return None
    return fast
