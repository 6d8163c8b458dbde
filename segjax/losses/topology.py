"""Losses of the topology: components and holes, wherever they lie, and matched in place."""

import jax
import jax.numpy as jnp

from segjax.ops import checks, classes
from segjax.ops.components import merge_components, most_components
from segjax.ops.persistence import (
    CONSTRUCTIONS,
    PersistencePairs,
    dual_ranks,
    persistence_pairs,
    pixel_ranks,
)
from segjax.types import Array, Float, Int


def topological(
    logits: Float[Array, "b *s c"],
    labels: Int[Array, "b *s"],
    *,
    dims: tuple[int, ...] = (0, 1),
    patch: int | None = None,
    threshold: float = 0.0,
    frame: bool = True,
    construction: str = "top_cells",
    max_pairs: int | None = None,
    route: str = "auto",
) -> Float[Array, "b"]:
    """Squared distance of the prediction's persistence diagram from the labels' (0 is perfect).

    As the threshold on the foreground probability falls, components and holes are born and die.
    As many of them as the labels have, the most persistent, are pushed to be certain; all others
    to vanish. It sees numbers of features, not where they are, and its gradient sits on a few
    critical pixels: add it with a small weight (0.005 in the paper) to a trained pixel loss. With
    `patch` each tile must be right by itself, which ties features to places.

    L_b = mean_(classes, tiles) sum_dims [ sum_(i <= n) ((1 - b_i)^2 + d_i^2)
    + sum_(i > n, b_i - d_i > threshold) (b_i - d_i)^2 / 2 + max(0, n - m) / 2 ],
    (b_i, d_i) the probabilities at birth and death of the prediction's m features of one dimension,
    by falling persistence b_i - d_i; n the number of features of the labels.

    Source: Hu, Li, Samaras, Chen (2019), Topology-Preserving Deep Image Segmentation, equations
    (2) to (4): the diagrams' squared 2-Wasserstein distance.
    Departures: (1) the most persistent n features are matched to the labels' even where dropping
    them would be nearer, which would teach the network to give up weak features; (2) a feature
    that the prediction lacks costs 1/2, its distance from the diagonal; (3) the mean over tiles
    and foreground classes (one against the rest), not the sum. The published code differs: it
    counts finite components only, pushes births and deaths the wrong way, and compares logits
    with probabilities.

    Args:
        logits: raw scores, two or three spatial axes, channels last.
        labels: class indices; of float targets those above 1/2 count as foreground.
        dims: 0 for components; 1 for holes (2-D), 2 for cavities (3-D). 3-D has no dimension 1.
        patch: side of the tiles, which divides every spatial size; None takes the whole image.
        threshold: of unwanted features, those as persistent or less are let alone (the published
            code has 0.03).
        frame: holes are counted inside a frame of foreground, so that a line which leaves the
            image or tile closes loops. The background that reaches the border is then a hole too.
        construction: 'top_cells': foreground pixels touch across corners; 'vertices': across sides.
        max_pairs: features considered per class and tile, of prediction and labels alike, the
            most persistent first; None takes all.
        route: of `ops.persistence_pairs`: 'host' (GUDHI), 'device', or 'auto'; the values agree.

    Returns: one value per image, >= 0, dimensionless; float32 (float64 for float64 logits).
    Empty cases: a class absent from the labels has n = 0 (and with `frame` one hole: the
        background), so all its components vanish, the largest one too; a full mask has one
        component and no hole. A constant prediction p with n = 1 costs (1 - p)^2 in dimension 0.
        Ties share no gradient: the first pixel in row-major order has it. A pixel whose label is
        outside [0, c) is foreground in neither labels nor prediction, and has no gradient.
    Raises: ValueError on shapes, dims and options; TypeError on dtypes; ImportError for 'host'
        without GUDHI.
    Cost: for each class and dimension one `ops.persistence_pairs` of prediction and labels.
    """
    classes.check_segmentation(logits, labels)
    shape = tuple(logits.shape[1:-1])
    _check_dims(dims, len(shape))
    checks.check_option("construction", construction, CONSTRUCTIONS)
    threshold = checks.check_number("threshold", threshold, least=0)
    if patch is not None and any(
        size % checks.check_integer("patch", patch, least=1) for size in shape
    ):
        raise ValueError(f"`patch` takes a divisor of every spatial size of {shape}, got {patch}")
    foregrounds = _foregrounds(logits, labels)
    probs, targets = (_tiles(x, patch) for x in foregrounds)
    targets = jnp.where(targets > 0.5, jnp.ones_like(targets), 0)
    total = jnp.zeros((), probs.dtype)
    for dim in dims:
        border = frame and dim > 0
        p, t = (_framed(x) if border else x for x in (probs, targets))
        # Holes are components of the complement, in which pixels touch the other way.
        most = most_components(p.shape[1:], (construction == "top_cells") == (dim == 0))
        pairs = persistence_pairs(
            # Pairs are of sublevel sets; features of probabilities are born as the threshold falls.
            -jnp.concatenate([p, t]),
            max_pairs=most if max_pairs is None else max_pairs,
            dim=dim,
            construction=construction,
            route=route,
        )
        total = total + _diagram_distance(p, t, pairs, threshold)
    # Rows are class by class, image by image, tile by tile.
    chosen = classes.chosen_classes(logits, include_background=False)
    values = jnp.mean(total.reshape(len(chosen), len(logits), -1), axis=(0, 2))
    # A nan is in every class, so the rows of the first one tell.
    return classes.with_nans(values, *(x[: len(logits)] for x in foregrounds))


def betti_matching(
    logits: Float[Array, "b *s c"],
    labels: Int[Array, "b *s"],
    *,
    dims: tuple[int, ...] = (0, 1),
    relative: bool = False,
    construction: str = "vertices",
) -> Float[Array, "b"]:
    """Distance of features matched in place, and size of those without a partner (0 is perfect).

    Components and holes of prediction and labels are matched if they are the same feature of the
    union of both images: one that lies elsewhere stays unmatched, where `topological` would not
    see the difference. The component that never ends always has a partner, so a single blob in
    the wrong place costs nothing. On binary predictions the loss counts unmatched features. Use
    it as the authors do, beside dice (dice + 0.5 betti_matching).

    L_b = mean_classes sum_dims [ sum_matched 2 ((b - b')^2 + (d - d')^2)
    + sum_unmatched (b - d)^2 + sum_unmatched (b' - d')^2 ], (b, d) and (b', d') the probabilities
    at birth and death in prediction and labels; the component that never ends has d = 0.

    With f and g the foreground probabilities and h = max(f, g), a feature of f is matched to one
    of h if the image of f's homology in h's has an interval with the birth of the one and the
    death of the other; features of f and g matched to the same of h are matched.

    Source: Stucki, Paetzold, Shit, Menze, Bauer (2023), Topologically Faithful Image Segmentation
    via Induced Matching of Persistence Barcodes, section 3; Bauer and Schmahl (2022) for the
    persistence of images.
    Departures: none from the paper. The authors' Python code by default also matches through
    intervals of the image that are empty, so it pairs features which the union never holds
    together; there is no option for that. The frame of `relative` has the value 1, not the
    image's maximum. Where several components meet at one pixel the matching depends on an order
    of its edges: theirs (right, down, left, up); of equal pixels the first in row-major order
    enters first.

    Args:
        logits: raw scores, two or three spatial axes, channels last.
        labels: class indices, or float targets in [0, 1], taken as they are.
        dims: 0 for components; 1 for holes (2-D), 2 for cavities (3-D). 3-D has no dimension 1.
        relative: adds a frame of foreground, so that lines which leave the image close loops.
        construction: 'vertices' (the authors'): foreground pixels touch across sides;
            'top_cells': across corners too.

    Returns: one value per image, >= 0, dimensionless; float32 (float64 for float64 logits).
    Empty cases: labels empty: the component of the largest probability p costs 2 p^2, every other
        feature (b - d)^2; a missing or spurious feature costs at most 1. Two constants p and q
        cost 2 (p - q)^2 in dimension 0, nothing in others. A pixel whose label is outside [0, c)
        is foreground in neither labels nor prediction, and has no gradient.
    Raises: ValueError on shapes, dims and options; TypeError on dtypes.
    Cost: three sorts, and in each dimension one merging of components in three images (of holes
        in two), all inside jit on any backend.
    """
    classes.check_segmentation(logits, labels)
    _check_dims(dims, logits.ndim - 2)
    checks.check_option("construction", construction, CONSTRUCTIONS)
    f, g = foregrounds = _foregrounds(logits, labels)
    if relative:
        f, g = _framed(f), _framed(g)
    corners = construction == "top_cells"
    # The union h is the image in which features of f and g meet their partners.
    images = jnp.stack([f, g, jnp.maximum(f, g)])
    images = images.reshape(3 * len(f), *f.shape[1:])
    # Ranks choose pixels and have no gradient; it flows through the values gathered by them.
    order, ranks = pixel_ranks(-jax.lax.stop_gradient(images))
    values = jnp.take_along_axis(images.reshape(order.shape), order, axis=-1)
    parts = [tuple(jnp.split(x, 3)) for x in (ranks, values)]
    total = jnp.zeros((), f.dtype)
    for dim in dims:
        match = _match_holes if dim else _match_components
        full = corners if dim == 0 else not corners
        total = total + _matching_cost(*match(*parts, full))
    values = jnp.mean(total.reshape(-1, len(logits)), axis=0)
    return classes.with_nans(values, *(x[: len(logits)] for x in foregrounds))


def _check_dims(dims: tuple[int, ...], spatial_ndim: int) -> None:
    known = (0, 1) if spatial_ndim == 2 else (0, spatial_ndim - 1)
    if spatial_ndim < 2:
        raise ValueError("`logits` takes two or three spatial axes for a topological loss, got 1")
    if not dims or len(set(dims)) < len(dims) or not set(dims) <= set(known):
        raise ValueError(f"`dims` takes different ones of {known} for {spatial_ndim}-D, got {dims}")


def _foregrounds(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Probabilities and target shares of the foreground classes, each `[classes * b, *s]`.

    A pixel of no class is foreground in neither. A nan is in every class, the first one too.
    """
    counts = classes.counted(labels, logits)
    probs, targets = classes.probabilities(logits, counts), classes.class_targets(labels, logits)
    if counts is not None:
        probs = tuple(jnp.where(counts, p, 0) for p in probs)
    chosen = classes.chosen_classes(logits, include_background=False)
    return tuple(jnp.concatenate([x[k] for k in chosen]) for x in (probs, targets))


def _framed(x: Array) -> Array:
    """x in a frame of foreground, one pixel wide."""
    return jnp.pad(x, ((0, 0),) + ((1, 1),) * (x.ndim - 1), constant_values=1)


def _tiles(x: Float[Array, "m *s"], patch: int | None) -> Float[Array, "k *t"]:
    """Tiles of side `patch`, those of an image one after the other."""
    if patch is None:
        return x
    split = [len(x)]
    for size in x.shape[1:]:
        split += [size // patch, patch]
    # From [m, n1, p, n2, p] to [m, n1, n2, p, p]: the tiles of an image stay together.
    axes = (0, *range(1, len(split), 2), *range(2, len(split), 2))
    return x.reshape(split).transpose(axes).reshape(-1, *(patch,) * (x.ndim - 1))


def _diagram_distance(p: Array, t: Array, pairs: PersistencePairs, threshold: float) -> Array:
    """The loss of one dimension; `pairs` are those of p, then those of t."""
    m = len(p)
    found, true = (PersistencePairs(*(x[part] for x in pairs)) for part in _halves(m))
    # A feature of a mask is one that foreground bears; an empty mask has a component born at 0.
    count = jnp.sum(true.valid & (_at(t, true.birth) > 0.5), axis=-1, dtype=jnp.int32)
    birth = _at(p, found.birth)
    # The component that never ends lasts down to probability 0.
    death = jnp.where(found.death < 0, 0, _at(p, found.death))
    length = birth - death
    # Pairs come by falling persistence: the first `count` are those to keep.
    wanted = jnp.arange(birth.shape[1], dtype=jnp.int32)[None] < count[:, None]
    keep = (1 - birth) ** 2 + death**2
    drop = jnp.where(length > threshold, length**2 / 2, 0)
    cost = jnp.where(found.valid, jnp.where(wanted, keep, drop), 0)
    lacking = jnp.maximum(count - jnp.sum(found.valid, axis=-1, dtype=jnp.int32), 0)
    # A feature of the labels is (1, 0), at 1 / sqrt(2) from the diagonal: squared, 1/2.
    return jnp.sum(cost, axis=-1) + lacking.astype(p.dtype) / 2


def _halves(m: int) -> tuple[slice, slice]:
    return slice(0, m), slice(m, None)


def _at(x: Float[Array, "m *s"], index: Int[Array, "m k"]) -> Float[Array, "m k"]:
    """x at flat pixel indices; at -1 the first pixel, for the caller to mask."""
    return jnp.take_along_axis(x.reshape(len(x), -1), jnp.maximum(index, 0), axis=-1)


def _match_components(ranks: tuple, values: tuple, full: bool) -> tuple:
    """Components of f and g as (birth, death, exists), by rank, and the partners of f's."""
    (f, g, h), (vf, vg, vh) = ranks, values
    # Nowhere does h enter later than f or g. Aged by f and by g, a meeting in h ends a component of
    # each: these two are the same feature of the union.
    merges = merge_components(
        jnp.concatenate([f, g, h]),
        tuple(jnp.concatenate([f, g, age]) for age in (f, g)),
        full=full,
    )
    end_f, end_g, end_h = jnp.split(merges.ended, 3)
    in_g = jnp.split(merges.partners[0], 3)[2]
    # Rank 0 is the component that never ends. It has no meeting, and its partner is its like.
    first = jax.lax.broadcasted_iota(jnp.int32, end_f.shape, 1) == 0
    bars = [
        (v, jnp.where(end < 0, 0, _at(v, end)), (end >= 0) | first)
        for v, end in ((vf, end_f), (vg, end_g))
    ]
    # In the image the two live from their births until they meet an older one in h.
    meet = _at(vh, end_h)
    lives = (vf > meet) & (_at(vg, in_g) > meet)
    return *bars, jnp.where(first, 0, jnp.where((end_h >= 0) & lives, in_g, -1))


def _match_holes(ranks: tuple, values: tuple, full: bool) -> tuple:
    """The same for holes: components of the complement, where births and deaths change places."""
    (f, g, h), frame = (dual_ranks(r)[0] for r in ranks), dual_ranks(ranks[0])[1]
    # By rank in the complement: reversed, and behind the frame, in which no hole lies
    vf, vg, vh = (jnp.pad(v[:, ::-1], ((0, 0), (frame, 0))) for v in values)
    merges = merge_components(
        jnp.concatenate([f, g]),
        (jnp.concatenate([f, g]), jnp.concatenate([h, h])),
        full=full,
    )
    ends = jnp.split(merges.ended, 2)
    in_h = jnp.split(merges.partners[0], 2)
    bars, lives = [], []
    for v, end, there in zip((vf, vg), ends, in_h, strict=True):
        birth = _at(v, end)
        bars.append((birth, v, end >= 0))
        # In the image a hole is born where f or g closes it, and dies where h fills it.
        lives.append((end >= 0) & (birth > _at(vh, there)))
    rows = jnp.arange(len(f), dtype=jnp.int32)[:, None]
    places = jax.lax.broadcasted_iota(jnp.int32, ends[1].shape, 1)
    # For each hole of h the hole of g within it. An index past the end writes nothing.
    owner = jnp.full(ends[1].shape, -1, jnp.int32)
    owner = owner.at[rows, jnp.where(lives[1], in_h[1], places.shape[1])].set(places, mode="drop")
    return *bars, jnp.where(lives[0], _at(owner, in_h[0]), -1)


def _matching_cost(bars_f: tuple, bars_g: tuple, partner: Int[Array, "m n"]) -> Float[Array, "m"]:
    (birth_f, death_f, exist_f), (birth_g, death_g, exist_g) = bars_f, bars_g
    matched = partner >= 0
    apart = (birth_f - _at(birth_g, partner)) ** 2 + (death_f - _at(death_g, partner)) ** 2
    alone_f = jnp.where(exist_f, (birth_f - death_f) ** 2, 0)
    cost = jnp.where(matched, 2 * apart, alone_f)
    rows = jnp.arange(len(partner), dtype=jnp.int32)[:, None]
    # Features of g that some feature of f has; the unmatched write past the end, which is dropped
    taken = jnp.zeros(partner.shape, bool)
    taken = taken.at[rows, jnp.where(matched, partner, partner.shape[1])].set(True, mode="drop")
    alone_g = jnp.where(exist_g & ~taken, (birth_g - death_g) ** 2, 0)
    return jnp.sum(cost, axis=-1) + jnp.sum(alone_g, axis=-1)
