"""Soft clDice: other code's values, what it sees and does not see, edges, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import losses

value = jax.jit(losses.soft_cl_dice, static_argnames=("iterations", "smooth", "include_background"))


def firm(mask):
    return np.where(np.asarray(mask)[..., None] > 0, 30.0, -30.0).astype(np.float32)


def tube(width=3, gap=0, shift=0):
    """A horizontal tube through an image, broken in the middle."""
    mask = np.zeros((1, 16, 24), np.int32)
    mask[:, 5 + shift : 5 + shift + width] = 1
    if gap:
        mask[:, :, 12 - gap // 2 : 12 - gap // 2 + gap] = 0
    return mask


def test_one_class_equals_monai():
    """SoftclDiceLoss(iter_=3, smooth=1e-12, sigmoid=True, reduction='none') of MONAI 1.6.1.

    In float64 on these arrays, and the sum of the absolute gradient of both images' total.
    """
    for shape, wanted, steepness in [
        ((12, 14), (0.67938669, 0.67107738), 0.48491220),
        ((8, 9, 10), (0.8023636, 0.80594068), 0.51006752),
    ]:
        labels = np.zeros((2, *shape), np.int32)
        labels[(slice(None), *(slice(n // 4, 3 * n // 4) for n in shape))] = 1
        logits = 2 * np.random.default_rng(3).standard_normal((2, *shape, 1)).astype(np.float32)
        loss = functools.partial(losses.soft_cl_dice, iterations=3)
        got, pull = jax.vjp(jax.jit(lambda z, loss=loss, y=labels: loss(z, y)), logits)
        np.testing.assert_allclose(got, wanted, rtol=1e-5)
        gradient = pull(jnp.ones_like(got))[0]
        np.testing.assert_allclose(jnp.sum(jnp.abs(gradient)), steepness, rtol=1e-4)


def test_gaps_and_shifts_are_ordered_and_width_is_not_seen():
    truth = tube()
    perfect, narrow, gap, wide_gap, moved = (
        float(value(firm(m), truth)[0])
        for m in (truth, tube(1, shift=1), tube(gap=3), tube(gap=9), tube(shift=2))
    )
    assert perfect == pytest.approx(0, abs=1e-5) and narrow == pytest.approx(0, abs=0.01)
    assert perfect < gap < wide_gap < moved < 1


def test_a_gap_costs_the_same_in_tubes_of_any_width():
    costs = [float(value(firm(tube(w, gap=8)), tube(w), smooth=1e-3)[0]) for w in (1, 3, 5)]
    assert min(costs) > 0.1 and max(costs) < 1.25 * min(costs)


def test_documented_empty_cases():
    nothing, blob, full = tube(0), tube(), tube(16, shift=-5)
    assert full.all()
    np.testing.assert_allclose(value(firm(nothing), nothing), [0], atol=1e-6)
    # A blob where the labels are empty: P = s / (|S| + s), R = 1.
    precision = 1 / (24 + 1)  # the tube crosses the image, and so does its centre line
    np.testing.assert_allclose(
        value(firm(blob), nothing), [1 - 2 * precision / (1 + precision)], rtol=1e-4
    )
    np.testing.assert_allclose(
        value(firm(nothing), blob), [1 - 2 * precision / (1 + precision)], rtol=1e-4
    )
    # Foreground everywhere has no centre line that could be wrong.
    assert value(firm(full), blob)[0] < 1e-3 < 0.5 < losses.dice(firm(full), blob)[0]
    step = jax.jit(jax.value_and_grad(lambda z, y: losses.soft_cl_dice(z, y).sum()))
    for prediction in (full, nothing):
        total, gradient = step(firm(prediction), full)
        assert total == pytest.approx(0, abs=1e-6) and np.abs(gradient).max() < 1e-6


def test_a_missed_tube_has_a_gradient_towards_it():
    logits = np.full((1, 16, 24, 1), -2.0, np.float32)
    step = jax.jit(jax.grad(lambda z, y: losses.soft_cl_dice(z, y).sum()))
    gradient = np.asarray(step(logits, tube()))[0, ..., 0]
    assert np.all(gradient[6] < 0) and np.all(gradient[6] <= gradient[0])


def test_classes_are_averaged_and_background_is_left_out():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((2, 8, 9, 3)).astype(np.float32)
    labels = rng.integers(0, 3, (2, 8, 9)).astype(np.int32)
    both = value(logits, labels, iterations=2)
    single = []
    for k in (0, 1, 2):
        others = np.delete(logits, k, axis=-1)
        binary = logits[..., k] - np.log(np.exp(others).sum(-1))
        single.append(value(binary[..., None], (labels == k).astype(np.int32), iterations=2))
    np.testing.assert_allclose(both, np.mean(single[1:], axis=0), rtol=1e-5)
    np.testing.assert_allclose(
        value(logits, labels, iterations=2, include_background=True),
        np.mean(single, axis=0),
        rtol=1e-5,
    )


def test_memory_does_not_grow_with_the_iterations():
    logits = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    labels = jax.ShapeDtypeStruct((1, 64, 64), jnp.int32)

    def memory(iterations):
        step = jax.grad(lambda z, y: losses.soft_cl_dice(z, y, iterations=iterations).sum())
        return jax.jit(step).lower(logits, labels).compile().memory_analysis().temp_size_in_bytes

    assert memory(40) < 2 * memory(1)


@pytest.mark.parametrize(
    "options, argument", [({"smooth": 0.0}, "smooth"), ({"iterations": -1}, "iterations")]
)
def test_errors_are_static(options, argument):
    with pytest.raises(ValueError, match=f"`{argument}` takes"):
        value(firm(tube()), tube(), **options)
    with pytest.raises(ValueError, match="`labels` takes shape"):
        value(firm(tube()), tube()[:, 1:])
