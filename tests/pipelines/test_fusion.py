"""Rules of fusion against float64, written from their equations."""

import numpy as np
import pytest

from segjax.pipelines.fusion import LEAST, RULES, arithmetic, fused, geometric


def some_maps(count, shape=(7, 9), seed=0):
    """Probabilities, among them exact zeros and ones."""
    generator = np.random.default_rng(seed)
    maps = generator.random((count, *shape)).astype(np.float32)
    maps[generator.random(maps.shape) < 0.2] = 0
    maps[generator.random(maps.shape) < 0.1] = 1
    return list(maps)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("seed", [0, 1])
def test_arithmetic_is_the_mean(count, seed):
    maps = some_maps(count, seed=seed)
    found = arithmetic(maps)
    np.testing.assert_allclose(found, np.mean(np.asarray(maps, np.float64), axis=0), rtol=2e-7)
    assert found.dtype == np.float32


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("seed", [0, 1])
def test_geometric_is_the_mean_of_logarithms(count, seed):
    maps = some_maps(count, seed=seed)
    logs = np.log(np.maximum(np.asarray(maps, np.float64), 1e-6))
    found = geometric(maps)
    np.testing.assert_allclose(found, np.exp(logs.mean(axis=0)), rtol=3e-6)
    assert found.dtype == np.float32


def test_a_zero_pulls_the_geometric_mean_down_but_not_to_zero():
    one, none = np.ones((2, 2), np.float32), np.zeros((2, 2), np.float32)
    np.testing.assert_allclose(geometric([one, none]), 1e-3, rtol=1e-5)
    np.testing.assert_allclose(geometric([one, one, one, none]), 10**-1.5, rtol=1e-5)
    np.testing.assert_allclose(geometric([none, none]), LEAST, rtol=1e-5)
    np.testing.assert_array_equal(arithmetic([none, none]), none)


def test_ones_stay_ones_for_metrics_take_nothing_above():
    one = np.ones((3, 3), np.float32)
    below = np.nextafter(one, np.float32(0))
    for rule in RULES:
        for count in range(1, 9):
            np.testing.assert_array_equal(fused([one] * count, rule), one)
            assert np.all(fused([below] * count, rule) <= 1)


@pytest.mark.parametrize("rule", RULES)
def test_a_single_map_is_itself(rule):
    (array,) = some_maps(1)
    np.testing.assert_array_equal(fused([array], rule), array)  # without the floor, too


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_maps_does_not_count(rule):
    maps = some_maps(4)
    np.testing.assert_allclose(fused(maps, rule), fused(maps[::-1], rule), rtol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_inputs_are_left_as_they_are(rule):
    maps = some_maps(3)
    before = [array.copy() for array in maps]
    fused(maps, rule)
    np.testing.assert_array_equal(maps, before)


@pytest.mark.parametrize("function", RULES.values())
@pytest.mark.parametrize(
    ("shapes", "words"),
    [((), "got none"), (((2, 3), (3, 2)), r"\(2, 3\), \(3, 2\)"), (((2,), (2, 1)), "one shape")],
)
def test_no_maps_and_other_shapes_are_refused(function, shapes, words):
    with pytest.raises(ValueError, match=words):
        function([np.zeros(shape, np.float32) for shape in shapes])


def test_an_unknown_rule_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'geometric'"):
        fused(some_maps(2), "geometrical")
    with pytest.raises(ValueError, match="arithmetic, geometric"):
        fused(some_maps(1), "most")
