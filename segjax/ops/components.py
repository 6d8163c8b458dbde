"""A set of pixels that grows one pixel at a time: which component ends where two of them meet.

The machinery below persistent homology. It runs inside jit, on integers only, for a whole batch at
once: images are parts of one graph that no edge connects.
"""

import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from segjax.types import Array, Int

# Above every key, rank and index: neutral in a minimum, and dropped as an index with `mode='drop'`
NONE = np.iinfo(np.int32).max
# Rounds that see only each component's lowest edge are the cheaper ones and nearly always enough;
# what they leave is finished by rounds whose number is logarithmic whatever the image.
CHEAP_ROUNDS = 24


class Merges(NamedTuple):
    """What `merge_components` returns, all `[b, n]`, by the rank of the birth in `ages[0]`.

    ended: the rank of the pixel at which the component born at this pixel meets an older one; -1
        where no component is born, and for the one that never ends.
    partners: for each further order of ages, the rank in that order of the birth whose component
        ends at the same meeting; -1 as above.
    """

    ended: Int[Array, "b n"]
    partners: tuple[Int[Array, "b n"], ...]


def neighbours(spatial_ndim: int, full: bool) -> tuple[tuple[int, ...], ...]:
    """Steps to the adjacent pixels: across faces, or if `full` across edges and corners too.

    The order decides which component counts as met first where a pixel meets several.
    """
    if spatial_ndim == 2:  # the order in which Betti matching's authors number the edges
        if full:
            return ((-1, -1), (-1, 0), (-1, 1), (0, -1), (1, -1), (1, 0), (1, 1), (0, 1))
        return ((0, 1), (1, 0), (0, -1), (-1, 0))
    steps = itertools.product((-1, 0, 1), repeat=spatial_ndim)
    return tuple(s for s in steps if any(s) and (full or sum(map(abs, s)) == 1))


def most_components(shape: tuple[int, ...], full: bool) -> int:
    """More components than this no image has: no two minima touch."""
    # Across corners each block of 2 x 2 has at most one minimum. Across faces minima may form a
    # checkerboard, at most every second pixel of each line.
    half = [-(-size // 2) for size in shape]
    return math.prod(half) if full else half[-1] * math.prod(shape[:-1])


def merge_components(
    ranks: Int[Array, "b *s"],
    ages: tuple[Int[Array, "b *s"], ...],
    *,
    full: bool,
) -> Merges:
    """Lets the pixels enter in the order of `ranks` and records the end of every component.

    Where two components meet, the one whose oldest pixel is younger ends: the elder rule. Age is
    told by each of `ages` on its own; with `ages=(ranks,)` this is persistence in dimension 0,
    with the ages of a second image persistence of the map between two images. Edges count when
    their later pixel enters, those of one pixel in the order of `neighbours`.

    Source: Borůvka's algorithm for the forest, and the elder rule (Edelsbrunner and Harer 2010).
    Each round, every component finds its lowest edge; see `_cheap_round` and `_sorted_round`.
    Departures: none; exact.

    Args:
        ranks: each image's pixels numbered 0 to n - 1 in order of entry.
        ages: one or more further numberings 0 to n - 1, from `ranks` itself or from an image that
            is nowhere below the one that `ranks` came from: no pixel is older than its entry.
        full: neighbours across corners too (8 in 2-D, 26 in 3-D), else across faces (4, 6).

    Returns: the ends, see `Merges`.
    Empty cases: a single pixel: nothing ends.
    Raises: ValueError if pixels or edges outnumber 32-bit integers.
    Cost: some ten rounds of one pass and one scatter of n integers; at most 24 + log2(n) rounds.
    """
    grid = _Grid(ranks, neighbours(ranks.ndim - 1, full))
    label, count = grid.basins()
    births = tuple(grid.oldest_pixel(age, label) for age in ages)
    blank = jnp.full(grid.b * grid.n, -1, jnp.int32)
    state = (label, births, (blank,) * len(ages), count, jnp.zeros((), jnp.int32))
    # With one node left in each image nothing can end any more.
    state = jax.lax.while_loop(
        lambda s: (s[3] > grid.b) & (s[4] < CHEAP_ROUNDS), lambda s: _cheap_round(grid, *s), state
    )
    state = jax.lax.while_loop(lambda s: s[3] > grid.b, lambda s: _sorted_round(grid, *s), state)
    ended, *partners = (x.reshape(grid.b, grid.n) for x in state[2])
    return Merges(ended, tuple(partners))


class _Grid:
    """The pixels of a batch as one graph; its nodes are basins, at most `room` in each image."""

    def __init__(self, ranks: Array, steps: tuple[tuple[int, ...], ...]):
        self.b, *self.shape = ranks.shape
        self.n = math.prod(self.shape)
        self.steps = steps
        full = len(steps) == 3 ** len(self.shape) - 1
        # Nodes of every image have the same room, so that shapes do not depend on values.
        self.room = most_components(tuple(self.shape), full)
        # Pixels are numbered image * n + pixel, edges of an image rank * directions + direction.
        if max(self.b * self.n, self.n * len(steps)) >= NONE:
            raise ValueError(f"{tuple(ranks.shape)} is too large for 32-bit indices: split it")
        self.ranks = ranks
        image = jnp.arange(self.b, dtype=jnp.int32)[:, None]
        pixel = jnp.arange(self.n, dtype=jnp.int32)[None, :]
        self.first_pixel = jnp.broadcast_to(image * self.n, (self.b, self.n)).reshape(-1)
        # Pixels by rank, in one flat array: that of rank r in image i stands at i n + r.
        where_to = self.first_pixel + ranks.reshape(-1)
        self.pixels = jnp.broadcast_to(pixel, (self.b, self.n)).reshape(-1)
        self.order = jnp.zeros_like(self.pixels).at[where_to].set(self.pixels)
        self.node = jnp.arange(self.b * self.room, dtype=jnp.int32)
        self.first_of_node = self.node // self.room * self.n
        self.keys = self._edge_keys()

    def shifted(self, x: Array, fill: int) -> list[Array]:
        """x at the neighbour in each direction."""
        padded = jnp.pad(x, ((0, 0),) + ((1, 1),) * len(self.shape), constant_values=fill)
        cut = [
            tuple(slice(1 + a, 1 + a + size) for a, size in zip(step, self.shape, strict=True))
            for step in self.steps
        ]
        return [padded[(slice(None), *c)] for c in cut]

    def _edge_keys(self) -> list[Array]:
        """For each direction the edge's place in the order of edges: no two are the same."""
        ways = len(self.steps)
        # Seen from either end an edge has one key: rank and direction at its later pixel.
        back = [self.steps.index(tuple(-a for a in step)) for step in self.steps]
        return [
            jnp.where(
                other < 0,
                NONE,
                jnp.where(other < self.ranks, self.ranks * ways + way, other * ways + back[way]),
            )
            for way, other in enumerate(self.shifted(self.ranks, -1))
        ]

    def basins(self) -> tuple[Array, Array]:
        """The node of every pixel, `[b, *s]`, and the number of nodes of the batch.

        A pixel that has a lower neighbour joins it on entry and ends no component, or only one
        that is not born yet by any age.
        """
        onward = self.ranks
        for other in reversed(self.shifted(self.ranks, NONE)):
            # The first edge of a pixel to a pixel already there is the one it enters by.
            onward = jnp.where(other < self.ranks, other, onward)
        # Every pixel points at the one it enters by, and so in the end at a local minimum.
        down = self.first_pixel + self.order[self.first_pixel + onward.reshape(-1)]
        down = jump(down)
        minimum = down == self.first_pixel + self.pixels
        # Minima are numbered image by image: the nodes of image i begin at i * room.
        number = jnp.cumsum(minimum.reshape(self.b, self.n), axis=1, dtype=jnp.int32) - 1
        number += jnp.arange(self.b, dtype=jnp.int32)[:, None] * self.room
        label = number.reshape(-1)[down]
        return label.reshape(self.ranks.shape), jnp.sum(minimum, dtype=jnp.int32)

    def oldest_pixel(self, age: Array, label: Array) -> Array:
        """Each node's oldest pixel, as an index `image * n + age`."""
        blank = jnp.full(self.node.shape, NONE, jnp.int32)
        return blank.at[label.reshape(-1)].min(self.first_pixel + age.reshape(-1))

    def lowest_edges(self, label: Array) -> Array:
        """The first edge, by its key, that leads out of each node; NONE if none does."""
        # Outside the image is label -1, another one, but the key of such an edge is NONE.
        best = jnp.full(label.shape, NONE, jnp.int32)
        for key, other in zip(self.keys, self.shifted(label, -1), strict=True):
            best = jnp.minimum(best, jnp.where(other != label, key, NONE))
        blank = jnp.full(self.node.shape, NONE, jnp.int32)
        return blank.at[label.reshape(-1)].min(best.reshape(-1))

    def across(self, low: Array, label: Array) -> Array:
        """The node at the other end of each node's lowest edge; itself without an edge."""
        label = label.reshape(-1)
        # The directions as steps of flat, row-major pixel indices
        strides = np.cumprod([1, *self.shape[:0:-1]])[::-1]
        step = jnp.asarray(np.array(self.steps) @ strides, jnp.int32)
        key = jnp.where(low == NONE, 0, low)
        # A key names the later pixel of its edge, which may belong to either of the two nodes.
        later = self.order[self.first_of_node + key // len(self.steps)] + self.first_of_node
        near, far = label[later], label[later + step[key % len(self.steps)]]
        return jnp.where(low == NONE, self.node, jnp.where(near == self.node, far, near))

    def record(self, ends: tuple, dying: tuple, sure: Array, low: Array) -> tuple:
        """Notes at which rank the components `dying` end, and which ends go together."""
        # A birth is an index image * n + age, and so its place in `ends`.
        at = jnp.where(sure, dying[0], NONE)
        noted = [low // len(self.steps)] + [d - self.first_of_node for d in dying[1:]]
        return tuple(e.at[at].set(x, mode="drop") for e, x in zip(ends, noted, strict=True))


def jump(target: Int[Array, "n"]) -> Int[Array, "n"]:
    """Where each element ends that goes on to its target until it stays; no cycles."""
    # Each target becomes its target's target: a chain of n takes log2 n rounds.
    return jax.lax.while_loop(
        lambda s: s[1],
        lambda s: (s[0][s[0]], jnp.any(s[0][s[0]] != s[0])),
        (target, jnp.ones((), bool)),
    )[0]


def _all(conditions) -> Array:
    first, *rest = conditions
    for condition in rest:
        first = first & condition
    return first


def _cheap_round(grid, label, births, ends, count, rounds):
    """Ends components that are younger than what lies across their lowest edge.

    Such a component meets nothing before that edge, and whatever the other side has become by
    then is as old as it is now or older. Of two with the same lowest edge the younger ends.
    """
    low = grid.lowest_edges(label)
    other = grid.across(low, label)
    beyond = tuple(birth[other] for birth in births)
    mutual = (other != grid.node) & (other[other] == grid.node) & (low[other] == low)
    younger = _all(b > o for b, o in zip(births, beyond, strict=True))
    # Of two nodes that share their lowest edge the higher number goes. Whichever it is, the younger
    # birth ends by each age, and the older goes on with the node that stays.
    sure = jnp.where(mutual, grid.node > other, (other != grid.node) & younger)
    dying = tuple(
        jnp.where(mutual, jnp.maximum(b, o), b) for b, o in zip(births, beyond, strict=True)
    )
    ends = grid.record(ends, dying, sure, low)
    births = tuple(
        jnp.where(mutual, jnp.minimum(b, o), b) for b, o in zip(births, beyond, strict=True)
    )
    into = jump(jnp.where(sure, other, grid.node))
    label = into[label.reshape(-1)].reshape(label.shape)
    return label, births, ends, count - jnp.sum(sure, dtype=jnp.int32), rounds + 1


def _sorted_round(grid, label, births, ends, count, rounds):
    """Ends all that is certain within groups joined by lowest edges: at least halves the groups.

    Along lowest edges towards the pair that shares one, the edges fall. So the members of a group
    join its core one by one in the order of their lowest edges, each still alone. Up to the first
    edge that leads out of the group the core is known, and with it which side is the elder; after
    it a member is known to end if it is younger than the core would be without what came in.
    """
    low = grid.lowest_edges(label)
    other = grid.across(low, label)
    mutual = (other != grid.node) & (other[other] == grid.node) & (low[other] == low)
    # Each group of nodes joined by lowest edges has one core: the lower node of its mutual pair.
    core = (other == grid.node) | (mutual & (grid.node < other))
    group = jump(jnp.where(core, grid.node, other))
    # Key -1 puts the core before all members, whose order is that of their lowest edges.
    leaving = grid.lowest_edges(group[label.reshape(-1)].reshape(label.shape))[group]
    eldest = _eldest_before(group, jnp.where(core, -1, low), births)
    joins = ~core & (low < leaving)
    younger = _all(b > e for b, e in zip(births, eldest, strict=True))
    sure = ~core & (joins | younger)
    dying = tuple(
        jnp.where(joins, jnp.maximum(b, e), b) for b, e in zip(births, eldest, strict=True)
    )
    ends = grid.record(ends, dying, sure, low)
    at = jnp.where(joins, group, NONE)
    births = tuple(b.at[at].min(b, mode="drop") for b in births)
    into = jump(jnp.where(sure, other, grid.node))
    label = into[label.reshape(-1)].reshape(label.shape)
    return label, births, ends, count - jnp.sum(sure, dtype=jnp.int32), rounds + 1


def _eldest_before(group: Array, key: Array, births: tuple) -> tuple:
    """The oldest birth in the same group at smaller keys; NONE for the first."""
    place = jnp.arange(len(group), dtype=jnp.int32)
    # A minimum over all earlier members of the group: sorted by group and key, then by doubling
    group, _, node = jax.lax.sort((group, key, place), num_keys=2)
    first = jnp.concatenate([jnp.ones(1, bool), group[1:] != group[:-1]])
    start = jax.lax.cummax(jnp.where(first, place, 0))

    def reach_back(state):  # doubles how many members before each one are seen
        step, eldest = state
        seen = tuple(
            jnp.minimum(e, jnp.where(place - step < start, NONE, e[jnp.maximum(place - step, 0)]))
            for e in eldest
        )
        return 2 * step, seen

    before = (jnp.concatenate([jnp.full(1, NONE, jnp.int32), b[node][:-1]]) for b in births)
    eldest = tuple(jnp.where(first, NONE, b) for b in before)
    state = (jnp.ones((), jnp.int32), eldest)
    _, eldest = jax.lax.while_loop(lambda s: s[0] < len(group), reach_back, state)
    return tuple(jnp.zeros_like(group).at[node].set(e) for e in eldest)
