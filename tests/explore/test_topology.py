import numpy as np
import pytest

from segjax import losses
from segjax.explore import topology
from segjax.tasks.binding import make_term
from tests.explore.figures import pixels_of


def test_a_map_that_can_be_read_off():
    image = np.full((7, 9), 0.1, np.float32)
    image[1:6, 1:6] = 0.9
    image[1, 3] = 0.6  # the ring closes here last
    image[3, 3] = 0.05  # and is filled here last
    image[2:5, 2:5][np.arange(9).reshape(3, 3) != 4] = 0.15
    image[5, 8] = 0.4  # a component of its own
    components, loops = topology.diagram(image, 0), topology.diagram(image, 1)
    np.testing.assert_allclose(components.birth, [0.9, 0.4])
    np.testing.assert_allclose(components.death, [0, 0.1])
    assert components.birth_pixels[1].tolist() == [5, 8]
    assert components.death_pixels[0].tolist() == [-1, -1]
    np.testing.assert_allclose(loops.birth, [0.6])
    np.testing.assert_allclose(loops.death, [0.05])
    assert loops.birth_pixels.tolist() == [[1, 3]]


def test_the_broken_ring_overlaps_well_and_is_wrong():
    probs, label = topology.broken_ring(48)
    assert probs.dtype == np.float32 and label.dtype == np.int32
    assert 0 < probs.min() and probs.max() < 1
    predicted = probs > 0.5
    overlap = 2 * (predicted & (label > 0)).sum() / (predicted.sum() + label.sum())
    assert overlap > 0.9
    loops, components = topology.diagram(probs, 1), topology.diagram(probs, 0)
    assert loops.birth[0] < 0.5  # closed only below the usual threshold
    assert (components.birth > 0.5).sum() >= 2 and components.death[1] < 0.5
    whole, _ = topology.broken_ring(48, weakest=1.0)
    assert topology.diagram(whole, 1).birth[0] > 0.9


@pytest.mark.parametrize("count", [1, 2])
def test_the_figure_counts_firm_features(count):
    probs, label = topology.broken_ring(32)
    maps = {"prediction": probs, "truth": label.astype(np.float32)}
    figure = topology.persistence_figure(dict(list(maps.items())[:count]))
    assert len(figure.axes) == 2 * count
    texts = [text.get_text() for text in figure.axes[count].get_legend().get_texts()]
    assert texts == ["components: 2", "loops: 1"]
    assert pixels_of(figure).std() > 10


def test_descent_goes_down_on_the_logits_themselves():
    probs, label = topology.broken_ring(16)
    term = make_term(losses.cross_entropy)
    np.testing.assert_allclose(
        topology.descend([term], probs, label, steps=0), probs, rtol=1e-5, atol=1e-6
    )
    once = topology.descend([term], probs, label, steps=1, rate=2.0)
    logits = np.log(probs / (1 - probs)) - 2.0 * (probs - label) / 16**2
    np.testing.assert_allclose(once, 1 / (1 + np.exp(-logits)), rtol=1e-4, atol=1e-6)
    many = topology.descend([term], probs, label, steps=100, rate=50.0)
    assert np.abs(many - label).mean() < 0.5 * np.abs(probs - label).mean()
