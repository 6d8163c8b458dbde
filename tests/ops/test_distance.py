import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from scipy import ndimage

from segjax import ops
from segjax.ops import distance

# Square, long, with axes of one element, more than one tile (96 x 200), in one to four axes.
SHAPES = [(1,), (17,), (12, 12), (1, 9), (9, 1), (96, 200), (7, 5, 9), (6, 1, 8), (3, 4, 2, 5)]
SHARES = [0.02, 0.5, 0.98]


def scipy_distance(mask, spacing=None):
    if mask.all():
        return np.zeros(mask.shape)
    return ndimage.distance_transform_edt(mask, sampling=spacing)


def masks(shape, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([rng.random(shape) < share for share in SHARES])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_equals_scipy_with_and_without_spacing(shape):
    spacing = np.random.default_rng(1).uniform(0.3, 3, len(shape))
    m = masks(shape)
    for units in (None, spacing):
        got = ops.distance_transform(m, spacing=units, spatial_ndim=len(shape))
        inside = np.stack([scipy_distance(one, units) for one in m])
        assert got.dtype == jnp.float32
        np.testing.assert_allclose(got, inside, rtol=1e-6)
        outside = np.stack([scipy_distance(~one, units) for one in m])
        both = ops.unsigned_distance(m, spacing=units, spatial_ndim=len(shape))
        np.testing.assert_allclose(both, inside + outside, rtol=1e-6)
        signed = ops.signed_distance(m, spacing=units, spatial_ndim=len(shape))
        np.testing.assert_allclose(signed, outside - inside, rtol=1e-6)


def blobs(shape, sigma, seed):
    return ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), sigma) > 0


def lone_zero(shape, at):
    mask = np.ones(shape, bool)
    mask[at] = False
    return mask


@pytest.mark.parametrize(
    "mask",
    [
        blobs((120, 110), 8, 0),
        lone_zero((120, 110), (0, 0)),
        lone_zero((120, 110), (119, 60)),
        ~lone_zero((120, 110), (119, 60)),
        np.arange(110)[None] != np.minimum(np.arange(120)[:, None], 109),
        blobs((20, 40, 30), 3, 1),
        lone_zero((20, 40, 30), (19, 0, 29)),
    ],
    ids=["blobs", "corner", "edge", "lone", "diagonal", "volume", "corner of a volume"],
)
def test_squared_distances_in_pixels_are_exact_integers(mask):
    got = np.asarray(ops.distance_transform(mask, squared=True))
    np.testing.assert_array_equal(got, np.round(scipy_distance(mask) ** 2))
    both = np.asarray(ops.unsigned_distance(mask, squared=True))
    wanted = scipy_distance(mask) ** 2 + scipy_distance(~mask) ** 2
    np.testing.assert_array_equal(both, np.round(wanted))


def test_every_class_of_a_label_map_in_one_transform():
    rng = np.random.default_rng(0)
    labels = np.argmax(
        [ndimage.gaussian_filter(rng.standard_normal((40, 50)), 4) for _ in "abcd"], 0
    )
    labels[:3, :3] = -7
    wanted = sum(scipy_distance(labels == value) for value in np.unique(labels))
    np.testing.assert_allclose(ops.unsigned_distance(labels), wanted, rtol=1e-6)


def test_images_of_a_batch_do_not_see_each_other_and_empty_or_full_ones_are_zero():
    m = np.stack([masks((9, 8))[1], np.zeros((9, 8), bool), np.ones((9, 8), bool)])
    for transform in (ops.distance_transform, ops.unsigned_distance, ops.signed_distance):
        got = np.asarray(transform(m, spatial_ndim=2))
        np.testing.assert_allclose(got[0], transform(m[0]), rtol=1e-6)
        assert np.all(got[1:] == 0) and np.any(got[0] != 0)
    deep = m.reshape(3, 1, 9, 8).repeat(2, 1)
    got = ops.distance_transform(deep, spatial_ndim=2)
    np.testing.assert_array_equal(got[:, 1], ops.distance_transform(m, spatial_ndim=2))
    assert ops.distance_transform(np.ones((0, 4, 4), bool), spatial_ndim=2).shape == (0, 4, 4)


def test_a_batch_in_chunks_equals_one_without(monkeypatch):
    m = np.stack([blobs((16, 20), 2, seed) for seed in range(6)])
    whole = ops.unsigned_distance(m, spatial_ndim=2)
    monkeypatch.setattr(distance, "_CHUNK", 700)
    sizes = []

    def transform(chunk, _):
        sizes.append(chunk.shape)
        return chunk.astype(jnp.float32)

    out = distance._in_chunks(transform, jnp.asarray(m), jnp.ones(2))
    np.testing.assert_array_equal(out, m)
    assert sizes == [(2, 16, 20)]
    jax.clear_caches()
    np.testing.assert_array_equal(ops.unsigned_distance(m, spatial_ndim=2), whole)
    jax.clear_caches()


@pytest.mark.parametrize("tile", [64, 10**9])
@pytest.mark.parametrize("share", SHARES)
def test_the_tiled_minimum_equals_the_plain_one(share, tile, monkeypatch):
    monkeypatch.setattr(distance, "_TILE", tile)
    rng = np.random.default_rng(0)
    line = jnp.asarray(rng.random((30, 2, 70)) < share)
    step = jnp.float32(0.7)
    for unsigned in (False, True):
        walked = distance._walk(line, step, unsigned=unsigned)
        plain = distance._along_line(line, step, unsigned=unsigned)
        np.testing.assert_allclose(walked, plain, rtol=1e-6)
    rows = jnp.where(jnp.asarray(rng.random((30, 2, 70))) < share, walked, jnp.inf)
    wanted = distance._min_plus(rows, rows, step)
    got = distance._min_plus_tiled(rows, rows, step)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    assert share > 0.9 or np.any(np.asarray(wanted) < np.asarray(rows))


def test_sources_that_cannot_matter_are_left_out():
    rows = np.full((40, 70), np.inf, np.float32)
    rows[11] = 0
    first, last = distance._source_bounds(jnp.asarray(rows), jnp.float32(1), 8)
    assert np.all(first == 11) and np.all(last == 11)
    first, last = distance._source_bounds(jnp.full((40, 70), jnp.inf), jnp.float32(1), 8)
    assert np.all(last < first)
    first, last = distance._source_bounds(jnp.ones((40, 70)), jnp.float32(1), 8)
    np.testing.assert_array_equal(first, np.arange(0, 40, 8))
    np.testing.assert_array_equal(last, np.arange(0, 40, 8) + 7)


def test_vmap_over_masks_and_over_spacings_equals_the_batch():
    m = masks((6, 7))
    wanted = ops.distance_transform(m, spatial_ndim=2)
    np.testing.assert_array_equal(jax.vmap(ops.distance_transform)(m), wanted)
    spacing = np.array([[1, 1], [2, 0.5], [0.7, 3]], np.float32)
    each = jax.vmap(lambda one, units: ops.distance_transform(one, spacing=units))(m, spacing)
    for one, units, got in zip(m, spacing, each, strict=True):
        np.testing.assert_allclose(got, scipy_distance(one, units), rtol=1e-6)
    same = jax.vmap(lambda units: ops.distance_transform(m[1], spacing=units))(spacing)
    np.testing.assert_allclose(same[1], scipy_distance(m[1], spacing[1]), rtol=1e-6)


def test_no_gradient_passes_but_what_it_weighs_has_one():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((5, 6)), jnp.float32)
    weighed = jax.grad(lambda z: jnp.sum(z * ops.unsigned_distance(z > 0)))(x)
    np.testing.assert_allclose(weighed, ops.unsigned_distance(x > 0))
    units = jnp.array([1.0, 2.0])
    gradient = jax.grad(lambda s: jnp.sum(ops.unsigned_distance(x > 0, spacing=s)))(units)
    np.testing.assert_array_equal(gradient, [0, 0])


def test_a_batch_over_eight_devices_stays_where_it_is():
    m = np.stack([blobs((12, 14), 2, seed) for seed in range(8)])
    spread = NamedSharding(Mesh(np.array(jax.devices()), ("b",)), PartitionSpec("b"))
    run = jax.jit(functools.partial(ops.unsigned_distance, spatial_ndim=2))
    there = jax.device_put(m, spread)
    np.testing.assert_array_equal(run(there), run(m))
    program = run.lower(there).compile().as_text()
    assert "all-gather" not in program and "all-to-all" not in program


@pytest.mark.parametrize(
    "transform", [ops.distance_transform, ops.unsigned_distance, ops.signed_distance]
)
def test_wrong_input(transform):
    m = np.ones((3, 4), bool)
    with pytest.raises(TypeError, match="takes booleans or integers, got float32"):
        transform(m.astype(np.float32))
    with pytest.raises(ValueError, match="`spatial_ndim` takes 1 to 2 .* got 3"):
        transform(m, spatial_ndim=3)
    with pytest.raises(ValueError, match=r"`spacing` takes shape \[2\], got \(3,\)"):
        jax.jit(functools.partial(transform, spacing=(1, 1, 1)))(m)
    with pytest.raises(ValueError, match="`spacing` takes numbers > 0, got"):
        transform(m, spacing=(1, 0))
    with pytest.raises(ValueError, match="`spacing` takes numbers > 0, got"):
        transform(m, spacing=(1, np.inf))  # every distance would be infinite, which stands for none
    with pytest.raises(ValueError, match="at least 1 axis"):
        transform(np.bool_(True))
