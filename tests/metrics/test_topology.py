import importlib.util
import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import metrics
from segjax.metrics import topology
from segjax.metrics.thinning import thin

HAS_SKIMAGE = importlib.util.find_spec("skimage") is not None
needs_skimage = pytest.mark.skipif(not HAS_SKIMAGE, reason="needs the extra `topology`")
SHAPES = [(6, 7, 8), (6, 4, 5, 6)]


def random_masks(shape, seed=0):
    generator = np.random.default_rng(seed)
    shares = generator.random((shape[0],) + (1,) * (len(shape) - 1))
    return generator.random(shape) < shares


def components(mask, full):
    """Number of components, by flood fill."""
    steps = [
        step
        for step in itertools.product((-1, 0, 1), repeat=mask.ndim)
        if any(step) and (full or np.abs(step).sum() == 1)
    ]
    left, number = {tuple(p) for p in np.argwhere(mask)}, 0
    while left:
        number += 1
        front = [left.pop()]
        while front:
            point = front.pop()
            for step in steps:
                near = tuple(p + s for p, s in zip(point, step, strict=True))
                if near in left:
                    left.remove(near)
                    front.append(near)
    return number


def cells(mask, full):
    """Euler characteristic by listing the cells of every dimension, on a grid twice as fine."""
    present = set()
    if full:
        # A pixel at odd positions with all its faces, edges and corners around it.
        for point in np.argwhere(mask):
            for step in itertools.product((-1, 0, 1), repeat=mask.ndim):
                present.add(tuple(2 * p + 1 + s for p, s in zip(point, step, strict=True)))
    else:
        # A pixel at odd positions, and what lies between pixels that are all there.
        every = {tuple(2 * p + 1) for p in np.argwhere(mask)}
        for cell in itertools.product(*(range(1, 2 * n) for n in mask.shape)):
            ends = itertools.product(*((c,) if c % 2 else (c - 1, c + 1) for c in cell))
            if every.issuperset(ends):
                present.add(cell)
    parities = [sum(c % 2 for c in cell) for cell in present]
    dimensions = parities if full else [mask.ndim - p for p in parities]
    return sum((-1) ** d for d in dimensions)


def betti_by_filling(mask, full):
    objects = components(mask, full)
    enclosed = components(~np.pad(mask, 1), not full) - 1
    if mask.ndim == 2:
        return [objects, enclosed]
    return [objects, objects + enclosed - cells(mask, full), enclosed]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("connectivity", ["full", "face"])
def test_numbers_equal_those_of_flood_fill_and_of_listed_cells(shape, connectivity):
    mask, full = random_masks(shape), connectivity == "full"
    euler = jax.jit(lambda m: metrics.euler_number(m, connectivity=connectivity))(mask)
    assert euler.dtype == jnp.int32
    np.testing.assert_array_equal(euler, [cells(m, full) for m in mask])
    betti = metrics.betti_numbers(mask, connectivity=connectivity)
    assert betti.dtype == np.int64
    np.testing.assert_array_equal(betti, [betti_by_filling(m, full) for m in mask])
    signs = (-1) ** np.arange(betti.shape[1])
    np.testing.assert_array_equal(betti @ signs, euler)


@needs_skimage
@pytest.mark.parametrize("shape", SHAPES)
def test_the_euler_number_is_that_of_scikit_image(shape):
    from skimage.measure import euler_number

    mask = random_masks(shape, seed=3)
    for connectivity, theirs in (("full", len(shape) - 1), ("face", 1)):
        got = jax.jit(lambda m, c=connectivity: metrics.euler_number(m, connectivity=c))(mask)
        np.testing.assert_array_equal(got, [euler_number(m, theirs) for m in mask])


def plane(*rows):
    return np.array([[[c == "#" for c in row] for row in rows]])


def test_shapes_in_the_plane():
    ring = plane("###", "#.#", "###")
    diamond = plane(".#.", "#.#", ".#.")
    for mask, full, face in [
        (ring, [1, 1], [1, 1]),
        # Joined over the corners it is a ring; by faces four pixels, and the middle leaks out.
        (diamond, [1, 1], [4, 0]),
        (plane("##.", "#..", "..#"), [2, 0], [2, 0]),
        (plane("#.#", "#.#", "###"), [1, 0], [1, 0]),
        (plane("...", "..."), [0, 0], [0, 0]),
        (plane("###", "###"), [1, 0], [1, 0]),
    ]:
        np.testing.assert_array_equal(metrics.betti_numbers(mask), [full])
        np.testing.assert_array_equal(metrics.betti_numbers(mask, connectivity="face"), [face])


def test_shapes_in_space():
    masks = np.zeros((4, 5, 5, 5), bool)
    masks[0, 1:4, 1:4, 1:4] = True  # a ball,
    masks[1] = masks[0]
    masks[1, 2, 2, 2] = False  # a ball with a cavity,
    masks[2] = masks[0]
    masks[2, :, 2, 2] = False  # one with a tunnel,
    masks[3, 0, 0, 0] = masks[3, 1, 1, 1] = True  # two voxels that share a corner.
    wanted = [[1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 0, 0]]
    np.testing.assert_array_equal(metrics.betti_numbers(masks), wanted)
    np.testing.assert_array_equal(jax.jit(metrics.euler_number)(masks), [1, 2, 0, 1])
    np.testing.assert_array_equal(
        metrics.betti_numbers(masks[3:], connectivity="face"), [[2, 0, 0]]
    )


def test_the_euler_number_runs_compiled_on_integers():
    mask = random_masks((3, 6, 6))
    wanted = metrics.euler_number(mask)
    np.testing.assert_array_equal(jax.jit(metrics.euler_number)(mask * 255), wanted)
    assert metrics.euler_number(mask[:0]).shape == (0,)
    assert metrics.betti_numbers(mask[:0]).shape == (0, 2)


def test_betti_error_counts_what_differs():
    ring = plane("###..", "#.#..", "###.#")
    disc = plane("###..", "###..", "###..")
    np.testing.assert_array_equal(metrics.betti_error(ring, disc), [[1, 1]])
    np.testing.assert_array_equal(metrics.betti_error(ring, ring), [[0, 0]])
    np.testing.assert_array_equal(metrics.betti_error(ring, np.zeros_like(ring)), [[2, 1]])
    # Numbers are compared and not places; tiles tell the places apart.
    left, right = plane("#...", "...."), plane("...#", "....")
    np.testing.assert_array_equal(metrics.betti_error(left, right), [[0, 0]])
    np.testing.assert_array_equal(metrics.betti_error(left, right, patch=2), [[1, 0]])


def test_tiles_cover_the_image_and_count_alike():
    pred, label = random_masks((2, 7, 8), seed=1), random_masks((2, 7, 8), seed=2)
    for patch, sides in ((3, (3, 3)), ((4, 8), (4, 8)), (100, (100, 100))):
        total, tiles = np.zeros((2, 2)), 0
        for y, x in itertools.product(range(0, 7, sides[0]), range(0, 8, sides[1])):
            cut = (slice(None), slice(y, y + sides[0]), slice(x, x + sides[1]))
            total += np.abs(metrics.betti_numbers(pred[cut]) - metrics.betti_numbers(label[cut]))
            tiles += 1
        got = metrics.betti_error(pred, label, patch=patch)
        np.testing.assert_allclose(got, total / tiles)
    np.testing.assert_array_equal(metrics.betti_error(pred, label), got)
    volume = random_masks((2, 4, 5, 6))
    assert metrics.betti_error(volume, ~volume, patch=(2, 5, 3)).shape == (2, 3)


def test_connectivity_reaches_the_error():
    diamond = plane(".#.", "#.#", ".#.")
    empty = np.zeros_like(diamond)
    np.testing.assert_array_equal(metrics.betti_error(diamond, empty), [[1, 1]])
    np.testing.assert_array_equal(
        metrics.betti_error(diamond, empty, connectivity="face"), [[4, 0]]
    )


# --- centre lines ------------------------------------------------------------------------------


def planes_by_definition(pred, label):
    from skimage.morphology import skeletonize

    scores = []
    for p, t in zip(pred, label, strict=True):
        precision = (skeletonize(p) & t).sum() / skeletonize(p).sum()
        sensitivity = (skeletonize(t) & p).sum() / skeletonize(t).sum()
        scores.append(2 * precision * sensitivity / (precision + sensitivity))
    return scores


@needs_skimage
def test_cl_dice_of_planes_equals_its_definition():
    pred, label = random_masks((5, 24, 20), seed=4), random_masks((5, 24, 20), seed=5)
    pred |= label
    got = metrics.cl_dice(pred, label)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, planes_by_definition(pred, label), rtol=1e-12)
    assert 0 < got.min() and got.max() < 1


@needs_skimage
def test_cl_dice_asks_for_the_course_and_not_for_the_width():
    label = np.zeros((1, 20, 40), bool)
    label[:, 8:13, 2:38] = True
    thin_line = np.zeros_like(label)
    thin_line[:, 10, 5:35] = True
    assert metrics.cl_dice(label, label) == [1]
    assert metrics.cl_dice(thin_line, label) > 0.9 > 0.5 > metrics.dice(thin_line, label)[0, 0]
    broken = label.copy()
    broken[:, :, 15:25] = False
    assert metrics.cl_dice(broken, label) < metrics.cl_dice(thin_line, label)
    # A line along the middle of half the tube: all of it inside, half of the skeleton found.
    half = np.zeros_like(label)
    half[:, 10, 2:20] = True
    got = metrics.cl_dice(half, label)[0]
    from skimage.morphology import skeletonize

    found = (skeletonize(label[0]) & half[0]).sum() / skeletonize(label[0]).sum()
    assert got == pytest.approx(2 * found / (1 + found))


@pytest.mark.parametrize("shape", [(4, 6, 7), (4, 5, 6, 7)])
def test_cl_dice_of_empty_and_of_disjoint_masks(shape):
    if len(shape) == 3 and not HAS_SKIMAGE:
        pytest.skip("needs the extra `topology`")
    pred, label = np.zeros(shape, bool), np.zeros(shape, bool)
    pred[1::2, 1:3, 1:3] = True
    label[2:, 1:3, 1:3] = True
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(metrics.cl_dice(pred, label), [1, 0, 0, 1])
        assert metrics.cl_dice(pred[3:], np.roll(pred[3:], 3, axis=1)) == [0]


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 6])
def test_cl_dice_of_tubes_in_space_does_not_depend_on_odd_or_even_width(width):
    """scikit-image loses tubes of even width: they would score nan or 0 against themselves."""
    label = np.zeros((1, 12, 12, 30), bool)
    label[0, 3 : 3 + width, 3 : 3 + width, 2:28] = True
    assert metrics.cl_dice(label, label) == [1]
    half = label.copy()
    half[..., 15:] = False
    assert metrics.cl_dice(half, label)[0] == pytest.approx(2 / 3, abs=0.05)
    np.testing.assert_array_equal(metrics.cl_dice(half, label), metrics.cl_dice(label, half))


def test_thinning_keeps_the_topology_and_stays_inside():
    for mask in random_masks((24, 5, 6, 7), seed=7):
        skeleton = thin(mask)
        assert not np.any(skeleton & ~mask)
        np.testing.assert_array_equal(
            metrics.betti_numbers(skeleton[None]), metrics.betti_numbers(mask[None])
        )
        np.testing.assert_array_equal(thin(skeleton), skeleton)


def test_thinning_of_a_volume_in_fortran_order_is_the_same():
    # A box of 3 x 3 x 7 has one line as its skeleton; the strides were those of another order.
    volume = np.zeros((7, 8, 13), bool)
    volume[2:5, 2:5, 3:10] = True
    line = thin(volume)
    assert 3 <= line.sum() <= 7 and line[3, 3].sum() == line.sum()
    np.testing.assert_array_equal(thin(np.asfortranarray(volume)), line)
    label = np.zeros_like(volume)
    label[3, 3, 5:] = True
    wanted = metrics.cl_dice(volume[None], label[None])
    got = metrics.cl_dice(np.asfortranarray(volume[None]), np.asfortranarray(label[None]))
    np.testing.assert_array_equal(got, wanted)


def test_thinning_makes_lines():
    axes = np.indices((40, 16, 16)) - np.array([0, 7.5, 7.5])[:, None, None, None]
    tube = (axes[1] ** 2 + axes[2] ** 2 < 16) & (axes[0] > 3) & (axes[0] < 36)
    skeleton = thin(tube)
    assert 24 <= skeleton.sum() <= 36
    rows, *across = np.argwhere(skeleton).T
    assert len(set(rows)) == skeleton.sum(), "one voxel a slice"
    assert np.abs(np.array(across) - 7.5).max() < 2, "along the middle"
    line = np.zeros((3, 3, 9), bool)
    line[1, 1, 1:8] = True
    np.testing.assert_array_equal(thin(line), line)
    assert not thin(np.zeros((3, 3, 3), bool)).any()
    ball = (axes**2).sum(0) < 7**2
    assert 1 <= thin(ball).sum() < 12


def test_planes_without_the_extra_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setitem(sys.modules, "skimage.morphology", None)
    mask = np.ones((1, 4, 4), bool)
    with pytest.raises(ImportError, match=r"segjax\[topology\]"):
        metrics.cl_dice(mask, mask)
    assert metrics.cl_dice(mask[None], mask[None]) == [1], "volumes do without"


# --- errors ------------------------------------------------------------------------------------

HOST = [metrics.betti_error, metrics.cl_dice]


@pytest.mark.parametrize("metric", HOST)
def test_errors_of_pairs(metric):
    mask = np.zeros((2, 5, 5), bool)
    with pytest.raises(ValueError, match="`pred`"):
        metric(mask[0], mask[0])
    with pytest.raises(ValueError, match="`label`"):
        metric(mask, mask[:, :3])
    with pytest.raises(TypeError, match="`label`"):
        metric(mask, mask * 1.0)
    with pytest.raises(ValueError, match="`pred`"):
        metric(mask + 2, mask)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_errors_of_the_euler_number_are_static(wrap):
    mask = np.zeros((2, 5, 5), np.float32)
    with pytest.raises(TypeError, match="`mask`"):
        wrap(metrics.euler_number)(mask)
    with pytest.raises(ValueError, match="`mask`"):
        wrap(metrics.euler_number)(mask[0] > 0)
    with pytest.raises(ValueError, match="`connectivity`"):
        wrap(lambda m: metrics.euler_number(m, connectivity="8"))(mask > 0)


def test_errors_of_options():
    mask = np.zeros((2, 5, 5), bool)
    for metric in (metrics.betti_numbers, lambda m, **o: metrics.betti_error(m, m, **o)):
        with pytest.raises(ValueError, match="`connectivity`"):
            metric(mask, connectivity=8)
    with pytest.raises(TypeError, match="`mask`"):
        metrics.betti_numbers(mask * 1.0)
    for patch in (0, (2,), (2, 2, 2), (2, 0)):
        with pytest.raises(ValueError, match="`patch`"):
            metrics.betti_error(mask, mask, patch=patch)


def test_the_options_are_named_once():
    assert topology.CONNECTIVITIES == ("full", "face")
