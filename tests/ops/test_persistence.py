"""Persistence pairs: both routes against each other and against GUDHI's own interface."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from scipy import ndimage

from segjax.ops import components, persistence_host, persistence_pairs

gudhi = pytest.importorskip("gudhi")

SHAPE = (12, 13)
KINDS = [("top_cells", 0), ("top_cells", 1), ("vertices", 0), ("vertices", 1)]


def snake(values):
    """A path through the image with walls between its arms; `values` along the path."""
    image = np.full(SHAPE, 1000.0)
    path = []
    for turn, row in enumerate(range(0, SHAPE[0] - 1, 2)):
        columns = range(SHAPE[1])[:: -1 if turn % 2 else 1]
        path += [(row, c) for c in columns] + [(row + 1, columns[-1])]
    for (i, j), value in zip(path, values(len(path)), strict=True):
        image[i, j] = value
    return image


def chain(rng, minima, saddles):
    """Basins in a row, each with its minimum and the saddle to the next."""

    def values(n):
        alternating = np.empty(n)
        alternating[0::2] = minima(np.arange(-(-n // 2)))
        alternating[1::2] = 100 + saddles(np.arange(n // 2))
        return alternating

    return snake(values)


@functools.cache
def small():
    """A few images, with and without ties, of every size from 1x1 to 5x5."""
    rng = np.random.default_rng(0)
    return {
        shape: np.concatenate(
            [rng.standard_normal((4, *shape)), rng.integers(0, 3, (2, *shape))]
        ).astype(np.float32)
        for shape in itertools.product(range(1, 6), repeat=2)
    }


@functools.cache
def images():
    """Images of one shape, and how many of them, at the start, have no ties."""
    rng = np.random.default_rng(0)
    many = (110, *SHAPE)
    distinct = [
        rng.standard_normal(many),
        ndimage.gaussian_filter(rng.standard_normal(many), (0, 1, 1)),
        ndimage.gaussian_filter(rng.standard_normal(many), (0, 3, 3)),
    ]
    places = np.arange(np.prod(SHAPE)).reshape(1, *SHAPE)
    tied = [
        rng.random(many) < 0.5,
        rng.integers(0, 4, many),
        np.zeros((1, *SHAPE)),
        places,
        -places,
        places % 7,
        np.minimum(places, 40),
    ]
    orders = [lambda x: x, lambda x: -x, rng.permutation, rng.permutation, lambda x: x % 5]
    tied += [chain(rng, a, b)[None] for a in orders for b in orders]
    for stack in small().values():
        walls = [(0, 0)] + [(0, n - m) for n, m in zip(SHAPE, stack.shape[1:], strict=True)]
        tied.append(np.pad(stack, walls, constant_values=1000))
    stacked = np.concatenate([x.astype(np.float32) for x in distinct + tied])
    return stacked, len(distinct) * many[0]


@functools.cache
def compiled(construction, dim, route):
    options = {"dim": dim, "construction": construction, "route": route}
    return jax.jit(lambda x: persistence_pairs(x, max_pairs=90, **options))


@functools.cache
def found(construction, dim, route):
    return tuple(np.asarray(x) for x in compiled(construction, dim, route)(images()[0]))


def pairs_of(result, index):
    birth, death, valid = (x[index] for x in result)
    return list(zip(birth[valid].tolist(), death[valid].tolist(), strict=True))


def from_gudhi(image, construction, dim):
    """Values, and pixels in row-major order, that GUDHI finds."""
    name = "top_dimensional_cells" if construction == "top_cells" else "vertices"
    complex_ = gudhi.CubicalComplex(**{name: image.astype(float)})
    complex_.compute_persistence(2, 0)
    values = complex_.persistence_intervals_in_dimension(dim).reshape(-1, 2)
    of = "cofaces" if construction == "top_cells" else "vertices"
    finite, essential = getattr(complex_, f"{of}_of_persistence_pairs")()

    def row_major(flat):
        return np.ravel_multi_index(np.unravel_index(flat, image.shape, order="F"), image.shape)

    pixels = {tuple(row_major(p).tolist()) for p in (finite[dim] if dim < len(finite) else [])}
    if dim == 0:
        pixels |= {(int(row_major(p)), -1) for p in essential[0]}
    return values, pixels


def test_there_are_enough_images():
    stacked, distinct = images()
    assert len(stacked) > 500
    assert all(len(np.unique(image)) == image.size for image in stacked[:distinct])


@pytest.mark.parametrize("construction, dim", KINDS)
def test_routes_agree_and_equal_gudhi(construction, dim):
    device, host = (found(construction, dim, route) for route in ("device", "host"))
    for one, other in zip(device, host, strict=True):
        np.testing.assert_array_equal(one, other)
    stacked, distinct = images()
    assert device[2].sum() > 1000 and not device[2][:, -1].any()
    for index, image in enumerate(stacked):
        values, pixels = from_gudhi(image, construction, dim)
        pairs, flat = pairs_of(device, index), image.ravel()
        got = sorted((flat[b], np.inf if d < 0 else flat[d]) for b, d in pairs)
        assert got == sorted(map(tuple, values[values[:, 0] < values[:, 1]])), index
        if index < distinct:
            assert set(pairs) == pixels, index


@pytest.mark.parametrize("construction, dim", KINDS)
def test_routes_agree_on_every_size_from_1x1_to_5x5(construction, dim):
    """The device on the images with walls around, which one compilation serves."""
    device = found(construction, dim, "device")
    start = len(images()[0]) - sum(map(len, small().values()))
    for (rows, columns), stack in small().items():
        host = persistence_host.host_pairs(stack, 26, dim, construction)
        for index, image in enumerate(stack):
            pairs = pairs_of(host, index)
            flat, (values, _) = image.ravel(), from_gudhi(image, construction, dim)
            got = sorted((flat[b], np.inf if d < 0 else flat[d]) for b, d in pairs)
            wanted = sorted(map(tuple, values[values[:, 0] < values[:, 1]]))
            assert got == wanted, (rows, columns, index)

            def walled(pixel, columns=columns):
                return -1 if pixel < 0 else pixel // columns * SHAPE[1] + pixel % columns

            assert pairs_of(device, start) == [(walled(b), walled(d)) for b, d in pairs]
            start += 1


@pytest.mark.parametrize("construction, dim", KINDS)
def test_nan_pixels_come_last_and_leave_no_gap_between_the_pairs(construction, dim):
    broken = images()[0].copy()
    broken[0, 0, 0], broken[1, 2, 3], broken[1, 5, 5], broken[2] = np.nan, -np.nan, np.nan, np.nan
    broken[3, 0], broken[3, -1, 4:] = np.inf, -np.inf
    device, host = (
        [np.asarray(x[:5]) for x in compiled(construction, dim, route)(broken)]
        for route in ("device", "host")
    )
    for one, other in zip(device, host, strict=True):
        np.testing.assert_array_equal(one, other)
    birth, _, valid = device
    assert not np.any(valid[:, 1:] & ~valid[:, :-1]) and valid[[0, 1, 3]].any(axis=1).all()
    assert birth[2].max() == (0 if dim == 0 else -1)  # all of it NaN


@pytest.mark.parametrize("rounds", [0, 2])
@pytest.mark.parametrize("construction, dim", [("top_cells", 0), ("vertices", 1)])
def test_rounds_for_the_worst_case_find_the_same(monkeypatch, rounds, construction, dim):
    monkeypatch.setattr(components, "CHEAP_ROUNDS", rounds)
    run = jax.jit(lambda x: persistence_pairs(x, max_pairs=90, dim=dim, construction=construction))
    wanted = found(construction, dim, "host")
    for one, other in zip(run(images()[0]), wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_long_chain_ends_in_few_rounds():
    rng = np.random.default_rng(0)
    row = np.empty(1024, np.float32)
    row[0::2], row[1::2] = rng.permutation(512), 1000 - np.arange(512)
    ranks = np.argsort(np.argsort(row)).reshape(1, 1, -1)
    rounds = []
    grid = components._Grid(jnp.asarray(ranks, jnp.int32), components.neighbours(2, True))
    label, count = grid.basins()
    births = (grid.oldest_pixel(grid.ranks, label),)
    ends = (jnp.full(grid.n, -1, jnp.int32),)
    state = (label, births, ends, count, 0)
    while int(state[3]) > 1:
        state = components._sorted_round(grid, *state)
        rounds.append(int(state[3]))
    assert len(rounds) <= 10 and rounds[-1] == 1
    wanted = components.merge_components(grid.ranks, (grid.ranks,), full=True).ended
    np.testing.assert_array_equal(state[2][0], wanted[0])


def test_the_most_persistent_are_kept_in_order():
    image = images()[0][:8]
    every, few = jax.jit(
        lambda x: tuple(persistence_pairs(x, max_pairs=k, dim=0) for k in (400, 4))
    )(image)
    flat = image.reshape(8, -1)
    for all_of, kept in zip(every, few, strict=True):
        assert all_of.shape == (8, 400)
        np.testing.assert_array_equal(all_of[:, :4], kept)
    birth, death, valid = (np.asarray(x) for x in every)
    assert np.all(death[:, 0] == -1) and np.all(birth[:, 0] == flat.argmin(axis=1))
    assert np.all(birth[~valid] == -1) and np.all(death[~valid] == -1)
    for i in range(8):
        b, d = birth[i, 1:][valid[i, 1:]], death[i, 1:][valid[i, 1:]]
        assert np.all(np.diff(flat[i, d] - flat[i, b]) <= 0)


def test_a_ring_and_a_constant():
    ring = np.zeros((2, 5, 5), np.float32)
    ring[0, 1:4, 1:4] = -1
    ring[0, 2, 2] = -0.25
    parts, holes = jax.jit(
        lambda x: tuple(persistence_pairs(x, max_pairs=3, dim=dim) for dim in (0, 1))
    )(ring)
    assert np.asarray(holes.valid).tolist() == [[True, False, False], [False] * 3]
    assert ring[0].ravel()[holes.birth[0, 0]] == -1 and holes.death[0, 0] == 12
    assert np.asarray(parts.birth[:, 0]).tolist() == [6, 0]
    assert np.asarray(parts.valid.sum(axis=1)).tolist() == [1, 1]


def total_persistence(image, **options):
    pairs = persistence_pairs(image, max_pairs=60, **options)
    flat = image.reshape(len(image), -1)
    ends = [jnp.take_along_axis(flat, jnp.maximum(p, 0), axis=1) for p in pairs[:2]]
    return jnp.sum(jnp.where(pairs.valid & (pairs.death >= 0), (ends[1] - ends[0]) ** 2, 0))


@pytest.mark.parametrize("route", ["device", "host"])
def test_the_gradient_of_what_is_gathered(route):
    with jax.enable_x64(True):
        image = np.random.default_rng(3).standard_normal((2, 7, 6))
        for dim in (0, 1):
            value = jax.jit(functools.partial(total_persistence, dim=dim, route=route))
            gradient = jax.jit(jax.grad(value))(image)
            assert np.abs(gradient).max() > 0
            direction = np.random.default_rng(4).standard_normal(image.shape)
            wanted = (value(image + 1e-6 * direction) - value(image - 1e-6 * direction)) / 2e-6
            np.testing.assert_allclose(np.vdot(gradient, direction), wanted, rtol=1e-6)


@pytest.mark.parametrize("route", ["device", "host"])
def test_vmap_and_eight_devices(route):
    image = images()[0][:8]
    run = jax.jit(functools.partial(persistence_pairs, max_pairs=20, dim=1, route=route))
    wanted = run(image)
    mapped = jax.jit(jax.vmap(run))(image.reshape(2, 4, *SHAPE))
    spread = NamedSharding(Mesh(np.array(jax.devices()), ("b",)), PartitionSpec("b"))
    many = run(jax.device_put(image, spread))
    for one, other, third in zip(wanted, mapped, many, strict=True):
        np.testing.assert_array_equal(other.reshape(8, 20), one)
        np.testing.assert_array_equal(third, one)


@pytest.mark.parametrize("construction", ["top_cells", "vertices"])
def test_volumes(construction):
    rng = np.random.default_rng(5)
    volume = np.concatenate([rng.standard_normal((6, 5, 6, 7)), rng.integers(0, 3, (6, 5, 6, 7))])
    volume = volume.astype(np.float32)
    for dim in (0, 2):
        options = {"max_pairs": 80, "dim": dim, "construction": construction}
        device, host = (
            jax.jit(functools.partial(persistence_pairs, route=route, **options))(volume)
            for route in ("device", "host")
        )
        assert device.valid.sum() > 6
        for one, other in zip(device, host, strict=True):
            np.testing.assert_array_equal(one, other)


def test_half_precision_and_the_public_interface_of_gudhi(monkeypatch):
    image = jnp.asarray(images()[0], jnp.bfloat16)
    for construction, dim in KINDS:
        options = {"max_pairs": 90, "dim": dim, "construction": construction}
        run = functools.partial(persistence_pairs, route="device", **options)
        wanted = jax.jit(lambda x, run=run: run(x.astype(jnp.float32)))(image)
        fast = persistence_pairs(image, route="host", **options)
        with monkeypatch.context() as patch:
            patch.setattr(persistence_host, "_fast_rectangle", lambda: None)
            slow = persistence_pairs(image, route="host", **options)
        for one, two, three in zip(wanted, fast, slow, strict=True):
            np.testing.assert_array_equal(one, two)
            np.testing.assert_array_equal(one, three)


def test_without_gudhi(monkeypatch):
    monkeypatch.setattr(persistence_host.importlib.util, "find_spec", lambda name: None)
    image = images()[0][:2]
    with pytest.raises(ImportError, match=r"segjax\[topology\]"):
        persistence_pairs(image, max_pairs=3, dim=0, route="host")
    left = persistence_pairs(image, max_pairs=3, dim=0, route="auto")
    np.testing.assert_array_equal(left.birth, found("top_cells", 0, "device")[0][:2, :3])


@pytest.mark.parametrize(
    "shape, options, error, name",
    [
        ((4, 4), {}, ValueError, "image"),
        ((2, 4, 4), {"dim": 2}, ValueError, "dim"),
        ((2, 3, 4, 4), {"dim": 1}, ValueError, "dim"),
        ((2, 4, 4), {"max_pairs": 0}, ValueError, "max_pairs"),
        ((2, 4, 4), {"construction": "V"}, ValueError, "construction"),
        ((2, 4, 4), {"route": "gpu"}, ValueError, "route"),
        ((2, 4, 4), {"dtype": jnp.int32}, TypeError, "image"),
    ],
)
def test_errors_are_static(shape, options, error, name):
    options = {"max_pairs": 3, "dim": 0, **options}
    image = jax.ShapeDtypeStruct(shape, options.pop("dtype", jnp.float32))
    with pytest.raises(error, match=f"`{name}`"):
        jax.eval_shape(functools.partial(persistence_pairs, **options), image)


def test_images_too_large_for_the_indices():
    image = jax.ShapeDtypeStruct((1, 2**14, 2**14), jnp.float32)
    with pytest.raises(ValueError, match="too large"):
        jax.eval_shape(functools.partial(persistence_pairs, max_pairs=3, dim=0), image)
