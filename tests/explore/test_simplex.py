import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.errors import UserError
from segjax.explore import simplex
from segjax.explore.loss_text import on_one_pixel, parse_loss
from tests.explore.figures import pixels_of

CROSS_ENTROPY = on_one_pixel(parse_loss("cross_entropy"), 2)


def region_wise(vector):
    return lambda logits: jnp.sum(
        jax.nn.softmax(logits, axis=-1) * jnp.array(vector, logits.dtype)[None, :], axis=-1
    )


def test_the_grid_covers_the_triangle_evenly():
    probs = simplex.simplex_grid(10)
    assert probs.shape == (66, 3)
    np.testing.assert_allclose(probs.sum(axis=1), 1)
    np.testing.assert_allclose(probs.mean(axis=0), 1 / 3)
    assert probs.min() > 0 and len(np.unique(probs.round(9), axis=0)) == 66
    for wrong in ({"resolution": 0}, {"resolution": 3, "margin": 0.0}):
        with pytest.raises(ValueError, match=f"`{list(wrong)[-1]}`"):
            simplex.simplex_grid(**wrong)


def test_values_and_gradients_of_cross_entropy():
    probs = simplex.simplex_grid(12)
    values, gradients = simplex.values_and_gradients(CROSS_ENTROPY, probs)
    np.testing.assert_allclose(values, -np.log(probs[:, 2]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradients, probs - np.array([[0, 0, 1]]), atol=1e-5)


def test_descent_stays_on_the_simplex_and_descends():
    probs = simplex.simplex_grid(12)
    for loss in (CROSS_ENTROPY, region_wise((4.0, 7.0, -2.0))):
        values, gradients = simplex.values_and_gradients(loss, probs)
        moves = simplex.descent_direction(probs, gradients)
        np.testing.assert_allclose(moves.sum(axis=1), 0, atol=1e-6)
        inner = probs.min(axis=1) > 0.05
        later, _ = simplex.values_and_gradients(loss, (probs + 1e-3 * moves)[inner])
        assert (later < values[inner]).all()


@pytest.mark.parametrize(
    "vector, share", [((4.0, 7.0, -2.0), 1 / 3), ((1.0, 1.0, -0.6), 0.0), ((2.0, 2.0, 2.0), 0.0)]
)
def test_wrong_signs_of_the_papers_vectors(vector, share):
    probs = simplex.simplex_grid(60)
    counts = simplex.negatives_on_simplex(probs, vector)
    assert np.mean(counts > 1) == pytest.approx(share, abs=0.01)
    if len(set(vector)) > 1:
        _, gradients = simplex.values_and_gradients(region_wise(vector), probs)
        clear = np.abs(gradients).min(axis=1) > 1e-6
        assert clear.mean() > 0.8
        np.testing.assert_array_equal(counts[clear], (gradients < 0).sum(axis=1)[clear])
    else:
        assert not counts.any()


def test_a_loss_of_maps_needs_a_vector():
    class WithMaps:
        arrays = ("logits", "maps")

    with pytest.raises(ValueError, match="`vector`"):
        on_one_pixel(WithMaps(), 2)


def test_figures():
    losses = {"cross entropy": CROSS_ENTROPY, "region-wise": region_wise((4.0, 7.0, -2.0))}
    for figure in (
        simplex.loss_figure(losses, resolution=12),
        simplex.gradient_figure(losses),
        simplex.negatives_figure(),
    ):
        triangles = [axes for axes in figure.axes if hasattr(axes, "taxis")]
        assert len(triangles) == 2 and all(axes.collections for axes in triangles)
        assert triangles[0].get_tlabel() == "$p_1$"
        assert pixels_of(figure).std() > 10
    assert "33%" in triangles[0].get_title() and "0%" in triangles[1].get_title()


def test_without_mpltern_one_line_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpltern", None)
    with pytest.raises(UserError, match="mpltern: not installed.*notebooks"):
        simplex.negatives_figure()
