"""The topological losses: what they count, what they ignore, and where their gradient sits."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import losses

from .oracles import topology as oracle

SIDE = 12


def blank():
    return np.zeros((SIDE, SIDE), np.int32)


def ring(gap=0):
    image = blank()
    image[3:9, 3:9] = 1
    image[4:8, 4:8] = 0
    image[3, 5 : 5 + gap] = 0
    return image


def squares(*corners):
    image = blank()
    for i, j in corners:
        image[i : i + 2, j : j + 2] = 1
    return image


def firm(images, sharpness=8.0):
    return sharpness * (2 * np.asarray(images, np.float32)[..., None] - 1)


def costs(name, predictions, label, **options):
    """One cost for each prediction of the same label; always eight images, to compile once."""
    count = len(predictions)
    predictions = np.stack([*predictions, *[predictions[0]] * (8 - count)])
    labels = np.broadcast_to(label, (8, *label.shape)).copy()
    return np.asarray(batched(name, **options)(firm(predictions), labels))[:count]


@functools.cache
def batched(name, **options):
    return jax.jit(functools.partial(getattr(losses, name), **options))


BOTH = pytest.mark.parametrize("name", ["topological", "betti_matching"])


@BOTH
def test_each_topological_fault_costs(name):
    perfect, broken, stray, both = ring(), ring(2), ring(), ring(2)
    stray[0, 0] = both[0, 0] = 1
    filled = blank()
    filled[3:9, 3:9] = 1
    two_holes = ring()
    two_holes[6, 4:8] = 1
    predictions = [perfect, broken, stray, filled, two_holes, both]
    cost = costs(name, predictions, ring())
    assert cost[0] < 0.01
    assert np.all(cost[1:] > cost[0] + 0.4)
    assert cost[5] > max(cost[1], cost[2]) + 0.4


@BOTH
def test_shape_alone_costs_nothing(name):
    thick = ring()
    thick[2, 3:9] = 1
    cost = costs(name, [ring(), thick, np.roll(ring(), 1, axis=0)], ring())
    np.testing.assert_allclose(cost, cost[0], atol=1e-5)


def test_only_betti_matching_sees_where_a_component_lies():
    label, elsewhere = squares((1, 1), (8, 8)), squares((1, 1), (1, 8))
    hard = functools.partial(costs, label=label)
    assert hard("topological", [elsewhere])[0] < 0.01
    matched, unmatched = hard("betti_matching", [label, elsewhere])
    assert matched < 0.01
    # The published check value: one feature without partner in each of the two images.
    np.testing.assert_allclose(unmatched, 2.0, atol=0.01)


def test_betti_matching_counts_unmatched_features_of_binary_images():
    label = squares((0, 0), (0, 5), (9, 9))
    predictions = [
        squares((0, 0)),
        squares((0, 0), (0, 5)),
        squares((0, 0), (5, 0), (5, 6), (9, 9)),
    ]
    expected = [2, 1, 3]  # two missing; one missing; two spurious and one missing
    np.testing.assert_allclose(costs("betti_matching", predictions, label), expected, atol=0.02)
    # One blob in the wrong place: the two components that never end are always partners.
    alone = costs("betti_matching", [squares((8, 8))], squares((1, 1)))
    np.testing.assert_allclose(alone, 0, atol=0.01)


def test_tiles_tie_features_to_places():
    label, elsewhere = squares((1, 1), (8, 8)), squares((1, 1), (1, 8))
    tiled = functools.partial(costs, "topological", label=label, patch=6, dims=(0,))
    right, wrong = tiled([label, elsewhere])
    assert right < 0.01 and wrong > 0.3
    parts = [(slice(0, 6), slice(0, 6)), (slice(0, 6), slice(6, 12))]
    parts += [(slice(6, 12), slice(0, 6)), (slice(6, 12), slice(6, 12))]
    loss = batched("topological", dims=(0,))
    each = [loss(firm(elsewhere[None][:, i, j]), label[None][:, i, j])[0] for i, j in parts]
    np.testing.assert_allclose(wrong, np.mean(each), rtol=1e-5)


def test_the_gradient_mends_the_gap():
    logits = firm([ring(1)])
    logits[0, 3, 5, 0] = -1.0  # the weakest point of the background around the gap
    labels = ring()[None]
    for name in ("topological", "betti_matching"):
        gradient = jax.grad(lambda z, name=name: batched(name, dims=(1,))(z, labels)[0])(logits)
        gradient = np.asarray(gradient)[0, ..., 0]
        assert np.unravel_index(gradient.argmin(), gradient.shape) == (3, 5)
        assert np.count_nonzero(np.abs(gradient) > 1e-3) <= 2


@pytest.mark.parametrize("dims", [(0,), (1,)])
def test_the_value_of_constant_predictions(dims):
    logits = np.array([-2.0, 0.5, 3.0], np.float32)[:, None, None, None] * np.ones((3, 4, 5, 1))
    logits = logits.astype(np.float32)
    p = 1 / (1 + np.exp(-logits[:, 0, 0, 0]))
    full, empty = np.ones((3, 4, 5), np.int32), np.zeros((3, 4, 5), np.int32)
    loss = batched("topological", dims=dims)
    if dims == (0,):  # one component, born at p; wanted, and not
        np.testing.assert_allclose(loss(logits, full), (1 - p) ** 2, rtol=1e-5)
        np.testing.assert_allclose(loss(logits, empty), p**2 / 2, rtol=1e-5)
    else:  # the hole that the background makes in the frame: born at 1, filled at p
        np.testing.assert_allclose(loss(logits, full), (1 - p) ** 2 / 2, rtol=1e-5)
        np.testing.assert_allclose(loss(logits, empty), p**2, rtol=1e-5)
        unframed = batched("topological", dims=dims, frame=False)
        assert np.all(np.asarray(unframed(logits, full)) == 0)
    targets = np.full((3, 4, 5, 1), 0.3, np.float32)
    wanted = 2 * (p - 0.3) ** 2 if dims == (0,) else np.zeros(3)
    np.testing.assert_allclose(
        batched("betti_matching", dims=dims)(logits, targets), wanted, rtol=1e-5, atol=1e-7
    )


def test_a_feature_that_the_prediction_lacks_costs_a_half():
    logits = np.zeros((1, SIDE, SIDE, 1), np.float32)
    loss = batched("topological", dims=(0,))
    one, three = (
        loss(logits, squares(*at)[None])[0] for at in ([(1, 1)], [(1, 1), (1, 6), (8, 8)])
    )
    np.testing.assert_allclose([one, three], [0.25, 0.25 + 2 / 2], rtol=1e-6)


def test_the_threshold_spares_small_features():
    logits = np.random.default_rng(0).normal(size=(2, SIDE, SIDE, 1)).astype(np.float32)
    labels = np.stack([ring(), ring()])
    values = [batched("topological", threshold=t)(logits, labels) for t in (0.0, 0.2, 1.0)]
    assert np.all(np.diff(np.asarray(values), axis=0) < 0)


SIDES_OF_2 = [
    (
        [[3, -3, -3, -3, 1], [2, -4, -4, -4, 0.5]],
        [[1, 0, 0, 0, 1], [1, 0, 0, 0, 1]],
        # Two components are wanted: one born at s(3) that never ends, one from s(1) to s(-3).
        lambda s: (1 - s(3)) ** 2 + (1 - s(1)) ** 2 + s(-3) ** 2,
        0.07682792,
    ),
    (
        [[2, -4], [-2, -4], [-3, -5], [1.5, -1]],
        [[1, 0], [0, 0], [0, 0], [1, 0]],
        lambda s: (1 - s(2)) ** 2 + (1 - s(1.5)) ** 2 + s(-3) ** 2,
        0.04973762,
    ),
]


@pytest.mark.parametrize("logits, labels, equation, known", SIDES_OF_2)
def test_check_values_of_images_with_a_side_of_2(logits, labels, equation, known):
    pytest.importorskip("gudhi")
    wanted = equation(lambda x: 1 / (1 + np.exp(-x)))
    np.testing.assert_allclose(wanted, known, rtol=1e-6)
    logits = np.array(logits, np.float32)[None, ..., None]
    loss = functools.partial(losses.topological, dims=(0,), route="host")
    got = jax.jit(loss)(logits, np.array([labels], np.int32))
    np.testing.assert_allclose(got, [wanted], rtol=1e-5)


def test_routes_agree():
    pytest.importorskip("gudhi")
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(4, 9, 8, 2)).astype(np.float32)
    labels = rng.integers(0, 2, (4, 9, 8)).astype(np.int32)
    for construction in ("top_cells", "vertices"):
        host, device = (
            jax.jit(jax.value_and_grad(lambda z, o=o: losses.topological(z, labels, **o).sum()))(
                logits
            )
            for o in ({"route": r, "construction": construction} for r in ("host", "device"))
        )
        np.testing.assert_allclose(host[0], device[0], rtol=1e-6)
        np.testing.assert_allclose(host[1], device[1], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("construction", ["vertices", "top_cells"])
@pytest.mark.parametrize("dims", [(0,), (1,)])
def test_betti_matching_equals_matrix_reduction(construction, dims):
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(24, 6, 6, 1))
    soft, hard = rng.random((24, 6, 6, 1)), rng.integers(0, 2, (24, 6, 6)).astype(np.int32)
    for labels in (soft, hard[..., None].astype(float)):
        options = {"construction": construction, "dims": dims}
        got = batched("betti_matching", **options)(
            logits.astype(np.float32), labels.astype(np.float32)
        )
        wanted = oracle.betti_matching(logits, labels, **options)
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6)


@BOTH
@pytest.mark.parametrize(
    "shape, options, argument",
    [
        ((2, 6, 1), {}, "logits"),
        ((2, 6, 6, 1), {"dims": (2,)}, "dims"),
        ((2, 6, 6, 1), {"dims": ()}, "dims"),
        ((2, 6, 6, 1), {"dims": (0, 0)}, "dims"),
        ((2, 4, 6, 6, 1), {}, "dims"),
        ((2, 6, 6, 1), {"construction": "T"}, "construction"),
    ],
)
def test_errors_are_static(name, shape, options, argument):
    logits = jax.ShapeDtypeStruct(shape, jnp.float32)
    labels = jax.ShapeDtypeStruct(shape[:-1], jnp.int32)
    with pytest.raises(ValueError, match=f"`{argument}`"):
        jax.eval_shape(functools.partial(getattr(losses, name), **options), logits, labels)


@pytest.mark.parametrize(
    "options, argument",
    [({"patch": 4}, "patch"), ({"threshold": -1.0}, "threshold"), ({"max_pairs": 0}, "max_pairs")],
)
def test_errors_of_topological_are_static(options, argument):
    logits, labels = jnp.zeros((2, 6, 6, 1)), jnp.zeros((2, 6, 6), jnp.int32)
    with pytest.raises(ValueError, match=f"`{argument}`"):
        losses.topological(logits, labels, **options)
