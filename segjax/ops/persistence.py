"""Persistent homology of images: the pixels at which components and holes begin and end."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from segjax.ops import checks, host, persistence_host
from segjax.ops.components import merge_components
from segjax.types import Array, Bool, Float, Int

CONSTRUCTIONS = ("top_cells", "vertices")


class PersistencePairs(NamedTuple):
    """Persistence pairs of a batch, the most persistent first.

    birth: index of the pixel, in the flattened image, at which the feature appears.
    death: the same of the pixel at which it goes; -1 for the component that never goes.
    valid: True for a pair; the other places hold -1.
    """

    birth: Int[Array, "b k"]
    death: Int[Array, "b k"]
    valid: Bool[Array, "b k"]


def persistence_pairs(
    image: Float[Array, "b *s"],
    *,
    max_pairs: int,
    dim: int,
    construction: str = "top_cells",
    route: str = "device",
) -> PersistencePairs:
    """Exact persistence pairs of the sublevel sets of images, as pixels (no gradient: gather it).

    The set of pixels with values up to t grows with t. Components (dimension 0), or holes
    (dimension 1 in 2-D), appear at one value and vanish at another: a component vanishes where it
    meets one with a lower minimum, a hole where it is filled. `image[birth]` and `image[death]`,
    gathered from the flattened image, carry the gradient.

    Source: Edelsbrunner and Harer (2010), Computational Topology, chapter VII; holes as components
    of the complement, Bleile et al. (2022), The Persistent Homology of Dual Digital Image
    Constructions.
    Departures: none; the pairs equal those of GUDHI's `CubicalComplex`. Pixels of equal value
    enter in row-major order, and pairs of equal values are dropped.

    Args:
        image: values; two or three spatial axes.
        max_pairs: places for each image; if there are more pairs, the most persistent are kept.
        dim: 0, or the number of spatial axes less one: components and holes in 2-D, components
            and cavities in 3-D.
        construction: 'top_cells' (pixels touch across corners: 8 neighbours, 26 in 3-D) or
            'vertices' (across faces: 4, or 6). The complement takes the other.
        route: 'device' runs inside jit on any backend; 'host' calls GUDHI on the CPU (extra
            `topology`); 'auto' is 'host' on the CPU backend if GUDHI is installed, else 'device'.
            All return the same pairs.

    Returns: flat pixel indices, see `PersistencePairs`. In dimension 0 the first pair is the
        component of the global minimum, which never ends (death -1).
    Empty cases: a constant image has that one pair in dimension 0, none in others. NaN pixels
        enter last and end no pair.
    Raises: ValueError on a wrong rank, dimension, option or number of pairs; TypeError on integers;
        ImportError for 'host' without GUDHI.
    Cost: a sort and some ten passes with a scatter over n pixels (at most 24 + log2 n passes).
    """
    checks.check_rank("image", image, 3, 4)
    checks.check_floating("image", image)
    spatial_ndim = image.ndim - 1
    checks.check_option("dim", dim, (0, spatial_ndim - 1))
    checks.check_option("construction", construction, CONSTRUCTIONS)
    checks.check_option("route", route, host.ROUTES)
    if max_pairs < 1:
        raise ValueError(f"`max_pairs` takes a positive integer, got {max_pairs}")
    dtype = jnp.float64 if image.dtype == jnp.float64 else jnp.float32
    image = jax.lax.stop_gradient(image).astype(dtype)
    if chosen_route(route) == "host":
        persistence_host.require_gudhi()
        return _host_pairs(image, max_pairs, dim, construction)
    return _device_pairs(image, max_pairs, dim, construction)


def chosen_route(route: str) -> str:
    """What 'auto' stands for here; other routes are returned as they are."""
    if route != "auto":
        return route
    on_cpu = jax.default_backend() == "cpu"
    return "host" if on_cpu and persistence_host.gudhi_is_installed() else "device"


def pixel_ranks(image: Float[Array, "b *s"]) -> tuple[Array, Array]:
    """Pixels in ascending order, `[b, n]`, and each pixel's place in it, `[b, *s]`; stable."""
    flat = image.reshape(len(image), -1)
    # Stable, so that equal pixels enter in row-major order, as on the host
    order = jnp.argsort(flat, axis=-1, stable=True).astype(jnp.int32)
    return order, _inverse(order).reshape(image.shape)


def dual_ranks(ranks: Int[Array, "b *s"]) -> tuple[Array, int]:
    """The reverse order in a frame that enters first, and the number of pixels of the frame.

    Components in this order are the holes in the given one: rank r becomes n - 1 - r + frame.
    """
    size = math.prod(ranks.shape[1:])
    grown = tuple(length + 2 for length in ranks.shape[1:])
    frame = math.prod(grown) - size
    widths = ((0, 0),) + ((1, 1),) * len(grown)
    reverse = jnp.pad(size - 1 - ranks + frame, widths, constant_values=-1)
    # The frame is numbered row by row, so that it flows to its first corner.
    number = jnp.cumsum(reverse[0].reshape(-1) < 0, dtype=jnp.int32).reshape(grown) - 1
    return jnp.where(reverse < 0, number[None], reverse), frame


def rank_pairs(ranks: Int[Array, "b *s"], dim: int, construction: str) -> tuple[Array, Array]:
    """Births and deaths as ranks, `[b, n]`; -1 where there is none."""
    corners = construction == "top_cells"
    b, n = len(ranks), math.prod(ranks.shape[1:])
    places = jnp.broadcast_to(jnp.arange(n, dtype=jnp.int32)[None], (b, n))
    if dim == 0:
        ended = merge_components(ranks, (ranks,), full=corners).ended
        # The component of rank 0 is born as well, though it never ends.
        return jnp.where((ended >= 0) | (places == 0), places, -1), ended
    dual, frame = dual_ranks(ranks)
    # Reversed behind the frame, place r is rank r again. A hole dies where the component of the
    # complement is born, and is born where that component ends.
    ended = merge_components(dual, (dual,), full=not corners).ended[:, frame:][:, ::-1]
    found = ended >= 0
    return jnp.where(found, n - 1 + frame - ended, -1), jnp.where(found, places, -1)


def _device_pairs(image: Array, max_pairs: int, dim: int, construction: str) -> PersistencePairs:
    order, ranks = pixel_ranks(image)
    born, dead = rank_pairs(ranks, dim, construction)
    ordered = jnp.take_along_axis(image.reshape(order.shape), order, axis=-1)
    length = _take(ordered, dead) - _take(ordered, born)
    # The component that never ends is the most persistent.
    length = jnp.where(dead < 0, jnp.inf, length)
    # Only what lasts is a pair; the order of `top_k` would put the lengths of NaN pixels first.
    length = jnp.where((born >= 0) & (length > 0), length, -1.0)
    k = min(max_pairs, order.shape[1])
    length, at = jax.lax.top_k(length, k)
    valid = length > 0
    birth = jnp.where(valid, _take(order, jnp.take_along_axis(born, at, axis=-1)), -1)
    dead = jnp.take_along_axis(dead, at, axis=-1)
    death = jnp.where(valid & (dead >= 0), _take(order, dead), -1)
    widths = ((0, 0), (0, max_pairs - k))
    padded = (jnp.pad(x, widths, constant_values=-1) for x in (birth, death))
    return PersistencePairs(*padded, jnp.pad(valid, widths))


def _host_pairs(image: Array, max_pairs: int, dim: int, construction: str) -> PersistencePairs:
    places = (image.shape[0], max_pairs)
    shapes = tuple(jax.ShapeDtypeStruct(places, t) for t in (jnp.int32, jnp.int32, bool))
    options = (image.ndim - 1, max_pairs, dim, construction)
    return PersistencePairs(*host.call(_any_batch, shapes, image, *options))


def _any_batch(image: np.ndarray, spatial_ndim: int, *options) -> tuple:
    """The host route for any number of leading axes, as vmap makes them."""
    lead = image.shape[:-spatial_ndim]
    found = persistence_host.host_pairs(image.reshape(-1, *image.shape[-spatial_ndim:]), *options)
    return tuple(x.reshape(*lead, -1) for x in found)


# By a scatter: a second argsort would be one more sort, slow on CPUs
def _inverse(order: Int[Array, "b n"]) -> Int[Array, "b n"]:
    b, n = order.shape
    rows = jnp.arange(b, dtype=jnp.int32)[:, None]
    places = jnp.broadcast_to(jnp.arange(n, dtype=jnp.int32)[None], (b, n))
    return jnp.zeros_like(order).at[rows, order].set(places)


def _take(x: Array, index: Array) -> Array:
    """x at the index in each row; index -1 gives the first element, for the caller to mask."""
    return jnp.take_along_axis(x, jnp.maximum(index, 0), axis=-1)
