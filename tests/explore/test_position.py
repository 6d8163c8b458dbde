import numpy as np
import pytest

from segjax import losses
from segjax.explore import position
from segjax.tasks.localization.toy import toy_losses
from tests.explore.figures import pixels_of


def test_the_squared_error_is_a_bowl():
    values = position.position_map(losses.coordinate_mean_squared_error, (5, 2), (8, 16))
    row, column = np.mgrid[:8, :16]
    wanted = (((column - 5) / 16) ** 2 + ((row - 2) / 8) ** 2) / 2
    np.testing.assert_allclose(values, wanted, atol=1e-6)


def test_softmax_cross_entropy_knows_right_and_wrong_on_each_axis_only():
    loss = losses.multiscale_softmax_cross_entropy
    values = position.position_map(loss, (5, 2), (8, 16), scales=1)
    row, column = np.mgrid[:8, :16]
    wrong = (row != 2).astype(int) + (column != 5)
    np.testing.assert_allclose(values, 20.0 * wrong, atol=1e-3)


def test_the_diagonal_of_the_map_is_the_figure_of_the_paper():
    maps, curves = position.paper_maps(16, (3, 3)), toy_losses(16, 3)
    assert list(maps) == list(curves)
    for name, values in maps.items():
        assert values.shape == (16, 16)
        np.testing.assert_allclose(np.diag(values), curves[name], atol=1e-5)
        np.testing.assert_array_equal(values, values.T)


@pytest.mark.parametrize("target", [(16, 0), (0, 8), (-1, 0)])
def test_a_target_outside_is_refused(target):
    with pytest.raises(ValueError, match="`target`"):
        position.position_map(losses.coordinate_mean_squared_error, target, (8, 16))


def test_every_panel_shows_something():
    figure = position.position_figure(classes=16, target=3, side=8)
    panels = figure.axes[:8]
    for panel in panels[:4]:
        assert len(panel.lines[0].get_xdata()) == 16 and panel.get_xlabel()
    for panel in panels[4:]:
        assert panel.images[0].get_array().shape == (8, 8)
    assert "M = 4" in panels[3].get_title() and "M = 3" in panels[7].get_title()
    assert pixels_of(figure).std() > 10
