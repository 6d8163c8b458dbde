"""Fields at every resolution of a decoder, and the weighted sum over them."""

import jax.numpy as jnp
import numpy as np
import pytest

from segjax import losses, maps
from segjax.tasks.binding import combine, combine_scales, make_term
from segjax.tasks.deep_supervision import scales


def example():
    generator = np.random.default_rng(0)
    named = {
        "logits": generator.normal(size=(2, 8, 12, 3)).astype(np.float32),
        "labels": generator.integers(0, 3, (2, 8, 12)),
        "where": generator.random((2, 8, 12)) < 0.8,
        "rectified_maps": generator.normal(size=(2, 8, 12, 3)).astype(np.float32),
    }
    deep = [generator.normal(size=(2, 4, 6, 3)), generator.normal(size=(2, 2, 6, 3))]
    named = {name: jnp.asarray(array) for name, array in named.items()}
    return named, [jnp.asarray(logits, jnp.float32) for logits in deep]


def test_fields_are_taken_at_the_middle_of_blocks():
    named, deep = example()
    (first, full), (second, half), (third, quarter) = scales(named, deep)
    assert (first, second, third) == pytest.approx((2 / 3, 1 / 3, 0))
    assert full is named
    np.testing.assert_array_equal(half["logits"], deep[0])
    for name in ("labels", "where", "rectified_maps"):
        np.testing.assert_array_equal(half[name], named[name][:, 1::2, 1::2])
        np.testing.assert_array_equal(quarter[name], named[name][:, 2::4, 1::2])


def test_without_heads_there_is_one_scale():
    named, _ = example()
    assert scales(named, ()) == ((1.0, named),)


def test_a_head_that_does_not_divide_is_an_error():
    named, _ = example()
    with pytest.raises(ValueError, match=r"takes an image size \(8, 12\)"):
        scales(named, [jnp.zeros((2, 3, 6, 3))])


def test_the_sum_over_scales_is_the_weighted_sum_of_each():
    named, deep = example()
    terms = make_term(losses.dice), make_term(losses.region_wise, weight=0.5, maps=maps.rectified)
    found = scales(named, deep)
    together = combine_scales(terms, found)
    parts = [combine(terms, fields) for _, fields in found[:2]]
    for name in ("loss", "loss/dice", "loss/region_wise"):
        np.testing.assert_allclose(
            together[name], 2 / 3 * parts[0][name] + 1 / 3 * parts[1][name], rtol=1e-6
        )
